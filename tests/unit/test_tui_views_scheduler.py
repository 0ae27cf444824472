"""The scheduler view."""

import pytest
from msgspec.structs import replace

from farm.scheduler.discovery import FoundScheduler
from farm.view.live import Delta, Live
from farm.view.status import CompileStatus
from farm.watch.node_telemetry import HeldEnvironment
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.node_detail import NodeDetail
from tui.scheduler import Line, SchedulerView, held, lines, release


def said(live: Live) -> dict[str, str]:
    return {line.key: line.text for line in lines(live, fixtures.NOW)}


def troubled() -> Live:
    """Two are blocked, one of them never seen; a rival answers; a node installs."""
    live = fixtures.live()
    rival = FoundScheduler("10.0.0.99", 8765, 43, 5, "lab")
    scheduler = replace(fixtures.overview().scheduler, rivals=(rival,), blocked=("node-c1", "gone-pc"))
    node = fixtures.nodes()[1]
    assert node.host is not None
    environments = [HeldEnvironment("gcc-12.tar.zst", 200 << 20), HeldEnvironment("clang.tar.xz", 300 << 20)]
    node = replace(
        node,
        compile=CompileStatus(
            replace(node.host, installing=fixtures.NOW - 12), replace(fixtures.TOLD, environments=environments)
        ),
    )
    live.apply(Delta(time=fixtures.NOW, overview=replace(fixtures.overview(), scheduler=scheduler), nodes=[node]))
    return live


def test_nothing_is_known_at_first() -> None:
    assert [] == lines(Live(), 0.0)


def test_says_who_it_is_and_who_speaks_what() -> None:
    text = said(fixtures.live())
    assert "● answers for 1h23m, at 10.0.0.1:8765" == text["state"]
    assert "lab" == text["netname"]
    assert "none found" == text["rival"]
    assert "5 with 32 slots, 1 that only submits" not in text["blocked"]
    assert "37 (1.1) · 1: oldbox" == text["protocol 37"]
    assert "env_zstd · 5 of 6; not 1: oldbox" == text["env_zstd"]
    assert "no node receives an environment" == text["installing"]


def test_says_what_is_wrong() -> None:
    live = troubled()
    text = said(live)
    assert "▲ 10.0.0.99:8765 answers for lab, protocol 43" == text["rival 0"]
    assert "⊘ node-c1" == text["blocked node-c1"]
    assert "node-a2 for 12s" == text["installing 52:54:00:00:00:02"]
    live.apply(fixtures.scheduler_down())
    assert said(live)["state"].startswith("✖ does not answer for 0s, at 10.0.0.1:8765: Connection refused.")


def test_without_a_netname_nobody_looks_for_rivals() -> None:
    live = fixtures.live()
    nameless = replace(fixtures.overview(), scheduler=replace(fixtures.overview().scheduler, netname=""))
    live.apply(Delta(time=fixtures.NOW, overview=nameless))
    assert "not searched: the netname is not known" == said(live)["rival"]


@pytest.mark.parametrize(
    ("protocol", "words"), [(44, "later than icecream 1.4"), (43, "icecream 1.4"), (40, "1.2"), (29, "")]
)
def test_releases(protocol: int, words: str) -> None:
    assert words == release(protocol)


def test_environments_held() -> None:
    node = troubled().nodes["52:54:00:00:00:02"]
    assert "2, 500.0 MiB: gcc-12.tar.zst, clang.tar.xz" == held(node)
    assert "" == held(fixtures.nodes()[6])


async def test_stands_side_by_side_where_there_is_room() -> None:
    app = Stage(SchedulerView, fixtures.FakeAttachment(), troubled())
    async with app.run_test(size=(160, 30)) as pilot:
        await pilot.pause()
        app.flush()
        await pilot.pause()
        first = app.text().splitlines()[0]
        assert "Scheduler" in first
        assert "Environments" in first
        assert "▸ receiving" in app.text()
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "Daemon" in app.text()
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        assert "Daemon " not in app.text()


async def test_actions_are_for_whom_the_line_is_about() -> None:
    app = Stage(SchedulerView, fixtures.FakeAttachment(), troubled())
    async with app.run_test(size=(80, 40)) as pilot:
        assert app.shown.chosen is None
        rows = [key for key, _ in app.shown._facts.shown]  # type: ignore[attr-defined]
        for _ in range(rows.index("blocked gone-pc")):
            await pilot.press("down")
        chosen = app.shown.chosen
        assert chosen is not None
        assert ("gone-pc", None) == (chosen.name, chosen.host)
        await pilot.press("up")
        assert "52:54:00:00:00:05" == (app.shown.chosen and app.shown.chosen.key)
        await pilot.press("enter")
        assert isinstance(app.screen, NodeDetail)


def test_lines_have_keys_of_their_own() -> None:
    found: list[Line] = lines(troubled(), fixtures.NOW)
    assert len(found) == len({line.key for line in found})
