"""farmd's part for alerts: looks at the farm now and then, and tells each receiver in its own time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from farm.config import AlertConfig
from farm.daemon.alerting.alert_events import Alert, Held, alert, step
from farm.daemon.alerting.alert_memory import AlertMemory, Undelivered, load_memory, save_memory
from farm.daemon.alerting.delivery import deliver, receiver_names
from farm.home import Home
from farm.serve import notices
from farm.view.status import Status

log = logging.getLogger("farmd")

LOOK_SECONDS = 1.0
SETTLE_SECONDS = 4.0
"""After a start of farmd: until then services and scheduler may not have been asked."""
KNOWN_SECONDS = 60.0
"""After a start of farmd: by then it has asked all nodes of a large room, and has looked at everything itself."""
MOST_WAITING = 64
"""Alerts that wait for one receiver; further ones are left out until there is room."""
PAUSES = (2.0, 10.0)
"""Seconds before the second and the third attempt, which is the last."""


class Dispatcher:
    """Alerts for the receivers in farm.yaml; ``problem`` says in a sentence what has failed, empty: nothing has."""

    def __init__(self, home: Home, receivers: list[AlertConfig], status: Callable[[], Status]) -> None:
        self._home, self._status = home, status
        self._memory = load_memory(home)
        self._held = Held(self._memory.told)
        self._earlier: frozenset[str] | None = frozenset(self._memory.told)
        names = receiver_names(receivers)
        self._queues = [(*each, asyncio.Queue[Alert](MOST_WAITING)) for each in zip(names, receivers, strict=True)]
        self._failures = {name: each for name, each in self._memory.failures.items() if name in names}

    @property
    def problem(self) -> str:
        """What is wrong with the delivery of alerts."""
        for name, failure in self._failures.items():
            return f"{name} did not get an alert ({failure.event}): {failure.why}"
        return ""

    async def run(self) -> None:
        """Look and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, config, queue in self._queues:
                group.create_task(self._tell(name, config, queue))
            started = time.monotonic()
            await asyncio.sleep(SETTLE_SECONDS)
            while True:
                if time.monotonic() - started >= KNOWN_SECONDS:
                    self._earlier = None
                self._look(await asyncio.to_thread(notices.take, self._home))
                await self._write_down()
                await asyncio.sleep(LOOK_SECONDS)

    def _look(self, news: Sequence[notices.Notice]) -> None:
        status = self._status()
        now = time.time()
        self._held, alerts = step(self._held, status, now, self._earlier)
        for notice in news:
            if notice.event == "delivered":
                self._failures.pop(notice.about, None)
            else:
                text, about, fix = notice.text, notice.about, notice.fix
                alerts.append(alert(notice.event, status.farm, notice.time, text, about=about, fix=fix))
        for each in alerts:
            for name, config, queue in self._queues:
                if not config.events or each.event in config.events:
                    self._put(name, queue, each)

    def _put(self, name: str, queue: asyncio.Queue[Alert], each: Alert) -> None:
        try:
            queue.put_nowait(each)
        except asyncio.QueueFull:
            why = f"{MOST_WAITING} alerts wait already, so it was left out."
            self._failures[name] = Undelivered(each.event, why, time.time())

    async def _tell(self, name: str, config: AlertConfig, queue: asyncio.Queue[Alert]) -> None:
        while True:
            each = await queue.get()
            for pause in (*PAUSES, None):
                why = await deliver(config, each)
                if not why or pause is None:
                    break
                await asyncio.sleep(pause)
            if why:
                log.warning("%s did not get the alert %s (%s): %s", name, each.event, each.about, why)
                self._failures[name] = Undelivered(each.event, why, time.time())
            else:
                self._failures.pop(name, None)

    async def _write_down(self) -> None:
        memory = AlertMemory(dict(self._held.told), dict(self._failures))
        if memory != self._memory:
            with contextlib.suppress(OSError):  # that the disk is full, others say
                await asyncio.to_thread(save_memory, self._home, memory)
                self._memory = memory
