"""farmd: folds what its sources see into the state, remembers builds, and answers questions (`farm.daemon.routes`).

Nothing that serves the farm depends on it: it may be killed at any time, and knows the boots again when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from immutables import Map
from msgspec.structs import replace

from farm.daemon import access, guard, memory, printing, sources, telemetry_polls, watchdog
from farm.daemon.alerting.alert_events import OWN_CODE
from farm.daemon.alerting.dispatcher import Dispatcher
from farm.daemon.api_server import Serving, serving
from farm.daemon.door import raise_open_files
from farm.daemon.hub import Hub
from farm.errors import FarmError
from farm.errors.hints import hint
from farm.history.build_history import BuildHistory
from farm.history.log_in_history import LogInHistory
from farm.home import Home
from farm.instance import Instance
from farm.view.from_state import build, overview
from farm.view.status import Overview, Status
from farm.watch import scheduler_source
from farm.watch.activity import Tick
from farm.watch.events import Event, Finding, SchedulerSaid, TelemetryLost, TelemetrySeen
from farm.watch.state import Farm, addressed, fold, initial, resumed

log = logging.getLogger("farmd")
Shown = TypeVar("Shown", bound=Overview)

SAVE_SECONDS = 2.0
FLUSH_SECONDS = 1.0
PORT_SECONDS = 5.0
"""Between two attempts at the API's port."""
MAX_UNRECORDED = 4096
"""So many jobs may have ended before the history is told; the state keeps some more."""


def known_machines(instance: Instance) -> dict[str, str]:
    """MAC → name of the machines that farm.yaml or the virtual lab names."""
    configured = {machine.mac: machine.name for machine in instance.config.listed}
    return {**{machine.mac: machine.name for machine in instance.machines}, **configured}


class Daemon:
    """Watches one farm: feeds what its sources say into the state, the history and the API."""

    def __init__(self, home: Home, instance: Instance) -> None:
        self.home = home
        config = instance.config
        self.farm: Farm = initial(
            config.name,
            known_machines(instance),
            config.nodes.telemetry_port,
            kind=config.image_of(None),
            kinds={machine.mac: config.image_of(machine) for machine in config.listed},
            root=config.root_of(None),
            roots={machine.mac: config.root_of(machine) for machine in config.listed},
        )
        keep = instance.config.history
        self.history = BuildHistory(home.state / "history.db", days=keep.days, megabytes=keep.megabytes)
        self.log_ins = LogInHistory(home.state / "log-ins.json", days=keep.days)
        self.hub = Hub(lambda: (self.farm, self.overview()))
        self._instance = instance
        self._running_mark: tuple[int, int] | None = None
        self._recorded = 0
        """The number of the last ended job that the history was told of."""
        self._port_problem = self._memory_problem = ""
        self._logs = sources.BootLogs(home)
        self._alerts = Dispatcher(home, config.alerts, self.status)
        self._memory = home.runtime / "farmd.json"

    def publish(self, event: Event) -> None:
        """Take an event into the state."""
        try:
            farm = fold(self.farm, event)
        except Exception:
            # Most events say what somebody on the network has said: one that cannot be taken must not stop its source.
            log.exception("An event is left out: %.300r", event)
            return
        self.farm = farm
        if isinstance(event, TelemetrySeen | TelemetryLost):
            self._note_log_ins(event)
        if farm.activity.count - self._recorded >= MAX_UNRECORDED:
            self._record()
        if type(event) is SchedulerSaid and type(event.event) is Tick:
            self._record()
            self.history.tick(farm.activity, event.time)

    def _note_log_ins(self, event: TelemetrySeen | TelemetryLost) -> None:
        """Take what a machine tells of its screen into the history, if what it tells counts."""
        node = self.farm.nodes.get(event.mac)
        if node is None:
            return
        if isinstance(event, TelemetryLost):
            self.log_ins.lost(node.mac)
        elif event.roles.session and node.telemetry is event.telemetry:
            booted = event.time - event.telemetry.uptime
            self.log_ins.told(node.mac, node.name, event.roles.session, event.time, booted)

    def _record(self) -> None:
        activity = self.farm.activity
        if activity.count != self._recorded:
            self.history.record(activity, self._recorded)
            self._recorded = activity.count

    def instance(self) -> Instance:
        """The farm as it was brought up, or changed since; as it last was when `farm down` has taken it away."""
        with contextlib.suppress(OSError):
            found = Instance.path(self.home).stat()
            mark = (found.st_ino, found.st_mtime_ns)
            if mark != self._running_mark:
                with contextlib.suppress(FarmError):
                    self._instance = Instance.load(self.home)
                self._running_mark = mark
        return self._instance

    def status(self) -> Status:
        """All that is known but jobs."""
        return self._with_own(build(self.farm, self.instance()))

    def overview(self) -> Overview:
        """The same without nodes."""
        return self._with_own(overview(self.farm, self.instance()))

    def _with_own(self, shown: Shown) -> Shown:
        """Troubles of farmd itself are added."""
        troubles = (
            ("history", self.history.problem),
            ("log-ins", self.log_ins.problem),
            ("memory", self._memory_problem),
            ("boot-logs", self._logs.problem),
            ("api-port", self._port_problem),
            (OWN_CODE, self._alerts.problem),
        )
        own = [Finding(code, text, hint("Its log: farm logs farmd"), "farmd") for code, text in troubles if text]
        sentences = [*shown.problems, *(each.sentence for each in own)]
        return replace(shown, problems=sentences, findings=[*shown.findings, *own]) if own else shown

    def catch_up(self) -> None:
        """Learn from what an earlier farmd wrote down, and from the logs, what has happened so far; blocks."""
        started = self._instance.started
        if machines := memory.recall_machines(self._memory):
            nodes = machines.nodes
            if machines.started != started:
                nodes = [addressed(self.farm, node) for node in nodes if node.address]
            self.farm = replace(resumed(self.farm, nodes), claims=Map(machines.claims))
            self._logs = sources.BootLogs(self.home, machines.seen)
        for event in self._logs.read(time.time()):
            # Of boots before this `farm up` only the addresses are of use, for nodes that were left running.
            if event.time < started and event.boot_id:
                event = replace(event, stage=None)
            if (event.stage is None and not event.refused) or event.time >= started:
                self.publish(event)
        self._logs.taken()
        for remembered in memory.recall(self._memory):
            self.publish(remembered)

    async def run(self) -> None:
        """Watch and answer until cancelled."""
        await asyncio.to_thread(self.catch_up)
        await asyncio.to_thread(self.history.flush)  # builds go on that were open when an earlier farmd ended
        await asyncio.to_thread(self.log_ins.load)
        config, look = self._instance.config, lambda: self.farm
        host, port = config.scheduler_host, config.scheduler.port
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "logs": lambda: sources.follow_boots(self._logs, self.publish),
            "leases": lambda: sources.watch_leases(self.home, look, self.publish),
            "reopen": lambda: sources.reopen_logs(self.home),
            "services": lambda: sources.watch_services(self.home, self.publish),
            "answers": lambda: watchdog.watch_answers(self.home, self.instance, look, self.publish),
            "ground": lambda: watchdog.watch_ground(self.home, self.instance, self.publish),
            "strangers": lambda: guard.refuse_strangers(self.home, self.instance, look, self.publish),
            "newcomers": lambda: guard.try_newcomers(look, self.publish),
            "dhcp": lambda: watchdog.watch_dhcp(self.instance, self.publish),
            "printing": lambda: printing.keep_queues(self.home, self.instance, look),
            "orders": lambda: sources.watch_orders(self.home, self.publish),
            "scheduler": lambda: scheduler_source.watch_scheduler(host, port, self.publish),
            "control": lambda: scheduler_source.poll_control(host, port, look, self.publish),
            # On the lab's interface alone: other networks of this machine are no business of the farm's.
            "rivals": lambda: scheduler_source.look_for_rivals(
                host, port, config.netname, self.publish, self._instance.interface
            ),
            "tick": lambda: scheduler_source.tick(self.publish),
            "poke": lambda: sources.poke_scheduler(config, look),
            "discovery": lambda: sources.discover(config, self.publish),
            "telemetry": lambda: telemetry_polls.poll(look, self.publish),
            "memory": self._write_down,
            "history": self._keep_history,
            "live": self.hub.run,
            **({"alerts": self._alerts.run} if config.alerts else {}),
        }
        try:
            async with serving(self) as api, asyncio.TaskGroup() as group:
                parts["socket"] = lambda: api.at_path(self.home.farmd_socket)
                if config.api.port:
                    parts["api"] = lambda: self._serve_network(api)
                for name, part in parts.items():
                    group.create_task(scheduler_source.keep(name, part), name=name)
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(memory.save, self._memory, self._remembered())
            self._record()
            await asyncio.to_thread(self.log_ins.flush)
            await asyncio.to_thread(self.history.close)

    def _remembered(self) -> bytes:
        return memory.remember(self.farm, self._instance.started, self._logs.seen)

    async def _write_down(self) -> None:
        written = b""
        while True:
            content = self._remembered()
            if content != written:
                try:
                    await asyncio.to_thread(memory.save, self._memory, content)
                except OSError as error:
                    self._memory_problem = (
                        f"farmd cannot save its state: {error.strerror or error}. A restart of farmd would lose some "
                        "of "
                        f"it. Free some disk space: df -h {self._memory.parent}"
                    )
                else:
                    written, self._memory_problem = content, ""
            await asyncio.sleep(SAVE_SECONDS)

    async def _keep_history(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await asyncio.to_thread(self.history.flush)
            await asyncio.to_thread(self.log_ins.flush)

    async def _serve_network(self, api: Serving) -> None:
        """The API on the lab's network; tried again when the port is not to be had."""
        config = self._instance.config
        while True:
            self._port_problem = ""
            try:
                access.token(self.home)
                await api.at_port(config.server, config.api.port)
            except OSError as error:
                self._port_problem = f"The API is not available on the network: {error.strerror or error}."
            await asyncio.sleep(PORT_SECONDS)


async def run(home: Home) -> None:
    """Run farmd until SIGTERM or SIGINT; raises FarmError when the farm is not up."""
    raise_open_files()
    daemon = Daemon(home, Instance.load(home))
    task = asyncio.create_task(daemon.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
