import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmError
from farm.scheduler.control import ListedJob, ListedNode, check_word, parse_blocks, parse_jobs, parse_nodes

LISTCS = [
    " n3 (10.77.0.13:10245) [x86_64] speed=587.37 jobs=3/2 load=699",
    "   2 COMP sub:n1 on:n3 proj/src/f00.cpp",
    " n4 (10.77.0.14:10300) [x86_64] speed=0.00 jobs=0/4 load=1000 busy installing since 12 s",
]


def test_nodes() -> None:
    assert parse_nodes(LISTCS) == [
        ListedNode("n3", "10.77.0.13", 10245, "x86_64", 587.37, 3, 2, 699),
        ListedNode("n4", "10.77.0.14", 10300, "x86_64", 0.0, 0, 4, 1000, installing=12),
    ]


def test_jobs() -> None:
    lines = [" 16 WAIT sub:n1 on:n3 proj/src/f14.cpp", " 17 PEND sub:n1 on:<unknown> a b.c"]
    assert parse_jobs(lines) == [
        ListedJob(16, "WAIT", "n1", "n3", "proj/src/f14.cpp"),
        ListedJob(17, "PEND", "n1", None, "a b.c"),
    ]


@pytest.mark.parametrize("name", ["", "a b", "x (1.2.3.4:1) [y] speed=1.00 jobs=0/1 load=1", "[red]\x1b[31m"])
def test_a_name_cannot_change_the_rest(name: str) -> None:
    (node,) = parse_nodes([f" {name} (10.77.0.13:10245) [x86_64] speed=1.00 jobs=0/2 load=0"])
    assert (node.name, node.address, node.max_jobs) == (name, "10.77.0.13", 2)


@given(st.lists(st.text() | st.sampled_from(LISTCS)))
def test_any_lines_are_read_or_left_out(lines: list[str]) -> None:
    assert len(parse_nodes(lines)) + len(parse_jobs(lines)) <= len(lines)


def test_blocks() -> None:
    assert parse_blocks(["   pc01", "   10.0.0.1", "   pc01"]) == ["pc01", "10.0.0.1"]


@given(st.text() | st.from_regex(r"[!-~]+", fullmatch=True))
def test_a_word_stays_one_word(word: str) -> None:
    """The scheduler's own rule: bytes up to the blank, and those beyond ASCII, which are negative to it, separate."""
    try:
        check_word(word)
    except FarmError as error:
        assert str(error).replace("\n", "").isprintable()
    else:
        assert all(32 < byte < 128 for byte in word.encode())


@pytest.mark.parametrize("word", ["", "a b", "a\nquit", "a\tb", "é", "a" * 256, "\x1b[31m", "\udc80"])
def test_what_is_no_word_is_refused(word: str) -> None:
    with pytest.raises(FarmError, match="does not accept"):
        check_word(word)


def test_digits_of_other_scripts_are_no_number() -> None:
    assert [] == parse_nodes([" n3 (10.77.0.13:١٠) [x86_64] speed=1.00 jobs=0/2 load=0"])
