"""A farmd that is there and hangs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from farm.attach import Lost, farmd
from farm.attach.farmd import Farmd
from farm.errors import FarmError
from farm.home import Home


@contextlib.contextmanager
def silent(home: Home) -> Iterator[None]:
    """What takes connections at farmd's socket, and says nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home.farmd_socket))
        listening.listen()
        yield


async def test_a_farmd_that_hangs_is_said_to_be_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farmd, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(farmd, "QUESTION_TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    home = Home.at(tmp_path)
    home.create()
    attachment = Farmd(home)
    with silent(home):
        async with contextlib.aclosing(attachment.updates()) as updates:
            lost = await anext(updates)
            assert isinstance(lost, Lost)
            assert lost.why == "There was no answer for 0 s."
            assert farmd.SHORTEST_FARMD_RETRY / 2 <= lost.retry <= farmd.SHORTEST_FARMD_RETRY
        with pytest.raises(FarmError) as caught:
            await attachment.status()
    assert ("farmd does not answer.", f"{home.farmd_socket}: There was no answer for 0 s.") == (
        caught.value.what,
        caught.value.why,
    )
