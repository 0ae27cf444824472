"""Daemons that a farm does not know, real ones: named, tried with a compilation, refused if that is wanted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from farm.config import Config, DhcpConfig, NodesConfig
from farm.scheduler.control import list_blocks
from farm.view.status import HostStatus
from farm.virtual.namespace import enter
from tests.lab import Namespace, namespaces, until
from tests.server import Server, served

ADDRESS, IN_RANGE, OUTSIDE = "10.99.28.1", "10.99.28.50", "10.99.28.200"
CONFIG = Config(name="guarded", address=f"{ADDRESS}/24", dhcp=DhcpConfig("10.99.28.50", "10.99.28.60"))
BAD_ASSEMBLER = r"""
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int status;
    if (fork() == 0)
        return execv("/usr/bin/as.real", argv);
    wait(&status);
    for (int n = 1; n + 1 < argc; n++)
        if (!strcmp(argv[n], "-o") && status == 0)
            write(open(argv[n + 1], O_WRONLY | O_APPEND), "evil", 4);
    return status != 0;
}
"""


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Namespace]]:
    monkeypatch.setenv("ICECC_TESTS", "1")  # iceccd comes back after 3 s, not 20 to 51
    with namespaces(f"{ADDRESS}/24", f"{IN_RANGE}/24", f"{OUTSIDE}/24") as found:
        yield found


def log_in(place: Namespace, name: str = "virtual-1") -> subprocess.Popen[bytes]:
    folder = place.folder / "environments"
    folder.mkdir()
    shutil.chown(folder, "icecc", "icecc")
    netname, idle = CONFIG.netname, place.folder / "stat"
    idle.write_bytes(Path("/proc/stat").read_bytes())
    argv = ["iceccd", "-n", netname, "-s", ADDRESS, "-N", name, "-m", "2", "-b", str(folder), "-u", "icecc", "-vv"]
    return place.start("daemon", "sh", "-c", 'mount --bind "$0" /proc/stat && exec "$@"', str(idle), *argv)


def host(server: Server, address: str) -> HostStatus | None:
    status = server.status()
    return next((each for each in status.hosts if each.address == address), None) if status else None


def change(server: Server, nodes: NodesConfig) -> None:
    """farm.yaml says something else, and `farm up` is run."""
    server.config = replace(CONFIG, nodes=nodes)
    server.instance = replace(server.instance, config=server.config)
    server.up()


def test_a_stranger_is_named_and_tried_until_it_is_known(places: list[Namespace]) -> None:
    with served(CONFIG, places[0]) as server:
        until(lambda: not server.wrong(), "it does not come up")
        log_in(places[2])
        until(lambda: ("stranger", f"virtual-1@{OUTSIDE}") in server.wrong(), "it is not named")
        status = server.status()
        assert status is not None
        assert f"add {OUTSIDE} to nodes.known in farm.yaml" in status.problems[0]
        until(lambda: (found := host(server, OUTSIDE)) and found.canary == "right", "it is not tried")
        change(server, NodesConfig(known=["10.99.28.192/26"]))
        until(lambda: host(server, OUTSIDE) and not server.wrong(), f"it is not known: {server.wrong()}")
        change(server, NodesConfig(strangers="allow"))
        until(lambda: host(server, OUTSIDE) and not server.wrong(), f"it is not allowed: {server.wrong()}")


def test_a_daemon_that_makes_wrong_objects_is_named(places: list[Namespace], tmp_path: Path) -> None:
    with served(CONFIG, places[0]) as server:
        until(lambda: not server.wrong(), "it does not come up")
        server.supervisor.stop("farmd")
        log_in(places[1])
        source = tmp_path / "one.c"
        source.write_text("int one(void) { return 1; }\n")
        inside = [
            "env",
            f"ICECC_PREFERRED_HOST={IN_RANGE}",
            "icecc",
            "gcc",
            "-c",
            str(source),
            "-o",
            f"{tmp_path}/one.o",
        ]

        def assembler() -> Path | None:
            subprocess.run([*enter(server.instance, server.home), *inside], check=True, timeout=120)
            return next((places[1].folder / "environments").rglob("usr/bin/as"), None)

        until(assembler, "the environment does not get there")
        real = assembler()
        assert real is not None
        (tmp_path / "as.c").write_text(BAD_ASSEMBLER)
        real.rename(real.with_name("as.real"))
        subprocess.run(["gcc", "-static", "-w", str(tmp_path / "as.c"), "-o", str(real)], check=True)
        server.supervisor.start("farmd")
        until(lambda: ("wrong-objects", f"virtual-1@{IN_RANGE}") in server.wrong(), f"not named: {server.wrong()}")


def test_strangers_are_refused_until_they_are_known(places: list[Namespace]) -> None:
    with served(replace(CONFIG, nodes=NodesConfig(strangers="block")), places[0]) as server:
        until(lambda: not server.wrong(), "it does not come up")
        log_in(places[1])
        log_in(places[2], "other")
        until(lambda: ("stranger-blocked", IN_RANGE) in server.wrong(), f"it is not blocked: {server.wrong()}")
        assert [IN_RANGE] == places[0].gather(list_blocks(ADDRESS, 8765))
        until(lambda: places[2].log("daemon").count("scheduler") > 2, "it does not try")
        assert host(server, OUTSIDE) is None
        assert "Connected to scheduler" not in places[2].log("daemon")
        change(server, NodesConfig(strangers="block", known=[IN_RANGE, OUTSIDE]))
        until(lambda: host(server, IN_RANGE) and host(server, OUTSIDE), "they do not come back")
        until(lambda: not server.wrong(), f"they are not known: {server.wrong()}")
        assert [] == places[0].gather(list_blocks(ADDRESS, 8765))
