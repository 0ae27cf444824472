"""Log-ins at the machines' screens, and the sessions that came of them: what a machine tells, folded into records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from farm.watch.node_telemetry import SessionTold

MAX_OF_MACHINE = 200
"""Log-ins of one machine that are kept: what one tells takes no room from the others."""
START_SECONDS = 30.0
"""After a log-in, in which the desktop starts and nobody is logged in yet."""
Clocked = Callable[[float], tuple[float, float]]
CLOCK_SECONDS = 60.0
"""That a clock may be wrong by and still counts."""
APART_SECONDS = 300.0
"""So long after the log-in may its session begin; one without a log-in before it was noted by nobody."""


class LogInRecord(Struct, frozen=True, kw_only=True):
    """A log-in at a machine's screen, and how long its session lasted; Unix times.

    ``began`` is by the machine's clock, unless that is wrong: then it is when the machine told of it first.
    """

    mac: str
    node: str
    """The name of the machine."""
    user: str
    """The name that was typed."""
    server: str = ""
    """Empty when it is not known."""
    began: float
    ended: float = 0.0
    """When the session was over, or the log-in had failed; 0 while the session lasts."""
    failed: str = ""
    """Why it failed, a sentence; empty: it succeeded."""
    noted: float = 0.0
    """What the machine's clock said, where that is wrong; else 0."""

    @property
    def key(self) -> tuple[float, str]:
        """By what the machine tells of it again: the time by its clock, and the user."""
        return self.noted or self.began, self.user

    @property
    def lasts(self) -> bool:
        """Whether the session goes on."""
        return not self.ended and not self.failed


class Visits(Struct, frozen=True):
    """The log-ins of one machine, the oldest first."""

    log_ins: tuple[LogInRecord, ...] = ()
    told: float = 0.0
    """Unix time at which the machine told last who is there."""
    there: frozenset[str] = frozenset()
    """The names of those who were there then."""


def after(visits: Visits, mac: str, node: str, told: SessionTold, time: float, booted: float = 0.0) -> Visits:
    """The log-ins of a machine once it has told, at Unix ``time``, who is there and who logged in before.

    ``booted``: when it started; a log-in before that, or in the future, is one by a wrong clock.
    """

    def clocked(at: float) -> tuple[float, float]:
        """When that was, and what the machine's clock said if that is something else."""
        return (at, 0.0) if booted - CLOCK_SECONDS <= at <= time else (time, at)

    noted = _with_noted(visits.log_ins, mac, node, told, clocked)
    there = frozenset(each.name for each in told.users)
    keys = {each.key for each in noted}
    unknown = {
        (user.since, user.name): LogInRecord(
            mac=mac,
            node=node,
            user=user.name,
            server=told.server,
            began=clocked(user.since)[0],
            noted=clocked(user.since)[1],
        )
        for user in told.users
        if (user.since, user.name) not in keys and not any(_is_of(each, user.name, user.since) for each in noted)
    }
    known = sorted((*noted, *unknown.values()), key=lambda each: (each.began, each.noted))[-MAX_OF_MACHINE:]
    latest = {each.user: each for each in known if not each.failed}
    left = time if time - visits.told < START_SECONDS else visits.told

    def now(log_in: LogInRecord) -> LogInRecord:
        if not log_in.failed and log_in.user in there and latest[log_in.user] is log_in:
            return log_in if log_in.lasts else replace(log_in, ended=0.0)
        if not log_in.lasts or (log_in.user not in visits.there and 0 <= time - log_in.began < START_SECONDS):
            return log_in
        return replace(log_in, ended=max(log_in.began, left if log_in.user in visits.there else 0.0))

    return Visits(tuple(map(now, known)), time, there)


def lost(visits: Visits) -> Visits:
    """The same when the machine is not heard of any more: what lasted ended when it was last heard of."""
    log_ins = (replace(each, ended=max(each.began, visits.told)) if each.lasts else each for each in visits.log_ins)
    return replace(visits, log_ins=tuple(log_ins))


def _with_noted(
    known: Sequence[LogInRecord], mac: str, node: str, told: SessionTold, clocked: Clocked
) -> list[LogInRecord]:
    """With what the machine has noted since; what is older than a full list was in it, and has been forgotten."""
    keys = {each.key for each in known}
    noted = {(each.at, each.user): each for each in told.log_ins}
    oldest = known[0].began if len(known) >= MAX_OF_MACHINE else 0.0
    new = [
        LogInRecord(
            mac=mac,
            node=node,
            user=each.user,
            server=each.server,
            ended=clocked(each.at)[0] if each.failed else 0.0,
            failed=each.failed,
            began=clocked(each.at)[0],
            noted=clocked(each.at)[1],
        )
        for key, each in noted.items()
        if key not in keys and clocked(each.at)[0] >= oldest
    ]
    return [*known, *new]


def _is_of(log_in: LogInRecord, user: str, since: float) -> bool:
    return log_in.user == user and not log_in.failed and abs(since - log_in.key[0]) < APART_SECONDS
