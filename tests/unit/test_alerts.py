"""Alerts: which there are, that none comes twice, and receivers that hang, fail or do not exist."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import AlertConfig
from farm.config.file import load, parse
from farm.daemon.alerting.alert_events import MOST_SINGLE, OWN_CODE, STEADY_LOOKS, Alert, Held, alert, step
from farm.daemon.alerting.alert_memory import AlertMemory, Undelivered, load_memory, save_memory
from farm.daemon.alerting.delivery import deliver, receiver
from farm.daemon.alerting.dispatcher import Dispatcher
from farm.errors import ConfigError, FarmError
from farm.home import Home
from farm.serve import notices
from farm.serve.images import build_image
from farm.view.status import NodeStatus, SchedulerStatus, Status
from farm.watch.activity import Totals
from farm.watch.events import Finding, Stage

SCHEDULER = SchedulerStatus(True, "", "", 0.0, "")
FULL = Finding("disk-full", "The disk is full.", "Free some space.")
READY, LOST, KERNEL = Stage.READY, Stage.LOST, Stage.KERNEL


def node(stage: Stage, order: Literal["", "drain", "reboot", "off"] = "", number: int = 1, **more: Any) -> NodeStatus:
    mac = f"52:54:00:00:00:{number:02x}"
    return NodeStatus(key=mac, mac=mac, name=f"pc{number:02}", address="", stage=stage, since=0.0, order=order, **more)


def status(*nodes: NodeStatus, findings: tuple[Finding, ...] = ()) -> Status:
    return Status(
        farm="lab", farmd=True, scheduler=SCHEDULER, hosts=[], totals=Totals(), nodes=[*nodes], findings=[*findings]
    )


def told(*moments: Status, looks: int = STEADY_LOOKS) -> list[str]:
    """The events that come when each of these holds for some looks."""
    held, events = Held(), []
    for moment in moments:
        for _ in range(looks):
            held, alerts = step(held, moment, 1.0)
            events += [f"{each.event} {each.about or each.code}" for each in alerts]
    return events


@pytest.mark.parametrize(
    ("moments", "events"),
    [
        ([status(node(READY)), status(node(LOST)), status(node(READY))], ["node-lost pc01", "node-back pc01"]),
        (
            [status(node(LOST)), status(node(KERNEL)), status(node(LOST)), status(node(READY))],
            ["node-lost pc01", "node-back pc01"],
        ),
        ([status(node(READY, "off")), status(node(LOST, "off"))], []),
        ([status(node(LOST)), status(), status(node(LOST))], ["node-lost pc01", "node-lost pc01"]),
        ([status(findings=(FULL,)), status()], ["problem disk-full", "problem-over disk-full"]),
        ([status(findings=(Finding(OWN_CODE, "No alert came.", ""),))], []),
        ([status(node(READY, "drain")), status(node(READY, blocked=True))], ["drain-ended pc01"]),
    ],
)
def test_what_is_told(moments: list[Status], events: list[str]) -> None:
    assert events == told(*moments)


def test_the_end_of_a_drain_says_whether_the_jobs_had_ended() -> None:
    for after, text in (
        (node(READY, blocked=True), "pc01 has finished its jobs."),
        (node(READY, "reboot"), "pc01 has finished its jobs."),
        (node(READY), "The drain of pc01 has ended before its jobs had."),
    ):
        held, _ = step(Held(), status(node(READY, "drain")), 1.0)
        assert [text] == [each.text for each in step(held, status(after), 2.0)[1]]


def test_what_comes_and_goes_quickly_is_not_told() -> None:
    bad, well = status(node(LOST), findings=(FULL,)), status(node(READY))
    assert [] == told(*[bad, well] * 5, looks=STEADY_LOOKS - 1)


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.integers(1, 5)), max_size=20))
def test_beginning_and_end_take_turns(moments: list[tuple[set[str], int]]) -> None:
    held = Held()
    last: dict[str, str] = {}
    for codes, looks in moments:
        for _ in range(looks):
            found = status(findings=tuple(Finding(code, "It is bad.", "") for code in sorted(codes)))
            held, alerts = step(held, found, 1.0)
            for each in alerts:
                assert last.get(each.code, "problem-over") != each.event
                last[each.code] = each.event
    assert {code for code, event in last.items() if event == "problem"} == {key.split()[1] for key in held.told}


def test_what_a_restarted_farmd_has_not_heard_of_yet_is_neither_lost_nor_over() -> None:
    held = Held()
    for _ in range(STEADY_LOOKS):
        held, _ = step(held, status(node(LOST), node(READY, number=2), findings=(FULL,)), 1.0)
    earlier = frozenset(held.told)

    for _ in range(2 * STEADY_LOOKS):
        held, alerts = step(held, status(node(LOST), node(LOST, number=2)), 2.0, earlier)
        assert [] == alerts

    events = []
    for _ in range(STEADY_LOOKS):
        held, alerts = step(held, status(node(LOST), node(LOST, number=2)), 3.0)
        events += [(each.event, each.about) for each in alerts]
    assert [("node-lost", "pc02"), ("problem-over", "")] == sorted(events)


def test_a_room_without_power_is_one_alert() -> None:
    room = status(*(node(LOST, number=number) for number in range(1, 31)))
    held = Held()
    for _ in range(STEADY_LOOKS):
        held, alerts = step(held, room, 1.0)
    (one,) = alerts
    assert ("node-lost", 30) == (one.event, one.count)
    assert MOST_SINGLE < 30
    assert "30 events at once. The first: pc01 does not answer any more." == one.text


def test_texts_of_strangers_are_one_line_and_bounded() -> None:
    said = alert("problem", "lab", 1.0, "a\x1b[31m\nb" * 5000)
    assert "\n" not in said.text
    assert "\x1b" not in said.text
    assert len(said.text) <= 1000


# -- receivers

EVENT = alert("test", "lab", 1.0, "$(touch /tmp/x); `id`", about="'; rm -rf /")


def run(config: AlertConfig, event: Alert = EVENT) -> str:
    return asyncio.run(deliver(config, event))


def script(folder: Path, text: str) -> list[str]:
    path = folder / "receiver"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that user nobody can write, and can reach, unlike pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="farm-test-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def test_a_command_gets_the_event_on_standard_input_and_nothing_else(place: Path) -> None:
    command = [*script(place, f'cat > {place}/got; id -un > {place}/user; env > {place}/env; echo "$@" > {place}/args')]

    assert "" == run(AlertConfig(command=[*command, "$(id)"]))

    assert msgspec.to_builtins(EVENT) == json.loads((place / "got").read_text())
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    assert f"{user}\n" == (place / "user").read_text()
    assert "$(id)\n" == (place / "args").read_text()
    assert {"PATH", "LANG"} >= {line.split("=")[0] for line in (place / "env").read_text().splitlines()} - {"PWD", "_"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo no mail today >&2; exit 3", "Exit code 3. no mail today"),
        ("exit 0", ""),
        ("yes; exit 0", "It did not end within 1 s."),
        ("sleep 1000 & sleep 1000", "It did not end within 1 s."),
        ("trap '' TERM; while :; do :; done", "It did not end within 1 s."),
        ("sleep 1000 & exit 0", ""),
        ("setsid sleep 3 & exit 0", ""),
    ],
)
def test_a_command_that_fails_hangs_or_leaves_something_behind(place: Path, text: str, why: str) -> None:
    seconds = 1 if "1 s" in why else 30
    assert why == run(AlertConfig(command=script(place, text), seconds=seconds))


def test_receivers_that_there_are_not(place: Path) -> None:
    assert "No such file or directory" in run(AlertConfig(command=[f"{place}/none"]))
    if os.geteuid() == 0:
        assert "There is no user noone-7." == run(AlertConfig(command=["/bin/true"], user="noone-7"))
    secret = "http://127.0.0.1:9/secret"
    why = run(AlertConfig(url=secret))
    assert why
    assert "secret" not in why
    assert "http://127.0.0.1" == receiver(AlertConfig(url=secret))


async def _answering(status_line: str) -> tuple[asyncio.Server, list[bytes]]:
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        got.append(await reader.readexactly(length))
        writer.write(f"HTTP/1.1 {status_line}\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n".encode())
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0), got


@pytest.mark.parametrize(
    ("line", "why"),
    [("204 No Content", ""), ("500 Oh", "HTTP status 500."), ("302 Found", "HTTP status 302.")],
)
async def test_a_web_address_gets_the_event_by_post(line: str, why: str) -> None:
    server, got = await _answering(line)
    async with server:
        port = server.sockets[0].getsockname()[1]
        said = await deliver(AlertConfig(url=f"http://127.0.0.1:{port}/hook"), EVENT)

    assert said.endswith(why)
    assert bool(said) == bool(why)
    assert [msgspec.to_builtins(EVENT)] == [json.loads(each) for each in got]


# -- farmd's part


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.create()
    home.farmd_socket.touch()
    return home


async def test_a_restarted_farmd_does_not_tell_again_what_it_has_told(
    home: Home, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.daemon.alerting.dispatcher.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("farm.daemon.alerting.dispatcher.KNOWN_SECONDS", 0.0)
    monkeypatch.setattr("farm.daemon.alerting.dispatcher.LOOK_SECONDS", 0.01)
    receivers = [AlertConfig(command=script(place, f"cat >> {place}/got"))]
    now = [status(node(LOST), findings=(FULL,))]

    async def farmd(lines: int) -> list[str]:
        running = asyncio.create_task(Dispatcher(home, receivers, lambda: now[0]).run())
        await until(lambda: len(_events(place)) >= lines)
        await until(lambda: {condition.kind for condition in load_memory(home).told.values()} == kinds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return _events(place)

    kinds: set[str] = {"lost", "problem"}
    assert ["node-lost", "problem"] == sorted(await farmd(2))
    notices.leave(home, "image-failed", "cad", "The image cad was not built.")
    now[0], kinds = status(node(READY)), set()
    assert ["image-failed", "node-back", "node-lost", "problem", "problem-over"] == sorted(await farmd(5))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


def _events(place: Path) -> list[str]:
    path = place / "got"
    return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []


async def test_a_receiver_that_hangs_holds_up_no_other_and_its_queue_is_bounded(home: Home, place: Path) -> None:
    receivers = [
        AlertConfig(url="http://192.0.2.1/hook", seconds=60),
        AlertConfig(command=script(place, f"cat >> {place}/got"), events=["problem"]),
    ]
    dispatcher = Dispatcher(home, receivers, lambda: status(findings=(FULL,)))
    for number in range(100):
        dispatcher._put(dispatcher._queues[0][0], dispatcher._queues[0][2], alert("problem", "lab", 1.0, str(number)))
    assert "64 alerts wait already, so it was left out." in dispatcher.problem
    assert dispatcher.problem.startswith("http://192.0.2.1 did not get an alert")
    dispatcher._put(dispatcher._queues[1][0], dispatcher._queues[1][2], EVENT)
    telling = [asyncio.create_task(dispatcher._tell(*each)) for each in dispatcher._queues]
    await until(lambda: bool(_events(place)))
    for each in telling:
        each.cancel()
    await asyncio.gather(*telling, return_exceptions=True)


def test_a_failure_is_remembered_while_its_receiver_is_in_farm_yaml(home: Home) -> None:
    failure = Undelivered("node-lost", "Exit code 1.", 1.0)
    save_memory(home, AlertMemory(failures={"/bin/a": failure, "/bin/b": failure}))
    assert 0o600 == (home.state / "alerts.json").stat().st_mode & 0o777
    dispatcher = Dispatcher(home, [AlertConfig(command=["/bin/b"])], status)
    assert "/bin/b did not get an alert (node-lost): Exit code 1." == dispatcher.problem
    (home.state / "alerts.json").write_text("{")
    assert AlertMemory() == load_memory(home)


def test_two_receivers_at_one_host_are_told_apart(home: Home) -> None:
    one, other = AlertConfig(url="https://hooks.lan/a"), AlertConfig(url="https://hooks.lan/b")
    save_memory(home, AlertMemory(failures={"https://hooks.lan (alerts[2])": Undelivered("node-lost", "No.", 1.0)}))
    dispatcher = Dispatcher(home, [one, AlertConfig(command=["/bin/a"]), other], status)
    assert ["https://hooks.lan (alerts[0])", "/bin/a"] == [name for name, *_ in dispatcher._queues[:2]]
    assert "https://hooks.lan (alerts[2]) did not get an alert (node-lost): No." == dispatcher.problem


def test_a_build_that_fails_leaves_a_notice(home: Home) -> None:
    home.config.write_text("name: x\ninterface: lo\nimages: {cad: {description: ./cad}}\n")
    (home.config.parent / "cad").mkdir()
    (home.config.parent / "cad" / "appliance.kiwi").write_text("<image/>")
    with pytest.raises(FarmError, match="includes none of the built-in descriptions"):
        build_image(home, "cad", load(home.config), lambda step, doing: None, force=False, refresh=False)

    (notice,) = notices.take(home)
    assert ("image-failed", "cad") == (notice.event, notice.about)
    assert notice.text.startswith("The image cad was not built. ")


def test_notices_are_bounded_and_taken_once(home: Home) -> None:
    for number in range(notices.MOST_NOTICES + 10):
        notices.leave(home, "image-built", str(number), "x" * 10_000)
    (home.runtime / "notices" / "bad.json").write_text("{")
    taken = notices.take(home)
    assert notices.MOST_NOTICES - 1 <= len(taken) <= notices.MOST_NOTICES
    assert [] == notices.take(home)
    home.farmd_socket.unlink()
    notices.leave(home, "image-built", "x", "nobody listens")
    assert [] == notices.take(home)


@pytest.mark.parametrize(
    ("yaml", "why"),
    [
        ("[{}]", "there is no command and no url."),
        ("[{command: [/bin/a], url: http://x/}]", "this receiver has both a command and a url."),
        ("[{command: [mail]}]", "mail is no absolute path."),
        ("[{url: 'http://['}]", "http://[ names no host."),
        ("[{url: 'http://hooks.lan:99999/'}]", "http://hooks.lan:99999/ names no host."),
        ("[{url: ftp://x/}]", "url"),
        ("[{url: http://x/, events: [node-lots]}]", "events"),
    ],
)
def test_receivers_that_farm_yaml_cannot_have(yaml: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(f"name: x\nalerts: {yaml}\n")
    assert why in str(error.value)
