"""Which builds words of a command line name."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.cli.history import verdict
from farm.errors import FarmError
from farm.history.build_records import Build
from farm.history.build_words import find_builds, fit_name
from farm.workstation.run.announcing import usual_name


def build(id: int, name: str = "", seconds: float = 10.0, jobs: int = 5, *, open: bool = False) -> Build:
    return Build(id=id, submitter="ws01", address="", started=0.0, ended=seconds, open=open, name=name, remote=jobs)


NEWEST = [build(9, "zstd/make"), build(8), build(7, "zstd/make"), build(6, "nightly")]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["zstd/make"], [9]),
        (["zstd/make", "zstd/make"], [7, 9]),
        (["nightly", "zstd/make"], [6, 9]),
        (["last-1", "last"], [8, 9]),
        (["last", "last"], [9, 9]),
        (["3", "nightly"], [3, 6]),
    ],
)
def test_words_name_builds(words: list[str], found: list[int]) -> None:
    assert found == find_builds(words, NEWEST)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nightly", "nightly"], "There is only one build named nightly. The history has 1 of this name"),
        (["zstd/mak"], "There is no build named zstd/mak. Names of builds are zstd/make."),
        (["night"], "There is no build named night. Names of builds are nightly."),
        (["x"], "There is no build named x. Names of builds are zstd/make, nightly."),
        (["last-7"], "There is no such build. The history has 4."),
        (["99999999999999999999"], "The number is too large."),
    ],
)
def test_what_is_not_there(words: list[str], told: str) -> None:
    with pytest.raises(FarmError) as raised:
        find_builds(words, NEWEST)
    assert told in f"{raised.value.what} {raised.value.why}"
    assert "farm " in raised.value.fix
    with pytest.raises(FarmError, match="no build yet"):
        find_builds(["zstd/make"], [])


@given(st.lists(st.text(max_size=9), min_size=1, max_size=2))
def test_any_words(words: list[str]) -> None:
    with contextlib.suppress(FarmError):
        assert len(words) == len(find_builds(words, NEWEST))


@given(st.text())
def test_a_name_is_found_again(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert [5] == find_builds([fit_name(text)], [build(5, fit_name(text))])


@pytest.mark.parametrize("name", ["", " ", "12", "last", "last-3", "\x1b"])
def test_names_that_would_not_be_found(name: str) -> None:
    with pytest.raises(ValueError, match="build"):
        fit_name(name)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["make", "-j8"], "zstd/make"),
        (["/usr/bin/ninja"], "zstd/ninja"),
        (["sh", "-c", "make -j$FARM_JOBS"], "zstd/make"),
        (["bash", "-c", "(cd x; make)"], "zstd/bash"),
        (["sh", "build.sh"], "zstd/sh"),
        (["./a\udcffb"], "zstd/a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_the_usual_name(argv: list[str], name: str) -> None:
    assert name == usual_name(argv, "/home/me/zstd")
    assert f"?/{name.partition('/')[2]}" == usual_name(argv, "")


def test_a_verdict() -> None:
    assert "Build 2 was 40% shorter: 6.0 s instead of 10.0 s." == verdict(build(1), build(2, seconds=6.0))
    assert "Builds 1 and 2 took equally long." == verdict(build(1), build(2))
    assert "5 jobs and 50 jobs" in verdict(build(1), build(2, jobs=50))
    assert verdict(build(1), build(2, open=True)).endswith("Build 2 is still running.")
    assert "Both are the same build." == verdict(build(1), build(1))
