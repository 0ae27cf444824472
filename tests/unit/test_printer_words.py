"""Printers' own words, the settings of lts.conf for them, and what CUPS says: parsers and pure functions."""

from __future__ import annotations

from pathlib import Path
from string import printable as any_character

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.printer_names import MAX_WORDS, PrinterId, parse_id, queue_names
from farm.node.session.extras.printers import EXTRA, busy_ports
from farm.node.session.lts_values import LtsValues
from farm.node.session.printer_ports.printer_port import p910nd
from farm.node.session.printer_ports.printer_settings import FIRST_PORT, Printer, configured, printer_at
from farm.serve.cups import parse
from farm.serve.print_queues import (
    MAX_OF_MACHINE,
    RAW,
    ClientPrinter,
    PrinterTold,
    Queue,
    SeenPrinter,
    best_driver,
    client_printers,
    mark,
    plan,
)
from farm.watch.node_telemetry import SessionTold

HP = "MFG:Hewlett-Packard;CMD:PJL,MLC,PCLXL;MDL:HP LaserJet 1020;CLS:PRINTER;DES:HP;SN:JL1;"
AUTOPROBE = "CLASS:PRINTER;\nMODEL:Stylus;\nMANUFACTURER:EPSON;\nDESCRIPTION:x;\nCOMMAND SET:ESCPL2,BDC;\n"


def test_a_printer_says_what_it_is() -> None:
    assert PrinterId("Hewlett-Packard", "HP LaserJet 1020", "JL1", "PJL,MLC,PCLXL") == parse_id(HP)
    assert PrinterId("EPSON", "Stylus", "", "ESCPL2,BDC") == parse_id(AUTOPROBE)
    assert PrinterId() == parse_id("")


@given(st.text(max_size=3000), st.text(any_character, max_size=100))
def test_whatever_it_says_is_short_and_in_one_line(noise: str, model: str) -> None:
    for said in (noise, f"MFG:{noise};MDL:{model};"):
        assert all(len(each) <= MAX_WORDS and each.isprintable() for each in parse_id(said))
        name = queue_names("pc01", [("/dev/usb/lp0", 9100, parse_id(said).model)])["/dev/usb/lp0"]
        assert name.isascii() and name.replace("-", "").isalnum() and len(name) < 64


def test_queues_of_one_model_differ() -> None:
    two = [("/dev/usb/lp1", 9101, "Laser"), ("/dev/usb/lp0", 9100, "Laser"), ("/dev/lp0", 9102, "")]
    expected = {"/dev/usb/lp0": "pc01-Laser", "/dev/usb/lp1": "pc01-Laser-9101", "/dev/lp0": "pc01-lp0"}
    assert expected == queue_names("pc01", two)
    # CUPS takes them for one name.
    alike = [("/dev/usb/lp0", 9100, "Laser"), ("/dev/usb/lp1", 9101, "LASER")]
    assert {"/dev/usb/lp0": "pc01-Laser", "/dev/usb/lp1": "pc01-LASER-9101"} == queue_names("pc01", alike)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"DEVICE": "/dev/lp0", "TYPE": "P"}, Printer("/dev/lp0", 9101)),
        ({"DEVICE": "/dev/usblp0", "TYPE": "U"}, Printer("/dev/usb/lp0", 9101, answers=True)),
        ({"DEVICE": "/dev/usb/lp0", "WRITE_ONLY": "True"}, Printer("/dev/usb/lp0", 9101)),
        ({"DEVICE": "/dev/lp0", "PORT": "9104"}, Printer("/dev/lp0", 9104)),
        ({"DEVICE": "/dev/lp0", "PORT": "9105"}, Printer("/dev/lp0", 9101)),
        ({"DEVICE": "/dev/lp0", "PORT": "22"}, Printer("/dev/lp0", 9101)),
        ({"DEVICE": "/dev/sda"}, None),
        ({"DEVICE": "/dev/usb/lp0\n/dev/sda"}, None),
        ({"DEVICE": "-f"}, None),
    ],
)
def test_lts_conf_says_where_a_printer_is(values: dict[str, str], expected: Printer | None) -> None:
    found = configured(LtsValues({f"PRINTER_1_{key}": value for key, value in values.items()}))
    assert [expected] * (expected is not None) == found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["9600", "cs8", "-parenb", "ixon", "ixoff", "-crtscts"]),
        (
            {"SPEED": "19200", "DATABITS": "7", "PARITY": "E", "FLOWCTRL": "hard"},
            ["19200", "cs7", "parenb", "-parodd", "-ixon", "-ixoff", "crtscts"],
        ),
        ({"PARITY": "odd", "SPEED": "fast", "DATABITS": "9"}, ["9600", "cs8", "parenb", "parodd", "ixon"]),
    ],
)
def test_a_serial_line_is_set_as_by_ltsp5(values: dict[str, str], expected: list[str]) -> None:
    said = {"PRINTER_0_DEVICE": "/dev/ttyS0", **{f"PRINTER_0_{key}": value for key, value in values.items()}}
    line = configured(LtsValues(said))[0].line
    assert set(expected) <= set(line)


def test_of_two_printers_at_one_port_the_first_has_it() -> None:
    said = {"PRINTER_0_DEVICE": "/dev/lp0", "PRINTER_1_DEVICE": "/dev/lp1", "PRINTER_1_PORT": "9100"}
    assert ["/dev/lp0"] == [printer.device for printer in configured(LtsValues(said))]


def test_printers_that_are_plugged_in_take_the_free_ports() -> None:
    lts = LtsValues({"PRINTER_0_DEVICE": "/dev/lp0", "PRINTER_1_DEVICE": "/dev/usb/lp3", "PRINTER_1_PORT": "9102"})
    ports = {number: printer_at(f"/dev/usb/lp{number}", lts) for number in range(4)}
    assert [9101, 9103, 9104, 9102] == [printer.port for number in range(4) if (printer := ports[number])]
    assert None is printer_at("/dev/usb/lp15", lts)
    assert None is printer_at("/dev/lp1", lts)


def test_p910nd_gets_one_device_and_one_port() -> None:
    assert ["/usr/sbin/p910nd", "-d", "-f", "/dev/lp0", "2"] == p910nd(Printer("/dev/lp0", FIRST_PORT + 2))
    assert "-b" in p910nd(Printer("/dev/usb/lp0", FIRST_PORT, answers=True))


@pytest.mark.parametrize(("said", "written"), [("Print.Lab", "ServerName print.lab\n"), ("x y", None), ("", None)])
def test_programs_of_the_machine_ask_the_cups_of_lts_conf(said: str, written: str | None, tmp_path: Path) -> None:
    EXTRA.prepare(LtsValues({"CUPS_SERVER": said, "PRINTER_0_DEVICE": "/dev/usb/lp0"}), str(tmp_path))
    path = tmp_path / "etc/cups/client.conf"
    assert written == (path.read_text() if path.exists() else None)


def test_who_prints_is_seen_by_the_connections() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 00000000:238C 00000000:0000 0A 00000000:00000000 00:00000000\n"
        "   1: 1407630A:238D 0107630A:C350 01 00000000:00000000 00:00000000\n"
        "   2: 00000000000000000000000001000000:238E 00000000000000000000000001000000:C351 01 00000000:00000000\n"
    )
    assert {9101, 9102} == busy_ports(table)


LPSTAT = """\
printer office now printing office-2.  enabled since Sat Nov 28 14:14:14 2026
\tConnecting to printer.
\tLocation:
printer pc01-lp0 disabled since Sat Nov 28 14:14:17 2026 -
\taway: it is off
\tDescription: d
\tLocation: pc01 (icecream-farm lab)
device for office: socket://10.99.7.9:9100
device for pc01-lp0: socket://10.99.7.20:9100
office-2                root            100352   Sat Nov 28 14:14:14 2026
"""


def test_what_cups_says_of_its_queues() -> None:
    assert [
        Queue("office", uri="socket://10.99.7.9:9100", jobs=1),
        Queue("pc01-lp0", "socket://10.99.7.20:9100", "pc01 (icecream-farm lab)", False, "away: it is off"),
    ] == parse(LPSTAT)
    assert [] == parse("lpstat: No destinations added.\n")


@given(st.lists(st.sampled_from(LPSTAT.splitlines()) | st.text(any_character)))
def test_nothing_that_cups_says_is_too_much(lines: list[str]) -> None:
    assert all(queue.name for queue in parse("\n".join(lines)))


DRIVERS = """\
drv:///hp10.ppd HP LaserJet 10200
foo2zjs.ppd HP LaserJet 1020 Foomatic/foo2zjs-z1 (recommended)
other.ppd HP LaserJet 1020
"""


@pytest.mark.parametrize(
    ("model", "commands", "driver"),
    [
        ("HP LaserJet 1020", "ZJS", "foo2zjs.ppd"),
        ("HP LaserJet 10", "ZJS", RAW),
        ("", "", RAW),
        ("Unheard of", "PJL, PostScript,PCL", "drv:///sample.drv/generic.ppd"),
        ("Unheard of", "PJL,PCL", "drv:///sample.drv/generpcl.ppd"),
        ("Unheard of", "PCL3GUI", RAW),
    ],
)
def test_the_driver_is_that_of_the_very_model(model: str, commands: str, driver: str) -> None:
    assert driver == best_driver(DRIVERS, client_printer(model=model, commands=commands))


def client_printer(queue: str = "pc01-lp0", device: str = "/dev/usb/lp0", **told: str) -> ClientPrinter:
    return ClientPrinter(queue, "pc01", "52:54:00:00:00:01", "10.0.0.20", PrinterTold(device, 9100, True, **told))


def test_a_printer_is_called_by_make_and_model_once() -> None:
    assert "HP LaserJet at pc01" == client_printer(make="HP", model="HP LaserJet").title
    assert "EPSON Stylus at pc01" == client_printer(make="EPSON", model="Stylus").title
    assert "Printer at pc01" == client_printer().title


def test_the_queue_of_one_of_two_alike_is_not_taken_for_the_others() -> None:
    first, second = client_printer("pc01-Laser", model="Laser"), client_printer("pc01-Laser-9101", "/dev/usb/lp1")
    here = [
        Queue(name, f"socket://10.0.0.20:{9100}", f"pc01 {mark('lab')}") for name in ("pc01-Laser", "pc01-Laser-9101")
    ]
    both = plan("lab", here, [first, second], {}, 100.0)
    assert [] == both.commands
    assert [] == plan("lab", here, [first], both.memory, 101.0).commands


def test_no_machine_gets_the_jobs_of_another() -> None:
    """Names of a machine and a model can be put together to those of others: pc01 x-Laser, pc01-x Laser."""
    own = client_printer("pc01-x-Laser", model="Laser")
    own = ClientPrinter(own.queue, "pc01-x", own.mac, own.address, own.told)
    thief = ClientPrinter(own.queue, "pc01", "52:54:00:00:00:99", "10.0.0.66", own.told)
    here = [Queue(own.queue, own.uri, f"pc01-x {mark('lab')}")]
    memory = plan("lab", here, [own], {}, 100.0).memory
    for wanted in ([thief, own], [thief]):
        found = plan("lab", here, wanted, memory, 101.0)
        assert ([], [], [own.queue]) == (found.commands, found.make, found.foreign)
    changed = ClientPrinter(own.queue, "pc01-x", "52:54:00:00:00:03", own.address, own.told)
    assert [] == plan("lab", here, [changed], memory, 101.0).foreign


def test_a_machine_that_tells_of_ever_more_printers_gets_a_bounded_number_of_queues() -> None:
    here: list[Queue] = []
    memory: dict[str, SeenPrinter] = {}
    for number in range(10):
        wanted = [client_printer(f"pc01-{number}-{each}", serial=f"{number}-{each}") for each in range(16)]
        found = plan("lab", here, wanted, memory, 100.0 + number)
        here += [Queue(each.queue, each.uri, f"pc01 {mark('lab')}") for each in found.make]
        memory = found.memory
    assert MAX_OF_MACHINE == len(here)


def test_a_printer_that_moves_to_another_address_is_followed() -> None:
    here = [Queue("pc01-lp0", "socket://10.0.0.9:9100", f"pc01 {mark('lab')}")]
    commands = plan("lab", here, [client_printer()], {}, 100.0).commands
    assert [["lpadmin", "-p", "pc01-lp0", "-v", "socket://10.0.0.20:9100"]] == commands


@pytest.mark.parametrize("said", [{"devices": 1}, {"devices": [{"device": "x", "port": 22}]}, [], "x", None])
def test_what_is_not_understood_is_no_printer(said: object) -> None:
    told = SessionTold(ready=True, extras={"printers": said})
    assert [] == client_printers("pc01", "52:54:00:00:00:01", "10.0.0.20", told)
