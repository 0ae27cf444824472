"""What is kept of a user's last `farm run`: a record of it, and what icecc wrote about each call.

`farm run` names the log in ICECC_LOGFILE; `farm explain --last` reads both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

from farm.errors import NOT_JSON, FarmError
from farm.home import write_atomic
from farm.workstation.explain.reasons.record import GivenBack
from farm.workstation.membership import user_folder

LAST_RUN_FILE = "last-run.json"
LOG = re.compile(r"run-(\d+)\.log")
"""Named for the process of `farm run`, so that two at a time do not mix."""


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
    schema: int = 1


def last_run_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a user's last run is kept; ``environment`` is that of the user whose command runs."""
    return user_folder("XDG_STATE_HOME", ".local/state", environment) / "farm"


def icecc_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """icecream's variables in an environment."""
    return {name: legible(value) for name, value in environment.items() if name.startswith("ICECC")}


def legible(word: str) -> str:
    """A word of a command line or of an environment, which may hold any bytes, as text that can be written down."""
    return os.fsencode(word).decode(errors="replace")


def begin(folder: Path, run: LastRun) -> tuple[LastRun, Path]:
    """Write down that a run begins; the record, and the empty log that icecc is to write to (ICECC_DEBUG=debug).

    Logs of runs that are over go. Raises OSError: a run goes on without.
    """
    _make(folder)
    for old in folder.glob("run-*.log"):
        match = LOG.fullmatch(old.name)
        if match and (int(match[1]) == os.getpid() or not psutil.pid_exists(int(match[1]))):
            old.unlink(missing_ok=True)
    log = folder / f"run-{os.getpid()}.log"
    os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    run = msgspec.structs.replace(run, log=log.name)
    end(folder, run)
    return run, log


def end(folder: Path, run: LastRun) -> None:
    """Write the record anew, with what is known by now."""
    write_atomic(folder / LAST_RUN_FILE, msgspec.json.format(msgspec.json.encode(run)) + b"\n", 0o600)


def read(folder: Path) -> tuple[LastRun, Path]:
    """The last run, and icecc's log of it. Raises FarmError when there is none."""
    mend = "Build something first: farm run -- make"
    try:
        run = msgspec.json.decode((folder / LAST_RUN_FILE).read_bytes(), type=LastRun)
    except FileNotFoundError:
        raise FarmError("No run is recorded yet.", f"There is no {folder / LAST_RUN_FILE}.", mend) from None
    except (OSError, *NOT_JSON) as error:
        raise FarmError(
            "The record of the last run cannot be read.", f"{folder / LAST_RUN_FILE}: {error}", mend
        ) from error
    log = folder / run.log
    if LOG.fullmatch(run.log) is None or not log.is_file():
        raise FarmError("icecc's log of the last run is missing.", f"There is no {log}.", mend)
    return run, log


def _make(folder: Path) -> None:
    """The folder and those above it, for nobody else."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
