"""Jobs as bars in lanes: a lane for each slot of a node, and as many as local jobs of a submitter overlap."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable

from farm.view.live import Live
from farm.view.status import HostStatus, NodeStatus
from farm.watch.activity import HostKey, Job, JobPlace, JobState
from tui import filter as terms
from tui.job_detail import job_key
from tui.state_words import natural
from tui.submitters import sign
from tui.widgets.lane_groups import Group, LaneName
from tui.widgets.lanes import BAR_KINDS, SOLID, Bar, BarKind, Look
from tui.widgets.safe_text import clean

LaneKey = tuple[HostKey, int]
"""Whose, and which slot; local lanes count down from -1."""
MAX_LOCAL_LANES = 16
"""Of one submitter; beyond, local jobs hide one another."""
TIMELINE_KINDS = {
    **BAR_KINDS,
    "fallback": BarKind("▞", "warn", head="↺"),
    terms.LOST_STATE: BarKind("▚", "muted", head="?"),
}
"""Remote, own, local, failed, and what is neither done nor failed."""


def kind(job: Job) -> str:
    """How a job's bar looks: that it failed says more than where."""
    state = terms.state_of(job)
    return "failed" if state is JobState.FAILED else terms.LOST_STATE if state == terms.LOST_STATE else str(job.place)


def by_submitter(live: Live) -> Look:
    """Bars in the colour and with the letter of whoever asked; failures stay as they are."""
    looks: dict[tuple[Hashable, str], BarKind] = {}

    def look(bar: Bar) -> BarKind:
        known = looks.get((bar.owner, bar.kind))
        if known is None:
            known = TIMELINE_KINDS[bar.kind]
            if not known.loud and isinstance(bar.owner, tuple):
                letter, tone = sign(live, bar.owner)
                known = BarKind(SOLID, tone, head=letter, sign=letter)
            looks[bar.owner, bar.kind] = known
        return known

    return look


class LocalLanes:
    """The lanes of one submitter's local jobs: each gets the first in which nothing runs when it begins."""

    def __init__(self) -> None:
        self._free: list[float] = []
        """When each lane becomes free; infinite while its job goes on."""
        self._open: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._free)

    def place(self, job: Job) -> int:
        """The lane of a job, the same from its begin to its end."""
        key = job_key(job)
        lane = self._open.pop(key, None)
        if lane is None:
            lane = next((i for i, free in enumerate(self._free) if free <= job.begun), len(self._free))
            lane = min(lane, MAX_LOCAL_LANES - 1)
        if lane == len(self._free):
            self._free.append(0.0)
        if job.ended:
            self._free[lane] = job.ended
        else:
            self._free[lane] = math.inf
            self._open[key] = lane
        return lane


class JobLanes:
    """Which lanes there are, and the bars in them."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._slots: dict[HostKey, int] = {}
        self._local: dict[HostKey, LocalLanes] = {}
        self._last: dict[LaneKey, float] = {}
        """When each lane's last job ended, or began."""
        self._running: dict[Hashable, LaneKey] = {}
        self._groups: list[Group] = []
        self._shape: object = None

    def bars(self, jobs: Iterable[Job]) -> list[Bar]:
        """The jobs that somebody has begun."""
        return [self._bar(job) for job in jobs if job.begun]

    def _bar(self, job: Job) -> Bar:
        host, slot = key = self._lane(job)
        if self._slots.get(host, 0) <= slot:
            self._slots[host] = slot + 1
        self._last[key] = max(self._last.get(key, 0.0), job.ended, job.begun)
        id = job_key(job)
        if job.ended:
            self._running.pop(id, None)
        else:
            self._running[id] = key
        return Bar(id, key, job.begun, kind(job), job.ended or None, job.file, job.submitter)

    def _lane(self, job: Job) -> LaneKey:
        if job.place not in (JobPlace.LOCAL, JobPlace.FALLBACK):
            return job.node, job.slot
        return job.node, -1 - self._local.setdefault(job.node, LocalLanes()).place(job)

    def of(self, node: NodeStatus) -> list[LaneName]:
        """The lanes of one machine's daemons."""
        self._learn(node.logins)
        return [lane for login in node.logins for lane in self._lanes(login.key)]

    def _learn(self, hosts: Iterable[HostStatus]) -> None:
        """How many slots there are."""
        for host in hosts:
            if host.online and self._slots.get(host.key, 0) < host.slots:
                self._slots[host.key] = host.slots

    def groups(self) -> list[Group]:
        """The lanes by daemon, as many as it has slots or as jobs have shown; those that only submit come last."""
        hosts = [login for node in self._live.nodes.values() for login in node.logins]
        self._learn(hosts)
        self._forget({host.key for host in hosts})
        shape = (dict(self._slots), {key: len(lanes) for key, lanes in self._local.items()})
        if shape != self._shape:
            self._shape = shape
            keys = {*self._slots, *self._local}
            named = Counter(name for name, _ in keys)
            self._groups = [
                Group(key, clean((key[0] or key[1]) if named[key[0]] == 1 else " ".join(key)), self._lanes(key))
                for key in sorted(keys, key=lambda key: (key not in self._slots, natural(key[0]), key))
            ]
        return self._groups

    def _lanes(self, host: HostKey) -> list[LaneName]:
        slots = [((host, slot), f"{slot + 1}") for slot in range(self._slots.get(host, 0))]
        local = range(len(self._local.get(host, ())))
        return [*slots, *(((host, -1 - number), f"⌂ {number + 1}") for number in local)]

    def _forget(self, known: set[HostKey]) -> None:
        """Daemons of which nobody knows go when their last job has gone too."""
        shown = {*self._slots, *self._local}
        if not shown - known:
            return
        oldest = self._live.ended[0].ended if self._live.ended else 0.0
        lately = {key for (key, _), when in self._last.items() if when >= oldest}
        for key in shown - known - lately:
            self._slots.pop(key, None)
            self._local.pop(key, None)
        self._last = {lane: when for lane, when in self._last.items() if lane[0] in known | lately}

    def busy_since(self, begin: float) -> list[Group]:
        """The groups without the lanes in which nothing has run from then on."""
        busy = {*self._running.values(), *(key for key, when in self._last.items() if when >= begin)}
        kept = (group._replace(lanes=[lane for lane in group.lanes if lane[0] in busy]) for group in self.groups())
        return [group for group in kept if group.lanes]
