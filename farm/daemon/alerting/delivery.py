"""Giving an alert to one receiver: a command with the event on its standard input, or a web address by POST."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from farm.config import AlertConfig
from farm.daemon.alerting.alert_events import Alert
from farm.printable import printable

MOST_OUTPUT = 2000
"""Bytes of what a command says; the rest is read and dropped."""


def receiver(config: AlertConfig) -> str:
    """What a receiver is called in messages; the rest of an address may be secret."""
    if config.command:
        return config.command[0]
    parts = urlsplit(config.url)
    return f"{parts.scheme}://{parts.hostname}"


def receiver_names(configs: Sequence[AlertConfig]) -> list[str]:
    """The names of all receivers; those of one name are told apart by their place in farm.yaml."""
    names = [receiver(each) for each in configs]
    often = Counter(names)
    return [f"{name} (alerts[{place}])" if often[name] > 1 else name for place, name in enumerate(names)]


async def deliver(config: AlertConfig, alert: Alert) -> str:
    """Try once; returns why that has failed, empty if it has not. Never takes longer than the time limit, and a bit."""
    content = msgspec.json.encode(alert) + b"\n"
    try:
        async with asyncio.timeout(config.seconds):
            return await (_run(config, content) if config.command else _post(config.url, content))
    except TimeoutError:
        return f"It did not end within {config.seconds} s."
    except (OSError, aiohttp.ClientError, ValueError) as error:
        return printable(f"{error or type(error).__name__}.".replace(config.url or "\0", "the address"), 300)


async def _post(url: str, content: bytes) -> str:
    headers = {"Content-Type": "application/json", "User-Agent": "icecream-farm"}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.post(url, data=content, headers=headers, allow_redirects=False) as answer,
    ):
        return "" if 200 <= answer.status < 300 else f"It answered with HTTP status {answer.status}."


async def _run(config: AlertConfig, content: bytes) -> str:
    # No pipes of asyncio's: with these the end of a program is noticed when all that it has left has closed them.
    as_user = await asyncio.to_thread(_as_user, config.user) if os.geteuid() == 0 else {}
    with _input(content) as given, _output() as (writable, said):
        process = await asyncio.create_subprocess_exec(
            *config.command,
            stdin=given,
            stdout=writable,
            stderr=writable,
            cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
            start_new_session=True,
            umask=0o077,
            **as_user,
        )
        try:
            code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):  # what it has started ends with it
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return "" if code == 0 else printable(f"Exit code {code}. {said().decode(errors='replace')}".strip(), 300)


@contextlib.contextmanager
def _input(content: bytes) -> Iterator[int]:
    """A file in memory that is read from its beginning."""
    descriptor = os.memfd_create("event")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _output() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """The end of a pipe to write to, and what gives the beginning of what was written."""
    loop, said = asyncio.get_running_loop(), bytearray()
    readable, writable = os.pipe()
    os.set_blocking(readable, False)

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            said.extend(os.read(readable, 1 << 16)[: MOST_OUTPUT - len(said)])

    def beginning() -> bytes:
        read()
        return bytes(said)

    loop.add_reader(readable, read)
    try:
        yield writable, beginning
    finally:
        loop.remove_reader(readable)
        os.close(readable)
        os.close(writable)


def _as_user(name: str) -> dict[str, Any]:
    """Arguments by which a program runs as a user, without other groups. Raises ValueError when there is none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise ValueError(f"There is no user {name}") from None
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
