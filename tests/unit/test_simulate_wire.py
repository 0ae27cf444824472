"""A simulated daemon's side of the wire."""

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.scheduler.channel import ProtocolError, encode, encode_text, encode_version
from farm.simulate import wire
from farm.simulate.wire import Accepted, Asked, DaemonMessage, DaemonSession, Goodbye, Message, UseNode, UseNone

GREETING = encode_version(43) * 2
USE_CS = encode(
    DaemonMessage.USE_CS,
    struct.pack("!II", 7, 10245) + encode_text("10.78.1.1") + encode_text("x86_64") + struct.pack("!III", 1, 5, 0),
)
NO_CS = encode(DaemonMessage.NO_CS, struct.pack("!II", 8, 6))
CONF = encode(DaemonMessage.CS_CONF, struct.pack("!II", 3, 36) + encode_text(""))
ALL = GREETING + CONF + USE_CS + NO_CS + encode(DaemonMessage.PING) + encode(DaemonMessage.END)
MESSAGES: list[Message] = [
    Accepted(),
    UseNode(job=7, address="10.78.1.1", port=10245, client=5),
    UseNone(job=8, client=6),
    Asked(encode(DaemonMessage.PING)),
    Goodbye(),
]


@given(st.sets(st.integers(1, len(ALL) - 1)))
def test_in_any_pieces(cuts: set[int]) -> None:
    session = DaemonSession("pc001")
    edges = [0, *sorted(cuts), len(ALL)]
    messages: list[Message] = []
    answers = b""
    for start, end in itertools.pairwise(edges):
        found, answer = session.receive(ALL[start:end])
        messages += found
        answers += answer
    assert MESSAGES == messages
    assert encode_version(43) == answers


@given(st.binary(max_size=200))
def test_whatever_comes_is_no_surprise(data: bytes) -> None:
    for start in (b"", GREETING):
        with contextlib.suppress(ProtocolError):
            DaemonSession("pc001").receive(start + data)


@given(st.integers(0, 27), st.sampled_from([USE_CS, NO_CS]))
def test_messages_that_end_too_early(missing: int, message: bytes) -> None:
    body = message[8:-1][: -missing or None]
    with contextlib.suppress(ProtocolError):
        DaemonSession("pc001").receive(GREETING + encode(struct.unpack_from("!I", message, 4)[0], body))


def test_a_newer_scheduler_and_an_older_one() -> None:
    session = DaemonSession("pc001")
    assert ([], encode_version(43)) == session.receive(encode_version(44))
    assert not session.ready
    session.receive(encode_version(43))
    assert session.ready
    with pytest.raises(ProtocolError, match="42"):
        DaemonSession("pc001").receive(encode_version(42))


def test_internals_are_told() -> None:
    (asked,), _ = DaemonSession("pc001").receive(GREETING + encode(DaemonMessage.GET_INTERNALS))
    assert isinstance(asked, Asked)
    assert b"Node Name: pc001" in asked.answer
    assert DaemonMessage.STATUS_TEXT == struct.unpack_from("!I", asked.answer, 4)[0]


def test_bodies() -> None:
    begin = wire.local_begin("/o/a.o", client=3, started=9)
    assert struct.pack("!III", 23, 78, 9) + b"\0\0\0\x07/o/a.o\0" + struct.pack("!I", 3) == begin
    assert struct.pack("!III", 8, 79, 3) == wire.local_done(3)
    assert struct.pack("!IIIII", 16, 76, 4, 9, 2) == wire.job_begin(4, 9, 2)
    done = wire.job_done(4, 1, 200, 100, in_bytes=80, out_bytes=0, by_submitter=True, clients=2)
    assert struct.pack("!14I", 52, 77, 4, 1, 200, 100, 5, 0, 20, 80, 0, 0, 1, 2) == done
    assert struct.pack("!7I", 24, 81, 500, 1000, 500, 250, 99) == wire.stats(500, (1.0, 0.5, 0.25), 99)
