"""Why the farm gave a job back, counts of reasons, the record of the last run."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from farm.errors import FarmError
from farm.view.from_state import host_status
from farm.view.status import HostStatus, SchedulerStatus, Status
from farm.watch.activity import Host, Scheduler, Totals
from farm.workstation.explain import last_run
from farm.workstation.explain.explained_calls import (
    GivenBack,
    SchedulerAnswer,
    failed_there,
    kept_here,
    refine,
    summarise,
    tell,
    uncalled,
)
from farm.workstation.explain.icecc_log import Call, CallOutcome, LoggedCause
from farm.workstation.explain.last_run import LastRun, last_run_folder
from farm.workstation.membership import Membership

MEMBER = Membership(farm="lab", netname="lab", scheduler="10.0.0.1", port=8765, submitter="dev", how="user")
UP = SchedulerStatus(up=True, address="10.0.0.1:8765", netname="lab", since=0.0, why="")
OWN = host_status(Host(name="dev", address="10.0.0.9", no_remote=True, platform="x86_64", protocol=43), Scheduler())
NODE = host_status(
    Host(name="pc01", address="10.0.0.2", slots=2, platform="x86_64", protocol=43, since=900.0), Scheduler()
)
CALL = Call(pid=1, time=0.0, command="gcc -c a.c", file="a.c", outcome=CallOutcome.HERE)


def seen(*hosts: HostStatus) -> SchedulerAnswer:
    return SchedulerAnswer(Status(farm="", farmd=False, scheduler=UP, nodes=[], hosts=list(hosts), totals=Totals()))


def kept(look: SchedulerAnswer, elsewhere: bool = False, **settings: str) -> GivenBack:
    return kept_here(look, MEMBER, settings, elsewhere=elsewhere, now=1000.0)


@pytest.mark.parametrize(
    ("look", "code"),
    [
        (SchedulerAnswer(None, "Connection refused."), "no-scheduler"),
        (seen(NODE), "not-logged-in"),
        (seen(OWN), "no-eligible-node"),
        (seen(OWN, replace(NODE, no_remote=True)), "no-eligible-node"),
        (seen(OWN, replace(NODE, slots=0)), "no-eligible-node"),
        (seen(OWN, replace(NODE, load=1000)), "no-eligible-node"),
        (seen(OWN, replace(NODE, platform="aarch64")), "no-eligible-node"),
        (seen(OWN, replace(NODE, jobs_running=2)), "nodes-busy"),
        (seen(OWN, NODE), "nodes-passed-over"),
        (seen(replace(OWN, slots=2, no_remote=False), NODE), "own-slot"),
        (seen(replace(OWN, slots=2), NODE), "own-slot"),  # --no-remote keeps only the jobs of others away
        (seen(replace(OWN, slots=2), replace(NODE, jobs_running=2)), "nodes-busy"),
        (seen(replace(OWN, slots=2), replace(NODE, load=1000)), "no-eligible-node"),
    ],
)
def test_why_the_farm_gave_a_job_back(look: SchedulerAnswer, code: str) -> None:
    assert kept(look).code == code


def test_each_node_has_its_own_cause() -> None:
    other = replace(NODE, name="pc02", address="10.0.0.3", load=1000)
    found = kept(seen(OWN, replace(NODE, platform="aarch64"), other))
    assert [(node.name, node.code) for node in found.nodes] == [("pc01", "platform"), ("pc02", "load-1000")]


def test_a_preferred_host_must_be_there() -> None:
    assert kept(seen(OWN, NODE), ICECC_PREFERRED_HOST="pc07").code == "preferred-host-absent"
    assert kept(seen(OWN, NODE), ICECC_PREFERRED_HOST="pc01").code == "nodes-passed-over"


def test_where_other_jobs_found_a_node_they_were_busy() -> None:
    assert kept(seen(OWN, NODE), elsewhere=True).code == "nodes-busy"


def test_what_the_log_does_not_tell_is_put_in_its_place() -> None:
    here = replace(CALL, causes=(LoggedCause("assigned-here", "building myself"),))
    silent = replace(CALL, causes=(LoggedCause("disabled-by-environment"),))
    first, second = refine([here, silent], GivenBack("no-scheduler", "Refused."), {"ICECC_VERSION": "a.tar=arm"})
    assert first.causes == (LoggedCause("no-scheduler", "Refused."),)
    assert second.causes == (LoggedCause("environment-for-other-compiler", "a.tar=arm"),)
    assert refine([silent], None, {"ICECC": "no", "ICECC_VERSION": "a.tar=arm"}) == [silent]


def test_an_environment_that_refused_before_looks_like_a_choice() -> None:
    found = kept(seen(replace(OWN, slots=2), NODE), ICECC_VERSION="a.tar")
    assert (found.code, "iceccd -m 0" in found.why) == ("nodes-passed-over", True)


def test_a_setting_that_icecc_passes_over_in_silence() -> None:
    silent = replace(CALL, causes=(LoggedCause("disabled-by-environment"),))
    assert refine([silent], None, {"ICECC_VERSION": ","})[0].causes == (LoggedCause("environment-setting", ","),)


def test_what_was_found_out_as_a_run_ended_is_told_later() -> None:
    here = replace(CALL, causes=(LoggedCause("assigned-here", "building myself"),))
    decided = GivenBack("nodes-busy")
    assert tell([here], None, {}, kept=decided).calls[0].causes == (LoggedCause("nodes-busy"),)
    assert tell([here], MEMBER, {}, kept=decided).kept is decided  # and nobody is asked
    assert tell([here], None, {}).calls == [here]


def test_an_error_of_the_compiler_is_told_from_a_node_that_fails() -> None:
    output = replace(CALL, outcome=CallOutcome.AGAIN, causes=(LoggedCause("compiler-output"),))
    assert [call.causes[0].code for call in failed_there(1, [output])] == ["compile-error"]
    assert failed_there(0, [output]) == [output]
    assert [call.causes[0].code for call in failed_there(1, [replace(CALL, outcome=CallOutcome.NODE)])] == [
        "failed-on-node"
    ]
    header = replace(CALL, outcome=CallOutcome.NODE, command="clang -include-pch a.pch -c a.c")
    assert [call.causes[0].code for call in failed_there(1, [header])] == ["precompiled-header-used"]


def test_reasons_are_counted() -> None:
    calls = [
        replace(CALL, causes=(LoggedCause("linking"),), file="prog"),
        replace(CALL, causes=(LoggedCause("preprocess-only"), LoggedCause("no-daemon"))),
        replace(CALL, causes=(LoggedCause("preprocess-only"),), file="b.c"),
        replace(CALL, outcome=CallOutcome.AGAIN),
        replace(CALL, outcome=CallOutcome.NODE),
    ]
    assert [(each.code, each.count, each.files) for each in summarise(calls)] == [
        ("preprocess-only", 2, ("a.c", "b.c")),
        ("linking", 1, ("prog",)),
        ("remote-failed-fell-back", 1, ("a.c",)),
    ]


def test_what_icecc_did_not_see(tmp_path: Path) -> None:
    ccache = tmp_path / "ccache"
    ccache.touch(mode=0o755)
    (tmp_path / "gcc").symlink_to(ccache)
    environment = {"PATH": str(tmp_path)}
    assert uncalled(["gcc", "-c", "a.c"], environment).code == "ccache-hit"
    assert uncalled(["ccache", "gcc"], environment).code == "ccache-hit"
    assert uncalled(["/opt/bin/arm-linux-gcc-12", "-c", "a.c"], environment).code == "wrapper-bypassed"
    assert uncalled(["make"], environment).code == "no-compiler-call"


def test_the_record_of_the_last_run(tmp_path: Path) -> None:
    folder = last_run_folder({"XDG_STATE_HOME": str(tmp_path)})
    assert folder == tmp_path / "farm"
    with pytest.raises(FarmError, match="No run is recorded yet"):
        last_run.read(folder)
    (tmp_path / "farm").mkdir()
    stale = [folder / name for name in ("run-4194305.log", "last-run.json", "run-00ff.json", "run-00ff.lock")]
    for path in stale:
        path.touch()
    run, log, lock = last_run.begin(folder, LastRun(command=["make"], directory="/src", start=1.0))
    assert log.read_bytes() == b""
    assert not any(path.exists() for path in stale)
    assert (folder.stat().st_mode | log.stat().st_mode) & 0o022 == 0
    last_run.end(folder, replace(run, end=2.0, exit=0))
    again, same = last_run.read(folder)
    assert (again.exit, again.command, same) == (0, ["make"], log)
    log.unlink()
    with pytest.raises(FarmError, match="is missing"):
        last_run.read(folder)
    os.close(lock)


def test_runs_at_the_same_time_keep_what_is_theirs(tmp_path: Path) -> None:
    """Whatever their process numbers are: one home may be used on two machines."""
    first = last_run.begin(tmp_path, LastRun(command=["first"], directory="/", start=1.0))
    second = last_run.begin(tmp_path, LastRun(command=["second"], directory="/", start=2.0))
    first.log.write_text("first")
    last_run.end(tmp_path, replace(first.record, end=9.0, exit=0))
    run, log = last_run.read(tmp_path)
    assert (["second"], second.log, None) == (run.command, log, run.end)
    os.close(first.lock)
    third = last_run.begin(tmp_path, LastRun(command=["third"], directory="/", start=3.0))
    assert (False, True) == (first.log.exists(), second.log.exists())
    last_run.end(tmp_path, replace(second.record, end=9.0, exit=0))
    assert ["third"] == last_run.read(tmp_path)[0].command
    assert 6 == len(list(tmp_path.iterdir()))
    for begun in (second, third):
        os.close(begun.lock)


def test_a_record_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    record = LastRun(command=[], directory="", start=0.0, log="../../etc/passwd")
    (tmp_path / "run-1.json").write_bytes(msgspec.json.encode(record))
    with pytest.raises(FarmError, match="is missing"):
        last_run.read(tmp_path)


def test_where_the_record_is_kept() -> None:
    assert last_run_folder({"HOME": "/home/ann"}) == Path("/home/ann/.local/state/farm")
    assert last_run_folder({"HOME": "/home/ann", "XDG_STATE_HOME": "relative"}) == Path("/home/ann/.local/state/farm")
    assert os.path.isabs(last_run_folder({}))
