import itertools
import tempfile
from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from farm.workstation.run.own_calls import FollowedLog, HereCall, OwnCalls

CLOCK = "2026-11-23 09:29:11"


def said(process: int, *texts: str) -> bytes:
    return "".join(f"ICECC[{process}] {CLOCK}: {text}\n" for text in texts).encode()


HOST = "Have to use host 10.99.47.2:10245 - Job ID: {} - env: x86_64 - has env: true - match j: 0"
REMOTE = said(
    10, "invoked as: gcc -c a.c -o a.o", "preparing ../src/a.c to be compiled for x86_64", HOST.format(1),
    "<wait for cs>", "</wait for cs: 8ms>",
)  # fmt: skip
LINK = said(
    11, "invoked as: gcc a.o -o out/prog", "<building_local>", "invoking: /usr/bin/gcc a.o -o out/prog",
    "</building_local: 69ms>",
)  # fmt: skip
FALLBACK = said(
    12, "invoked as: gcc -c b.c", "preparing b.c to be compiled for x86_64", HOST.format(4),
    "local build forced by remote exception: Error 102", "<building_local>", "invoking: /usr/bin/gcc -c b.c -o b.o",
    "</building_local: 19ms>",
)  # fmt: skip
OWN = said(
    13, "invoked as: gcc -c c.c", "preparing c.c to be compiled for x86_64",
    "building myself, but telling localhost", "invoking: /usr/bin/gcc -c c.c -o c.o",
)  # fmt: skip
ALONE = said(14, "invoked as: gcc -c d.c", "no local daemon found", "invoking: /usr/bin/gcc -c d.c -o d.o")


def fed(*parts: bytes) -> OwnCalls:
    calls = OwnCalls()
    for part in parts:
        calls.feed(part)
    return calls


def test_what_went_where() -> None:
    calls = fed(REMOTE + LINK + FALLBACK + OWN + ALONE)
    assert calls.remote == {1: "10.99.47.2", 4: "10.99.47.2"}
    assert (calls.here, calls.here_ms, calls.fallen) == (4, 88, {4})
    assert calls.names == {"a.c", "b.c", "c.c", "prog", "b.o", "c.o", "d.o"}
    second = datetime.fromisoformat(CLOCK).timestamp()
    assert calls.made == [HereCall("prog", second, 69), HereCall("b.o", second, 19), HereCall("c.c", second)]


def test_a_long_text_that_another_follows_at_once() -> None:
    """icecc writes the end of its line apart."""
    long = said(20, "invoked as: gcc -c x.c " + "-Dx " * 400).removesuffix(b"\n")
    begun = said(21, "invoked as: gcc -c a.c -o a.o", "preparing a.c to be compiled for x86_64")
    calls = fed(begun + long + said(21, HOST.format(9)) + b"\n")
    assert {9: "10.99.47.2"} == calls.remote
    invoking = said(22, "<building_local>", "invoking: /usr/bin/gcc a.o -o prog").removesuffix(b"\n")
    assert ["prog"] == [call.name for call in fed(invoking + said(23, "invoked as: gcc") + b"\n").made]


def test_blanks_in_names() -> None:
    invoking = "invoking: /usr/bin/gcc -c my file.c -o out/my file.o"
    calls = fed(said(15, "invoked as: gcc -c my file.c", "<building_local>", invoking))
    assert calls.names == {"my file.o"}


SPOILT = said(
    15, "invoked as: gcc -c e.c", "preparing e.c to be compiled for x86_64", HOST.format(5),
    "call_cpp process failed with exit status 1", "local build forced by remote exception: Error 103",
    "<building_local>", "invoking: /usr/bin/gcc -c e.c -o e.o", "</building_local: 19ms>",
)  # fmt: skip


def test_no_node_has_tried_what_this_machine_could_not_preprocess() -> None:
    calls = fed(SPOILT + FALLBACK)
    assert (calls.remote.keys(), calls.here, calls.fallen, calls.spoilt) == ({5, 4}, 2, {4}, {5})


def test_a_process_number_may_come_again() -> None:
    calls = fed(REMOTE, said(10, "invoked as: gcc a.o", "<building_local>", "invoking: /usr/bin/gcc a.o"))
    assert (calls.here, calls.fallen, "a.out" in calls.names) == (1, set(), True)


@given(st.lists(st.integers(0, len(REMOTE + LINK + FALLBACK)), max_size=3).map(sorted))
def test_it_may_come_in_pieces(cuts: list[int]) -> None:
    whole, calls = REMOTE + LINK + FALLBACK, OwnCalls()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "run-1.log")
        log.touch()
        followed = FollowedLog(log, calls)
        for start, end in itertools.pairwise([0, *cuts, len(whole)]):
            with log.open("ab") as file:
                file.write(whole[start:end])
            followed.read()
        followed.close()
    assert calls == fed(whole)


@given(st.binary())
def test_whatever_is_in_it(data: bytes) -> None:
    fed(data, b"\n" + REMOTE)


def test_a_log_is_followed(tmp_path: Path) -> None:
    log, calls = tmp_path / "run-1.log", OwnCalls()
    log.write_bytes(REMOTE[:40])
    followed = FollowedLog(log, calls)
    followed.read()
    assert calls.remote == {}
    with log.open("ab") as file:
        file.write(REMOTE[40:])
    followed.read()
    assert list(calls.remote) == [1]
    followed.close()


def test_a_long_log_is_begun_anew_and_nothing_is_missed(tmp_path: Path) -> None:
    log, calls = tmp_path / "run-1.log", OwnCalls()
    log.touch()
    followed = FollowedLog(log, calls, most=len(REMOTE))
    with log.open("ab") as late:  # an icecc that opened it before
        late.write(REMOTE + LINK)
        late.flush()
        followed.read()
        assert (log.read_bytes(), log.stat().st_mode & 0o777) == (b"", 0o600)
        late.write(FALLBACK)
    with log.open("ab") as file:
        file.write(OWN)
    followed.read()
    assert (sorted(calls.remote), calls.here) == ([1, 4], 3)
    followed.close()


@given(st.integers(1, len(FALLBACK) - 1), st.integers(1, len(OWN) - 1))
def test_halves_of_lines_in_the_old_and_the_new_log(old: int, new: int) -> None:
    """Each file's line is completed in that file."""
    calls = OwnCalls()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "run-1.log")
        log.touch()
        followed = FollowedLog(log, calls, most=len(REMOTE))
        with log.open("ab", buffering=0) as late:
            late.write(REMOTE + LINK + FALLBACK[:old])
            followed.read()
            with log.open("ab", buffering=0) as fresh:
                fresh.write(OWN[:new])
                followed.read()
                late.write(FALLBACK[old:])
                fresh.write(OWN[new:])
            followed.read()
        followed.close()
    whole = fed(REMOTE, LINK, FALLBACK, OWN)
    for each in (calls, whole):
        each.made.sort(key=lambda call: call.name)
    assert calls == whole
