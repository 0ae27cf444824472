"""Boots: stages, what is usual, what hangs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.view.boot import Span, hanging, spans, usual
from farm.view.status import CompileStatus, NodeStatus
from farm.watch.events import BOOT_STAGES
from farm.watch.events import Stage as BootStage
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.boot import BootView, bar, rows, scale, summary
from tui.node_detail import NodeDetail

NOW = fixtures.NOW


def machine(name: str, stage: BootStage, reached: dict[BootStage, float], since: float | None = None) -> NodeStatus:
    at = max(reached.values(), default=0.0) if since is None else since
    return NodeStatus(
        key=name,
        mac=name,
        name=name,
        address="10.0.0.1",
        stage=stage,
        since=at,
        stages=reached,
        compile=CompileStatus(),
    )


def ready(name: str, kernel: float = 10.0) -> NodeStatus:
    times = (0.0, 4.0, 9.0, 9.0 + kernel, 20.0 + kernel, 22.0 + kernel, 23.0 + kernel)
    return machine(name, BootStage.READY, {stage: NOW - 500 + at for stage, at in zip(BOOT_STAGES, times, strict=True)})


def waiting(stage: BootStage, seconds: float) -> NodeStatus:
    before = [each for each in BOOT_STAGES if each.rank <= stage.rank]
    return machine("slow", stage, {each: NOW - seconds - (stage.rank - each.rank) for each in before})


def test_spans_are_the_time_to_the_next_stage() -> None:
    assert [4.0, 5.0, 10.0, 11.0, 2.0, 1.0] == [span.seconds for span in spans(ready("a"), NOW)]
    assert [Span(BootStage.POWERED, 1.0), Span(BootStage.LOADER, 7.0, open=True)] == spans(
        waiting(BootStage.LOADER, 7.0), NOW
    )
    assert [] == spans(machine("off", BootStage.OFF, {}), NOW)


def test_a_node_that_fell_back_has_waited_since_then() -> None:
    node = replace(ready("a"), stage=BootStage.REGISTERED, since=NOW - 30)
    assert Span(BootStage.REGISTERED, 30.0, open=True) == spans(node, NOW)[-1]


def test_usual_is_the_middle() -> None:
    boots = [spans(ready(f"n{kernel}", kernel), NOW) for kernel in (5.0, 10.0, 300.0)]
    assert 10.0 == usual(boots)[BootStage.KERNEL]
    assert BootStage.READY not in usual(boots)


@pytest.mark.parametrize(
    ("seconds", "others", "hangs"),
    [
        (19.0, {BootStage.LOADER: 1.0}, False),
        (21.0, {BootStage.LOADER: 1.0}, True),
        (29.0, {BootStage.LOADER: 10.0}, False),
        (31.0, {BootStage.LOADER: 10.0}, True),
        (59.0, {}, False),
        (61.0, {}, True),
    ],
)
def test_hanging(seconds: float, others: dict[BootStage, float], hangs: bool) -> None:
    node = waiting(BootStage.LOADER, seconds)
    assert hangs == (hanging(node, spans(node, NOW), others) is not None)


@pytest.mark.parametrize("stage", [stage for stage in BOOT_STAGES if stage is not BootStage.READY])
def test_each_stage_says_what_is_missing_and_where_to_look(stage: BootStage) -> None:
    node = waiting(stage, 80.0)
    hang = hanging(node, spans(node, NOW), {stage: 4.0})
    assert hang is not None
    assert "for 1m20s (others need 4s): " in hang.sentence
    assert "{" not in hang.sentence


def test_no_kernel() -> None:
    node = waiting(BootStage.LOADER, 80.0)
    hang = hanging(node, spans(node, NOW), {})
    assert hang is not None
    assert "no kernel fetched for 1m20s: check that the server's HTTP can be reached: farm logs nginx" == hang.sentence


def test_what_is_blocked_does_not_hang_until_it_boots_again() -> None:
    for stage, hangs in ((BootStage.AGENT, False), (BootStage.ROOT, True)):
        node = replace(
            waiting(stage, 100.0),
            blocked=True,
            compile=CompileStatus(fixtures.host("slow", "10.0.0.1", online=False, blocked=True)),
        )
        assert hangs == (hanging(node, spans(node, NOW), {}) is not None)


def test_what_runs_never_hangs() -> None:
    for stage in (BootStage.READY, BootStage.LOST, BootStage.OFF):
        node = replace(ready("a"), stage=stage, since=NOW - 9000)
        assert hanging(node, spans(node, NOW), {each: 1.0 for each in BOOT_STAGES}) is None


def test_what_hangs_comes_first_and_does_not_squash_the_others() -> None:
    found = rows([ready("b"), ready("a"), waiting(BootStage.LOADER, 4000.0), machine("off", BootStage.OFF, {})], NOW)
    assert ["slow", "a", "b", "off"] == [row.node.name for row in found]
    assert 66.0 == scale(found)
    assert "▲ 1 hangs · ○ 1 off · ◔ 1 loader · ● 2 ready" == summary(found)
    assert bar(found[0].spans, 66.0, 40)[-1][0].endswith("»")


@given(
    st.lists(st.tuples(st.sampled_from(BOOT_STAGES), st.floats(0, 1e6), st.booleans()), max_size=8),
    st.floats(1, 1e6),
    st.integers(1, 120),
)
def test_a_bar_never_leaves_its_place(parts: list[tuple[BootStage, float, bool]], across: float, width: int) -> None:
    pieces = bar([Span(*part) for part in parts], across, width)
    assert sum(len(text) for text, _ in pieces) <= width


def test_a_bar_names_its_stages() -> None:
    assert "┃━━━━━┃loader┃kernel━━━━━━┃root━━━━━━━━━━━┃━━┃" == "".join(
        text for text, _ in bar(spans(ready("a"), NOW), 33.0, 46)
    )


async def test_shows_machines_by_stage() -> None:
    app = Stage(BootView, fixtures.FakeAttachment(), fixtures.live())
    async with app.run_test(size=(100, 16)) as pilot:
        await pilot.pause()
        lines = app.text().splitlines()
        assert lines[0].startswith(" ▲ 1 hangs · ○ 1 off · ◑ 1 kernel")
        assert lines[2].startswith("node-c1          ▲ registered    45s")
        assert "node-c1 hangs: it takes no jobs (its load is 1000) for 45s (others need 1s)" in app.text()
        await pilot.press("down")
        assert "node-b1: powered 5.0s · loader 5.0s · kernel 12s so far; 22s in all" in app.text()
        assert "node-b1" == (app.shown.chosen and app.shown.chosen.name)
        await pilot.press("enter")
        assert isinstance(app.screen, NodeDetail)


def test_a_machine_without_the_role_compile_does_not_hang_for_want_of_a_login() -> None:
    desk = replace(waiting(BootStage.READY, 900.0), compile=None)
    assert hanging(desk, spans(desk, NOW), {}) is None
    late = replace(waiting(BootStage.AGENT, 900.0), compile=None)
    hang = hanging(late, spans(late, NOW), {})
    assert hang
    assert "scheduler" not in hang.sentence


def test_of_several_roles_the_one_that_a_machine_waits_for_gives_the_advice() -> None:
    login = CompileStatus(fixtures.host("slow", "10.0.0.1"))
    hang = hanging(node := replace(waiting(BootStage.AGENT, 900.0), compile=login), spans(node, NOW), {})
    assert hang
    assert "scheduler" not in hang.sentence, "it is logged in: another role keeps it from being ready"
