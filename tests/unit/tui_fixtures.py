"""A farm that stands still: machines in all stages, submitters; and an attachment that replays it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterable

from msgspec.structs import replace

from farm.attach import ACTIONS, Action, Lost
from farm.errors import FarmError
from farm.history.build_records import Build, BuildDetail, NodeHour, NodeShare
from farm.history.log_in_records import LogInRecord
from farm.view.live import Delta, Live, Snapshot, Update
from farm.view.status import (
    CompileStatus,
    HostStatus,
    NodeStatus,
    Overview,
    SchedulerStatus,
    ServiceStatus,
    SessionStatus,
    Status,
)
from farm.watch.events import Stage
from farm.watch.node_telemetry import (
    CompileTold,
    HeldEnvironment,
    LoggedIn,
    LogInTold,
    Memory,
    Overlay,
    Processors,
    SessionTold,
    Telemetry,
    Traffic,
)
from farm.watch.state import Reading
from tests.unit.tui_records import ALICE, BOB, NOW, build_detail, builds, desk_jobs, ended, jobs, log_ins, samples

__all__ = ["ALICE", "BOB", "NOW", "build_detail", "builds", "ended", "jobs", "log_ins", "samples"]

# Clock times in pictures must be the same everywhere.
os.environ["TZ"] = "UTC"
time.tzset()

IMAGE, OLDER = "20251230-1", "20251201-3"
PLATFORM = "x86_64"
HOSTILE = "\x1b[31m[bold red]evil[/] [@click=app.quit]x[/] \u202e⚠️日本"
"""What a stranger may call a node or a file, before it is cleaned."""


def host(name: str, address: str, **fields: object) -> HostStatus:
    """A daemon's login; what is not said is what an idle node of eight slots has."""
    told: dict[str, object] = {
        "online": True,
        "since": NOW - 4000,
        "logins": 1,
        "slots": 8,
        "no_remote": False,
        "load": 120,
        "speed": 85.5,
        "platform": PLATFORM,
        "protocol": 44,
        "features": ("env_xz", "env_zstd"),
        "load_averages": (1.2, 1.1, 0.9),
        "free_memory": 6200,
        "installing": 0.0,
        "blocked": False,
        "jobs_running": 0,
        "jobs_done": 0,
        "jobs_failed": 0,
        "jobs_local": 0,
        "jobs_pending": 0,
        "jobs_submitted": 0,
        "jobs_fallback": 0,
        "local_running": 0,
        "busy_ms": 0,
        "last": NOW - 3,
    }
    return HostStatus(name=name, address=address, **(told | fields))  # type: ignore[arg-type]


def telemetry(name: str, mac: str, cpu: float) -> Telemetry:
    """What a node's agent says."""
    return Telemetry(
        farm="lab",
        name=name,
        mac=mac,
        uptime=4100.0,
        image=IMAGE,
        version="1",
        cpu=Processors([cpu] * 8),
        load=[3.5, 3.1, 2.0],
        memory=Memory(total=16 << 30, available=11 << 30),
        overlay=Overlay(total=8 << 30, used=700 << 20),
        network=Traffic("eth0", 5 << 30, 2 << 30),
        temperatures={"coretemp": 61.0},
    )


TOLD = CompileTold(ready=True, slots=8, environments=[HeldEnvironment("gcc-12-x86_64", 210 << 20)])

BOOT = {
    Stage.POWERED: NOW - 4060,
    Stage.LOADER: NOW - 4055,
    Stage.KERNEL: NOW - 4050,
    Stage.ROOT: NOW - 4041,
    Stage.AGENT: NOW - 4025,
    Stage.REGISTERED: NOW - 4020,
    Stage.READY: NOW - 4019,
}


def _machine(
    number: int, name: str, stage: Stage, since: float, login: HostStatus | None, cpu: float | None = None
) -> NodeStatus:
    mac = f"52:54:00:00:00:{number:02x}"
    reached = {
        other: at
        for other, at in BOOT.items()
        if stage is Stage.LOST or (stage is not Stage.OFF and other.rank <= stage.rank)
    }
    return NodeStatus(
        key=mac,
        name=name,
        mac=mac,
        address="" if stage is Stage.OFF else f"10.0.0.{10 + number}",
        stage=stage,
        since=since,
        stages=reached,
        uptime={"kernel": 0.0, "root": 8.5, "agent": 24.0} if cpu is not None else {},
        fetched=0 if stage is Stage.OFF else 61 << 20,
        verified=cpu is not None,
        known=True,
        image="" if stage is Stage.OFF else OLDER if number == 2 else IMAGE,
        outdated=number == 2,
        compile=CompileStatus(login, None if cpu is None else TOLD),
        telemetry=None if cpu is None else telemetry(name, mac, cpu),
    )


def with_login(node: NodeStatus, **changes: object) -> NodeStatus:
    """A node that is, or was, logged in, with its log-in changed."""
    assert node.compile is not None
    assert node.host is not None
    return replace(node, compile=replace(node.compile, host=replace(node.host, **changes)))


def _daemon(login: HostStatus) -> NodeStatus:
    return NodeStatus(
        key=f"{login.name}@{login.address}",
        name=login.name,
        address=login.address,
        stage=Stage.READY if login.online else Stage.LOST,
        since=login.since,
        compile=CompileStatus(login),
    )


def nodes() -> list[NodeStatus]:
    """Six machines of the farm, a node that is none, two submitters."""
    a1 = host("node-a1", "10.0.0.11", jobs_running=4, jobs_done=812, jobs_failed=3, load=640, busy_ms=900_000)
    a2 = host("node-a2", "10.0.0.12", jobs_done=655, speed=62.0, last=NOW - 90)
    b2 = host("node-b2", "10.0.0.14", online=False, since=NOW - 130, jobs_done=40)
    c1 = host("node-c1", "10.0.0.15", load=1000, jobs_done=5, free_memory=90)
    return [
        _machine(1, "node-a1", Stage.READY, NOW - 4019, a1, 71.5),
        _machine(2, "node-a2", Stage.READY, NOW - 4019, a2, 3.0),
        _machine(3, "node-b1", Stage.KERNEL, NOW - 12, None),
        _machine(4, "node-b2", Stage.LOST, NOW - 130, b2),
        _machine(5, "node-c1", Stage.REGISTERED, NOW - 45, c1, 96.0),
        _machine(6, "node-c2", Stage.OFF, 0.0, None),
        _daemon(host("oldbox", "10.0.0.90", slots=4, jobs_running=2, jobs_done=99, protocol=37, features=())),
        _daemon(
            host("alice-pc", "10.0.0.101", slots=0, jobs_submitted=1400, jobs_local=80, local_running=1, jobs_pending=1)
        ),
        _daemon(
            host("bob-pc", "10.0.0.102", slots=0, no_remote=True, jobs_submitted=215, jobs_pending=2, jobs_fallback=3)
        ),
    ]


def services() -> list[ServiceStatus]:
    """All up but one."""
    return [
        *(
            ServiceStatus(name, "RUNNING", True, False, 100 + number, NOW - 5000, "")
            for number, name in enumerate(("aoe-1", "dnsmasq", "farmd", "nginx", "scheduler"))
        ),
        ServiceStatus("iceccd", "FATAL", False, False, 0, NOW - 20, "Exited too quickly"),
    ]


def overview() -> Overview:
    """A farm with one service down."""
    return Overview(
        farm="lab",
        farmd=True,
        started=NOW - 5000,
        interface="eth1",
        server="10.0.0.1",
        image=IMAGE,
        images={"icecream-node": IMAGE},
        services=services(),
        scheduler=SchedulerStatus(
            up=True, address="10.0.0.1:8765", netname="lab", since=NOW - 4990, why="", protocol=44
        ),
        problems=["The service iceccd is down (fatal). Its log: farm logs iceccd"],
    )


def snapshot() -> Snapshot:
    """All of it."""
    return Snapshot(time=NOW, overview=overview(), nodes=nodes(), jobs=jobs(), ended=ended(), samples=samples())


def with_desks() -> Delta:
    """Desks besides."""
    return Delta(time=NOW, nodes=desks(), jobs=desk_jobs())


def scheduler_down() -> Delta:
    """The scheduler is gone."""
    now = overview()
    down = replace(now.scheduler, up=False, since=NOW, why="Connection refused.")
    problem = "The scheduler does not answer. Connection refused. Its log: farm logs scheduler"
    return Delta(time=NOW + 1, overview=replace(now, scheduler=down, problems=[problem]))


def live() -> Live:
    """The farm as a watcher knows it."""
    known = Live()
    known.apply(snapshot())
    return known


def desks() -> list[NodeStatus]:
    """Two thin clients, at one somebody sits, at the other the last log-in has failed; and a fat client in use."""
    server, silent = "10.0.0.1", "The server 10.0.0.1 does not answer."
    said = [LogInTold(NOW - 1260, "carol", server, silent), LogInTold(NOW - 1200, "carol", server)]
    extras: dict[str, object] = {
        "sound": {"running": True, "output": "HDA Intel", "volume": 90},
        "sticks": {"sticks": [{"label": "PHOTOS", "size": 4 << 30, "filesystem": "vfat", "state": "shared"}]},
        "printers": {"devices": [{"model": "LaserJet 1020", "device": "/dev/usb/lp0", "port": 9100, "busy": False}]},
    }
    used = SessionTold(
        ready=True,
        kind="thin",
        users=[LoggedIn("carol", NOW - 1195)],
        server=server,
        round_trip=0.0004,
        log_ins=said,
        extras=extras,
    )
    free = SessionTold(ready=True, kind="thin", greeter=True, log_ins=[LogInTold(NOW - 90, "dave", server, silent)])
    found = []
    for number, told in ((0x21, used), (0x22, free)):
        node = _machine(number, f"desk-{number - 0x20}", Stage.READY, NOW - 4019, None, 3.0)
        uptime = {**node.uptime, "greeter": 31.5, "session": 2859.0}
        stages = {stage: at for stage, at in node.stages.items() if stage is not Stage.REGISTERED}
        found.append(replace(node, compile=None, session=SessionStatus(told), uptime=uptime, stages=stages))
    return [*found, fat_desk()]


def fat_desk() -> NodeStatus:
    """A fat client: somebody works there, and it compiles in half of its slots."""
    login = host("desk-3", "10.0.0.45", slots=4, jobs_running=2, jobs_done=12, load=300)
    node = _machine(0x23, "desk-3", Stage.READY, NOW - 4019, login, 47.0)
    told = SessionTold(
        ready=True, kind="fat", users=[LoggedIn("erin", NOW - 2995)], server="10.0.0.1", round_trip=0.0006
    )
    agent = replace(TOLD, offered=4, in_use=True)
    uptime = {**node.uptime, "greeter": 33.0, "session": 1035.0}
    return replace(node, compile=CompileStatus(login, agent), session=SessionStatus(told), uptime=uptime)


class FakeAttachment:
    """Replays updates, then those that are pushed; notes what it is told to do."""

    def __init__(
        self,
        updates: Iterable[Update | Lost] | None = None,
        *,
        actions: Iterable[Action] = ACTIONS,
        title: str = "farm lab",
        is_farm: bool = True,
    ) -> None:
        self.title, self.is_farm = title, is_farm
        self.actions = frozenset(actions)
        self.done: list[tuple[str, str]] = []
        """Action and node, or ``switch`` and image."""
        self.error: FarmError | None = None
        """Raised by whatever is asked, when set."""
        self.closed = False
        self._queue: asyncio.Queue[Update | Lost] = asyncio.Queue()
        for update in (snapshot(),) if updates is None else updates:
            self._queue.put_nowait(update)

    def push(self, update: Update | Lost) -> None:
        """Have it come next."""
        self._queue.put_nowait(update)

    async def updates(self) -> AsyncGenerator[Update | Lost, None]:
        try:
            while True:
                yield await self._queue.get()
        finally:
            self.closed = True

    async def status(self) -> Status:
        raise FarmError("Nobody asks for it here.")

    async def readings(self, key: str) -> list[Reading]:
        self._check()
        if key != nodes()[0].key:
            return []
        return [
            Reading(
                NOW - 300 + 5 * number,
                40.0 + number % 30,
                (11 << 30) - (number << 20),
                700 << 20,
                number << 24,
                number << 22,
            )
            for number in range(60)
        ]

    async def builds(self, limit: int = 100, submitter: str | None = None, since: float | None = None) -> list[Build]:
        self._check()
        return builds()[:limit]

    async def build(self, id: int) -> BuildDetail:
        self._check()
        return build_detail(id)

    async def log_ins(self, limit: int = 100, since: float = 0.0) -> list[LogInRecord]:
        self._check()
        return [each for each in log_ins() if each.lasts or each.ended >= since][:limit]

    async def node_hours(self, hours: int = 24) -> list[NodeHour]:
        self._check()
        hour = int(NOW) // 3600 * 3600
        return [
            NodeHour(hour - 3600 * back, NodeShare("node-a1", 100 * back, 1, 90_000, 9_000_000)) for back in range(3)
        ]

    async def act(self, action: Action, node: NodeStatus) -> str:
        self._check()
        self.done.append((action, node.name))
        return f"{action} of {node.name} is done."

    async def switch_image(self, image: str) -> str:
        self._check()
        self.done.append(("switch", image))
        return f"Next boots get {image}."

    async def images(self) -> list[str]:
        self._check()
        return [IMAGE, OLDER]

    def _check(self) -> None:
        if self.error:
            raise self.error
