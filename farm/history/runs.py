"""Runs of `farm run`: which of a submitter's jobs are whose, when several builds go on there at a time.

The scheduler knows a job's submitter and no more. So `farm run` says when it begins and ends, and which jobs are its
own; what nobody claims falls to the only build that it can be of, or waits for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Annotated

from immutables import Map
from msgspec import Meta, Struct
from msgspec.structs import replace

from farm.printable import printable
from farm.watch.activity import HostKey, Job

QUIET_SECONDS = 30.0
"""A build is over when none of its jobs has come or run for so long, and its `farm run`, if it has one, is over too."""
UNDECIDED_SECONDS = 15.0
"""So long does an ended job wait for someone to claim it, where it could be of several builds."""
MAX_NAME = 80
MAX_TAG = 200
MAX_TOLD = 200
"""Jobs in one piece of news, which fits in one request."""
MAX_RUNS = 64
"""Runs that are remembered of one submitter."""
MAX_SUBMITTERS = 256
MAX_CLAIMS = 65_536

BuildKey = tuple[str, ...]
"""The submitter's name and address, and for a `farm run` its id besides."""
LastSeen = Callable[[BuildKey], float | None]
"""When a job of an open build was last seen; None when no such build is open."""


class RunNews(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `farm run` tells of itself, now and then."""

    submitter: Annotated[str, Meta(min_length=1, max_length=256)]
    """The name with which the submitter's daemon logs in."""
    run: Annotated[str, Meta(pattern="^[0-9a-f]{8,32}$")]
    """Its id, which no other run has."""
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    text: Annotated[str, Meta(max_length=MAX_TAG)] = ""
    """The command as one line."""
    seconds: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    """The time since it began."""
    going: bool = True
    """False in its last news."""
    claims: bool = True
    """Whether it knows its jobs, from icecc's log."""
    jobs: Annotated[list[Annotated[int, Meta(ge=0, le=2**32)]], Meta(max_length=MAX_TOLD)] = []
    """The scheduler's ids of jobs that are its own."""


class Run(Struct, frozen=True, kw_only=True):
    """A `farm run`, as far as it has told; times are Unix times of ours."""

    name: str
    text: str
    began: float
    heard: float
    """When it last told something."""
    going: bool = True
    claims: bool = True


class Runs(Struct, frozen=True):
    """Those that have told lately."""

    known: Map[str, Map[str, Run]] = Map()
    """By the submitter's name, then by id."""
    claimed: Map[int, str] = Map()
    """The run that has claimed each job."""

    def find(self, key: BuildKey) -> Run | None:
        """The run of a build; None for one outside of `farm run`, and for one that is long over."""
        return self.known.get(key[0], Map[str, Run]()).get(key[2]) if len(key) > 2 else None

    def going(self, key: BuildKey, time: float) -> bool:
        """Whether a build's run goes on: it has not said that it is over, and was heard not long ago."""
        run = self.find(key)
        return run is not None and _goes_on(run, time)


def _goes_on(run: Run, time: float) -> bool:
    return run.going and abs(time - run.heard) <= QUIET_SECONDS


def told(runs: Runs, news: RunNews, time: float) -> Runs:
    """The runs after a piece of news at ``time``. What is claimed stays with the first who did."""
    mine = runs.known.get(news.submitter, Map[str, Run]())
    known = mine.get(news.run)
    run = Run(
        name=printable(news.name, MAX_NAME, inert=" ").strip(),
        text=printable(news.text, MAX_TAG, inert=" ").strip(),
        began=known.began if known else time - news.seconds,
        heard=time,
        going=news.going,
        claims=news.claims,
    )
    mine = mine.set(news.run, run)
    if len(mine) > MAX_RUNS:
        mine = mine.delete(min(mine, key=lambda id: mine[id].heard))
    all_known = runs.known.set(news.submitter, mine)
    if len(all_known) > MAX_SUBMITTERS:
        oldest = min(all_known, key=lambda name: max(run.heard for run in all_known[name].values()))
        all_known = all_known.delete(oldest)
    claimed = runs.claimed.update((id, news.run) for id in news.jobs if id not in runs.claimed)
    if len(claimed) > MAX_CLAIMS:
        claimed = Map((id, claimed[id]) for id in sorted(claimed)[MAX_CLAIMS // 2 :])
    return Runs(all_known, claimed)


def resumed(runs: Runs, submitter: str, id: str, run: Run) -> Runs:
    """The runs with one of which an earlier process has kept a build, unless it has told of itself since."""
    mine = runs.known.get(submitter, Map[str, Run]())
    return runs if id in mine else replace(runs, known=runs.known.set(submitter, mine.set(id, run)))


def forgotten(runs: Runs, open: Set[tuple[str, str]], time: float) -> Runs:
    """The runs without those that are over and have no ``open`` build (submitter's name and run)."""
    over = {
        (name, id)
        for name, mine in runs.known.items()
        for id, run in mine.items()
        if abs(time - run.heard) > QUIET_SECONDS and (name, id) not in open
    }
    if not over:
        return runs
    known = runs.known
    for name, id in over:
        mine = known[name].delete(id)
        known = known.set(name, mine) if mine else known.delete(name)
    gone = {id for _, id in over}
    return Runs(known, Map((job, id) for job, id in runs.claimed.items() if id not in gone))


def owner(runs: Runs, job: Job, last: LastSeen, time: float) -> BuildKey | None:
    """The build that a job belongs to; None while that cannot be told."""
    mine = runs.known.get(job.submitter[0])
    if not mine:
        return job.submitter
    claimed = runs.claimed.get(job.id)
    if claimed is not None and claimed in mine:
        return (*job.submitter, claimed)
    found = _candidates(mine, job, last, time)
    return found[0] if len(found) == 1 else None


def likely_owner(runs: Runs, job: Job, last: LastSeen, time: float) -> BuildKey:
    """The build that a job belongs to, or if nobody has claimed it, the one that it most likely does."""
    if key := owner(runs, job, last, time):
        return key
    mine = runs.known.get(job.submitter[0], Map[str, Run]())
    found = _candidates(mine, job, last, time)
    silent = [key for key in found if len(key) > 2 and not mine[key[2]].claims]
    return (silent or [key for key in found if key == job.submitter] or found)[-1]


def _candidates(mine: Map[str, Run], job: Job, last: LastSeen, time: float) -> list[BuildKey]:
    """Builds that may have a job which nobody has claimed; the run that began last comes last."""
    outside: HostKey = job.submitter
    asked = job.requested or job.begun or job.ended or time
    before = last(outside)
    able = sorted((run.began, id) for id, run in mine.items() if run.began <= asked)
    going = [(began, id) for began, id in able if _goes_on(mine[id], time)]
    if going:
        runs: list[BuildKey] = [(*outside, id) for _, id in going]
        return [*runs, outside] if before is not None and before > going[0][0] else runs
    over = [(seen, id) for _, id in able if (seen := last((*outside, id))) is not None]
    if not over or (before is not None and before > max(over)[0]):
        return [outside]
    return [(*outside, max(over)[1])]
