"""A session that a real scheduler (1.4) had with a monitor, replayed; tests/recording.py makes it anew."""

import random
from collections import Counter
from pathlib import Path

import pytest

from farm.scheduler.protocol import (
    Event,
    JobBegun,
    JobDone,
    JobRequested,
    LocalBegun,
    LocalDone,
    MonitorSession,
    NodeOffline,
    NodeStats,
)

RECORDING = (Path(__file__).parent.parent / "data" / "monitor-1.4.bin").read_bytes()


def replay(sizes: list[int]) -> list[Event]:
    """The events of the recording, fed in pieces of these sizes, the last of which is used till the end."""
    session, events, answers, at = MonitorSession(), [], b"", 0
    sizes = list(reversed(sizes))
    while at < len(RECORDING):
        size = sizes.pop() if len(sizes) > 1 else sizes[0]
        new, answer = session.receive(RECORDING[at : at + size])
        events += new
        answers += answer
        at += size
    assert (43, False) == (session.protocol, session.unfinished)
    assert answers == b"\x2b\0\0\0" + b"\0\0\0\4\0\0\0\x52"
    return events


WHOLE = replay([len(RECORDING)])


def test_the_story() -> None:
    kinds = Counter(type(event) for event in WHOLE)
    assert (5, 5, 5) == (kinds[JobRequested], kinds[JobBegun], kinds[JobDone])
    assert (2, 2, 1) == (kinds[LocalBegun], kinds[LocalDone], kinds[NodeOffline])
    nodes = {event.host: event.name for event in WHOLE if isinstance(event, NodeStats)}
    assert ["pc01", "pc02"] == sorted(nodes.values())
    where = [nodes[event.host] for event in WHOLE if isinstance(event, JobBegun)]
    assert ["pc02", "pc02", "pc02", "pc01", "pc02"] == where
    assert [0, 0, 0, 0, 1] == [event.exit for event in WHOLE if isinstance(event, JobDone)]
    files = [event.file.rpartition("/")[2] for event in WHOLE if isinstance(event, JobRequested | LocalBegun)]
    assert ["part1.c", "part2.c", "part3.c", "part4.c", "broken.c", "broken.o", "main"] == files
    assert [["pc02"]] == [[nodes[event.host]] for event in WHOLE if isinstance(event, NodeOffline)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1000])
def test_pieces_of_one_size(size: int) -> None:
    assert WHOLE == replay([size])


@pytest.mark.parametrize("seed", range(20))
def test_odd_pieces(seed: int) -> None:
    chance = random.Random(seed)
    assert WHOLE == replay([chance.choice([1, 2, 4, 8, 50, 300]) for _ in range(3000)])
