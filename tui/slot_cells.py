"""A node's slots as cells: each busy one has the letter and the colour of the submitter whose job runs there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.watch.activity import HostKey, Job, JobPlace, JobState
from tui.submitters import sign
from tui.widgets.lines import Paint

Slots = Mapping[HostKey, Mapping[int, Job]]
"""By daemon and number: the slots in which a job runs."""
FREE: tuple[str, Paint] = ("·", "muted")
WITHHELD: tuple[str, Paint] = ("╌", "muted")
"""A slot that a machine does not offer, as somebody uses it."""


def busy_slots(live: Live) -> Slots:
    """The jobs that run in slots now."""
    found: dict[HostKey, dict[int, Job]] = {}
    for job in live.jobs.values():
        if job.state is JobState.RUNNING and job.place in (JobPlace.REMOTE, JobPlace.OWN):
            found.setdefault(job.node, {})[job.slot] = job
    return found


def slot_jobs(node: NodeStatus, busy: Slots) -> list[Job | None]:
    """What runs in each slot of a node; None: it is free. Those of its spare daemon come last."""
    jobs: list[Job | None] = []
    for login in node.logins:
        if login.online:
            taken = busy.get(login.key, {})
            jobs += [taken.get(slot) for slot in range(max(login.slots, max(taken, default=-1) + 1))]
    return jobs


def withheld(node: NodeStatus) -> int:
    """Slots that a machine does not offer at the moment."""
    told = node.compile.agent if node.compile else None
    return max(0, told.slots - told.offered) if told is not None and told.offered is not None else 0


def slot_cells(node: NodeStatus, jobs: Iterable[Job | None], live: Live, most: int) -> list[tuple[str, Paint]]:
    """A cell for each slot of a node; where there are more than ``most``, a cell stands for several.

    ``jobs``: what runs in each slot.
    """
    cells = [_cell(job, live) for job in jobs]
    if cells:
        cells += [WITHHELD] * withheld(node)
    return cells if len(cells) <= most else _condensed(cells, most)


def _cell(job: Job | None, live: Live) -> tuple[str, Paint]:
    if job is None:
        return FREE
    mark = sign(live, job.submitter)
    return mark.letter, mark.tone


def _condensed(cells: Sequence[tuple[str, Paint]], most: int) -> list[tuple[str, Paint]]:
    """Of the slots that share a cell the first counts: slots are taken from the first on."""
    return [cells[len(cells) * number // most] for number in range(most)]
