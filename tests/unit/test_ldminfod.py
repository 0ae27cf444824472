"""ldminfod over real connections: each client is told all, whatever it does, and many at once have a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from farm.session_server import ldminfod
from farm.session_server.ldminfod import Ldminfod

SAID = "language:de_DE.UTF-8\nrating:70\n"


class Counted:
    """Says the same, and how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        return SAID


@asynccontextmanager
async def listening(look: Counted) -> AsyncIterator[int]:
    server = await asyncio.start_server(Ldminfod(look).answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, says: bytes = b"") -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(says)
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


async def test_every_client_is_told_all_and_the_computer_is_looked_at_once() -> None:
    look = Counted()
    async with listening(look) as port:
        answers = await asyncio.gather(*(ask(port, b"GET /\r\n" * number) for number in range(50)))
    assert {SAID} == {*answers}
    assert 1 == look.times


async def test_what_is_no_longer_fresh_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldminfod, "FRESH_SECONDS", 0.0)
    look = Counted()
    async with listening(look) as port:
        assert SAID == await ask(port)
        assert SAID == await ask(port)
    assert 2 == look.times


async def test_too_many_at_once_are_turned_away_and_places_come_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldminfod, "MAX_CLIENTS", 1)
    async with listening(Counted()) as port:
        first_reader, first = await asyncio.open_connection("127.0.0.1", port)
        assert SAID.encode() == await first_reader.read(), "told, and its place is taken until it leaves"
        assert "" == await ask(port)
        first.close()
        await first.wait_closed()
        while await ask(port) != SAID:
            pass


async def test_one_address_does_not_take_all_places() -> None:
    async with listening(Counted()) as port:
        greedy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(ldminfod.MAX_CLIENTS)]
        for reader, _ in greedy:
            await reader.read()  # told or turned away, and it stays
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        assert SAID.encode() == await reader.read()
        for each in (writer, *(writer for _, writer in greedy)):
            each.close()


async def test_a_client_that_stays_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldminfod, "CLIENT_SECONDS", 0.01)
    async with listening(Counted()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert SAID.encode() == await reader.read()
        with pytest.raises(OSError):
            while True:
                writer.write(b"still here")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
