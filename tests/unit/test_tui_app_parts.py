"""What the dashboard is made of, as functions: figures, what is wrong, heading, keys, themes, pseudonyms."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console
from textual.keys import _character_to_key

from farm.attach import Lost
from farm.cli.status import nodes_table
from farm.errors import ConfigError, FarmError
from farm.view.live import Delta, Live, encode
from farm.view.status import ServiceStatus
from farm.watch.activity import Job, JobPlace, JobState, Sample, Totals
from farm.watch.events import Stage
from tests.unit.tui_fixtures import (
    HOSTILE,
    NOW,
    FakeAttachment,
    ended,
    jobs,
    live,
    nodes,
    overview,
    samples,
    scheduler_down,
    snapshot,
    with_login,
)
from tui.anonymize import Anonymous, Mask
from tui.figures import Figures, efficiency, figures, queue_calls, rates, window
from tui.heading import HeadlineFigures, Link, banner, fitting, headline, summary
from tui.keys import keys_file, read_keys
from tui.node_detail import facts as node_facts
from tui.overview import services_line
from tui.overview_tables import submitters
from tui.problem_texts import problems
from tui.state_words import stage_words
from tui.themes import theme_named
from tui.tiles import tiles
from tui.views import key_sections

# -- figures


def test_no_sample_no_figures() -> None:
    assert figures([]) == Figures()
    assert efficiency([]) is None
    assert window([], 10) == []


def test_rates_are_means_of_the_last_seconds() -> None:
    found = [
        Sample(float(second), 8, 4, 1, 0, Totals(done=second * 10, in_bytes=second * 1000)) for second in range(20)
    ]
    assert figures(found) == Figures(slots=8, busy=4, pending=1, jobs=10.0, bytes=1000.0)
    assert efficiency(found) == 0.5
    assert rates(found, lambda totals: totals.done)[-1] == (19.0, 10.0)


def test_a_scheduler_that_counts_anew_gives_no_negative_rate() -> None:
    assert figures([Sample(1.0, totals=Totals(done=100)), Sample(2.0, totals=Totals(done=3))]).jobs == 0


@given(st.lists(st.builds(Sample, st.floats(0, 1e9), st.integers(0, 99), st.integers(0, 99)), max_size=20))
def test_efficiency_is_a_share(found: list[Sample]) -> None:
    share = efficiency(found)
    assert share is None or 0 <= share <= 1


def test_submitters() -> None:
    found = {each.name: each for each in submitters(live(), NOW)}
    assert (found["alice-pc"].running, found["alice-pc"].waiting, found["alice-pc"].local) == (3, 1, 1)
    assert (found["bob-pc"].running, found["bob-pc"].waiting) == (3, 2)


def test_submitters_of_one_name_are_two() -> None:
    known = live()
    twin = (next(job.submitter[0] for job in known.jobs.values()), "10.0.9.9")
    before = len(submitters(known, NOW))
    known.apply(Delta(time=NOW, jobs=[Job(9999, JobState.PENDING, JobPlace.REMOTE, "a.c", twin)]))
    found = submitters(known, NOW)
    assert len(found) == before + 1
    assert len({each.name for each in found}) == len(found)
    assert f"{twin[0]} {twin[1]}" in {each.name for each in found}


def test_efficiency_names_the_time_for_which_there_are_figures() -> None:
    known = live()
    assert tiles(known)[-1].note == "over 1m59s"
    known.samples = deque([*known.samples][-13:])
    assert tiles(known)[-1].note == "over 12s"
    known.samples.clear()
    assert (tiles(known)[-1].figure, tiles(known)[-1].note) == ("–", "")


def test_a_queue_is_looked_at_when_it_lasts_or_exceeds_the_slots() -> None:
    short = [Sample(float(second), 8, 8, second % 5) for second in range(90)]
    assert not queue_calls([])
    assert not queue_calls(short)
    assert queue_calls([*short, Sample(90.0, 8, 8, 9)]), "more than there are slots"
    lasting = [Sample(float(second), 8, 8, 1) for second in range(60)]
    assert not queue_calls(lasting)
    assert queue_calls([*lasting, Sample(60.0, 8, 8, 1)])
    assert not queue_calls([*lasting, Sample(60.0, 8, 8, 0)]), "it is over"
    known = live()
    assert tiles(known)[1].tone is None
    known.samples.extend(Sample(NOW + second, 28, 28, 2) for second in range(1, 63))
    assert tiles(known)[1].tone == "warn"


# -- what is wrong


def sentences(known: Live, now: float) -> list[str]:
    return [problem.what for problem in problems(known, now)]


def test_nothing_is_wrong() -> None:
    known = Live()
    assert problems(known, NOW) == []
    well = [node for node in nodes() if node.name == "node-a1"]
    known.apply(replace(snapshot(), overview=replace(overview(), problems=[]), nodes=well, ended=[]))
    assert problems(known, NOW) == []


def test_what_is_wrong() -> None:
    assert sentences(live(), NOW) == [
        "The service iceccd is down (fatal). Its log: farm logs iceccd",
        "1 node is lost: node-b2, the last 2m10s ago.",
        "1 node says that the load is 1000 and gets no jobs: node-c1.",
        "3 jobs wait while 1 node is idle (passed-over): node-a2.",
        "1 job was on a node that was lost or sent away in the last minute.",
        "1 file was compiled by its submitter after failing on a node.",
    ]


def test_who_was_told_to_go_is_not_missed() -> None:
    known = live()
    [gone] = [node for node in nodes() if node.stage is Stage.LOST]
    for order, shown, minutes, missed in (("off", "○ off", 60, 0), ("reboot", "↻ reboots", 2, 0), ("reboot", "", 9, 1)):
        told = replace(gone, order=order, since=NOW - 60 * minutes)
        known.apply(Delta(time=NOW + 1, nodes=[told]))
        assert stage_words(told)[0] == (shown or "↻ reboots")
        assert sum("lost: node-b2" in sentence for sentence in sentences(known, NOW + 1)) == missed


def test_a_drain_shows_while_it_lasts() -> None:
    node = nodes()[0]
    drained = replace(node, order="drain", since=NOW - 1200, ordered=NOW - 8)
    assert (stage_words(node)[0], stage_words(drained)[0]) == ("● ready", "◒ drains")
    assert ("stage", "◒ drains for 8s") in node_facts(drained, NOW), "not since it was ready"
    assert ("stage", "✖ lost for 20m00s") in node_facts(replace(drained, order="", stage=Stage.LOST), NOW)
    drawn = Console(width=100)
    with drawn.capture() as capture:
        drawn.print(nodes_table([replace(drained, ordered=time.time() - 8, since=1.0)]))
    assert " 8s " in capture.get()


def test_what_is_blocked_is_said_although_it_was_never_seen() -> None:
    known = live()
    scheduler = replace(overview().scheduler, blocked=("node-z9", "10.0.0.99"))
    known.apply(Delta(time=NOW + 1, overview=replace(overview(), scheduler=scheduler)))
    [unseen] = [problem for problem in problems(known, NOW) if "z9" in problem.what]
    assert unseen.what == "node-z9, 10.0.0.99 are blocked and have not been seen."
    assert (unseen.advice, unseen.tab) == ("Unblock with u in Scheduler.", "Scheduler")

    node = nodes()[0]
    assert node.host is not None
    blocked = replace(with_login(node, blocked=True), blocked=True)
    scheduler = replace(scheduler, blocked=(node.name, "node-z9"))
    known.apply(Delta(time=NOW + 2, nodes=[blocked], overview=replace(overview(), scheduler=scheduler)))
    said = sentences(known, NOW)
    assert f"1 node is blocked: {node.name}." in said
    assert "node-z9 is blocked and has not been seen." in said


def test_a_boot_that_does_not_go_on_is_said() -> None:
    known = live()
    well = {node.key: node for node in nodes()}
    slow = [replace(node, stage=Stage.ROOT, since=NOW - 500) for node in [*well.values()][:2]]
    known.apply(Delta(time=NOW + 1, nodes=slow[:1]))
    [said] = [problem for problem in problems(known, NOW + 1) if "hang" in problem.what]
    assert said.what.startswith(f"{slow[0].name} hangs: its agent has not been heard for 8m21s (others need ")
    assert (said.nodes, said.tab) == ((slow[0].key,), "Boot")
    assert said.advice
    known.apply(Delta(time=NOW + 2, nodes=slow))
    named = f"{slow[0].name}, {slow[1].name}"
    assert f"2 nodes hang while booting: {named}." in sentences(known, NOW + 2)


def test_a_node_that_clients_cannot_use_fails_jobs() -> None:
    known = Live()
    unusable = [replace(job, exit=118) if job.exit == 255 else job for job in ended()]
    known.apply(replace(snapshot(), ended=unusable))
    assert "1 job has failed in the last minute through a node, not the compiler." in sentences(known, NOW)


def test_without_a_scheduler_nodes_are_not_blamed() -> None:
    known = live()
    known.apply(scheduler_down())
    said = sentences(known, NOW + 1)
    assert said[0].startswith("The scheduler does not answer.")
    assert not any("idle" in sentence for sentence in said)


def test_a_service_and_its_sign_stay_together() -> None:
    services = [ServiceStatus(f"virtual-{n}", "RUNNING", n != 2, True, 7, NOW, "") for n in range(5)]
    assert services_line(services, 27).plain.splitlines() == [
        "● virtual-0  ● virtual-1",
        "○ virtual-2 off",
        "● virtual-3  ● virtual-4",
    ]
    assert services_line([], 27).plain == ""


# -- heading


def test_headline_fits() -> None:
    parts = headline(live(), Link("farm lab", summary=summary(live(), NOW)))
    for width in range(1, 120):
        assert fitting(parts, width).cell_length <= width
    assert fitting(parts, 80).plain == " farm lab  ▲ 6 problems  14/28 slots  queue 4  5.8 jobs/s"
    assert fitting(parts, 40).plain == " ▲ 6 problems  14/28 slots  queue 4", "figures stay, the name goes"
    assert fitting(parts, 16).plain == " ▲ 6 problems"


def test_nothing_wrong_is_one_sign() -> None:
    parts = headline(live(), Link("farm lab", summary=HeadlineFigures(Figures(8, 2))))
    assert fitting(parts, 80).plain == " farm lab  ●  2/8 slots  queue 0  0.0 jobs/s"
    assert "✖ unreachable" in fitting(headline(Live(), Link("x", Lost("gone.", 3.0))), 80).plain


def test_banner() -> None:
    assert banner(live(), Link("x")) == ""
    assert banner(Live(), Link("x", Lost("gone.", 3.0), 0.0)) == "▲ farmd is down: gone; trying again."
    assert "\x1b" not in banner(live(), Link("x", Lost(HOSTILE, 3.0), 3.0))


# -- keys


def keys_of(folder: Path, text: str) -> dict[str, str]:
    file = folder / "keys.toml"
    file.write_text(text)
    return read_keys(file, key_sections())


def test_keys_are_read(tmp_path: Path) -> None:
    text = 'top.pause = "f5, ctrl+x"\n[nodes]\nsearch = "ctrl+f"\nfilter = "%"\n'
    assert keys_of(tmp_path, text) == {"top.pause": "f5,ctrl+x", "nodes.search": "ctrl+f", "nodes.filter": "%"}


def test_each_sign_has_a_name_and_modifiers_any_order(tmp_path: Path) -> None:
    assert keys_of(tmp_path, 'top.pause = "full_stop,shift+ctrl+left,ä"') == {
        "top.pause": "full_stop,ctrl+shift+left,ä"
    }
    for sign in "!\"#$&'()*;<>@\\^_`{|}~":
        name = _character_to_key(sign)
        assert keys_of(tmp_path, f'top.pause = "{name}"') == {"top.pause": name}


def test_no_file_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_keys(None, key_sections()) == {}
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "keys.toml").write_text('top.quit = "x"')
    assert read_keys(None, key_sections()) == {"top.quit": "x"}


def test_defaults_do_not_clash(tmp_path: Path) -> None:
    assert keys_of(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ('top.pase = "x"', "there is no command 'top.pase'", "The nearest is 'top.pause'."),
        ('top.pause = "homme"', "there is no key 'homme'", "The nearest is 'home'."),
        ('top.pause = "banana"', "there is no key 'banana'", ""),
        ('top.pause = "ctrl+snowman"', "there is no key 'ctrl+snowman'", ""),
        ('top.pause = "Slash"', "there is no key 'Slash'", ""),
        ('top.pause = "x,,z"', "there is no key ''", ""),
        ('top.pause = "ctlr+x"', "there is no key 'ctlr+x'", "The nearest is 'ctrl'."),
        ('top.pause = "q"', "is assigned twice: top.pause and top.quit", "everywhere"),
        ('top.pause = "?"', "is assigned twice", "everywhere"),
        ("top.pause = 5", "top.pause needs a key", "5"),
        ('top.pause = ""', "top.pause needs a key", "''"),
        ("top.pause", "cannot be read", "Expected '='"),
    ],
)
def test_wrong_keys_are_refused(tmp_path: Path, text: str, what: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys_of(tmp_path, text)
    assert what in caught.value.what
    assert why in caught.value.why
    assert caught.value.fix


def test_a_missing_file_that_is_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none.toml", key_sections())


def test_themes() -> None:
    assert theme_named("farm-light") == "farm-light"
    with pytest.raises(FarmError) as caught:
        theme_named("farm-lihgt")
    assert caught.value.why == "Did you mean farm-light?"


# -- pseudonyms

SECRETS = ("alice", "bob", "oldbox", "10.0.0.", "52:54", "src/", "part", "libcore", "file0")


def test_no_name_is_left() -> None:
    told = encode(Mask().update(snapshot())).decode()
    for secret in (*SECRETS, "node-a1", "node-c2"):
        assert secret not in told


def test_pseudonyms_are_stable_and_apart() -> None:
    mask = Mask()
    first, again = mask.update(snapshot()), mask.update(snapshot())
    assert first == again
    names = [node.name for node in first.nodes]
    assert names == [*(f"node-{number}" for number in range(1, 8)), "user-1", "user-2"]
    assert len({node.address for node in first.nodes if node.address}) == 8
    assert mask.file("src/core/part1.cpp") == mask.file("src/core/part1.cpp") != mask.file("src/core/part2.cpp")
    assert mask.file("src/core/part1.cpp").endswith(".cpp")
    assert mask.file("part1.o") == mask.file("src/core/part1.cpp").replace(".cpp", ".o")


def test_records_still_fit_together() -> None:
    known = Live()
    known.apply(Mask().update(snapshot()))
    for job in known.jobs.values():
        assert job.submitter in known.by_host
    assert len(known.jobs) == len(jobs())
    assert len(known.ended) == len(ended())
    assert known.samples[-1] == samples()[-1]


def test_names_in_sentences_are_replaced() -> None:
    mask = Mask()
    mask.update(snapshot())
    assert mask.text("node-a1 and node-a10 at 10.0.0.11") == "node-1 and node-a10 at 198.18.0.2"


async def test_actions_reach_the_node_that_is_meant() -> None:
    real = FakeAttachment()
    masked = Anonymous(real)
    updates = masked.updates()
    known = Live()
    update = await anext(updates)
    assert not isinstance(update, Lost)
    known.apply(update)
    await updates.aclose()
    chosen = next(node for node in known.nodes.values() if node.name == "node-5")
    assert await masked.act("block", chosen) == "block of node-5 is done."
    assert real.done == [("block", "node-c1")]
    assert await masked.readings(next(iter(known.nodes)))
    detail = await masked.build(3)
    assert detail.build.submitter == "user-1"
    assert detail.waits[0].holder == "user-2"
    assert "src" not in detail.slowest[0].file
    assert masked.title == "anonymous farm"


async def test_a_node_that_is_forgotten_is_acted_on_no_more() -> None:
    real = FakeAttachment()
    known = next(node for node in nodes() if node.name == "node-c1")
    real.push(Delta(time=NOW + 1, gone=[known.key]))
    masked = Anonymous(real)
    updates = masked.updates()
    first = await anext(updates)
    assert not isinstance(first, Lost)
    (mask,) = (each for each, node in zip(first.nodes, snapshot().nodes, strict=True) if node.key == known.key)
    await anext(updates)
    await updates.aclose()
    with pytest.raises(FarmError, match="no longer known"):
        await masked.act("block", mask)
    assert real.done == []


def test_the_usual_file_of_keys_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for folder, expected in [("/etc/mine", "/etc/mine"), ("relative", "/home/me/.config"), ("", "/home/me/.config")]:
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        assert Path(expected, "farm", "keys.toml") == keys_file()
