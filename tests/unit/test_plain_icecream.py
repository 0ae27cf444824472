"""The scheduler of an iceccd that was joined to nothing: what the kernel's table of connections tells."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from farm.workstation.choice import AttachTarget
from farm.workstation.plain_icecream import Connection, parse_connections

ROW = (
    "   0: {local} {remote} {state} 00000000:00000000 02:000A7214 00000000   {user}        0 88216 2 ffff 20 4 30 10 -1"
)


def row(host: str, port: int, user: int, state: str = "01") -> str:
    """A line as the kernel of this machine writes it (proc(5), net/tcp)."""
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return ROW.format(local="0100007F:D2F0", remote=f"{number:08X}:{port:04X}", state=state, user=user)


@given(st.ip_addresses(v=4).map(str), st.integers(0, 65535), st.integers(0, 2**32 - 1))
def test_an_open_connection_is_read(host: str, port: int, user: int) -> None:
    assert [Connection(host, port, user)] == list(parse_connections([row(host, port, user)]))
    assert [] == list(parse_connections([row(host, port, user, state="0A")])), "one that listens is none"


@given(st.lists(st.text(max_size=120)))
def test_whatever_else_stands_there_is_passed_over(lines: list[str]) -> None:
    list(parse_connections([*lines, row("10.0.0.1", 8765, 112)]))


def test_it_is_said_which_was_taken_and_why() -> None:
    farm = AttachTarget(how="joined", host="10.77.0.1", netname="icecream-lab", farm="lab")
    assert "Looking at farm lab (10.77.0.1), which this machine has joined." == farm.sentence
    plain = AttachTarget(how="iceccd", host="10.0.0.7", port=9000, netname="ICE\x1bCREAM")
    assert "\x1b" not in plain.sentence
    assert plain.sentence.startswith("Looking at the scheduler at 10.0.0.7:9000 (netname ICE")
    assert "" == AttachTarget(how="home").sentence == AttachTarget(how="named", host="10.0.0.7").sentence
