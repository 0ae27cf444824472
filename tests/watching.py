"""A scheduler's events, one by one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from farm.scheduler.monitor import Watched, watch_batches


async def watch(host: str, port: int) -> AsyncGenerator[Watched, None]:
    async with contextlib.aclosing(watch_batches(host, port)) as batches:
        async for batch in batches:
            for event in batch:
                yield event
