"""`farm doctor` on a machine that has joined a farm: what it starts again, and an iceccd that is not logged in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from farm.scheduler.control import list_nodes
from tests.lab import AS_NOBODY, PATIENCE, Namespace, namespaces, until
from tests.workstation import FARM, Workstation, workstation

SERVER, DESK = "10.99.44.1", "10.99.44.2"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Namespace, Namespace]]:
    """A scheduler and a node; the other end of the cable is free."""
    with namespaces(f"{SERVER}/24", f"{DESK}/24") as (server, desk):
        server.scheduler()
        server.iceccd("pc01", SERVER, "-m", "2")
        until(lambda: [one for one in server.gather(list_nodes(SERVER, 8765)) if one.load < 1000], "no node gets jobs")
        yield server, desk


@pytest.fixture
def desk(server: tuple[Namespace, Namespace]) -> Iterator[Workstation]:
    with workstation(server[1]) as machine:
        yield machine


def examined(desk: Workstation, *words: str, root: bool = False) -> dict[str, dict[str, Any]]:
    """Results up to the log-in, by code."""
    done = desk.farm("doctor", "--json", "--only", "iceccd-login", *words, root=root, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    assert (report["place"], done.returncode) == ("workstation", 0 if report["ok"] else 3), done.stderr
    return {result["code"]: result for result in report["results"]}


def daemons(desk: Workstation) -> dict[int, list[str]]:
    return {pid: words for pid, words in desk.processes().items() if words[0].endswith("iceccd")}


def end(desk: Workstation) -> None:
    """What the system does to a process when memory runs out."""
    desk.run("kill", "-KILL", *map(str, daemons(desk)), root=True)
    until(lambda: not daemons(desk), "iceccd does not end")


def test_a_users_iceccd_is_started_again(desk: Workstation) -> None:
    assert json.loads(desk.farm("join", SERVER, "--json").stdout)["logged_in"]
    before = daemons(desk)
    end(desk)
    found = examined(desk)
    assert (found["iceccd"]["state"], found["iceccd-login"]["state"]) == ("fail", "skipped")
    assert found["iceccd"]["command"] == f"farm join {SERVER}"
    found = examined(desk, "--fix")
    assert "Started iceccd, listening at" in found["iceccd"]["fixed"]
    assert {code: result["state"] for code, result in found.items()} == dict.fromkeys(found, "ok"), found
    assert list(daemons(desk).values()) == list(before.values())
    assert desk.run("readlink", f"/proc/{next(iter(daemons(desk)))}/cwd", root=True).stdout == "/\n"
    assert examined(desk, "--fix")["iceccd"]["fixed"] == ""
    report = json.loads(desk.farm("doctor", "--json", "--only", "environment").stdout)
    assert "only root can run them" in (seen := report["results"][-1]["evidence"])[-1] or "GNU assembler" in seen[-1]
    desk.farm("leave")
    assert daemons(desk) == {}


def test_the_service_is_started_again_by_root_alone(desk: Workstation) -> None:
    assert json.loads(desk.farm("join", SERVER, "--json", root=True).stdout)["logged_in"]
    end(desk)
    found = examined(desk, "--fix")
    assert (found["iceccd"]["state"], found["iceccd"]["fixed"]) == ("fail", "")
    assert daemons(desk) == {}
    found = examined(desk, "--fix", root=True)
    assert found["iceccd"]["fixed"] == "Started the service iceccd."
    assert {code: result["state"] for code, result in found.items()} == dict.fromkeys(found, "ok"), found


def test_an_iceccd_that_does_not_run_is_not_waited_for(desk: Workstation) -> None:
    """After a machine's start nobody has started a user's iceccd where they have no systemd of their own."""
    desk.farm("join", SERVER)
    end(desk)
    done = desk.farm("run", "--", "sh", "-c", "echo $ICECC")
    assert done.stdout == "disable\n"
    told = f"This machine's iceccd is not running. Start it: farm join {SERVER}."
    assert told in " ".join(done.stderr.split())


def test_an_iceccd_that_is_not_logged_in(desk: Workstation, server: tuple[Namespace, Namespace]) -> None:
    """It runs, the scheduler answers, and still they are apart: it is refused, or cannot get there."""
    # With the variable iceccd comes back after 3 s, not 20 to 51.
    joined = desk.farm("join", SERVER, "--json", root=True, ICECC_TESTS="1")
    name = json.loads(joined.stdout)["membership"]["submitter"]

    def until_it_is(state: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def seen() -> bool:
            found.update(examined(desk)["iceccd-login"])
            return bool(found["state"] == state)

        until(seen, f"it is not {state}", seconds=3 * PATIENCE)
        return found

    control(server[0], f"blockcs {name}")
    found = until_it_is("fail")
    assert (found["command"], "it was blocked" in found["cause"]) == (f"farm node unblock {name}", True)
    control(server[0], f"unblockcs {name}")
    until_it_is("ok")
    # Only iceccd's own way is cut, as by a rule for users.
    rule = "type filter hook output priority 0; meta skuid icecc tcp dport 8765 drop"
    server[1].run("nft", f"table inet cut {{ chain out {{ {rule}; }}; }}")
    control(server[0], f"removecs {name}")
    found = until_it_is("fail")
    assert f"({name}) is not logged in" in found["cause"]
    assert (found["command"], "pc01" in found["evidence"][0]) == ("journalctl -u iceccd", True)
    server[1].run("nft", "delete", "table", "inet", "cut")
    until_it_is("ok")


def control(server: Namespace, order: str) -> None:
    """Say something to the scheduler's control port."""
    script = f"exec 3<>/dev/tcp/{SERVER}/8766; printf '%s\\nquit\\n' '{order}' >&3; cat <&3"
    assert "200 done" in server.run("bash", "-c", script).stdout


def test_a_user_beside_the_systems_iceccd(desk: Workstation) -> None:
    """icecc would go to that one; what is examined and explained is the one that `farm run` uses."""
    desk.run("/etc/init.d/iceccd", "start", root=True)
    until(lambda: daemons(desk), "the system's iceccd does not start")
    joined = json.loads(desk.farm("join", SERVER, "--json").stdout)["membership"]
    found = examined(desk)
    assert {code: result["state"] for code, result in found.items()} == dict.fromkeys(found, "ok"), found
    assert joined["socket"] in found["iceccd"]["evidence"][0]
    (desk.home / "part.c").write_text("int part(void) { return 1; }\n")
    words = ("explain", "--json", "--", "gcc", "-c", "part.c")
    (call,) = json.loads(desk.farm(*words, ICECC_PREFERRED_HOST="pc01").stdout)["calls"]
    assert (call["outcome"], call["node"]) == ("node", "pc01")
    desk.farm("leave")


def test_a_user_without_a_home(desk: Workstation) -> None:
    done = desk.farm("join", SERVER, check=False, HOME="/nonexistent")
    assert (done.returncode, "Your home folder cannot be used" in done.stderr) == (1, True), done.stderr
    # A user of a container has no name either; they may read, as the checkout may lie in a folder of root's alone.
    become = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", *AS_NOBODY[4:]]
    done = desk.run(*become, "env", "-u", "HOME", *FARM, "join", "--status", root=True, check=False)
    assert (done.returncode, "belongs to no farm" in done.stderr) == (1, True), done.stderr
