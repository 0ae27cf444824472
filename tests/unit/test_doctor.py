"""What checks are, the order in which they run, and what a shell's settings mean for compiler calls."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from immutables import Map

from farm.config import FIRST_KIND, Config
from farm.doctor.catalogue import CHECKS_BY_PLACE
from farm.doctor.check import (
    Cause,
    Check,
    ChosenChecks,
    Examination,
    Outcome,
    Result,
    State,
    fine,
    require_known,
    skip,
    together,
)
from farm.doctor.code_table import section
from farm.doctor.place import Place, here
from farm.doctor.server import fleet
from farm.doctor.server.clock import Jumps, synchronised
from farm.doctor.server.serving import ServerFacts
from farm.doctor.workstation import canary
from farm.doctor.workstation.chain import (
    CMakeCache,
    bypasses,
    doubled,
    goes_to_icecc,
    misplaced_ccache,
    parse_cmake_cache,
    tool,
)
from farm.doctor.workstation.compiling import fed_slots
from farm.errors import FarmError, UsageError
from farm.home import Home
from farm.instance import Instance
from farm.view.from_state import build
from farm.watch.events import Stage
from farm.watch.node_telemetry import RolesTold
from farm.watch.state import Farm, Node
from farm.workstation.local_iceccd import IceccdOptions, parse_options, sockets

MAC = "52:54:00:00:00:01"
TOP = Path(__file__).parents[2]
CODES = [check.code for checks in CHECKS_BY_PLACE.values() for check in checks]
BROKEN = Cause("{what} is broken.", "Mend it", "mend {what}")


def check(code: str, outcome: Outcome | FarmError, *needs: str, **more: Any) -> Check[list[str]]:
    def look(facts: list[str]) -> Outcome:
        facts.append(code)
        if isinstance(outcome, FarmError):
            raise outcome
        return outcome

    return Check(code, code.title(), "It matters.", look, needs=needs, **more)


def run(*checks: Check[list[str]], **selection: Any) -> tuple[dict[str, Result], list[str]]:
    facts: list[str] = []
    chosen = ChosenChecks(**selection)
    results = Examination(checks, facts, chosen).run(lambda check: None, lambda result: None)
    return {result.code: result for result in results}, facts


def test_what_rests_on_a_failure_is_skipped_and_says_so() -> None:
    results, looked = run(
        check("base", BROKEN.found("seen", what="it")), check("rest", fine(), "base"), check("top", fine(), "rest")
    )
    assert (results["base"].state, results["base"].mend, results["base"].command) == (
        "fail",
        "Mend it: mend it",
        "mend it",
    )
    assert results["rest"].state is results["top"].state is State.SKIPPED
    assert results["rest"].evidence == ("Skipped because of: base.",)
    assert looked == ["base"]


def test_only_some_and_what_they_rest_on() -> None:
    checks = [check("a", fine()), check("b", fine(), "a"), check("c", fine()), check("d", fine(), "b", after=("c",))]
    assert list(run(*checks, only=frozenset({"b"}))[0]) == ["a", "b"]
    assert list(run(*checks, only=frozenset({"d"}))[0]) == ["a", "b", "c", "d"]
    deep = [*checks, check("e", fine(), deep=True)]
    assert "e" not in run(*deep)[0]
    assert "e" in run(*deep, deep=True)[0]


def test_an_error_is_a_finding() -> None:
    results, _ = run(check("a", FarmError("No.", "Because\nof this.", "Do that.")))
    assert results["a"].state is State.FAIL
    assert (results["a"].cause, results["a"].evidence, results["a"].mend) == (
        "No.",
        ("Because", "of this."),
        "Do that.",
    )


def test_a_machine_in_a_bad_way_is_a_finding_too() -> None:
    def look(facts: None) -> Outcome:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

    (result,) = Examination([Check("a", "A", "why", look)], None).run(lambda check: None, lambda result: None)
    assert (result.state, result.cause) == (State.FAIL, "The check could not run.")
    assert "No space left on device: '/tmp/x'" in result.evidence[0]


def test_a_fix_is_carried_out_when_asked_for_and_what_it_did_is_told() -> None:
    broken = [True]

    def look(facts: list[str]) -> Outcome:
        return BROKEN.found(what="it") if broken[0] else fine()

    def fix(facts: list[str]) -> str:
        broken[0] = False
        return "Mended."

    one = Check("a", "A", "", look, (BROKEN,), fix=fix)
    assert run(one)[0]["a"].state is State.FAIL
    assert (run(one, fix=True)[0]["a"].state, broken) == (State.OK, [False])


def test_the_gravest_of_several_is_named_with_all_that_was_seen() -> None:
    mild = Cause("Mild.", "Wait", warns=True)
    found = together([fine("one"), mild.found("two"), BROKEN.found("three", what="it"), skip("four")])
    assert (found.state, found.cause) == (State.FAIL, "it is broken.")
    assert found.seen == ("one", "two", "three", "four", "Also: Mild.")


def test_evidence_holds_no_control_characters() -> None:
    results, _ = run(check("a", fine("\x1b[31mred\x07" + "x" * 1000)))
    assert "\x1b" not in results["a"].evidence[0]
    assert len(results["a"].evidence[0]) <= 400


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(UsageError):
        require_known({"no-such"}, CODES)


def test_codes_are_unique_and_every_cause_has_a_mend() -> None:
    assert len(CODES) == len(set(CODES))
    for checks in CHECKS_BY_PLACE.values():
        codes = [check.code for check in checks]
        for number, each in enumerate(checks):
            assert each.causes, each.code
            assert all(cause.text and cause.mend for cause in each.causes), each.code
            assert set(each.needs) | set(each.after) <= set(codes[:number]), (
                f"{each.code} comes before what it rests on"
            )


def test_the_page_has_the_present_table() -> None:
    """Made by: python -m farm.doctor docs/troubleshooting.md"""
    assert section() in (TOP / "docs/troubleshooting.md").read_text()


def shell(path: str = "/usr/bin:/bin", **more: str) -> Mapping[str, str]:
    return {"PATH": path, **more}


WRAPPED = "/usr/lib/icecc/bin:/usr/bin"


@pytest.mark.parametrize(
    ("environment", "goes"),
    [
        (shell(), False),
        (shell(WRAPPED), True),
        (shell(CCACHE_PREFIX="icecc"), True),
        (shell(CC="icecc gcc"), True),
        (shell(CMAKE_C_COMPILER_LAUNCHER="icecc"), True),
        (shell(CC="ccache gcc"), False),
    ],
)
def test_whether_compiler_calls_go_to_icecc(environment: Mapping[str, str], goes: bool) -> None:
    assert goes_to_icecc(environment) is goes


@pytest.mark.parametrize(
    ("environment", "ways"),
    [
        (shell(WRAPPED), 0),
        (shell(CCACHE_PREFIX="icecc"), 0),
        (shell(WRAPPED, CCACHE_PREFIX="icecc"), 1),
        (shell(CC="ccache icecc gcc", CCACHE_PREFIX="icecc"), 1),
        (shell(CC="icecc icecc gcc"), 1),
        (shell(WRAPPED, CC="icecc gcc"), 0),
        (shell(CC="icecc /usr/lib/icecc/bin/gcc"), 1),
        (shell(WRAPPED, CMAKE_CXX_COMPILER_LAUNCHER="icecc"), 1),
        (shell(CCACHE_PREFIX="icecc", CMAKE_C_COMPILER_LAUNCHER="ccache;icecc"), 1),
    ],
)
def test_in_how_many_ways_icecc_is_met_twice(environment: Mapping[str, str], ways: int) -> None:
    assert len(doubled(environment)) == ways, doubled(environment)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (shell(WRAPPED), []),
        (shell(WRAPPED, CC="gcc"), []),
        (shell(WRAPPED, CC="/usr/bin/gcc"), ["CC"]),
        (shell(CC="/usr/bin/gcc", CXX="icecc g++"), ["CC"]),
        (shell(WRAPPED, CXX="g++-12"), ["CXX"]),
        (shell(CC="gcc"), []),
        (shell(CC="ccache gcc", CCACHE_PREFIX="icecc"), []),
        (shell(WRAPPED, CC="/usr/lib/icecc/bin/gcc"), []),
    ],
)
def test_what_passes_icecc_by(environment: Mapping[str, str], found: list[str]) -> None:
    assert [each.variable for each in bypasses(environment)] == found


def test_ccache_behind_icecc() -> None:
    assert misplaced_ccache(shell("/usr/lib/icecc/bin:/usr/lib/ccache:/usr/bin")) == "/usr/lib/ccache/gcc"
    assert not misplaced_ccache(shell("/usr/lib/ccache:/usr/lib/icecc/bin:/usr/bin"))
    assert not misplaced_ccache(shell(WRAPPED))


def test_cc_taken_apart() -> None:
    found = tool("CC", "/usr/bin/ccache icecc gcc-12 -m32")
    assert (found.launchers, found.compiler, found.by_path) == (("ccache", "icecc"), "gcc-12", False)


def test_what_a_cmake_cache_says() -> None:
    text = (
        "//comment=1\nCMAKE_C_COMPILER:FILEPATH=/usr/bin/cc\nCMAKE_C_COMPILER_LAUNCHER:STRING=/usr/bin/ccache;icecc\n"
    )
    assert parse_cmake_cache("x", text) == [CMakeCache("x", "C", "/usr/bin/cc", ("ccache", "icecc"))]
    assert parse_cmake_cache("x", "\0garbage") == []


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("iceccd", IceccdOptions()),
        (
            "iceccd -s host:1 -n net -N me -m 0 --no-remote",
            IceccdOptions("net", "host:1", "me", slots="0", no_remote=True),
        ),
        ("iceccd -d --netname=net -vvv --scheduler-host host", IceccdOptions("net", "host")),
        ("iceccd -nnet -b /folder -u icecc", IceccdOptions("net", folder="/folder")),
    ],
)
def test_what_an_iceccd_was_started_with(line: str, options: IceccdOptions) -> None:
    assert parse_options(line.split()) == options


def test_where_icecc_looks_for_its_daemon() -> None:
    assert sockets({"ICECC_TEST_SOCKET": "/a"}) == ["/a"]
    assert sockets({"HOME": "/h"})[-1] == "/h/.iceccd.socket"
    assert len(sockets({})) == 2


def test_a_canarys_log() -> None:
    waiting = "ICECC[1] 12:00:00: asking for host to use\n"
    given = waiting + "ICECC[1] 12:00:01: Have to use host 10.0.0.7:10245 - Job ID: 3\n"
    assert canary.waits_for_scheduler(waiting)
    assert not canary.waits_for_scheduler(given)
    assert not canary.waits_for_scheduler(waiting + "ICECC[1] 12:00:01: building_local\n")
    assert (canary.given_to(waiting), canary.given_to(given)) == ("", "10.0.0.7")


def test_how_many_slots_a_machine_feeds() -> None:
    assert fed_slots(4, preprocess=0.1, compile_=1.0) == 40
    assert fed_slots(1, preprocess=1.0, compile_=0.1) == 1


def test_a_machine_without_a_farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("farm.workstation.membership.SYSTEM", tmp_path / "none")
    assert here(Home.at(tmp_path / "home"), tmp_path).place is Place.UNKNOWN
    (tmp_path / "run/farm").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "run/farm/node.json").write_text("{}")
    (tmp_path / "proc/cmdline").write_text("farm.server=10.0.0.1")
    assert here(Home.at(tmp_path / "home"), tmp_path).place is Place.NODE


def test_the_clock_is_asked_of_the_kernel() -> None:
    assert synchronised() in (True, False, None)
    assert abs(Jumps().seconds()) < 1


@pytest.mark.parametrize(
    ("stages", "roles", "state"),
    [
        ([], (), State.FAIL),
        ([Stage.READY], (), State.OK),
        ([Stage.AGENT], (), State.FAIL),
        ([Stage.READY, Stage.AGENT], ("compile",), State.FAIL),
        ([Stage.READY, Stage.READY], ("compile",), State.OK),
    ],
)
def test_a_farm_whose_machines_do_not_compile_lacks_no_nodes(
    stages: list[Stage], roles: tuple[str, ...], state: State, tmp_path: Path
) -> None:
    """The first machine has no role, all others have ``roles``."""
    nodes = {
        f"52:54:00:00:00:0{number}": Node(
            mac=f"52:54:00:00:00:0{number}",
            name=f"pc{number}",
            stage=stage,
            roles=roles if number else (),
            told=RolesTold(),
        )
        for number, stage in enumerate(stages)
    }
    instance = Instance(config=Config(name="lab"), interface="farm0", images={FIRST_KIND: "v1"}, started=50.0)
    status = build(Farm(name="lab", nodes=Map(nodes)), instance)
    (check,) = [each for each in fleet.CHECKS if each.code == "nodes-ready"]
    assert state is check.look(ServerFacts(Home.at(tmp_path), instance, status=status)).state


@pytest.mark.parametrize("chosen", ["20260102.1", "20251231.1"], ids=["a newer one", "after a rollback"])
def test_a_node_with_another_image_is_not_said_to_have_an_older_one(chosen: str, tmp_path: Path) -> None:
    node = Node(
        mac=MAC, name="pc01", address="10.77.0.57", stage=Stage.READY, image="20260101.1", heard=True, known=True
    )
    instance = Instance(config=Config(name="lab"), interface="farm0", images={FIRST_KIND: chosen}, started=50.0)
    status = build(Farm(name="lab", nodes=Map({MAC: node})), instance)
    (check,) = [each for each in fleet.CHECKS if each.code == "nodes-image"]
    outcome = check.look(ServerFacts(Home.at(tmp_path), instance, status=status))
    assert (State.WARN, "pc01: runs another image than the one chosen for next boots.") == (
        outcome.state,
        outcome.cause,
    )
    assert "old" not in f"{check.why} {check.title}".lower().split()
