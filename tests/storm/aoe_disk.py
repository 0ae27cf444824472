"""A root read over AoE as the kernel's driver reads it: its window, its guess of the round trip, its repeats.

Source: Linux 6.1, drivers/block/aoe/aoecmd.c (calc_rttavg, rto, rexmit_timer) and the limits that the farm's initrd
sets (images/common/initramfs/scripts/farm-roads/aoe).
"""

from __future__ import annotations

import asyncio
import struct
import time
from dataclasses import dataclass

from tests.storm.wire import AOE, BROADCAST, Wire

HEADER = 36
ATA, CONFIG = 0, 1
READ_EXT = 0x24
MAX_WINDOW = 64
"""The driver's parameter aoe_maxout."""
IN_FLIGHT = 4 * (64 << 10)
"""Bytes: 4 requests of 64 KiB."""
TICK = 0.1
FIRST_AVERAGE, FIRST_DEVIATION = 0.25, 2.0


@dataclass
class Frame:
    """A read that is on its way."""

    offset: int
    sent: float
    again: bool = False


class Disk:
    """One node's view of a target."""

    def __init__(self, wire: Wire, mac: bytes, shelf: int, slot: int, expected: memoryview, mtu: int) -> None:
        self._wire, self.mac = wire, mac
        self._target = struct.pack("!HB", shelf, slot)
        self._expected = expected
        self._sectors = (mtu - HEADER) // 512
        self._server = BROADCAST
        self._flying: dict[int, Frame] = {}
        self._tag = 0
        self._next = 0
        self._average, self._deviation = FIRST_AVERAGE, FIRST_DEVIATION
        self._window = self._most = self._threshold = self._until_more = 0
        self.again = 0
        self.read = 0
        self._found = asyncio.Event()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wire.disks[mac] = self.take

    async def read_all(self) -> None:
        """Find the target and read; ends when all has come, or raises ValueError at a wrong byte."""
        while not self._found.is_set():
            self._send(CONFIG, 0, b"\0" * 8)
            try:
                await asyncio.wait_for(self._found.wait(), 1.0)
            except TimeoutError:
                self.again += 1
        self._fill()
        while not self._done.done():
            await asyncio.wait([self._done], timeout=TICK)
            self._repeat()
        await self._done

    def take(self, frame: memoryview) -> None:
        """An answer."""
        if len(frame) < HEADER - 4 or not frame[14] & 8 or frame[14] & 4:
            return
        if frame[19] == CONFIG:
            self._find(frame)
            return
        flying = self._flying.pop(int.from_bytes(frame[20:24], "big"), None)
        if flying is None or self._done.done():
            return
        size = self._size(flying.offset)
        # memoryview compares item by item; bytes by memcmp.
        if bytes(frame[HEADER : HEADER + size]) != bytes(self._expected[flying.offset : flying.offset + size]):
            self._done.set_exception(ValueError(f"wrong bytes at {flying.offset} of the root"))
            return
        self._learn(time.monotonic() - flying.sent)
        self.read += size
        if self.read == len(self._expected):
            self._done.set_result(None)
        self._fill()

    def _find(self, frame: memoryview) -> None:
        if self._found.is_set():
            return
        self._server = bytes(frame[6:12])
        self._most = min(int.from_bytes(frame[24:26], "big"), MAX_WINDOW)
        self._sectors = min(self._sectors, frame[28] or 2)
        self._window, self._threshold = max(self._most // 2, 1), self._most // 2
        self._found.set()

    def _learn(self, took: float) -> None:
        difference = took - self._average
        self._average += difference / 8
        self._deviation += (abs(difference) - self._deviation) / 4
        if self._window >= self._most:
            return
        if self._window < self._threshold:
            self._window += 1
            return
        full = len(self._flying) + 1 == self._window
        if full and self._until_more == 0:
            self._window += 1
            self._until_more = self._window
        elif full:
            self._until_more -= 1

    def _fill(self) -> None:
        limit = min(self._window, IN_FLIGHT // (self._sectors * 512))
        while len(self._flying) < limit and self._next < len(self._expected):
            self._ask(Frame(self._next, time.monotonic()))
            self._next += self._sectors * 512

    def _repeat(self) -> None:
        """What the driver's timer does ten times a second."""
        patience = max(2 * self._average + 8 * self._deviation, TICK)
        now = time.monotonic()
        late = [tag for tag, frame in self._flying.items() if now - frame.sent > patience]
        if late and self._window != 1:
            self._threshold, self._window = self._window // 2, 1
        # What is late goes out again as far as the window lets it, the oldest first; the others stay late.
        for tag in late[: max(self._window - (len(self._flying) - len(late)), 1 if late else 0)]:
            self._ask(Frame(self._flying.pop(tag).offset, now, again=True))
            self.again += 1

    def _size(self, offset: int) -> int:
        return min(self._sectors * 512, len(self._expected) - offset)

    def _ask(self, frame: Frame) -> None:
        self._tag += 1
        self._flying[self._tag] = frame
        sectors = -(-self._size(frame.offset) // 512)
        body = struct.pack("<BBBB6s2x", 0x40, 0, sectors, READ_EXT, (frame.offset // 512).to_bytes(6, "little"))
        self._send(ATA, self._tag, body)

    def _send(self, command: int, tag: int, body: bytes) -> None:
        header = struct.pack("!HBB3sBI", AOE, 0x10, 0, self._target, command, tag)
        self._wire.send_aoe((self._server + self.mac + header + body).ljust(60, b"\0"))
