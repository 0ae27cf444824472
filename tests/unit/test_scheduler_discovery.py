import struct
from dataclasses import dataclass

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmError, UsageError
from farm.scheduler.discovery import (
    Found,
    FoundScheduler,
    addresses_to_ask,
    choose,
    parse_reply,
    parse_target,
    rivals,
)

START = (1 << 32) + 5
"""A time that needs both halves."""


def padded(head: bytes, netname: bytes, size: int) -> bytes:
    return (head + netname).ljust(size, b"\0")


def scheduler(
    address: str = "10.0.0.1", protocol: int = 43, started: int = 100, netname: str = "lab"
) -> FoundScheduler:
    return FoundScheduler(address, 8765, protocol, started, netname)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (padded(struct.pack("!BIII", 47, 43, 1, 5), b"Lab", 268), Found(43, START, "Lab")),
        (padded(struct.pack("<BIQ", 46, 37, START), b"Lab", 268), Found(37, START, "Lab")),
        (padded(struct.pack(">BIQ", 46, 36, START), b"Lab", 268), Found(36, START, "Lab")),
        (padded(struct.pack("<BIQ", 46, 35, START), b"Lab", 32), Found(35, START, "Lab")),
        (padded(b"\x2d", b"Lab", 16), Found(32, 0, "Lab")),
        (padded(b"\x2d", b"x" * 99, 99)[:16], Found(32, 0, "x" * 14)),
        (padded(struct.pack("!3sBII", b"ICF", 43, 1, 5), b"Lab", 268), Found(43, START, "Lab")),
        (
            padded(struct.pack("!BIII", 47, 43, 1, 5), b"\xff\x1b", 268),
            Found(43, START, "\N{REPLACEMENT CHARACTER}\x1b"),
        ),
    ],
)
def test_answers_of_every_generation(data: bytes, expected: Found) -> None:
    assert expected == parse_reply(data, 44)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x2c",
        padded(struct.pack("!BIII", 47, 43, 1, 5), b"Lab", 267),
        padded(struct.pack("!BIII", 48, 43, 1, 5), b"Lab", 268),
        padded(struct.pack("!BIII", 47, 128, 1, 5), b"Lab", 268),
        padded(struct.pack("!BIII", 47, 0, 1, 5), b"Lab", 268),
        padded(b"ICE\x2b", b"Lab", 268),
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    assert parse_reply(data, 44) is None


@given(
    st.sampled_from([0, 1, 16, 32, 268, 300]),
    st.sampled_from([b"", b"ICF", b"\x2d", b"\x2e", b"\x2f"]),
    st.binary(max_size=300),
)
def test_any_datagram_is_bounded(size: int, mark: bytes, rest: bytes) -> None:
    found = parse_reply((mark + rest).ljust(size, b"\0")[:size])
    assert found is None or (1 <= found.protocol < 128 and 0 <= found.started < 1 << 64 and len(found.netname) < 256)


def test_a_daemon_takes_the_newest_version_and_then_the_longest_running() -> None:
    young, old, newer = scheduler(started=200), scheduler("10.0.0.2", started=100), scheduler("10.0.0.3", 44, 300)
    assert old == choose([young, old], None)
    assert newer == choose([young, old, newer], "LAB")


def test_a_choice_that_is_not_clear() -> None:
    found = [scheduler(), scheduler(netname="LAB"), scheduler(netname="office")]
    with pytest.raises(FarmError, match="several") as error:
        choose(found, None)
    assert "'LAB', 'office'" in error.value.why
    assert "--netname" in error.value.fix
    with pytest.raises(FarmError, match="'cave'") as error:
        choose(found, "cave")
    assert "office" in error.value.why
    with pytest.raises(FarmError, match="No scheduler answers"):
        choose([], "lab")


def test_many_hostile_netnames_make_no_long_or_active_message() -> None:
    with pytest.raises(FarmError) as error:
        choose([scheduler(netname=f"{n}\x1b[31m") for n in range(200)], None)
    assert error.value.why.isprintable()
    assert len(error.value.why) < 300


def test_rivals() -> None:
    ours, rogue = scheduler(), scheduler("10.0.0.9", started=7, netname="LAB")
    other_side = scheduler("192.168.0.1")
    assert [rogue] == rivals([ours, rogue, other_side, scheduler("10.0.0.8", netname="office")], "10.0.0.1", "lab")
    assert [rogue] == rivals([rogue], "10.0.0.1", "lab")


@pytest.mark.parametrize(("text", "expected"), [("pc", ("pc", 8765)), ("10.0.0.1:9000", ("10.0.0.1", 9000))])
def test_target(text: str, expected: tuple[str, int]) -> None:
    assert expected == parse_target(text)


@pytest.mark.parametrize("text", ["", ":1", "pc:", "pc:0", "pc:65535", "pc:²", "fe80::1", "a\nb"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(UsageError):
        parse_target(text)


@dataclass
class Address:
    address: str
    netmask: str | None = "255.255.255.0"
    broadcast: str | None = None
    ptp: str | None = None
    family: int = 2


def test_who_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {"lo": [Address("127.0.0.1", "255.0.0.0")]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    assert addresses_to_ask() == ["127.0.0.1"]
    addresses["eth0"] = [
        Address("10.0.0.5", broadcast="10.0.0.255"),
        Address("10.1.0.5"),
        Address("::1", None, family=10),
    ]
    addresses["tun0"] = [Address("10.9.0.1", ptp="10.9.0.2")]
    assert addresses_to_ask() == ["10.0.0.255", "10.0.0.5", "10.1.0.255", "10.1.0.5"]
