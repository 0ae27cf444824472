"""icecc's log: calls told apart, where they ran, and why."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.workstation.explain.icecc_log import MAX_EVIDENCE, Call, CallOutcome, LoggedCause, parse

CLOCK = "2026-11-23 09:27:24: "


def entries(pid: int, *texts: str) -> list[bytes]:
    return [f"ICECC[{pid}] {CLOCK}{text}\n".encode() for text in texts]


REMOTE = (
    "invoked as: gcc -O2 -c src/a.c -o out/a.o",
    "connected to /var/run/icecc/iceccd.socket",
    "asking for native environment for /usr/bin/gcc",
    "native /var/cache/icecc/native/x.tar.gz",
    "env: x86_64 '/var/cache/icecc/native/x.tar.gz'",
    "preparing src/a.c to be compiled for x86_64",
    "asking for host to use",
    "Have to use host 10.0.0.2:10245 - Job ID: 17 - env: x86_64 - has env: false - match j: 0",
    "connected to 10.0.0.2",
    "<Transfer Environment>",
    "sent 31000000 bytes (39%)",
    "</Transfer Environment: 700ms>",
    "Verified host 10.0.0.2 for environment x (x86_64)",
    "<send compile_file>",
    "</send compile_file: 0ms>",
    "<write_fd_to_server from cpp>",
    "sent 4000 bytes (20%)",
    "</write_fd_to_server from cpp: 12ms>",
    f"  ICECC[7] {CLOCK}<wait for cpp>",
    f"  ICECC[7] {CLOCK}</wait for cpp: 3ms>",
    "<wait for cs>",
    "</wait for cs: 42ms>",
    "got 900 bytes (50%)",
)
LOCAL = (
    "invoked as: gcc -E a.c",
    "connected to /var/run/icecc/iceccd.socket",
    "preprocessing, building locally",
    "<building_local>",
    "invoking: /usr/bin/gcc -E a.c",
    "</building_local: 9ms>",
)
FAILED = (
    *REMOTE[:-3],
    "got exception Error 14 - error reading message from remote (10.0.0.2) ",
    "connected to /var/run/icecc/iceccd.socket",
    "invoking: /usr/bin/gcc -O2 -c src/a.c -o out/a.o",
)


def one(lines: Iterable[bytes]) -> Call:
    (call,) = parse(lines)
    return call


def test_a_call_on_a_node() -> None:
    call = one(entries(7, *REMOTE))
    assert (call.pid, call.file, call.outcome, call.causes) == (7, "src/a.c", CallOutcome.NODE, ())
    assert (call.host, call.port, call.job) == ("10.0.0.2", 10245, 17)
    assert (call.environment_sent, call.sent, call.got) == (31000000, 4000, 900)
    assert call.milliseconds == {"environment": 700, "send": 0, "preprocess": 15, "node": 42}


def test_a_call_here() -> None:
    call = one(entries(8, *LOCAL))
    assert (call.outcome, call.file) == (CallOutcome.HERE, "a.c")
    assert call.causes == (LoggedCause("preprocess-only", "preprocessing, building locally"),)
    assert call.milliseconds == {"here": 9}
    assert call.evidence == LOCAL


def test_a_call_that_fell_back() -> None:
    call = one(entries(8, *FAILED))
    assert (call.outcome, call.host, [cause.code for cause in call.causes]) == (
        CallOutcome.AGAIN,
        "10.0.0.2",
        ["node-lost"],
    )


def test_a_call_that_waited_for_a_spare_slot() -> None:
    call = one(entry.replace(b":10245 ", b":10246 ") for entry in entries(8, *FAILED))
    assert ["slot-withdrawn"] == [cause.code for cause in call.causes]


def test_a_nodes_own_words_come_before_its_number() -> None:
    words = "Remote status (compiled on n): /x/usr/bin/as is not executable, installed environment removed?"
    number = "got exception Error 23 - Remote status (compiled on n)"
    call = one(entries(8, *REMOTE[:-1], words, number, "invoking: gcc"))
    assert [cause.code for cause in call.causes] == ["environment-gone"]


def test_icecc_that_was_told_to_stay_says_nothing() -> None:
    disabled = one(entries(8, "invoked as: gcc -c a.c", "invoking: /usr/bin/gcc -c a.c"))
    assert [cause.code for cause in disabled.causes] == ["disabled-by-environment"]
    no = one(entries(8, "invoked as: gcc -c a.c", "connected to /x", "<building_local>", "invoking: gcc -c a.c"))
    assert [cause.code for cause in no.causes] == ["disabled-by-environment"]


def test_giving_up_is_explained_by_what_came_last() -> None:
    target = "failed to read default clang host platform, building locally"
    call = one(entries(8, "invoked as: clang -c a.c", "connected to /x", target, "could not find clang in PATH."))
    assert (call.outcome, call.causes[0].code) == (CallOutcome.NOWHERE, "compiler-not-found")


def test_blanks_in_names() -> None:
    """icecc writes a command's words down without quotes."""
    texts = ("invoked as: gcc -E my file.c", "preprocessing, building locally", "connected to /x", "invoking: gcc")
    assert one(entries(8, *texts)).file == "my file.c"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("gcc -MD -Wp,-MT,foo -c x.c", "neither -c nor -S argument, building locally"),
        ("gcc -Wp,-MT,foo x.c -c", "output file empty or not a regular file, building locally"),
    ],
)
def test_words_that_icecc_overlooks(command: str, said: str) -> None:
    call = one(entries(8, f"invoked as: {command}", "connected to /x", said, "invoking: gcc"))
    assert [cause.code for cause in call.causes] == ["word-overlooked"]


def test_icecc_that_crashes() -> None:
    call = one(entries(8, "invoked as: gcc -c x.c -Wp,-MT,foo"))
    assert (call.outcome, [cause.code for cause in call.causes]) == (CallOutcome.UNFINISHED, ["word-overlooked"])


def test_a_killed_call_is_unfinished() -> None:
    assert one(entries(8, *REMOTE[:9])).outcome is CallOutcome.UNFINISHED


def test_response_files_are_looked_into() -> None:
    texts = ("invoked as: gcc @all", "expanded as: gcc main.c -o main", "neither -c nor -S argument, building locally")
    call = one(entries(8, *texts, "invoking: gcc"))
    assert (call.command, call.file, call.causes[0].code) == ("gcc @all", "main.c", "no-dash-c")


def test_a_number_that_comes_again_is_another_call() -> None:
    first, second = parse([*entries(8, *LOCAL), *entries(8, *REMOTE)])
    assert (first.outcome, second.outcome) == (CallOutcome.HERE, CallOutcome.NODE)
    assert len(first.evidence) == len(LOCAL)


def test_children_are_no_calls() -> None:
    child = entries(9, "preparing source to send: /usr/bin/gcc -E a.c -fdirectives-only")
    before, after = entries(8, *LOCAL), entries(9, *LOCAL)
    assert [call.pid for call in parse([*child, *before])] == [8]
    assert [len(call.evidence) for call in parse([*after, *child])] == [len(LOCAL)]


def test_a_long_command_and_the_line_that_follows_it_at_once() -> None:
    """A text of 1 KiB is written before its line's end, and another process may come between."""
    long = "invoked as: gcc -c a.c -D" + "x" * 2000
    lines = [
        f"ICECC[1] {CLOCK}{long}ICECC[2] {CLOCK}{LOCAL[0]}\n".encode(),
        b"\n",
        *entries(2, *LOCAL[1:]),
        *entries(1, *REMOTE[1:]),
    ]
    first, second = parse(lines)
    assert (first.command, first.outcome) == (long.removeprefix("invoked as: "), CallOutcome.NODE)
    assert (second.command, second.outcome) == ("gcc -E a.c", CallOutcome.HERE)


def test_a_prefix_in_a_short_command_is_part_of_it() -> None:
    text = f"invoked as: gcc -E a.c -DX=ICECC[2] {CLOCK}invoked as: rogue"
    assert one(entries(1, text, *LOCAL[1:])).command == text.removeprefix("invoked as: ")


def test_text_is_cleaned_and_bounded() -> None:
    call = one(entries(1, "invoked as: gcc \x1b[31m" + "x" * 9000, *["noise"] * 500))
    assert "\x1b" not in call.command
    assert len(call.command) < 4200
    assert len(call.evidence) == MAX_EVIDENCE


@given(st.lists(st.sampled_from([REMOTE, LOCAL, FAILED]), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_calls_that_interleave_are_told_apart(texts: list[tuple[str, ...]], chance: object) -> None:
    waiting = [entries(100 + n, *each) for n, each in enumerate(texts)]
    alone = [one(each) for each in waiting]
    mixed = []
    queues = [each[:] for each in waiting]
    while any(queues):
        queue = chance.choice([queue for queue in queues if queue])  # type: ignore[attr-defined]
        mixed.append(queue.pop(0))
    assert sorted(parse(mixed), key=lambda call: call.pid) == alone


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([*entries(1, *REMOTE), *entries(2, *LOCAL)]))))
def test_hostile_bytes_do_no_harm(lines: list[bytes]) -> None:
    for call in parse(lines):
        assert call.command.isprintable()
        assert all(line.isprintable() for line in call.evidence)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_hostile_bytes_after_a_prefix(one_text: bytes, other: bytes) -> None:
    prefix = f"ICECC[1] {CLOCK}".encode()
    found = parse([prefix + b"invoked as: gcc\n", prefix + one_text + b"\n", prefix + other + prefix + one_text])
    assert len(found) >= 1


SPOILT = (*REMOTE[:14], *REMOTE[15:18], "call_cpp process failed with exit status 1", "</wait for cpp: 3ms>")


def test_a_preprocessor_that_fails_is_the_reason_with_any_compiler() -> None:
    """gcc is then called here, unless ICECC_REMOTE_CPP=0; clang never is."""
    call = one(entries(7, *SPOILT))
    assert (call.outcome, [cause.code for cause in call.causes]) == (CallOutcome.NOWHERE, ["preprocessing-failed"])
    again = (
        "local build forced by remote exception: Error 103 - local cpp invocation failed, trying to recompile locally"
    )
    call = one(entries(7, *SPOILT, again, "invoking: /usr/bin/gcc -c src/a.c"))
    assert (call.outcome, [cause.code for cause in call.causes]) == (CallOutcome.AGAIN, ["preprocessing-failed"])


def test_where_clang_writes_its_dependencies() -> None:
    def lost(command: str, *more: str) -> list[LoggedCause]:
        return list(one(entries(7, f"invoked as: {command}", *REMOTE[1:], *more)).causes)

    named = [LoggedCause("dependency-file-lost", ".x.o.d")]
    assert lost("clang -Wp,-MMD,.x.o.d -c x.c -o x.o") == named
    assert lost("icecc /usr/bin/clang++-14 -Wp,-MD,.x.o.d -c x.cc") == named
    assert lost("clang -Wp,-MD,.x.o.d,-MT,x -c x.c -o x.o") == []  # clang itself names that one like the object
    assert lost("clang -Wp,-MMD,x.d -c src/x.c") == []  # it is the same file
    assert lost("clang -Wp,-MMD,out/x.d -c x.c -o out/x.o") == []
    assert lost("clang -Wp,-MMD,x.d -MF y.d -c x.c") == []
    assert lost("clang -MMD -MF .x.o.d -c x.c -o x.o") == []
    assert lost("gcc -Wp,-MMD,.x.o.d -c x.c -o x.o") == []
    local = entries(7, "invoked as: clang -Wp,-MMD,.x.o.d -E x.c", *LOCAL[1:])
    assert [cause.code for cause in one(local).causes] == ["preprocess-only"]


def test_a_precompiled_header_of_clang() -> None:
    missing = "local build forced by remote exception: Error 104 - remote is missing file, recompiling locally"
    command = "invoked as: clang -Xclang -include-pch -Xclang a.pch -c x.c"
    call = one(entries(7, command, *REMOTE[1:], missing, "invoking: /usr/bin/clang -c x.c"))
    assert (call.outcome, [cause.code for cause in call.causes]) == (CallOutcome.AGAIN, ["precompiled-header-used"])
