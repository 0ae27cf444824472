"""Printers at thin clients: who can print, what arrives, and the queues that the server has for them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from immutables import Map
from msgspec.structs import replace

from farm.config import Config
from farm.daemon.printing import QueueKeeper
from farm.doctor.check import Outcome, State
from farm.doctor.server.client_printing import CHECKS
from farm.doctor.server.serving import ServerFacts
from farm.home import Home
from farm.instance import Instance
from farm.serve import cups
from farm.serve.print_queues import AWAY, AWAY_SECONDS, GONE_SECONDS, ClientPrinter, PrinterTold, Queue, printers
from farm.view.from_state import build
from farm.watch.node_telemetry import RolesTold, SessionTold, Telemetry
from farm.watch.state import Farm, Node
from tests.lab import until
from tests.login_room import CLIENT, PASSWORD, SERVER, USER
from tests.printing_room import USB, PrintingRoom, printing_room

QUEUE, FARM = "pc01-lp0", "lab"
CONNECT = "import socket, sys; there = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
DURING = """
import json
from farm.node.session.extras import RemoteFolder
from farm.node.session.extras.printers import EXTRA
from farm.node.session.lts_values import told_values
with EXTRA.during(told_values(), RemoteFolder(str)) as environment:
    print(json.dumps(environment))
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[PrintingRoom]:
    with printing_room() as room:
        yield room


@pytest.fixture
def room(shared: PrintingRoom) -> Iterator[PrintingRoom]:
    """A room whose client has no printer, and no settings for one."""
    shared.configure()
    shared.clear_paper()
    yield shared
    for device in [*shared._running]:
        shared.unplug(device)


@pytest.fixture
def keeper(room: PrintingRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QueueKeeper]:
    """farmd's part, which speaks to the room's CUPS; its queues go after the test."""
    monkeypatch.setenv("CUPS_SERVER", room.cups_socket)
    yield QueueKeeper(tmp_path / "printers.json", 0.0)
    for queue in cups.queues():
        cups.carry_out(["lpadmin", "-x", queue.name])


def farm(room: PrintingRoom, name: str = "pc01") -> Farm:
    """What farmd knows by what the client tells."""
    session = SessionTold(ready=True, extras={"printers": {"devices": room.look()}})
    telemetry = Telemetry(farm=FARM, name=name, mac="52:54:00:00:00:01", uptime=1)
    node = Node(
        mac=telemetry.mac,
        name=name,
        address=CLIENT,
        telemetry=telemetry,
        telemetry_time=1,
        told=RolesTold(session=session),
        roles=("session",),
        heard=True,
    )
    return Farm(name=FARM, nodes=Map({node.mac: node}))


def told(room: PrintingRoom, name: str = "pc01") -> Sequence[ClientPrinter]:
    """The printers as farmd knows them."""
    return printers(farm(room, name))


def keep(room: PrintingRoom, keeper: QueueKeeper, wanted: Sequence[ClientPrinter], now: float = 1e9) -> None:
    """What farmd does then, on the server's network."""
    room.server.namespace.call(lambda: keeper.keep(FARM, wanted, now))


def queue(name: str = QUEUE) -> Queue:
    return next(each for each in cups.queues() if each.name == name)


def reaches(room: PrintingRoom, who: str, address: str = CLIENT, port: int = 9100) -> bool:
    machine = room.server if who == "server" else room.logins.second.machine
    return machine.run("/usr/bin/python3", "-c", CONNECT, address, str(port), check=False).returncode == 0


def test_nothing_listens_without_a_printer(room: PrintingRoom) -> None:
    assert ([], []) == (room.listens(), room.look())


def test_the_server_reaches_a_printer_and_nobody_else(room: PrintingRoom) -> None:
    for machine, address in ((room.client, "fd00:7::20/64"), (room.logins.second.machine, "fd00:7::2/64")):
        machine.run("ip", "address", "add", address, "dev", "lab0", "nodad")
    room.plug_in()
    until(lambda: room.listens() == [9100], "nothing listens")
    assert reaches(room, "server")
    until(lambda: not room.look()[0]["printing"], "somebody still prints")
    room.server.start("holds", "/usr/bin/python3", "-c", f"{CONNECT}; import time; time.sleep(600)", CLIENT, "9100")
    until(lambda: room.look()[0]["printing"], "nobody is seen to print")
    room.server.run("pkill", "-f", "time.sleep")
    assert not reaches(room, "second")
    # p910nd does not listen there; what did would not be reached either.
    room.client.start("other", "/usr/bin/python3", "-c", "import http.server; http.server.test(port=9104, bind='::')")
    until(lambda: 9104 in room.listens(), "nothing listens")
    assert not reaches(room, "second", "fd00:7::20", 9104)
    room.client.run("pkill", "-f", "http.server")
    shown = room.client.run("ps", "-o", "user:20=,supgrp=", "-C", "p910nd").stdout.split()
    assert ["farm-printer", "lp"] == shown


def test_a_job_arrives_byte_for_byte(room: PrintingRoom, keeper: QueueKeeper) -> None:
    job = bytes(range(256)) * 400 + b"\x04\x1b%-12345X"
    room.server.path("/tmp/job").write_bytes(job)
    room.plug_in()
    keep(room, keeper, told(room))
    room.on_server("lp", "-d", QUEUE, "/tmp/job")
    until(lambda: len(room.paper()) >= len(job), "nothing comes out of the printer")
    assert job == room.paper()
    assert f"socket://{CLIENT}:9100" == queue().uri


def test_queues_of_others_are_not_touched(room: PrintingRoom, keeper: QueueKeeper) -> None:
    for name in (QUEUE, "office"):
        cups.carry_out(["lpadmin", "-p", name, "-E", "-v", "socket://10.99.7.9:9100", "-m", "raw", "-L", "pc01"])
    before = cups.queues()
    room.plug_in()
    printer = told(room)
    for wanted, now in ((printer, 1e9), ((), 1e9 + 2 * AWAY_SECONDS), ((), 1e9 + 2 * GONE_SECONDS)):
        keep(room, keeper, wanted, now)
    assert before == cups.queues()


def test_a_job_waits_while_the_printer_is_away(room: PrintingRoom, keeper: QueueKeeper) -> None:
    now = time.time()
    room.plug_in()
    keep(room, keeper, told(room), now)
    room.unplug()
    keep(room, keeper, told(room), now + 1)
    assert queue().enabled
    keep(room, keeper, told(room), now + 2 * AWAY_SECONDS)
    assert (False, AWAY) == (queue().enabled, queue().reason)
    room.on_server("lp", "-d", QUEUE, "-", input="late\n")
    keep(room, keeper, told(room), now + 2 * GONE_SECONDS)
    assert 1 == queue().jobs
    room.plug_in()
    keep(room, keeper, told(room), now + 2 * GONE_SECONDS + 1)
    until(lambda: room.paper() == b"late\n", "the job does not come out")
    assert queue().enabled


def test_a_queue_that_somebody_stopped_stays_stopped(room: PrintingRoom, keeper: QueueKeeper) -> None:
    room.plug_in()
    keep(room, keeper, told(room))
    cups.carry_out(["cupsdisable", "-r", "no paper", QUEUE])
    keep(room, keeper, told(room), 1e9 + 2 * AWAY_SECONDS)
    assert "no paper" == queue().reason


def test_a_queue_follows_its_machine_to_another_name_and_goes_when_its_printer_is_gone(
    room: PrintingRoom, keeper: QueueKeeper
) -> None:
    room.plug_in()
    keep(room, keeper, told(room))
    cups.carry_out(["cupsdisable", QUEUE])
    room.on_server("lp", "-d", QUEUE, "-", input="moved\n")
    keep(room, keeper, told(room, "pc02"))
    until(lambda: room.paper() == b"moved\n", "the job does not come out")
    until(lambda: not queue("pc02-lp0").jobs, "the job does not end")
    keep(room, keeper, told(room, "pc02"), 1e9 + 2 * AWAY_SECONDS)
    assert ["pc02-lp0"] == [each.name for each in cups.queues()]
    keep(room, keeper, (), 1e9 + 2 * GONE_SECONDS)
    assert [] == cups.queues()


def test_without_cups_nothing_is_done(room: PrintingRoom, keeper: QueueKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CUPS runs in another network than this farm's nodes." == cups.why_absent()
    monkeypatch.setenv("CUPS_SERVER", "/nowhere/cups.sock")
    assert "CUPS does not run: /nowhere/cups.sock: No such file or directory." == cups.why_absent()
    room.plug_in()
    keep(room, keeper, told(room))
    monkeypatch.setenv("CUPS_SERVER", room.cups_socket)
    assert [] == cups.queues()


def test_a_full_disk_stops_no_printing(
    room: PrintingRoom, keeper: QueueKeeper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no folder").touch()
    unlucky = QueueKeeper(tmp_path / "no folder" / "printers.json", 0.0)
    room.plug_in()
    keep(room, unlucky, told(room))
    assert [QUEUE] == [each.name for each in cups.queues()]
    keep(room, unlucky, (), 1e9 + 2 * AWAY_SECONDS)
    assert AWAY == queue().reason, "what it remembers is lost"
    assert "cannot be written" in caplog.text


def test_a_cups_that_hangs_is_said_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    printer = ClientPrinter(QUEUE, "pc01", "52:54:00:00:00:01", CLIENT, PrinterTold(device="lp0", port=9100))
    monkeypatch.setattr(cups, "SECONDS", 0.5)
    monkeypatch.setenv("CUPS_SERVER", str(tmp_path / "socket"))
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        QueueKeeper(tmp_path / "printers.json", 0.0).keep(FARM, [printer], 1e9)
    assert "no end after 0.5 s" in caplog.text


def test_a_queue_of_others_stays_theirs_however_it_is_spelt(
    room: PrintingRoom, keeper: QueueKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    cups.carry_out(["lpadmin", "-p", QUEUE.upper(), "-v", "socket://10.99.7.9:9100", "-m", "raw", "-L", "office"])
    room.plug_in()
    keep(room, keeper, told(room))
    keep(room, keeper, (), 1e9 + 2 * GONE_SECONDS)
    found = queue(QUEUE.upper())
    assert ("socket://10.99.7.9:9100", "office") == (found.uri, found.location)
    assert f"the queue {QUEUE} is not the farm's" in caplog.text


def test_an_lpstat_that_fails_is_not_taken_for_no_queues(
    room: PrintingRoom,
    keeper: QueueKeeper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    room.plug_in()
    keep(room, keeper, told(room))
    with monkeypatch.context() as broken:
        put_program(tmp_path, broken, "lpstat", "echo 'lpstat: Server error' >&2; exit 1")
        keep(room, keeper, (), 1e9 + 2 * AWAY_SECONDS)
    assert "lpstat: Server error" in caplog.text
    # Forgotten, its fourteen days would begin now.
    keep(room, keeper, (), 1e9 + 2 * AWAY_SECONDS + GONE_SECONDS)
    assert [] == cups.queues()


def test_a_cups_that_hangs_is_asked_once_in_a_round(
    room: PrintingRoom, keeper: QueueKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cups, "SECONDS", 2.0)
    put_program(tmp_path, monkeypatch, "lpadmin", f"echo asked >> {tmp_path}/asked; exec sleep 60")
    wanted = [
        ClientPrinter(f"pc0{number}-lp0", f"pc0{number}", "52:54:00:00:00:01", CLIENT, PrinterTold("/dev/lp0", 9100))
        for number in range(3)
    ]
    keep(room, keeper, wanted)
    assert "asked\n" == (tmp_path / "asked").read_text()
    monkeypatch.undo()
    monkeypatch.setenv("CUPS_SERVER", room.cups_socket)


def put_program(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Have a script found instead of a program of CUPS."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_the_settings_of_lts_conf(room: PrintingRoom) -> None:
    serial = {"SPEED": "19200", "FLOWCTRL": "hard", "PORT": "9103", "TYPE": "S"}
    room.configure(
        PRINTER_0_DEVICE="/dev/usblp0",
        PRINTER_0_PORT="9102",
        PRINTER_0_WRITE_ONLY="Y",
        PRINTER_1_DEVICE="/dev/ttyS9",
        **{f"PRINTER_1_{key}": value for key, value in serial.items()},
    )
    room.plug_in()
    room.plug_in("/dev/ttyS9")
    until(lambda: room.listens() == [9102, 9103], "the ports are not those of lts.conf")
    assert "speed 19200 baud" in room.client.run("stty", "-F", "/dev/ttyS9", "-a").stdout
    told = [(each["device"], each["port"], each["present"], each["printing"]) for each in room.look()]
    assert [(USB, 9102, True, False), ("/dev/ttyS9", 9103, True, False)] == told


def test_a_device_that_is_no_printers_is_never_opened(room: PrintingRoom) -> None:
    room.configure(PRINTER_0_DEVICE="/dev/sda", PRINTER_1_DEVICE="/dev/../etc/shadow")
    for device in ("sda", "../etc/shadow"):
        room.start_port(f"/dev/{device}")
        until(lambda path=f"/dev/{device}": f"nothing prints at {path}" in room.client.log("port"), "it is not refused")
    assert ([], []) == (room.listens(), room.look())


def test_a_session_finds_the_printer_of_its_client(room: PrintingRoom, keeper: QueueKeeper) -> None:
    client = room.logins.client
    client.told(room.logins.server.settings())
    assert client.log_in(USER, PASSWORD)[0]

    def environment() -> object:
        run = ["setpriv", "--reuid=farm-session", "--regid=farm-session", "--clear-groups"]
        return json.loads(room.client.run(*run, "/usr/bin/python3", "-I", "-c", DURING).stdout)

    assert {} == environment()
    room.plug_in()
    assert {} == environment()  # the server has no queue
    keep(room, keeper, told(room))
    assert {"PRINTER": QUEUE} == environment()
    room.configure(LDM_PRINTER_DEFAULT="office")
    assert {"PRINTER": "office"} == environment()


def test_doctor_says_what_is_missing_for_printing(
    room: PrintingRoom, keeper: QueueKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (check,) = [each for each in CHECKS if each.code == "print-queues"]

    def examined(state: State, seen: str) -> None:
        instance = Instance(config=Config(name=FARM), interface="lab0", images={}, started=0)
        facts = ServerFacts(Home.at(tmp_path), instance, status=build(farm(room), instance))
        outcome = room.server.namespace.call(lambda: check.look(facts))
        assert (state, True) == (outcome.state, seen in f"{outcome.cause} {outcome.seen}")

    examined(State.OK, "No thin client tells of a printer.")
    room.plug_in()
    examined(State.OK, "Printer at pc01")
    cups.carry_out(["lpadmin", "-p", QUEUE, "-E", "-v", "socket://10.99.7.9", "-m", "raw"])
    examined(State.WARN, f"{QUEUE} is somebody else's print queue")
    with monkeypatch.context() as other:
        other.setenv("CUPS_SERVER", "/nowhere/cups.sock")
        examined(State.WARN, "CUPS does not run")
    with monkeypatch.context() as other:
        other.setattr(cups, "installed", lambda: False)
        examined(State.WARN, "This server has no CUPS")


def test_a_fat_clients_programs_print_by_the_server_on_its_own_printer(
    room: PrintingRoom, keeper: QueueKeeper, tmp_path: Path
) -> None:
    (check,) = [each for each in CHECKS if each.code == "desk-printing"]
    room.plug_in()
    keep(room, keeper, told(room))
    desk = farm(room)
    (node,) = desk.nodes.values()
    fat = RolesTold(session=SessionTold(ready=True, kind="fat"))
    known = Farm(name=FARM, nodes=Map({node.mac: replace(node, told=fat)}))
    instance = Instance(config=Config(name=FARM, address=f"{SERVER}/24"), interface="lab0", images={}, started=0)

    def examined(state: Farm) -> Outcome:
        facts = ServerFacts(Home.at(tmp_path), instance, status=build(state, instance))
        return room.server.namespace.call(lambda: check.look(facts))

    assert "No fat client is there." in examined(desk).seen
    closed = examined(known)
    assert (State.WARN, "sudo cupsctl --share-printers") == (closed.state, closed.command)
    room.server.run("cupsctl", "--share-printers")
    try:
        until(lambda: examined(known).state is State.OK, "CUPS does not listen")
        cups.carry_out(["lpadmin", "-p", QUEUE, "-o", "printer-is-shared=false"])
        assert examined(known).cause.endswith(f"not shared: {QUEUE}.")
        cups.carry_out(["lpadmin", "-p", QUEUE, "-o", "printer-is-shared=true"])
        room.client.write("/etc/cups/client.conf", f"ServerName {SERVER}\n")
        assert QUEUE in room.client.run("lpstat", "-e").stdout.split()
        room.client.run("lp", "-d", QUEUE, "-", input="from my desk\n")
        until(lambda: b"from my desk" in room.paper(), "nothing is printed")
    finally:
        room.client.run("rm", "-f", "/etc/cups/client.conf")
        room.server.run("cupsctl", "--no-share-printers")


def test_queues_go_with_the_farm_but_for_those_in_which_jobs_wait(room: PrintingRoom, keeper: QueueKeeper) -> None:
    room.plug_in()
    keep(room, keeper, [*told(room), *told(room, "pc02")])
    cups.carry_out(["cupsdisable", QUEUE])
    room.on_server("lp", "-d", QUEUE, "-", input="later\n")
    assert [QUEUE] == room.server.namespace.call(lambda: cups.remove_queues(FARM))
    assert [QUEUE] == [each.name for each in cups.queues()]
    assert [] == room.server.namespace.call(lambda: cups.remove_queues("another"))
