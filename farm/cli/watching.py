"""What an attachment tells as it changes, for commands that wait or list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from farm.attach import Attachment, Lost
from farm.attach.direct import Direct
from farm.errors import FarmError
from farm.scheduler.connection import SCHEDULER_SILENCE_SECONDS
from farm.view.live import Live, Update

Seen = Callable[[Update, Live], None]


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
            raise FarmError("The state of the farm is not known.", watch.lost, "Check: farm status")
        if not overview.scheduler.up and isinstance(attachment, Direct):
            raise attachment.away()
        if not overview.scheduler.up:
            why = overview.scheduler.why or f"No message arrived within {SCHEDULER_SILENCE_SECONDS:.0f} s."
            raise FarmError("The scheduler does not answer.", why, "Look at its log: farm logs scheduler")
        if isinstance(attachment, Direct):
            await attachment.settled()
            told = watch.live.time
            await watch.until(lambda: watch.live.time > told, SCHEDULER_SILENCE_SECONDS)
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
