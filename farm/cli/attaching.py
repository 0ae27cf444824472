"""What all that show or order something share: which farm or scheduler is meant, and what it tells as it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import rich_click as click

from farm.attach import Attachment, Lost
from farm.attach.direct import Direct
from farm.attach.farmd import Farmd
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.scheduler import discovery
from farm.scheduler.connection import SCHEDULER_SILENCE_SECONDS
from farm.view.live import Live, Update

Command = TypeVar("Command", bound=Callable[..., Any])
Seen = Callable[[Update, Live], None]


def attach_options(command: Command) -> Command:
    """Adds --scheduler and --netname: without them the farm of this machine is meant."""
    command = click.option("--netname", metavar="NAME", help="Any icecream network, found by its name.")(command)
    text = "Any icecream scheduler: no farm, configuration or root is needed."
    return click.option("--scheduler", metavar="HOST[:PORT]", help=text)(command)


def attached(home: Home) -> Farmd:
    """The farm that is up here. Raises FarmError when none is."""
    Instance.load(home)
    return Farmd(home)


def instance_here(home: Home) -> Instance:
    """The farm that is up here. Raises FarmError, which tells how to look at another."""
    try:
        return Instance.load(home)
    except FarmError as error:
        other = "Or look at any other: farm status --scheduler HOST[:PORT], or --netname NAME"
        raise FarmError(error.what, error.why, f"{error.mend.rstrip('.')}. {other}") from None


async def attachment(home: Home, scheduler: str | None, netname: str | None) -> Attachment:
    """The farm of ``home``, or the scheduler that the options mean. Raises FarmError, UsageError."""
    if scheduler is None and netname is None:
        instance_here(home)
        return Farmd(home)
    host, port = await discovery.resolve(scheduler, netname)
    return Direct(host, port, netname or "")


class Watch:
    """What an attachment tells, while it is watched."""

    def __init__(self) -> None:
        self.live = Live()
        self.lost = ""
        """Why nothing comes from farmd at the moment."""
        self._changed = asyncio.Condition()
        self._error: Exception | None = None

    async def feed(self, attachment: Attachment, seen: Seen | None) -> None:
        """Take in what comes, until cancelled; ``seen`` gets each update before that, and what was known then."""
        try:
            async with contextlib.aclosing(attachment.updates()) as updates:
                async for update in updates:
                    if isinstance(update, Lost):
                        self.lost = update.why
                    else:
                        self.lost = ""
                        if seen:
                            seen(update, self.live)
                        self.live.apply(update)
                    await self._tell()
        except Exception as error:
            self._error = error
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until something holds, at most so long; whether it does. Raises what ended the watching."""

        def over() -> bool:
            return self._error is not None or holds()

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(over)
        if self._error is not None:
            raise self._error
        return holds()

    def answered(self) -> bool:
        """The scheduler's state is known, or it is known why not."""
        overview = self.live.overview
        return bool(self.lost or (overview and (overview.scheduler.up or overview.scheduler.why)))


@contextlib.asynccontextmanager
async def watching(attachment: Attachment, seen: Seen | None = None) -> AsyncIterator[Watch]:
    """Watch from when nodes and jobs are known. Raises FarmError when farmd or the scheduler does not answer."""
    watch = Watch()
    task = asyncio.create_task(watch.feed(attachment, seen))
    try:
        await watch.until(watch.answered, SCHEDULER_SILENCE_SECONDS)
        overview = watch.live.overview
        if overview is None:
            raise FarmError("farmd does not answer.", watch.lost, "See whether it runs: farm status")
        if not overview.scheduler.up and isinstance(attachment, Direct):
            raise attachment.away()
        if not overview.scheduler.up:
            why = overview.scheduler.why or f"Nothing came within {SCHEDULER_SILENCE_SECONDS:.0f} s."
            raise FarmError("The scheduler does not answer.", why, "See why: farm logs scheduler")
        if isinstance(attachment, Direct):
            await attachment.settled()
            told = watch.live.time
            await watch.until(lambda: watch.live.time > told, SCHEDULER_SILENCE_SECONDS)
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
