"""A farm that has images and one that has none, in namespaces of their own, and a web server between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.config import FIRST_KIND
from farm.home import Home
from farm.image.store import FILES, FileEntry, Manifest, Store, sha256
from farm.image.verity import BLOCK, Verity
from tests.lab import Namespace, namespaces

ADDRESS = "10.99.41.1"
URL = f"http://{ADDRESS}:8080"
ROOT_BYTES = 3 << 20
NGINX = """
daemon off; error_log stderr; pid {folder}/nginx.pid;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen {address}:8080; root {www}; }}
}}
user root;
"""


class Farm:
    """A farm that is down; its commands run in a namespace."""

    def __init__(self, place: Namespace, name: str) -> None:
        self.place = place
        self.home = Home.at(place.folder / name)
        self.home.create()
        self.home.config.write_text(f"name: {name}\n")
        self.store = Store(self.home.images)

    def add(self, version: str, name: str = FIRST_KIND, *, checked: bool = True) -> Manifest:
        """A version with files of some size; chosen for next boots."""
        folder = self.home.images / ".new"
        folder.mkdir()
        for file in FILES:
            size = ROOT_BYTES if file == "root.squashfs" else 5000
            (folder / file).write_bytes((f"{name} {version} {file} " * size)[:size].encode())
        manifest = Manifest(
            name=name,
            version=version,
            built=float(version),
            seconds=1.0,
            inputs=f"{name}-{version}",
            base="base",
            description="/home/admin/secret/cad",
            kernel="6.1.0-1-amd64",
            packages={"icecc": "1.4-1"},
            verity=Verity("d" * 64, "e" * 64, ROOT_BYTES // BLOCK - 1) if checked else None,
            files={file: FileEntry((folder / file).stat().st_size, sha256(folder / file)) for file in FILES},
        )
        self.store.add(folder, manifest)
        self.store.use(manifest.image)
        return manifest

    def farm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "farm", "--home", str(self.home.directory), *words]
        environment = {name: value for name, value in os.environ.items() if name != "FARM_IMAGES"}
        done = self.place.run(*argv, check=False, env=environment, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done

    def refused(self, *words: str) -> str:
        done = self.farm(*words, check=False)
        assert 1 == done.returncode, f"{words}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return " ".join(done.stderr.split())

    def json(self, *words: str) -> Any:
        return json.loads(self.farm(*words, "--json").stdout)

    @property
    def fingerprint(self) -> str:
        return str(self.json("image", "signers")["own"]["fingerprint"])

    @property
    def images(self) -> list[str]:
        return [manifest.image for manifest in self.store.list()]


class Pair:
    """A farm that has images and one that has none, and a web server's folder."""

    def __init__(self, server: Namespace, client: Namespace) -> None:
        self.a, self.b = Farm(server, "lab-a"), Farm(client, "lab-b")
        self.archive = server.folder / "image.tar"
        self.www = server.folder / "www"
        self.a.add("20261101.1", "cad")
        self.a.add("20261101.1")
        self.a.add("20261102.1")

    def serve(self) -> None:
        folder = self.a.place.folder / "nginx"
        folder.mkdir()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, www=self.www, address=ADDRESS))
        self.a.place.start("nginx", "nginx", "-c", str(folder / "nginx.conf"))
        self.a.place.wait_for(8080)

    def publish(self, *words: str) -> Any:
        return self.a.json("image", "publish", str(self.www), *words)

    def trusted(self) -> list[str]:
        return ["--trust", self.a.fingerprint]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with namespaces(f"{ADDRESS}/24", "10.99.41.2/24") as (server, client):
        yield Pair(server, client)


def flip(path: Path) -> None:
    """Change a byte; the file is another one then, not the store's, to which it is a hard link."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.fixture
def small_disk(pair: Pair) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = pair.b.place.folder / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)
