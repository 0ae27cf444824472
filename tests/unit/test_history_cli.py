from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing

import pytest
from click.testing import CliRunner
from rich.console import Console, RenderableType

from farm.attach.direct import Direct
from farm.cli import cli
from farm.cli.history import added_up, builds_table, detail_view, fetch, share_of, when
from farm.errors import FarmError
from farm.history.build_history import BuildHistory
from farm.history.build_records import NodeHour, NodeShare
from tests.unit.history_jobs import START, asked, begun, compiled, daemons, local


def filled(history: BuildHistory) -> None:
    """A build of each of two submitters; the newer has failures, a hostile file name, and waits."""
    activity = compiled(daemons("ws01", "ws02", "pc01"), 1, 1, 3, START)
    history.record(activity, 0)
    history.tick(activity, START)
    activity = asked(begun(asked(activity, 2, 1, START + 3000), 2, 3, START + 3000), 3, 2, START + 3001)
    history.tick(activity, START + 3001)
    history.tick(activity, START + 3002)
    before = activity.count
    activity = compiled(activity, 4, 2, 3, START + 3003, exit=1)
    activity = local(activity, 5, 2, START + 3004)
    activity = begun(asked(activity, 6, 2, START, "\x1b[31m[bold]x" * 50), 6, 3, START + 1)
    history.record(activity, before)
    history.tick(activity, START + 3004)


def shown(what: RenderableType, width: int = 80) -> str:
    screen = Console(file=io.StringIO(), width=width)
    screen.print(what)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_build_on_a_screen() -> None:
    with closing(BuildHistory(None)) as history:
        filled(history)
        detail = history.build(3)
    text = shown(detail_view(detail, START + 3005))

    assert "Build 3 of ws02" in text
    assert "still running" in text
    assert "1 on nodes, 0 given back by the scheduler, 1 local" in text
    assert "1 failed" in text
    assert "ws01" in text.partition("for others:")[2]
    assert "src/f4.cpp  pc01  remote  100 ms  exit 1" in text
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())


def test_builds_fit_a_terminal() -> None:
    with closing(BuildHistory(None)) as history:
        filled(history)
        lines = shown(builds_table(history.builds(), START + 1e6)).splitlines()

    assert ["ID", "NAME", "SUBMITTER", "BEGAN", "TOOK", "JOBS", "NODES", "MOST", "FAILED"] == lines[0].split()
    assert 4 == len(lines)
    assert "50m04s…" in lines[1]


async def test_builds_are_known_by_number_or_from_the_end() -> None:
    attachment = Direct("10.99.0.1", 1)
    filled(attachment._history)

    assert [3, 1, 2] == [found.build.id for found in await fetch(attachment, "last", "1", "last-1")]
    with pytest.raises(FarmError, match="no such build"):
        await fetch(attachment, "last-3")
    with pytest.raises(FarmError, match="no build yet"):
        await fetch(Direct("10.99.0.1", 1), "last")


def test_hours_are_added_up() -> None:
    hours = [
        NodeHour(3600, NodeShare("a", 1, 0, 10, 1)),
        NodeHour(0, NodeShare("a", 1, 1, 10, 1)),
        NodeHour(0, NodeShare("b", 3, 0, 1, 1)),
    ]

    assert [NodeShare("b", 3, 0, 1, 1), NodeShare("a", 2, 1, 20, 2)] == added_up(hours)


def test_a_share_is_all_only_when_it_is() -> None:
    assert ["–", "0%", "1%", "50%", "99%", "100%"] == [
        share_of(part, whole) for part, whole in ((0, 0), (0, 9), (1, 999), (1, 2), (998, 999), (9, 9))
    ]


def test_a_time_of_another_day_has_its_date() -> None:
    assert len("Nov 14 22:13") == len(when(START, START + 1e6))
    assert len("22:13:20") == len(when(START, START))


@pytest.mark.parametrize(
    "words",
    [["--since", "yesterday"], ["compare", "1"], ["nodes", "--hours", "0"]],
)
def test_wrong_words_are_wrong_usage(words: Sequence[str]) -> None:
    assert 2 == CliRunner().invoke(cli, ["history", *words]).exit_code
