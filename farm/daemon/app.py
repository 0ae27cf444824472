"""farmd: folds what its sources see into the farm's state, and answers questions on a Unix socket.

Nothing that serves the farm depends on it: it may be killed at any time, and knows the boots again when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from aiohttp import web

from farm import watching
from farm.daemon import memory, sources
from farm.errors import FarmError
from farm.events import Event
from farm.home import Home
from farm.running import Running
from farm.state import Farm, fold, initial
from farm.view.status import build

log = logging.getLogger("farmd")

SAVE_SECONDS = 2.0


def known_machines(running: Running) -> dict[str, str]:
    """MAC → name of the machines that farm.yaml or the virtual lab names."""
    configured = {machine.mac: machine.name for machine in running.config.machines}
    return {**{machine.mac: machine.name for machine in running.machines}, **configured}


class Daemon:
    """One farm's watcher."""

    def __init__(self, home: Home, running: Running) -> None:
        self.home = home
        self.running = running
        self.farm: Farm = initial(running.config.name, known_machines(running), running.config.nodes.telemetry_port)
        self._logs = sources.BootLogs(home)
        self._memory = home.runtime / "farmd.json"

    def publish(self, event: Event) -> None:
        """Take an event into the state."""
        self.farm = fold(self.farm, event)

    def catch_up(self) -> None:
        """Learn from the logs, and from what an earlier farmd wrote down, what has happened so far; blocks."""
        for event in self._logs.read(time.time()):
            # Of boots before this `farm up` only the addresses are of use, for nodes that were left running.
            if event.stage is None or event.time >= self.running.started:
                self.publish(event)
        for remembered in memory.recall(self._memory):
            self.publish(remembered)

    async def run(self) -> None:
        """Watch and answer until cancelled."""
        await asyncio.to_thread(self.catch_up)
        config, look = self.running.config, lambda: self.farm
        host, port = config.server, config.scheduler.port
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "logs": lambda: sources.follow_boots(self._logs, self.publish),
            "services": lambda: sources.watch_services(self.home, self.publish),
            "scheduler": lambda: watching.watch_scheduler(host, port, self.publish),
            "control": lambda: watching.poll_control(host, port, look, self.publish),
            "rivals": lambda: watching.look_for_rivals(host, port, config.netname, self.publish),
            "tick": lambda: watching.tick(self.publish),
            "poke": lambda: sources.poke_scheduler(config, look),
            "discovery": lambda: sources.discover(config, self.publish),
            "telemetry": lambda: sources.poll_telemetry(look, self.publish),
            "memory": self._write_down,
        }
        async with self._answering(), asyncio.TaskGroup() as group:
            for name, part in parts.items():
                group.create_task(watching.keep(name, part), name=name)

    async def _write_down(self) -> None:
        written = b""
        while True:
            content = memory.remember(self.farm)
            if content != written:
                await asyncio.to_thread(memory.save, self._memory, content)
                written = content
            await asyncio.sleep(SAVE_SECONDS)

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_get("/status", self._status)
        application.router.add_get("/healthz", self._healthz)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(self.home.farmd_socket)).start()
            self.home.farmd_socket.chmod(0o666)  # it only answers, and says nothing that is not on the network
            yield
        finally:
            await runner.cleanup()

    async def _status(self, request: web.Request) -> web.Response:
        with contextlib.suppress(FarmError):  # `farm down` has taken the record away already
            self.running = await asyncio.to_thread(Running.load, self.home)
        body = msgspec.json.encode(build(self.farm, self.running))
        return web.Response(body=body, content_type="application/json")

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")


async def run(home: Home) -> None:
    """Run farmd until SIGTERM or SIGINT; raises FarmError when the farm is not up."""
    daemon = Daemon(home, Running.load(home))
    task = asyncio.create_task(daemon.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
