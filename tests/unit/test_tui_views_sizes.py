"""Every view at every size, with names that would harm a terminal."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.status import CompileStatus, NodeStatus
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.base_view import View
from tui.boot import BootView
from tui.builds import BuildsView
from tui.jobs import JobsView
from tui.scheduler import SchedulerView
from tui.timeline import TimelineView

VIEWS = [JobsView, TimelineView, BuildsView, BootView, SchedulerView]
LONG = "x" * 300
EVIL = fixtures.HOSTILE


def hostile() -> Live:
    """The same farm, whose every name is an attack."""
    told = fixtures.snapshot()
    name = EVIL + LONG
    who = (name, EVIL)
    jobs = [replace(job, file=EVIL, submitter=who, node=who) for job in told.jobs]
    ended = [replace(job, file=name, submitter=who, node=who) for job in told.ended]
    nodes = [_hostile(node, f"{EVIL}{index}") for index, node in enumerate(told.nodes)]
    scheduler = replace(told.overview.scheduler, netname=EVIL, blocked=(EVIL, "[/]"), why=EVIL)
    live = Live()
    live.apply(replace(told, jobs=jobs, ended=ended, nodes=nodes, overview=replace(told.overview, scheduler=scheduler)))
    return live


def _hostile(node: NodeStatus, name: str) -> NodeStatus:
    host = replace(node.host, name=name, platform=EVIL, features=(EVIL,)) if node.host else None
    return replace(node, name=name, address=EVIL, image=EVIL, compile=CompileStatus(host))


@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("make", [fixtures.live, hostile, Live])
async def test_any_size_any_name(kind: Callable[[Attachment, Live], View], make: Callable[[], Live]) -> None:
    app = Stage(kind, fixtures.FakeAttachment(), make())
    async with app.run_test(size=(80, 24)) as pilot:
        for width, height in ((160, 50), (40, 10), (1, 1), (80, 24)):
            await pilot.resize_terminal(width, height)
            app.flush()
            await pilot.press("down", "end", "right")
            for line in app.text().splitlines():
                assert line.isprintable()
        await pilot.press("enter")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        app.flush()
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        text = app.text()
        assert all(line.isprintable() for line in text.splitlines())
        assert "\u202e" not in text
        await pilot.press("escape")
        await pilot.pause()
        assert app.is_running


@pytest.mark.parametrize("kind", VIEWS)
async def test_back_at_its_size_it_looks_as_before(kind: Callable[[Attachment, Live], View]) -> None:
    app = Stage(kind, fixtures.FakeAttachment(), fixtures.live())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await app.workers.wait_for_complete()
        app.flush()
        await pilot.pause()
        before = app.text()
        await pilot.resize_terminal(40, 10)
        app.flush()
        await pilot.pause()
        assert before != app.text()
        await pilot.resize_terminal(80, 24)
        app.flush()
        await pilot.pause()
        assert before == app.text()
