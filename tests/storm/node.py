"""One PC of the room, from power-on until it has its settings."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from farm.node.retry import pauses
from tests.dhcp import ACK, DISCOVER, OFFER, REQUEST, Client, Lease, is_refusal, message, read_answer
from tests.storm.aoe_disk import Disk
from tests.storm.fetch import Tftp, http_get, nbd_read
from tests.storm.plan import Plan, Told
from tests.storm.wire import Wire

Files = Callable[[Path], memoryview]
LISTEN_SECONDS = 1.0
"""So long it is listened for an answer to the first question; then twice as long each time, as iPXE does."""
LONGEST_LISTEN = 8.0


class Node:
    """It goes on by what it is told: lease, scripts and kernel command line lead from one step to the next."""

    def __init__(self, number: int, plan: Plan, wire: Wire, files: Files, began: float) -> None:
        # Scattered as those of PCs are which were not made one after the other; 7919 is prime.
        self.mac = b"\x52\x54\x00" + (number * 7919 % (1 << 24)).to_bytes(3, "big")
        self._plan, self._wire, self._files, self._began = plan, wire, files, began
        self._stages: dict[str, float] = {}
        self._fetched = self._again = 0
        self._own = self._server = ""
        self.error = ""

    def told(self) -> Told:
        """How it fares so far."""
        return Told(
            mac=self.mac.hex(":"),
            address=self._own,
            stages=dict(self._stages),
            fetched=self._fetched,
            again=self._again,
            error=self.error,
        )

    async def boot(self) -> None:
        """Never gives up by itself, but for wrong bytes."""
        firmware, ipxe = Client(self.mac.hex(":"), architecture=0), Client(self.mac.hex(":"), architecture=0, ipxe=True)
        lease = await self._lease(firmware)
        self._own, self._server = lease.address, lease.server
        self._passed("address")
        await self._tftp(lease.file)
        self._passed("loader")
        start = (await self._tftp((await self._lease(ipxe)).file)).decode()
        farm = re.findall(r"set farm (http://\S+)", start)[0]
        script = (await self._http(f"{farm}/boot/{self.mac.hex('-')}.ipxe", compare=False)).decode()
        self._passed("script")
        for file in re.findall(r"^(?:kernel|initrd) \$\{farm\}(/[^? ]+)", script, re.M):
            await self._http(farm + file)
        self._passed("kernel")
        await self._root(re.findall(r"farm\.root=(\S+)", script)[0])
        self._passed("root")
        await self._http(f"{farm}/nodes/{self.mac.hex('-')}.json", compare=False)
        self._passed("settings")

    def _passed(self, stage: str) -> None:
        self._stages[stage] = round(time.monotonic() - self._began, 3)

    async def _lease(self, client: Client) -> Lease:
        came: asyncio.Queue[bytes] = asyncio.Queue()
        self._wire.clients[self.mac] = came.put_nowait
        while True:
            offer = await self._ask(client, DISCOVER, OFFER, None, came, LONGEST_LISTEN)
            # dnsmasq may offer one address to several, gives it to the first, and refuses the others: they begin again.
            given = offer and await self._ask(client, REQUEST, ACK, offer, came, LISTEN_SECONDS * 4)
            if given:
                return given

    async def _ask(
        self, client: Client, kind: int, wanted: int, offer: Lease | None, came: asyncio.Queue[bytes], longest: float
    ) -> Lease | None:
        transaction, listen = os.urandom(4), LISTEN_SECONDS
        while True:
            self._wire.send_dhcp(self.mac, message(client, kind, transaction, offer))
            try:
                async with asyncio.timeout(listen * random.uniform(0.75, 1.25)):
                    while True:
                        packet = await came.get()
                        answer = read_answer(packet, transaction)
                        if answer and answer.kind == wanted:
                            return answer
                        if is_refusal(packet, transaction):
                            break
                await asyncio.sleep(random.uniform(0.0, LISTEN_SECONDS))
                self._again += 1
                return None
            except TimeoutError:
                self._again += 1
            listen *= 2
            if listen > longest:
                if kind == REQUEST:
                    return None
                listen = longest

    async def _tftp(self, path: str) -> bytes:
        tftp = Tftp(self._own, self._server)
        try:
            got = await self._until_it_works(lambda: tftp.get(path))
        finally:
            self._again += tftp.again
        if got != bytes(self._files(Path(self._plan.served, path))):
            raise ValueError(f"wrong bytes in {path}")
        self._fetched += len(got)
        return got

    async def _http(self, url: str, *, compare: bool = True) -> bytes:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        host, port = parts.hostname, parts.port
        expected = self._files(Path(self._plan.served, parts.path[1:])) if compare else None
        got = await self._until_it_works(lambda: http_get(self._own, host, port, parts.path, expected))
        self._fetched += len(expected or got)
        return got

    async def _root(self, root: str) -> None:
        way, _, where = root.partition(":")
        expected = self._files(Path(self._plan.root))[: self._plan.read]
        if way == "aoe":
            shelf, slot = map(int, where.removeprefix("e").split("."))
            disk = Disk(self._wire, self.mac, shelf, slot, expected, self._plan.mtu)
            try:
                await disk.read_all()
            finally:
                self._again += disk.again
        else:
            host, port, name = where.split(":", 2)
            await self._until_it_works(lambda: nbd_read(self._own, host, int(port), name, expected))
        self._fetched += len(expected)

    async def _until_it_works(self, attempt: Callable[[], Awaitable[bytes | None]]) -> bytes:
        """Try again, ever more slowly, as iPXE's scripts and the node's programs do."""
        for pause in pauses(1.0, 16.0):
            try:
                return await attempt() or b""
            except (OSError, asyncio.IncompleteReadError) as error:
                self._again += 1
                self.error = f"{error}"
            await asyncio.sleep(pause)
        raise AssertionError("pauses have no end")
