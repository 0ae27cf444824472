"""Activity for tests of the history: daemons and jobs as a scheduler tells of them."""

from __future__ import annotations

from contextlib import closing
from functools import reduce
from pathlib import Path

from farm.history.build_history import BuildHistory
from farm.history.runs import QUIET_SECONDS
from farm.scheduler import protocol
from farm.watch.activity import Activity, Said, fold
from tests.scheduler_says import done, stats

START = 1_700_000_000.0


def daemons(*names: str, slots: int = 4) -> Activity:
    """Daemons that have logged in; their ids count from 1."""
    logins = (
        stats(number, name, f"10.77.{number // 250}.{number % 250}", slots) for number, name in enumerate(names, 1)
    )
    return reduce(lambda activity, login: fold(activity, login, START), logins, Activity())


def asked(activity: Activity, job: int, submitter: int, time: float, file: str = "") -> Activity:
    """A submitter asks for a node."""
    return fold(activity, protocol.JobRequested(job, submitter, file or f"src/f{job}.cpp", 1), time)


def begun(activity: Activity, job: int, host: int, time: float) -> Activity:
    """A node begins."""
    return fold(activity, protocol.JobBegun(job, host, round(time)), time)


def ended(activity: Activity, job: int, time: float, exit: int = 0) -> Activity:
    """It took 100 ms, read 1000 bytes and wrote 2000."""
    return fold(activity, done(job, exit), time)


def compiled(activity: Activity, job: int, submitter: int, host: int, time: float, exit: int = 0) -> Activity:
    """All of a job: it waits for a second and runs for another, until ``time``."""
    activity = begun(asked(activity, job, submitter, time - 2), job, host, time - 1)
    return ended(activity, job, time, exit)


def local(activity: Activity, job: int, submitter: int, time: float, seconds: float = 1.0) -> Activity:
    """A submitter compiles by itself, until ``time``."""
    events: list[tuple[Said, float]] = [
        (protocol.LocalBegun(job, submitter, 0, f"f{job}.o"), time - seconds),
        (protocol.LocalDone(job), time),
    ]
    return reduce(lambda activity, event: fold(activity, *event), events, activity)


FARM = daemons("ws01", "ws02", "pc01")


def burst(history: BuildHistory, time: float = START, submitter: int = 1, jobs: int = 3, *, over: bool = True) -> None:
    """A build of a few jobs that end at one time; ``over``: and then it is quiet."""
    activity = FARM
    for job in range(jobs):
        activity = compiled(activity, job, submitter, 3, time)
    history.record(activity, 0)
    history.tick(activity, time)
    if over:
        history.tick(activity, time + QUIET_SECONDS + 1)


def opened(path: Path | None, **more: float) -> BuildHistory:
    """A history that tries again at once, and forgets nothing of what is long ago."""
    return BuildHistory(path, days=36500, retry=0.0, **more)  # type: ignore[arg-type]


def kept(path: Path) -> list[int]:
    """The numbers of jobs of all builds, as another process would read them later."""
    with closing(opened(path)) as history:
        return [build.jobs for build in history.builds()]
