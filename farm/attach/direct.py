"""Any icecream scheduler, watched from this process: no farm, no farmd, no configuration, no root."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

from farm.attach import Action, Lost
from farm.errors import FarmError
from farm.history.build_history import BuildHistory
from farm.history.build_records import Build, BuildDetail, NodeHour
from farm.history.log_in_records import LogInRecord
from farm.nodes import blocking
from farm.scheduler import discovery
from farm.scheduler.channel import ProtocolError
from farm.scheduler.connection import SCHEDULER_SILENCE_SECONDS, SchedulerLostError
from farm.scheduler.control import list_nodes
from farm.scheduler.monitor import SETTLE_SECONDS, Seeded
from farm.view.from_state import bare_overview, build_bare
from farm.view.live import Update, delta, snapshot
from farm.view.status import NodeStatus, Status
from farm.watch import scheduler_source
from farm.watch.activity import Tick
from farm.watch.events import Event, SchedulerSaid
from farm.watch.state import Farm, Reading, fold, initial

UPDATE_SECONDS = 0.5


class Direct:
    """A scheduler at ``host``:``port``; its history lasts as long as the watching does."""

    is_farm = False
    actions: frozenset[Action] = frozenset(("block", "unblock", "kick"))

    def __init__(self, host: str, port: int, netname: str = "") -> None:
        self.host, self.port, self.netname = host, port, netname
        self.title = f"{netname or 'scheduler'} at {host}:{port}"
        self.farm: Farm = initial("", {})
        self._history = BuildHistory(None)
        self._answered = asyncio.Event()
        """The scheduler was reached, or was found to be away."""
        self._seeded = asyncio.Event()
        """It has told of the jobs in flight."""

    def _publish(self, event: Event) -> None:
        before = self.farm.activity.count
        self.farm = fold(self.farm, event)
        if self.farm.activity.scheduler.since:
            self._answered.set()
        if isinstance(event, SchedulerSaid) and isinstance(event.event, Seeded):
            self._seeded.set()
        if self.farm.activity.count != before:
            self._history.record(self.farm.activity, before)
        if type(event) is SchedulerSaid and type(event.event) is Tick:
            self._history.tick(self.farm.activity, event.time)

    @contextlib.asynccontextmanager
    async def _watching(self, *, once: bool = False) -> AsyncIterator[None]:
        """The sources run inside; ``once``: only those that a single look needs."""

        def look() -> Farm:
            return self.farm

        parts: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            "scheduler": lambda: scheduler_source.watch_scheduler(self.host, self.port, self._publish),
        }
        if not once:
            parts |= {
                "control": lambda: scheduler_source.poll_control(self.host, self.port, look, self._publish),
                "tick": lambda: scheduler_source.tick(self._publish),
                "answers": lambda: scheduler_source.watch_answers(self.host, self.port, self._publish),
                "rivals": self._look_for_rivals,
            }
        tasks = [asyncio.create_task(scheduler_source.keep(name, part), name=name) for name, part in parts.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_for_rivals(self) -> None:
        """Under the netname, which a scheduler tells whoever looks for one."""
        while not self.netname:
            if found := await discovery.discover(self.port, host=self.host):
                self.netname = found[0].netname
            await asyncio.sleep(scheduler_source.STATE_TICK_SECONDS)
        await scheduler_source.look_for_rivals(self.host, self.port, self.netname, self._publish)

    async def updates(self) -> AsyncGenerator[Update | Lost, None]:
        """A snapshot, then twice a second what has changed."""
        async with self._watching():
            old, old_overview = self.farm, bare_overview(self.farm, self.netname)
            yield snapshot(old, old_overview, time.time())
            while True:
                await asyncio.sleep(UPDATE_SECONDS)
                new = self.farm
                overview = bare_overview(new, self.netname)
                yield delta(old, new, old_overview, overview, time.time())
                old, old_overview = new, overview

    async def status(self) -> Status:
        """One look. Raises FarmError when the scheduler does not answer."""
        async with self._watching(once=True):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SCHEDULER_SILENCE_SECONDS):
                    await self._answered.wait()
            await self.settled()
            if not self.farm.activity.scheduler.up:
                raise self.away()
        return build_bare(self.farm, self.netname)

    def away(self) -> FarmError:
        """That the scheduler does not answer, and why."""
        return FarmError(
            f"The scheduler at {self.host}:{self.port} does not answer.",
            self.farm.activity.scheduler.why or f"No message arrived within {SCHEDULER_SILENCE_SECONDS:.0f} s.",
            "Check the address, and that icecc-scheduler runs there: systemctl status icecc-scheduler",
        )

    async def settled(self) -> None:
        """Wait until the jobs in flight are known too, which a scheduler tells when asked besides."""
        await asyncio.sleep(SETTLE_SECONDS)
        if self.farm.activity.scheduler.up and (self.farm.activity.hosts or await self._has_daemons()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SCHEDULER_SILENCE_SECONDS):
                    await self._seeded.wait()

    async def _has_daemons(self) -> bool:
        """Whether there are any, as the control port says: a busy scheduler may be late to tell of them unasked."""
        with contextlib.suppress(SchedulerLostError, ProtocolError):
            return bool(await list_nodes(self.host, self.port))
        return False

    async def readings(self, key: str) -> list[Reading]:
        """None: only nodes of a farm of ours measure."""
        return []

    async def builds(self, limit: int = 100, submitter: str | None = None, since: float | None = None) -> list[Build]:
        """Those seen since the watching began."""
        return self._history.builds(limit, submitter, since)

    async def build(self, id: int) -> BuildDetail:
        """The build of this number, with its files and nodes."""
        return self._history.build(id)

    async def node_hours(self, hours: int = 24) -> list[NodeHour]:
        """Since the watching began."""
        return self._history.node_hours(hours)

    async def log_ins(self, limit: int = 100, since: float = 0.0) -> list[LogInRecord]:
        """None: a scheduler knows nothing of screens."""
        return []

    async def act(self, action: Action, node: NodeStatus) -> str:
        """Block, unblock or kick, by the scheduler's control port."""
        for order in blocking.ORDERS:
            if action == order:
                word = blocking.name_for_scheduler(
                    node, blocking.names(self.farm), self.farm.activity.scheduler.blocked
                )
                return await blocking.give(order, self.host, self.port, word)
        raise FarmError(
            f"The order {action} is not available for {node.name} here.",
            "Only a farm's own nodes accept it, and this scheduler is not part of a farm.",
            f"On the farm's server: farm node {action} {node.name}",
        )

    async def switch_image(self, image: str) -> str:
        """Always raises FarmError: a scheduler without a farm serves no images."""
        raise FarmError("There is no image to choose.", "This scheduler is not part of a farm.", "")

    async def images(self) -> list[str]:
        """No version, since a scheduler without a farm serves no images."""
        return []
