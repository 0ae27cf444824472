import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.scheduler.control import ListedJob, ListedNode, parse_jobs, parse_nodes

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
