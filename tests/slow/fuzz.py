"""Inputs by mutation: seeds that a reader understands, bent in the ways that break readers."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence

import psutil

COUNT = 100_000
LONGEST = 8192
GROWTH = 16 << 20
"""Bytes of memory that this process may have more after all inputs than after a tenth of them."""
NUMBERS = (b"0", b"-1", b"65536", b"4294967296", b"99999999999999999999", b"1e999", b"NaN", "٣".encode(), b"0x10")
NASTY = (
    *NUMBERS,
    b"\0",
    b"\r\n",
    b"\x1b[31m",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u202e\u2028".encode(),
    b"%00%n%s",
    b"../../",
    b"[" * 3000,
    b'{"a":' * 1500,
    b"&a [*a]",
    b"A" * 4096,
    b"\\",
    b'"',
    b"'",
    b":",
    b"=",
)


def mutations(seeds: Sequence[bytes], count: int = COUNT, seed: int = 1) -> Iterator[bytes]:
    """``count`` inputs, the same every time; the seeds come first."""
    chance = random.Random(seed)
    yield from seeds
    for _ in range(count - len(seeds)):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            _bend(data, seeds, chance)
        yield bytes(data[:LONGEST])


def _bend(data: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    until = min(len(data), at + chance.choice((1, 2, 4, 8, 32)))
    match chance.randrange(8):
        case 0 if data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        case 1 if data:
            data[at % len(data)] = chance.choice((0, 1, 9, 10, 13, 27, 32, 34, 127, 128, 255))
        case 2:
            del data[at:until]
        case 3:
            data[at:at] = data[at:until]
        case 4:
            data[at:at] = chance.choice(NASTY)
        case 5:
            data[at:until] = chance.choice(NASTY)
        case 6:
            other = chance.choice(seeds)
            data[at:] = other[chance.randrange(len(other) + 1) :]
        case _:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))


def fuzz(read: Callable[[bytes], object], seeds: Sequence[bytes], count: int = COUNT) -> None:
    """Hand a reader all inputs; fails the test, naming the input, when one gets out of it, or when it grows.

    ``read`` catches the errors that its reader documents, and checks what it says of the rest.
    """
    held = 0
    for number, data in enumerate(mutations(seeds, count)):
        try:
            read(data)
        except BaseException as error:
            raise AssertionError(f"input {number} {data!r} ends in {type(error).__name__}: {error}") from error
        if number == count // 10:
            held = _held()
    assert _held() - held < GROWTH


def _held() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)
