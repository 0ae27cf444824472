"""Files for nodes: from farm.yaml's folder through the real nginx to a node's disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from farm.config import Config, FileConfig, NodesConfig
from farm.errors import FarmError
from farm.home import Home
from farm.netboot import node_files
from farm.netboot.render import nginx_conf
from farm.netboot.settings import machine_settings
from farm.node import configure
from farm.node.contract import MAX_FILE_BYTES
from farm.node.settings import Settings, parse_cmdline, parse_settings
from tests.lab import Namespace, namespaces

ADDRESS = "10.99.31.1"
BOOT = parse_cmdline(f"farm.server={ADDRESS} farm.http=8069")
MOTD, TOOL = "/etc/motd", "/opt/site/bin/tool"
CONFIG = Config(
    address=f"{ADDRESS}/24",
    nodes=NodesConfig(files=[FileConfig(MOTD, "files/motd"), FileConfig(TOOL, "files/tool", "0755")]),
)


class Lab:
    """A server's nginx with the files, and a node's root."""

    def __init__(self, place: Namespace) -> None:
        self.place = place
        self.home = Home.at(place.folder / "home")
        self.home.create()
        self.root = place.folder / "node"
        self.root.mkdir()
        self.source("motd", b"welcome\n")
        self.source("tool", b"#!/bin/sh\n" + bytes(range(256)) * 4000)
        (self.home.runtime / "nginx.conf").write_text(nginx_conf(CONFIG, self.home))
        place.start("nginx", "nginx", "-c", str(self.home.runtime / "nginx.conf"))
        place.wait_for(8069)

    def source(self, name: str, content: bytes) -> None:
        folder = self.home.config.parent / "files"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    def serve(self) -> Settings:
        """As `farm up` does it; returns what a node is told."""
        contents = node_files.read_sources(CONFIG, self.home.config.parent)
        node_files.serve(contents, self.home.http / "files")
        node_files.remove_others(contents, self.home.http / "files")
        told = machine_settings(CONFIG, "ssh-ed25519 AAAAC3Nz farm", hashes=node_files.hashes(contents))
        return parse_settings(msgspec.json.encode(told["default.json"]))

    def boot(self, settings: Settings) -> dict[str, str]:
        """What a node that boots with these settings fails to get."""
        return self.place.call(lambda: configure._fetch_files(str(self.root), BOOT, settings))

    def has(self, path: str) -> Path:
        return self.root / path.lstrip("/")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with namespaces(f"{ADDRESS}/24", "10.99.31.2/24") as (server, _):
        yield Lab(server)


def test_a_node_has_the_files_of_now_with_their_modes(lab: Lab) -> None:
    assert {} == lab.boot(lab.serve())
    assert b"welcome\n" == lab.has(MOTD).read_bytes()
    assert (0o644, 0o755) == (lab.has(MOTD).stat().st_mode & 0o7777, lab.has(TOOL).stat().st_mode & 0o7777)

    lab.source("motd", b"closed on Friday\n")
    assert {} == lab.boot(lab.serve())
    assert b"closed on Friday\n" == lab.has(MOTD).read_bytes()
    assert 2 == len(list((lab.home.http / "files").iterdir()))


def test_a_file_that_fails_is_told_and_leaves_the_others(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    settings = lab.serve()
    tool, motd = settings.files[1]["sha256"], settings.files[0]["sha256"]
    (lab.home.http / "files" / motd).write_bytes(b"forged\n")
    assert {MOTD: "the server's file has another SHA-256"} == lab.boot(settings)
    assert not lab.has(MOTD).exists()
    assert lab.has(TOOL).exists()
    assert f"no file {MOTD}: the server's file has another SHA-256" in capfd.readouterr().err

    assert {} == lab.boot(lab.serve()), "the next farm up repairs it"
    (lab.home.http / "files" / motd).unlink()
    (lab.home.http / "files" / tool).write_bytes(bytes(MAX_FILE_BYTES * 3))
    assert {MOTD, TOOL} == set(failed := lab.boot(settings))
    assert "404" in failed[MOTD]


def test_a_link_in_the_image_leads_to_no_other_folder(lab: Lab) -> None:
    lab.has("/opt").mkdir()
    lab.has("/root").mkdir()
    lab.has("/opt/site").symlink_to(lab.has("/root"))
    assert {TOOL: "its folder is a link in this image"} == lab.boot(lab.serve())
    assert [] == list(lab.has("/root").iterdir())


def test_the_agent_hears_of_what_failed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = lab.serve()
    settings.refused["/etc/passwd"] = "not a place for files"
    settings.roles.clear()
    # The real one would rename this machine.
    monkeypatch.setattr("socket.sethostname", lambda name: None)
    nic = {"mac": "52:54:00:00:00:01", "nic": "lab0", "address": ADDRESS, "boot_id": ""}
    lab.place.call(lambda: configure.apply(str(lab.root), BOOT, settings, nic, {}))
    node = json.loads(lab.has("/run/farm/node.json").read_text())
    assert {"written": 2, "failed": {"/etc/passwd": "not a place for files"}} == node["files"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"x" * (MAX_FILE_BYTES + 1), "too large"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key"),
        (None, "cannot be read"),
    ],
    ids=["large", "key", "missing"],
)
def test_what_cannot_be_given_is_refused_on_the_server(tmp_path: Path, content: bytes | None, told: str) -> None:
    config = Config(nodes=NodesConfig(files=[FileConfig("/opt/a", "a")]))
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(FarmError, match=told):
        node_files.read_sources(config, tmp_path)
