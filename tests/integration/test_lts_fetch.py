"""lts.conf of an LTSP server, fetched from a real dnsmasq by TFTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farm.node.lts.fetching import fetch_lts, lts_paths
from farm.virtual.namespace import exec_prefix
from tests.lab import Namespace, namespaces, until

SERVER, CLIENT, NOBODY = "10.99.28.1", "10.99.28.2", "10.99.28.9"
OLD = b"[default]\n  SOUND = True\n"


@dataclass
class LtspServer:
    """An LTSP server's TFTP, and a machine beside it."""

    root: Path
    client: Namespace

    def serve(self, path: str, content: bytes = OLD) -> None:
        """Put a file there."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)

    def empty(self) -> None:
        """Take all files away."""
        for path in self.root.rglob("lts.conf"):
            path.unlink()

    def farm(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine beside it."""
        argv = [*exec_prefix(self.client.name), sys.executable, "-m", "farm", "--home", str(self.root.parent / "home")]
        return subprocess.run([*argv, "lts", "fetch", *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shared() -> Iterator[LtspServer]:
    with namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (server, client):
        root = server.folder / "tftp"
        root.mkdir(mode=0o755)
        (server.folder / "home").mkdir()
        options = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp", f"--tftp-root={root}"]
        server.start("dnsmasq", "dnsmasq", *options, "--tftp-no-fail", f"--pid-file={root.parent}/pid")
        bound = ["ss", "-Hlun", "sport", "=", ":69"]
        until(lambda: server.run(*bound).stdout, "dnsmasq does not listen")
        yield LtspServer(root, client)


@pytest.fixture
def ltsp(shared: LtspServer) -> LtspServer:
    shared.empty()
    return shared


def test_the_first_of_its_places_counts(ltsp: LtspServer) -> None:
    assert ltsp.client.call(lambda: fetch_lts(SERVER)) is None
    for path in reversed(lts_paths("/pxe/lab/pxelinux.0")):
        ltsp.serve(path, path.encode())
        found = ltsp.client.call(lambda: fetch_lts(SERVER, "/pxe/lab/pxelinux.0"))
        assert found is not None
        assert (path, path.encode()) == found
    assert "pxe/lab/lts.conf" == lts_paths("/pxe/lab/pxelinux.0")[0]
    assert "lts.conf" == lts_paths("pxelinux.0")[0]
    assert all(lts_paths("") == lts_paths(strange) for strange in ("../x/y", "a b/c", "x/{y,z}", "x?y", "x/\n"))


def test_an_empty_file_and_one_that_is_not_served_are_none(ltsp: LtspServer) -> None:
    ltsp.serve("ltsp/amd64/lts.conf", b"\n")
    ltsp.serve("ltsp/i386/lts.conf")
    (ltsp.root / "ltsp/amd64").chmod(0o755)
    ltsp.serve("ltsp/x86_64/lts.conf")
    (ltsp.root / "ltsp/x86_64/lts.conf").chmod(0)
    found = ltsp.client.call(lambda: fetch_lts(SERVER))
    assert found is not None
    assert "ltsp/i386/lts.conf" == found.path


def test_the_command_writes_it_beside_farm_yaml_and_replaces_nothing_unasked(ltsp: LtspServer) -> None:
    ltsp.serve("ltsp/i386/lts.conf")
    file = ltsp.root.parent / "home" / "lts.conf"

    done = ltsp.farm(SERVER, "--json")
    assert 0 == done.returncode, done.stderr
    said = {"schema": 1, "server": SERVER, "path": "ltsp/i386/lts.conf", "file": str(file), "bytes": len(OLD)}
    assert said == json.loads(done.stdout)
    assert OLD == file.read_bytes()
    assert 0 == ltsp.farm(SERVER).returncode, "the same may be fetched again"

    file.write_bytes(b"[default]\nSOUND=False\n")
    kept = ltsp.farm(SERVER)
    assert (1, "is there already" in kept.stderr) == (kept.returncode, True), kept.stderr
    assert 0 == ltsp.farm(SERVER, "--force").returncode
    assert OLD == file.read_bytes()


@pytest.mark.parametrize(
    ("server", "code", "words"),
    [
        (SERVER, 1, f"{SERVER} has no lts.conf."),
        (NOBODY, 1, f"{NOBODY} does not answer by TFTP."),
        ("-oProxyCommand=x", 2, ""),
        ("a b", 2, "a b is no server."),
        ("10.1.1.1/../x", 2, "is no server."),
    ],
)
def test_each_failure_is_said(ltsp: LtspServer, server: str, code: int, words: str) -> None:
    done = ltsp.farm(server)
    assert (code, True) == (done.returncode, words in " ".join(done.stderr.split())), done.stderr
