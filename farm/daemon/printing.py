"""The print queues of this server for the printers of its clients: farmd makes and keeps them, where CUPS is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from farm import command
from farm.daemon.watchdog import Now
from farm.errors import NOT_JSON, CommandError, FarmError
from farm.home import Home, write_atomic
from farm.serve import cups
from farm.serve.print_queues import ClientPrinter, Plan, SeenPrinter, plan, printers
from farm.view.wording import count
from farm.watch.scheduler_source import Look

log = logging.getLogger("farmd")

LOOK_SECONDS = 5.0
CHECK_SECONDS = 60.0
"""Between two looks at CUPS while the printers are the same; in between only their news count."""
SAVE_SECONDS = 600.0
"""When a printer was last there is written down so often at most: it counts in days."""


async def keep_queues(home: Home, instance: Now, look: Look) -> None:
    """Make CUPS have a queue for each printer of a client, for as long as that makes sense."""
    keeper = QueueKeeper(home.state / "printers.json", time.time())
    while os.geteuid() == 0:
        farm = look()
        await asyncio.to_thread(keeper.keep, instance().config.name, printers(farm), time.time())
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.Event().wait()


class QueueKeeper:
    """Remembers whose the queues are; ``since``: Unix time from which on it would have seen a printer."""

    def __init__(self, path: Path, since: float) -> None:
        self._path = path
        self._since = since
        self._memory = _recall(path)
        self._saved = self._checked = 0.0
        self._last: Sequence[ClientPrinter] = ()
        self._complaint = ""

    def keep(self, farm: str, wanted: Sequence[ClientPrinter], now: float) -> None:
        """Bring the queues up to date; blocks while CUPS does what it is told."""
        if not (wanted or self._memory) or (wanted == self._last and now - self._checked < CHECK_SECONDS):
            return
        self._last, self._checked = wanted, now
        if why := cups.why_absent():
            self._complain(f"no queue for {count(len(wanted), 'printer')} of clients: {why}" if wanted else "")
        else:
            try:
                existing = cups.queues()
            except FarmError as error:  # a CUPS that hangs
                self._complain(str(error))
                return
            found = plan(farm, existing, wanted, self._memory, now, self._since)
            failures = [*self._carry_out(farm, found), *self._remember(found.memory, now)]
            self._complain("; ".join(failures))

    def _carry_out(self, farm: str, found: Plan) -> list[str]:
        failures = [f"the queue {name} is not the farm's, and stays as it is" for name in found.taken]
        failures += [f"the queue {name} is that of a printer at another machine" for name in found.foreign]
        for printer in found.make:
            try:
                cups.make(farm, printer)
                log.info("The queue %s prints on %s.", printer.queue, printer.uri)
            except FarmError as error:
                failures.append(str(error))
                if _hangs(error):
                    return failures
        for words in found.commands:
            try:
                cups.carry_out(words)
            except FarmError as error:
                failures.append(str(error))
                if _hangs(error):
                    return failures
        return failures

    def _remember(self, memory: dict[str, SeenPrinter], now: float) -> list[str]:
        news = memory.keys() != self._memory.keys()
        self._memory = memory
        if news or now - self._saved > SAVE_SECONDS:
            try:
                write_atomic(self._path, msgspec.json.encode(memory))
            except OSError as error:
                return [f"{self._path} cannot be written: {error.strerror}"]
            self._saved = now
        return []

    def _complain(self, complaint: str) -> None:
        """Say it once, not every minute."""
        if complaint and complaint != self._complaint:
            log.warning("Printing: %s", complaint)
        self._complaint = complaint


def _hangs(error: FarmError) -> bool:
    """Whether CUPS took longer than it may: then it is asked no more in this round, as each question takes as long."""
    return isinstance(error, CommandError) and error.returncode == command.NO_END


def _recall(path: Path) -> dict[str, SeenPrinter]:
    with contextlib.suppress(OSError, *NOT_JSON):
        return msgspec.json.decode(path.read_bytes(), type=dict[str, SeenPrinter])
    return {}
