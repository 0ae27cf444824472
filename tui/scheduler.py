"""The scheduler view: which one, who speaks what, who is blocked or installing, and all it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from textual import on
from textual.app import ComposeResult
from textual.containers import Container

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.status import HostStatus, NodeStatus, SchedulerStatus
from farm.view.wording import count, duration, milliseconds, size
from farm.watch.activity import Totals
from farm.watch.events import Stage
from tui.base_view import View
from tui.node_detail import NodeDetail
from tui.state_words import natural
from tui.widgets.columns import Column
from tui.widgets.lines import Cell, Paint, Tone
from tui.widgets.table import LiveTable

RELEASES = ((44, "later than icecream 1.4"), (43, "icecream 1.4"), (42, "1.3"), (39, "1.2"), (37, "1.1"))
"""The first protocol of each release; older ones are told by their number alone."""
NAMED_DAEMONS = 6
"""So many daemons are named one by one."""
FEATURE_NAMES = ("env_xz", "env_zstd")
NARROW = ("name", "protocol", "features")
MEDIUM = ("name", "protocol", "platform", "features", "environments")


class Line(Struct, frozen=True):
    """A fact; ``node``: whom it is about, if it is about one daemon."""

    key: str
    label: str
    text: str
    tone: Tone | None = None
    node: NodeStatus | None = None


def release(protocol: int) -> str:
    """The release that first spoke this protocol; empty when that is not known."""
    return next((name for first, name in RELEASES if protocol >= first), "")


def lines(live: Live, now: float) -> list[Line]:
    """All that is known of the scheduler, in the order in which one asks."""
    overview = live.overview
    if overview is None:
        return []
    scheduler = overview.scheduler
    online = [node for node in live.nodes.values() if node.host is not None and node.host.online]
    hosts = [node.host for node in online if node.host is not None]
    totals = live.samples[-1].totals if live.samples else None
    return [
        *_itself(scheduler, now),
        *_trouble(scheduler, live),
        *_daemons(hosts, sum(node.host is not None for node in live.nodes.values()) - len(hosts)),
        *_counted("protocol", ((str(host.protocol), host.name) for host in hosts), _protocol),
        *_counted("platform", ((host.platform, host.name) for host in hosts), str),
        *_features(hosts),
        *_installing(online, now),
        *(_sums(totals) if totals else ()),
    ]


def _protocol(number: str) -> str:
    said = release(int(number))
    return f"{number} ({said})" if said else number


def _itself(scheduler: SchedulerStatus, now: float) -> Iterable[Line]:
    since = f" for {duration(now - scheduler.since)}" if scheduler.since else ""
    if scheduler.up:
        yield Line("state", "scheduler", f"● answers{since}, at {scheduler.address}", "good")
    else:
        why = f": {scheduler.why}" if scheduler.why else ""
        yield Line("state", "scheduler", f"✖ does not answer{since}, at {scheduler.address}{why}", "bad")
    yield Line("netname", "netname", scheduler.netname or "not known: not reported")
    if scheduler.protocol:
        yield Line("spoken", "it speaks", f"protocol {_protocol(str(scheduler.protocol))}")


def _trouble(scheduler: SchedulerStatus, live: Live) -> Iterable[Line]:
    for index, rival in enumerate(scheduler.rivals):
        text = f"▲ {rival.address}:{rival.port} answers for {rival.netname}, protocol {rival.protocol}"
        yield Line(f"rival {index}", "rivals" if not index else "", text, "bad")
    if not scheduler.rivals:
        looked = "none found" if scheduler.netname else "not searched: the netname is not known"
        yield Line("rival", "rivals", looked)
    for index, name in enumerate(scheduler.blocked):
        yield Line(f"blocked {name}", "blocked" if not index else "", f"⊘ {name}", "warn", _named(live, name))
    if not scheduler.blocked:
        yield Line("blocked", "blocked", "nobody")


def _named(live: Live, name: str) -> NodeStatus:
    """The node with this name or address; a blocked one may never have been seen."""
    for node in live.nodes.values():
        if name in (node.name, node.address):
            return node
    return NodeStatus(key=name, name=name, address="", stage=Stage.LOST, since=0.0)


def _daemons(hosts: Sequence[HostStatus], offline: int) -> Iterable[Line]:
    nodes = [host for host in hosts if host.slots]
    slots = sum(host.slots for host in nodes)
    submitters = len(hosts) - len(nodes)
    only = count(submitters, "that only submits", "that only submit")
    yield Line(
        "daemons",
        "daemons",
        f"{len(nodes)} with {count(slots, 'slot')}, {only}",
    )
    if offline:
        yield Line("offline", "", f"{offline} known and not logged in", "muted")


def _counted(label: str, pairs: Iterable[tuple[str, str]], words: Callable[[str], str]) -> Iterable[Line]:
    """How many daemons have each value, the most first; few are named."""
    by: dict[str, list[str]] = {}
    for value, name in pairs:
        by.setdefault(value, []).append(name)
    for index, (value, names) in enumerate(sorted(by.items(), key=lambda item: (-len(item[1]), item[0]))):
        said = words(value)
        few = f": {', '.join(sorted(names))}" if len(names) <= NAMED_DAEMONS and len(by) > 1 else ""
        yield Line(f"{label} {value}", label if not index else "", f"{said or 'not told'} · {len(names)}{few}")


def _features(hosts: Sequence[HostStatus]) -> Iterable[Line]:
    for index, feature in enumerate(FEATURE_NAMES):
        without = sorted(host.name for host in hosts if feature not in host.features)
        names = f": {', '.join(without)}" if len(without) <= NAMED_DAEMONS else ""
        lack = f"; not {len(without)}{names}" if without else ""
        yield Line(
            feature, "features" if not index else "", f"{feature} · {len(hosts) - len(without)} of {len(hosts)}{lack}"
        )


def _installing(online: Sequence[NodeStatus], now: float) -> Iterable[Line]:
    busy = [(node, node.host.installing) for node in online if node.host and node.host.installing]
    for index, (node, since) in enumerate(sorted(busy, key=lambda item: item[1])):
        text = f"{node.name} for {duration(now - since)}"
        yield Line(f"installing {node.key}", "installing" if not index else "", text, "accent", node)
    if not busy:
        yield Line("installing", "installing", "no node receives an environment")


def _sums(totals: Totals) -> Iterable[Line]:
    """What was counted since the watching began."""
    yield Line("asked", "jobs", f"{totals.requested:,} requested, {totals.begun:,} begun by nodes")
    yield Line("done", "", f"{totals.done:,} done, {totals.failed:,} failed, {totals.lost:,} lost")
    yield Line("local", "", f"{totals.local:,} by submitters, {totals.fallback:,} of them after a node failed")
    if totals.begun and totals.waited:
        mean = milliseconds(1000 * totals.waited / totals.begun)
        yield Line("waited", "waited", f"{duration(totals.waited)} for nodes, {mean} per job")
    ended = totals.done + totals.failed
    if ended and totals.busy_ms:
        worked = f"{duration(totals.busy_ms / 1000)} by nodes, {milliseconds(totals.busy_ms / ended)} per job"
        yield Line("worked", "compiled", worked)
    yield Line("bytes", "bytes", f"{size(totals.in_bytes)} in, {size(totals.out_bytes)} out")


def held(node: NodeStatus) -> str:
    """The environments a node holds, as far as its agent tells."""
    environments = node.environments
    if not environments:
        return ""
    total = sum(each.bytes for each in environments)
    return f"{len(environments)}, {size(total)}: {', '.join(each.name for each in environments)}"


class SchedulerView(View):
    """Facts of the scheduler, and all daemons by what they speak."""

    TITLE = "Scheduler"
    ABOUT = (
        "The scheduler: its address, start time and netname; other schedulers that answer for the same netname; "
        "blocked names (u on one of them unblocks it); the daemons' protocols; nodes that are receiving an "
        "environment. Counting began with the watching, and includes jobs that were in flight then; a + after "
        "logins means that there may have been more, before that or while the scheduler was not connected. "
        "Environments are known only for nodes with an agent."
    )
    DEFAULT_CSS = """
    SchedulerView {
        & > #scheduler-both { height: 1fr; layout: vertical; }
        & > #scheduler-both.-wide { layout: horizontal; }
        & LiveTable { width: 1fr; height: 1fr; }
        & .-wide #scheduler-facts { width: 3fr; }
        & .-wide #scheduler-daemons { width: 2fr; }
        & #scheduler-daemons.-hidden { display: none; }
        & .-wide #scheduler-daemons { border-left: vkey $panel; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._facts: LiveTable[Line] = LiveTable(
            [
                Column[Line](name="label", title="Scheduler", width=11, cell=lambda line: (line.label, "strong")),
                Column[Line](name="text", title="", width=58, elastic=True, cell=lambda line: (line.text, line.tone)),
            ],
            key=lambda line: line.key,
            empty="no data yet",
            id="scheduler-facts",
        )
        self._daemons: LiveTable[NodeStatus] = LiveTable(
            _daemon_columns(),
            key=lambda node: node.key,
            sort="name",
            tone=_daemon_tone,
            empty="no daemon has logged in",
            id="scheduler-daemons",
        )

    def compose(self) -> ComposeResult:
        """Both tables, side by side where there is room."""
        with Container(id="scheduler-both"):
            yield self._facts
            yield self._daemons

    @property
    def chosen(self) -> NodeStatus | None:
        """The daemon that the line under the cursor is about."""
        if self._daemons.has_focus:
            return self._daemons.cursor_row
        line = self._facts.cursor_row
        return line.node if line else None

    def show(self, now: float) -> None:
        """Draw what is known now."""
        self._facts.set_rows(lines(self.live, now))
        if self._daemons.display:
            self._daemons.rows = {key: node for key, node in self.live.nodes.items() if node.host is not None}

    def on_resize(self) -> None:
        """The daemons stand beside the facts, below them, or, where there is no room, not at all."""
        width, height = self.size
        wide = width >= 110
        self.query_one("#scheduler-both").set_class(wide, "-wide")
        self._daemons.set_class(not wide and height < 16, "-hidden")
        room = 2 * width // 5 if wide else width
        names = [column.name for column in _daemon_columns()]
        self._daemons.show_columns(NARROW if room < 50 else MEDIUM if room < 90 else names)

    @on(LiveTable.Opened)
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        node = self.chosen
        if node is not None and node.key in self.live.nodes:
            self.app.push_screen(NodeDetail(self.attachment, self.live, node.key))


def _daemon_columns() -> list[Column[NodeStatus]]:
    column = Column[NodeStatus]
    return [
        column(name="name", title="Daemon", width=16, min_width=8, cell=lambda n: n.name, value=_natural),
        column(name="protocol", title="Proto", width=6, align="right", cell=_protocol_cell, value=_protocol_order),
        column(name="platform", title="Platform", width=9, min_width=6, cell=_platform, value=_platform),
        column(name="features", title="Features", width=9, min_width=8, cell=_feature_cell, value=_feature_cell),
        column(name="slots", title="Slots", width=6, align="right", descending=True, cell=_slots, value=_slot_order),
        column(
            name="logins", title="Logins", width=6, align="right", descending=True, cell=_logins, value=_login_order
        ),
        column(
            name="environments",
            title="Environments",
            width=14,
            min_width=8,
            elastic=True,
            descending=True,
            cell=_held_cell,
            value=lambda n: None if n.environments is None else sum(each.bytes for each in n.environments),
        ),
    ]


def _natural(node: NodeStatus) -> tuple[str | int, ...]:
    return natural(node.name)


def _daemon_tone(node: NodeStatus) -> Paint:
    return None if node.host is not None and node.host.online else "muted"


def _protocol_cell(node: NodeStatus) -> Cell:
    return str(node.host.protocol) if node.host else ""


def _protocol_order(node: NodeStatus) -> int | None:
    return node.host.protocol if node.host else None


def _platform(node: NodeStatus) -> str:
    return node.host.platform if node.host else ""


def _feature_cell(node: NodeStatus) -> str:
    return " ".join(each.removeprefix("env_") for each in node.host.features) if node.host else ""


def _slots(node: NodeStatus) -> Cell:
    if node.host is None or not node.host.online:
        return ("offline", "muted")
    return str(node.host.slots) if node.host.slots else "submits"


def _slot_order(node: NodeStatus) -> int | None:
    return node.host.slots if node.host and node.host.online else None


def _logins(node: NodeStatus) -> Cell:
    return f"{node.host.logins}{'+' * node.host.logins_missed}" if node.host else ""


def _login_order(node: NodeStatus) -> int | None:
    return node.host.logins if node.host else None


def _held_cell(node: NodeStatus) -> Cell:
    if node.host is not None and node.host.installing:
        return "▸ receiving", "accent"
    return held(node)
