"""Printers' own words, the settings of lts.conf for them, and what CUPS says: parsers and pure functions."""

from __future__ import annotations

from string import printable as any_character

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.printer_names import MAX_WORDS, PrinterId, parse_id, queue_names
from farm.node.session.extras.printers import busy_ports
from farm.node.session.lts_values import LtsValues
from farm.node.session.printer_port import p910nd
from farm.node.session.printer_settings import FIRST_PORT, PORTS, Printer, configured, printer_at

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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"DEVICE": "/dev/lp0", "TYPE": "P"}, Printer("/dev/lp0", 9101)),
        ({"DEVICE": "/dev/usblp0", "TYPE": "U"}, Printer("/dev/usb/lp0", 9101, answers=True)),
        ({"DEVICE": "/dev/usb/lp0", "WRITE_ONLY": "True"}, Printer("/dev/usb/lp0", 9101)),
        ({"DEVICE": "/dev/lp0", "PORT": "9105"}, Printer("/dev/lp0", 9105)),
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
    ports = {number: printer_at(f"/dev/usb/lp{number}", lts) for number in range(PORTS)}
    assert [9101, 9103, 9104, 9102] == [printer.port for number in range(4) if (printer := ports[number])]
    assert None is printer_at("/dev/usb/lp15", lts)
    assert None is printer_at("/dev/lp1", lts)


def test_p910nd_gets_one_device_and_one_port() -> None:
    assert ["/usr/sbin/p910nd", "-d", "-f", "/dev/lp0", "2"] == p910nd(Printer("/dev/lp0", FIRST_PORT + 2))
    assert "-b" in p910nd(Printer("/dev/usb/lp0", FIRST_PORT, answers=True))


def test_who_prints_is_seen_by_the_connections() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 00000000:238C 00000000:0000 0A 00000000:00000000 00:00000000\n"
        "   1: 1407630A:238D 0107630A:C350 01 00000000:00000000 00:00000000\n"
        "   2: 00000000000000000000000001000000:238E 00000000000000000000000001000000:C351 01 00000000:00000000\n"
    )
    assert {9101, 9102} == busy_ports(table)
