"""One node, whole: what it compiles, how it does, how it booted, and why it is idle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean

from msgspec import Struct
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from farm.attach import Attachment
from farm.errors import FarmError
from farm.view.boot import marks
from farm.view.desks import nearly_full, offer_words, session_kind_words
from farm.view.live import Live
from farm.view.roles import Idle
from farm.view.session_words import extra_lines, round_trip_words
from farm.view.status import HostStatus, NodeStatus
from farm.view.wording import clock_words, count, duration, milliseconds, size
from farm.watch.activity import Job, JobPlace, JobState
from farm.watch.events import BOOT_STAGES
from farm.watch.node_telemetry import SessionTold
from farm.watch.state import NO_JOBS, Reading
from tui import state_words
from tui.base_view import Detail
from tui.links import Follow, JobTarget
from tui.node_jobs import NodeJobs
from tui.page import Page, sheet
from tui.submitters import sign
from tui.widgets.columns import Column
from tui.widgets.graph import Graph, Series
from tui.widgets.lines import Cell, Tone
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable

READING_SECONDS = 5.0
"""Agents are asked so often."""
READINGS_SPAN = 900.0
SHOWN_LOG_INS = 6
"""The last ones at the machine; the tab Sessions has all."""
Line = tuple[str, str]


class Slot(Struct, frozen=True):
    """A slot and what runs in it."""

    number: int
    job: Job | None


CANARY_FACTS = {
    "right": "the same object as the server's",
    "wrong": "DIFFERENT OBJECT than the server's",
    "none": "no object: busy, or no compiler fits",
}


def slots(node: NodeStatus, live: Live) -> list[Slot]:
    """All slots of a node, busy or not, those of its spare daemon last; then jobs that it compiles for itself."""
    lanes: list[Job | None] = []
    own: list[Job] = []
    for login in node.logins:
        if login.online:
            running = [job for job in live.jobs.values() if job.node == login.key and job.state is JobState.RUNNING]
            taken = {job.slot: job for job in running if job.place in (JobPlace.REMOTE, JobPlace.OWN)}
            lanes += [taken.get(lane) for lane in range(max(login.slots, max(taken, default=-1) + 1))]
            own += [job for job in running if job.place not in (JobPlace.REMOTE, JobPlace.OWN)]
    return [Slot(number, job) for number, job in enumerate([*lanes, *own])]


def facts(node: NodeStatus, now: float) -> list[Line]:
    """What is known of a node besides its jobs."""
    host, told = node.host, node.telemetry
    word, _ = state_words.stage_words(node)
    since = f" for {duration(now - node.doing_since)}" if node.doing_since else ""
    lines = [("stage", f"{word}{since}"), ("address", node.address), ("MAC", node.mac)]
    if node.session is not None and node.session.agent is not None:
        lines += screen_lines(node.session.agent, now)
    lines.append(("offers", offer_words(node)))
    if host is not None:
        lines += _login(host, now)
    if node.image:
        lines.append(("image", node.image + (", its next boot gets another one" if node.outdated else "")))
    if told is not None:
        full = " ▲ nearly used up" * nearly_full(node)
        lines += [
            ("processors", f"{len(told.cpu.percent)}, {fmean(told.cpu.percent or [0]):.0f} % in use"),
            ("load average", " ".join(f"{each:.2f}" for each in told.load)),
            ("memory", f"{size(told.memory.available)} free of {size(told.memory.total)}{full}"),
            ("RAM disk", f"{size(told.overlay.used)} written of {size(told.overlay.total)}"),
            ("network", f"{told.network.nic} {size(told.network.received)} in, {size(told.network.sent)} out"),
            ("up", duration(told.uptime)),
        ]
        lines += [("environment", f"{each.name}, {size(each.bytes)}") for each in (node.environments or [])[:4]]
        lines += [("temperature", f"{name} {degrees:.0f} °C") for name, degrees in [*told.temperatures.items()][:4]]
    elif host is not None and host.free_memory is not None:
        lines.append(("memory", f"{host.free_memory} MiB free"))
    return [(name, value) for name, value in lines if value]


def _login(host: HostStatus, now: float) -> Iterable[Line]:
    """What the scheduler knows; of a daemon that is not logged in, what does not end with the login."""
    if host.online:
        yield "slots", f"{host.jobs_running} of {host.slots} busy" + ", takes no jobs from others" * host.no_remote
        yield "load", f"{host.load} of {NO_JOBS}" + ": gets no jobs" * (host.load >= NO_JOBS)
    yield "speed", f"{host.speed:.0f}" if host.speed else "never measured"
    yield "jobs", f"{host.jobs_done} done, {host.jobs_failed} failed"
    yield "submitted", f"{host.jobs_submitted}, {host.jobs_local} local, {host.jobs_fallback} after a failure"
    if host.canary:
        yield "canary", CANARY_FACTS[host.canary]
    yield "platform", host.platform
    yield "protocol", f"{host.protocol}" + (f" ({', '.join(host.features)})" if host.features else "")
    last = "none since" if not host.online else "the last before" if host.found else "the last"
    yield "logins", f"{'at least ' * host.logins_missed}{host.logins}, {last} {state_words.clock(host.since)}"
    if host.installing:
        yield "environment", f"receiving or unpacking one for {duration(now - host.installing)}"


def screen_lines(told: SessionTold, now: float) -> Iterable[Line]:
    """Who is at the screen of a machine, how far away the server is, what is plugged in, and the last log-ins."""
    for user in told.users:
        yield "logged in", f"{user.name} for {duration(now - user.since)}, since {clock_words(user.since, now)}"
    yield "sessions", session_kind_words(told.kind)
    yield "server", told.server
    if told.round_trip is not None:
        yield "round trip", f"{round_trip_words(told.round_trip)} to the server and back"
    yield from extra_lines(told.extras)
    if lost := told.unsaved:
        yield "log-out", f"{clock_words(lost.at, now)} {lost.user}: {lost.said}"
    for each in reversed(told.log_ins[-SHOWN_LOG_INS:]):
        yield "log-in", f"{clock_words(each.at, now)} {each.user or 'no name'}: {each.failed or 'succeeded'}"


def boot_lines(node: NodeStatus) -> list[Line]:
    """The stages of the present boot, each with its hour and how long it took to come to it."""
    reached = [(stage, node.stages[stage]) for stage in BOOT_STAGES if stage in node.stages]
    if not reached:
        return []
    first = reached[0][1]
    steps = [*((str(stage), at) for stage, at in reached), *marks(node)]
    lines = [(name, f"{state_words.clock(at)}  +{max(0.0, at - first):.1f} s") for name, at in steps]
    if node.uptime:
        noted = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in node.uptime.items())
        lines.append(("own record", f"{noted} after its kernel started"))
    if node.fetched:
        lines.append(("fetched", f"{size(node.fetched)} of kernel, initrd and scripts"))
    return lines


def idle_text(node: NodeStatus, reason: Idle | None) -> Content:
    """Why it is idle, and what mends it."""
    running = node.host.jobs_running if node.host and node.host.online else 0
    if reason is None and node.users:
        beside = f", compiling: {count(running, 'job')}" if running else ""
        return Content.styled(f"● in use: {count(len(node.users), 'session')}{beside}", "$text-success")
    if reason is None:
        return Content.styled(f"● compiling: {count(running, 'job')}", "$text-success")
    parts = [
        Content.assemble(("Why it is idle: ", "bold"), clean(reason.why), (f" [{reason.code}]", "$foreground-muted"))
    ]
    if reason.mend:
        parts.append(Content.assemble(("→ ", "bold $text-success"), clean(reason.mend)))
    return Content("\n").join(parts)


def short_size(number: float) -> str:
    """Bytes in four or five cells: 700M, 10.9G."""
    for unit in ("", "K", "M", "G"):
        if number < 1000:
            return f"{number:.0f}{unit}" if number >= 100 or number == int(number) else f"{number:.1f}{unit}"
        number /= 1024
    return f"{number:.1f}T"


def rates(readings: Sequence[Reading]) -> list[tuple[float, float]]:
    """Bytes a second over the boot NIC, both ways; a reboot begins anew."""
    return [
        (new.time, max(0.0, new.received + new.sent - old.received - old.sent) / (new.time - old.time))
        for old, new in pairwise(readings)
        if new.time > old.time
    ]


class NodeDetail(Detail):
    """A node by its key; it may go, come back and change while it is looked at."""

    AUTO_FOCUS = ""
    """None by itself: the page around the table would get it first, and all that is on it another style, twice."""
    TITLE = "A node"
    ABOUT = (
        "The slots and their files, the machine's part of the timeline, and its last jobs; enter or a click opens a "
        "job. Of a desk who is logged in, the server and the time to it and back, sound, sticks "
        "and printers, and the last log-ins. Graphs of the measurements of the node's agent in the last 15 minutes "
        "(only nodes of a farm have an agent); how the node booted; and why it is idle, if it is."
    )
    DEFAULT_CSS = """
    NodeDetail {
        background: $surface;
        & #why { height: auto; padding: 0 1; background: $surface; }
        & NodeJobs { margin-bottom: 1; }
        & #graphs { height: 9; }
        & #graphs > Graph { width: 1fr; margin-right: 1; }
        & #graphs.-none { display: none; }
        & #columns { height: auto; }
        & #columns > Vertical { width: 1fr; height: auto; padding: 0 1; }
        & #columns Static { height: auto; }
        & #columns .title { text-style: bold underline; }
        &.-narrow #columns { layout: vertical; }
        &.-narrow #graphs { height: 12; layout: vertical; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live, key: str) -> None:
        super().__init__(attachment, live)
        self.subject = "node", key
        self._key = key
        self._node = live.nodes.get(key)
        self._now = 0.0
        self._texts: dict[str, Content] = {}
        self._lists: dict[str, Sequence[Line]] = {}
        self._readings: list[Reading] = []
        self._table = self._slot_table()
        self._table.display = self._node is None or _compiles(self._node)
        self._jobs = NodeJobs(live, self._table)
        self._processor = Graph(span=READINGS_SPAN, top=100.0, form=lambda value: f"{value:.0f}%", id="cpu")
        self._memory = Graph(span=READINGS_SPAN, form=short_size, unit=1024, id="memory")
        self._network = Graph(span=READINGS_SPAN, form=short_size, unit=1024, id="network")

    def _slot_table(self) -> LiveTable[Slot]:
        return LiveTable(
            [
                Column[Slot](name="slot", title="Slot", width=4, align="right", cell=_number, value=lambda s: s.number),
                Column[Slot](name="file", title="File", width=24, min_width=10, cell=_file, elastic=True, path=True),
                Column[Slot](name="submitter", title="For", width=14, min_width=6, cell=self._submitter),
                Column[Slot](name="elapsed", title="Elapsed", width=8, align="right", cell=self._elapsed),
            ],
            key=lambda slot: slot.number,
            empty="no slots: not registered",
            id="slots",
        )

    @property
    def crumb(self) -> str:
        """The name of the node."""
        return self._node.name if self._node else self._key

    def body(self) -> ComposeResult:
        """Why it is idle first; it is what people look for."""
        yield Static(id="why", markup=False)
        with Page():
            yield self._jobs
            with Horizontal(id="graphs", classes="-none"):
                yield self._processor
                yield self._memory
                yield self._network
            with Horizontal(id="columns"):
                with Vertical():
                    yield Static("Node", classes="title")
                    yield Static(id="facts", markup=False)
                with Vertical():
                    yield Static("Boot", classes="title")
                    yield Static(id="boot", markup=False)

    def on_mount(self) -> None:
        """Ask for what its agent measured, now and then again."""
        self.set_class(self.app.size.width < 100, "-narrow")
        if self._table.display:
            self._table.focus()
        elif self._node is None or not self._node.logins:
            self.query_one(Page).focus()
        self.run_worker(self._read(), exclusive=True, group="readings")

    def on_resize(self) -> None:
        """Columns side by side where they fit."""
        self.set_class(self.size.width < 100, "-narrow")

    @property
    def chosen(self) -> NodeStatus | None:
        """The node that this screen is about; orders go to it."""
        return self._node

    async def _read(self) -> None:
        try:
            self._readings = await self.attachment.readings(self._key)
        except FarmError:
            # The banner says what is lost; the graph keeps what it has.
            return
        finally:
            self.set_timer(READING_SECONDS, lambda: self.run_worker(self._read(), exclusive=True, group="readings"))
        self._draw_graphs()

    def _draw_graphs(self) -> None:
        readings = self._readings
        self.query_one("#graphs").set_class(not readings, "-none")
        if not readings:
            return
        self._processor.series = {"CPU": Series([(r.time, r.cpu) for r in readings], "good", fill=True)}
        self._memory.series = {
            "memory free": Series([(r.time, float(r.available)) for r in readings], "accent", fill=True),
            "written": Series([(r.time, float(r.overlay)) for r in readings], "hue2"),
        }
        self._network.series = {"network/s": Series(rates(readings), "accent", fill=True)}

    def show(self, now: float) -> None:
        """Draw the node again as it is now."""
        self._now = now
        known = self.live.nodes.get(self._key)
        if known is None:
            self._write("why", Content("This node is no longer known; the data is old."))
            return
        self._node = node = known
        reason = state_words.Reasons(self.live, now).of(node)
        self._write("why", idle_text(node, reason))
        self._table.display = _compiles(node)
        self._table.set_rows(slots(node, self.live))
        self._jobs.display = bool(node.logins)
        self._jobs.show(node, now)
        self._list("facts", facts(node, now))
        self._list("boot", boot_lines(node) or [("", "not booted from this server")])

    def _write(self, name: str, text: Content) -> None:
        if self._texts.get(name) != text:
            self._texts[name] = text
            self.query_one(f"#{name}", Static).update(text)

    def _list(self, name: str, lines: Sequence[Line]) -> None:
        if self._lists.get(name) != lines:
            self._lists[name] = lines
            self.query_one(f"#{name}", Static).update(sheet((label, text, "") for label, text in lines))

    @on(LiveTable.Opened, "#slots")
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        slot = self._table.cursor_row
        if slot is not None and slot.job is not None:
            self.post_message(Follow(JobTarget(slot.job)))

    def _submitter(self, slot: Slot) -> Cell:
        if slot.job is None:
            return ""
        if slot.job.place is not JobPlace.REMOTE:
            return "itself"
        letter, tone = sign(self.live, slot.job.submitter)
        return [(letter, tone), (f" {slot.job.submitter[0]}", None)]

    def _elapsed(self, slot: Slot) -> Cell:
        if slot.job is None or not slot.job.begun:
            return ""
        seconds = max(0.0, self._now - slot.job.begun)
        return duration(seconds) if seconds >= 10 else milliseconds(seconds * 1000)


def _compiles(node: NodeStatus) -> bool:
    """Whether it has slots, or might have: a desk may not compile, and a daemon may only submit."""
    if any(login.online for login in node.logins):
        return any(login.slots for login in node.logins)
    return node.session is None or node.compile is not None


def _number(slot: Slot) -> Cell:
    return f"{slot.number + 1}", "strong" if slot.job else "muted"


def _file(slot: Slot) -> Cell:
    if slot.job is None:
        return "– free", "muted"
    tone: Tone | None = "accent" if slot.job.place in (JobPlace.REMOTE, JobPlace.OWN) else None
    return [("▸ " if tone else "⌂ ", tone), (slot.job.file, tone)]
