"""Logs that are followed, whatever is done to them meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.daemon import follow
from farm.daemon.follow import MAX_LOG_LINE, Follower, Position, cut, older


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def add(path: Path, text: str) -> None:
    """As daemons do: by appending."""
    with path.open("a") as file:
        file.write(text)


def test_a_log_that_was_emptied_and_is_longer_than_before_is_noticed(log: Path) -> None:
    follower = Follower(log)
    add(log, "one\ntwo\n")
    assert follower.lines() == ["one", "two"]
    os.truncate(log, 0)
    add(log, "three\nfour\nfive\n")
    assert follower.lines() == ["three", "four", "five"]
    follower.close()


def test_a_log_that_was_removed_is_followed_where_it_goes_on(log: Path) -> None:
    add(log, "one\n")
    follower = Follower(log)
    assert follower.lines() == ["one"]
    with log.open("a") as writer:
        log.unlink()
        writer.write("two\n")
        writer.flush()
        assert follower.lines() == ["two"], "whoever has it open goes on writing"
        writer.write("three\n")
    add(log, "four\n")
    assert follower.lines() == ["three", "four"]
    log.unlink()
    assert follower.lines() == []
    log.mkdir()
    assert follower.lines() == []
    log.rmdir()
    add(log, "five\n")
    assert follower.lines() == ["five"]
    follower.close()


def test_a_line_that_is_too_long_is_left_out_to_its_end(log: Path) -> None:
    follower = Follower(log)
    add(log, "x" * (MAX_LOG_LINE + 7))
    assert follower.lines() == []
    add(log, "\nnext\n")
    assert follower.lines() == ["next"]
    follower.close()


def test_of_a_long_log_the_end_is_read_and_kept(log: Path) -> None:
    lines = [f"{number:09}" for number in range(3 * follow.KEPT_BYTES // 10)]
    log.write_text("\n".join(lines) + "\n")
    older(log).write_text("before\n")
    follower = Follower(log)
    found = follower.lines()
    assert found[0] == "before"
    assert 0 <= follow.KEPT_BYTES - 10 * len(found[1:]) <= 10
    assert found[1:] == lines[1 - len(found) :]
    follower.cut()
    assert log.stat().st_size == 0
    assert older(log).stat().st_size == follow.KEPT_BYTES
    add(log, "later\n")
    assert follower.lines() == ["later"]
    follower.cut()
    assert log.read_text() == "later\n", "a short log is left alone"
    follower.close()


def test_a_flood_costs_the_oldest_lines_and_no_memory(log: Path) -> None:
    follower = Follower(log)
    add(log, "first\n")
    assert follower.lines() == ["first"]
    add(log, "y" * 99 + "\n")
    for _ in range(4):
        add(log, ("x" * 99 + "\n") * (follow.KEPT_BYTES // 100))
    found = follower.lines()
    assert {"x" * 99} == set(found)
    assert len(found) <= follow.KEPT_BYTES // 100
    add(log, "last\n")
    assert follower.lines() == ["last"]
    follower.close()


def test_a_log_that_nobody_follows_is_cut_all_the_same(log: Path) -> None:
    add(log, "x" * (follow.KEPT_BYTES + 10))
    with log.open("a") as writer:
        cut(log)
        writer.write("more\n")
    assert log.read_text() == "more\n"
    assert older(log).read_text() == "x" * follow.KEPT_BYTES
    cut(log)
    assert log.read_text() == "more\n"
    cut(log.with_name("none"))


def test_reading_goes_on_where_an_earlier_process_was(log: Path) -> None:
    add(log, "one\ntwo\nthr")
    first = Follower(log)
    assert first.lines() == ["one", "two"]
    place = first.position()
    first.close()
    assert place is not None
    add(log, "ee\nfour\n")
    again = Follower(log, place)
    assert (again.lines(), again.resumed) == (["three", "four"], True)
    again.close()
    log.rename(older(log))
    add(log, "five\n")
    rotated = Follower(log, place)
    assert (rotated.lines(), rotated.resumed) == (["three", "four", "five"], True)
    rotated.close()


@pytest.mark.parametrize("length", [9, follow.KEPT_BYTES])
def test_reading_goes_on_in_the_copy_of_a_log_that_was_emptied_meanwhile(log: Path, length: int) -> None:
    add(log, "x" * length + "\n")
    add(log, "".join(f"{number:04}\n" for number in range(100)))
    first = Follower(log)
    first.lines()
    place = first.position()
    first.close()
    add(log, "late\n")
    follow.keep(log)
    os.truncate(log, 0)
    add(log, "new\n")
    again = Follower(log, place)
    assert (again.lines(), again.resumed) == (["late", "new"], True)
    again.close()


def test_a_place_in_the_copy_is_told_from_later_lines_that_end_alike(log: Path) -> None:
    rest = '"address":"10.77.0.50","uri":"/boot/52-54-00-00-00-01.ipxe","status":200,"bytes":430}'
    lines = [f'{{"time":{1795856400 + number}.123,{rest}' for number in range(20)]
    add(log, "".join(f"{line}\n" for line in lines[:10]))
    first = Follower(log)
    first.lines()
    place = first.position()
    first.close()
    add(log, "".join(f"{line}\n" for line in lines[10:]))
    follow.keep(log)
    os.truncate(log, 0)
    again = Follower(log, place)
    assert (again.lines(), again.resumed) == (lines[10:], True)
    again.close()


@pytest.mark.parametrize("how", ["emptied", "another", "copied", "gone"])
def test_a_place_in_a_log_that_is_another_now_is_no_place(log: Path, how: str) -> None:
    add(log, "one\ntwo\n")
    first = Follower(log)
    first.lines()
    place = first.position()
    first.close()
    if how == "emptied":
        os.truncate(log, 0)
        add(log, "uno\ndue\n")
    elif how == "another":
        log.unlink()
        add(log, "uno\ndue\n")
    elif how == "copied":
        shutil.copy(log, older(log))
        os.truncate(log, 0)
    else:
        log.unlink()
    again = Follower(log, place)
    expected = {"emptied": ["uno", "due"], "another": ["uno", "due"], "copied": ["one", "two"], "gone": []}
    assert (again.lines(), again.resumed) == (expected[how], False)
    again.close()
    assert Position(1, 5, b"zz") != place


STEPS = st.lists(st.sampled_from(["line", "half", "read", "rotate", "empty", "remove", "cut", "restart"]), max_size=40)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_no_line_is_read_twice_and_none_is_lost_that_was_not_thrown_away(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    follower, written, got, lost = Follower(log), list[str](), list[str](), set[str]()
    half = False
    for step in [*steps, "line", "read"]:
        if step in ("line", "half"):
            if not half:
                written.append(f"line {len(written)}")
            # Of a half line the first part was written before, or is now.
            first, last = written[-1][:3], written[-1][3:]
            add(log, first if step == "half" and not half else f"{'' if half else first}{last}\n")
            half = step == "half" and not half
        elif step == "empty" and log.exists() and not half:
            lost |= set(written) - set(got)
            os.truncate(log, 0)
        else:
            got += follower.lines()
            if step == "rotate" and log.exists() and not half:
                log.rename(older(log))
            elif step == "remove" and log.exists() and not half:
                log.unlink()
            elif step == "cut":
                follower.cut()
            elif step == "restart" and log.exists() and (place := follower.position()):
                follower.close()
                follower = Follower(log, place)
                got += follower.lines()  # a log that is emptied or removed meanwhile: see above
    follower.close()
    assert got == [line for line in written if line not in lost]
