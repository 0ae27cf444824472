"""What is kept of a user's last `farm run`: a record of it, and what icecc wrote about each call.

`farm run` names the log in ICECC_LOGFILE; `farm explain` reads both. Several runs may go on at a time, also on several
machines with one home: each has files of its own, and holds a lock that tells the others that it is not over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON, FarmError
from farm.home import write_atomic
from farm.watch.activity import Job
from farm.workstation.explain.reasons.record import GivenBack
from farm.workstation.membership import user_folder

FILE = re.compile(r"run-[0-9a-f]+\.(?:json|log|lock)")
LOG = re.compile(r"run-[0-9a-f]+\.log")
MAX_JOBS = 5000
"""Jobs of which is kept what the scheduler told."""
OF_EARLIER_VERSIONS = "last-run.json"


class JobEnd(Struct, frozen=True):
    """What the scheduler told of a job, besides what icecc's log says."""

    exit: int
    """Of the compiler on the node."""
    waited_ms: int
    """Between the request and the begin."""


class LastRun(Struct, frozen=True, kw_only=True):
    """A command that `farm run` has started; times are Unix times in seconds."""

    command: Sequence[str]
    directory: str
    start: float
    end: float | None = None
    exit: int | None = None
    """None while it runs, and when `farm run` was killed."""
    farm: str = ""
    obstacle: str = ""
    """Why everything was compiled here from the start; empty when the farm could be used."""
    settings: Mapping[str, str] = {}
    """icecream's own variables (ICECC…) as the command had them."""
    nodes: Mapping[str, str] = {}
    """Names of nodes by their addresses."""
    kept: GivenBack | None = None
    """Why the farm gave jobs back, asked as the run ended; None when it gave none, or nobody asked."""
    log: str = ""
    """Name of icecc's log, in the same folder; set by `begin`."""
    jobs: Mapping[int, JobEnd] = {}
    """By the scheduler's id: those that failed or waited, the longest first, within bounds."""
    name: str = ""
    """What the build is called in the farm's history."""
    schema: int = 1


def last_run_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a user's last run is kept; ``environment`` is that of the user whose command runs."""
    return user_folder("XDG_STATE_HOME", ".local/state", environment) / "farm"


def run_id(log: Path) -> str:
    """The id of the run that keeps this log."""
    return log.stem.removeprefix("run-")


def within_a_run(environment: Mapping[str, str]) -> bool:
    """Whether this is called by a command of a `farm run`, which follows the log already."""
    log = Path(environment.get("ICECC_LOGFILE", ""))
    return LOG.fullmatch(log.name) is not None and log.parent == last_run_folder(environment)


def icecc_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """icecream's variables in an environment."""
    return {name: legible(value) for name, value in environment.items() if name.startswith("ICECC")}


def legible(word: str) -> str:
    """A word of a command line or of an environment, which may hold any bytes, as text that can be written down."""
    return os.fsencode(word).decode(errors="replace")


class Begun(NamedTuple):
    """A run that goes on until ``lock``, a descriptor, is closed."""

    record: LastRun
    log: Path
    """Empty; icecc is to write to it (ICECC_DEBUG=debug)."""
    lock: int


def job_ends(jobs: Iterable[Job]) -> dict[int, JobEnd]:
    """What is kept of a run's jobs on nodes."""
    ends = {job.id: JobEnd(job.exit, round(job.waited * 1000)) for job in jobs}
    kept = sorted(ends.items(), key=lambda each: (each[1].exit == 0, -each[1].waited_ms))[:MAX_JOBS]
    return {id: end for id, end in kept if end.exit or end.waited_ms}


def begin(folder: Path, run: LastRun) -> Begun:
    """Write down that a run begins. What is kept of runs that are over goes. Raises OSError: a run goes on without."""
    _make(folder)
    _remove_old(folder)
    stem = f"run-{secrets.token_hex(8)}"
    log, unlocked = folder / f"{stem}.log", folder / f".{stem}.lock"
    lock = _create(unlocked)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unlocked.rename(folder / f"{stem}.lock")
    os.close(_create(log))
    run = msgspec.structs.replace(run, log=log.name)
    end(folder, run)
    return Begun(run, log, lock)


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _remove_old(folder: Path) -> None:
    files = [path for path in folder.glob("run-*") if FILE.fullmatch(path.name)]
    going = {path.stem for path in files if path.suffix == ".lock" and _locked(path)}
    for path in files:
        if path.stem not in going:
            path.unlink(missing_ok=True)
    (folder / OF_EARLIER_VERSIONS).unlink(missing_ok=True)


def _locked(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    return False


def end(folder: Path, run: LastRun) -> None:
    """Write the record again, with what is known by now."""
    path = (folder / Path(run.log).name).with_suffix(".json")
    write_atomic(path, msgspec.json.format(msgspec.json.encode(run)) + b"\n", 0o600)


def read(folder: Path) -> tuple[LastRun, Path]:
    """The run that began last, and icecc's log of it. Raises FarmError when there is none."""
    mend = "Build something first: farm run -- make"
    runs, unread = [], FarmError("No run is recorded yet.", f"There is no record in {folder}.", mend)
    for path in folder.glob("run-*.json"):
        try:
            runs.append(msgspec.json.decode(path.read_bytes(), type=LastRun))
        except (OSError, *NOT_JSON) as error:
            unread = FarmError("The record of the last run cannot be read.", f"{path}: {error}", mend)
    if not runs:
        raise unread
    run = max(runs, key=lambda run: run.start)
    log = folder / run.log
    if LOG.fullmatch(run.log) is None or not log.is_file():
        raise FarmError("icecc's log of the last run is missing.", f"There is no {log}.", mend)
    return run, log


def _make(folder: Path) -> None:
    """The folder and those above it, for nobody else."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
