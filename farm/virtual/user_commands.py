"""What users run inside a virtual lab: it ends with the lab's network, so whoever takes that away asks first."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from farm import command
from farm.errors import CommandError, FarmError
from farm.home import Home
from farm.instance import Instance
from farm.printable import printable
from farm.processes import ENVIRONMENT_MARK, end_processes
from farm.virtual.namespace import inside, namespace_path

LONGEST_COMMAND = 120
"""Characters of a command line that are shown."""
LEAVE_POLL_SECONDS = 1.0
_MENDS = {
    "down": "Let them end first: sudo farm down --wait. Or end them: sudo farm down --force",
    "up": "Let them end, then run this again. Or disturb them: sudo farm up --force",
}
BYSTANDER = ("sleep", "infinity")
"""A process that `farm run` has beside the command (farm.workstation.run.signals)."""
PROGRAM = "icecc"
"""Each of its processes is one compiler call."""


@dataclass(frozen=True)
class UserCommand:
    """A command that a user started inside the lab, and all that it started."""

    user: str
    command: str
    folder: str
    jobs: int
    """Compiler calls that run now."""
    started: float
    """Unix time at which its first process began."""
    processes: tuple[psutil.Process, ...]
    """All its processes, the one that the user started first."""

    def __str__(self) -> str:
        place = f" in {self.folder}" if self.folder else ""
        since = time.strftime("%H:%M:%S", time.localtime(self.started))
        jobs, pid = f"{self.jobs} job{'' if self.jobs == 1 else 's'}", self.processes[0].pid
        return f"{self.user}: {self.command}{place}, {jobs}, since {since} (pid {pid})"


def find_builds(namespace: str) -> list[UserCommand]:
    """The builds in a network namespace, oldest first; none when there is no such namespace. For root."""
    if not namespace_path(namespace).exists():
        return []
    try:
        pids = [int(pid) for pid in command.run(["ip", "netns", "pids", namespace]).stdout.split()]
    except CommandError:
        return []
    foreign = {process.pid: process for process in _alive(pids) if not _is_the_farms(process)}
    found = []
    for process in foreign.values():
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in foreign and process.name() != "ssh":  # which has nothing to lose
                found.append(_build(process))
    return sorted(found, key=lambda build: build.started)


def _alive(pids: Iterable[int]) -> Iterable[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _is_the_farms(process: psutil.Process) -> bool:
    """Whether a farm's supervisord started it, or something that it started."""
    for each in (process, *process.parents()):
        with contextlib.suppress(psutil.Error):
            if ENVIRONMENT_MARK in each.environ():
                return True
    return False


def _build(first: psutil.Process) -> UserCommand:
    family = (first, *first.children(recursive=True))
    argv = first.cmdline()
    shown = _runs(first) if "run" in argv else first
    folder = ""
    with contextlib.suppress(psutil.Error):
        folder = printable(shown.cwd(), LONGEST_COMMAND)
    return UserCommand(
        user=printable(_user(shown)),
        command=printable(shlex.join(_command(argv)), LONGEST_COMMAND),
        folder=folder,
        jobs=sum(_is_a_job(process) for process in family),
        started=first.create_time(),
        processes=family,
    )


def _runs(run: psutil.Process) -> psutil.Process:
    """The command of a `farm run`, which is root's where the command is the user's; itself while it has none."""
    for child in run.children():
        with contextlib.suppress(psutil.Error):
            if tuple(child.cmdline()) != BYSTANDER:
                return child
    return run


def _command(argv: Sequence[str]) -> Sequence[str]:
    """What `farm run` was asked to run; any other command line as it is."""
    if "run" in argv and any("farm" in word for word in argv[:4]):
        return argv[argv.index("--") + 1 :] if "--" in argv else argv[argv.index("run") + 1 :]
    return argv


def _user(process: psutil.Process) -> str:
    try:
        return process.username()
    except (psutil.Error, KeyError):
        return "somebody"


def _is_a_job(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return Path(process.exe()).name == PROGRAM
    return False


def require_no_builds(namespaces: Iterable[str], command_name: str, force: bool) -> None:
    """Raises FarmError that names the builds in these namespaces, unless they may be ended (``force``)."""
    found = [str(build) for namespace in namespaces for build in find_builds(namespace)]
    if found and not force:
        raise under_way("Builds are running in the virtual lab.", found, command_name)


def under_way(what: str, lines: Sequence[str], command_name: str) -> FarmError:
    """The error of a command that would end what runs."""
    return FarmError(what, "\n".join(lines), _MENDS[command_name])


def wait_for_builds(namespace: str, report: Callable[[str, str], None]) -> None:
    """Return when no build runs any more."""
    while builds := find_builds(namespace):
        report("builds", f"waiting for {'; '.join(map(str, builds))}")
        time.sleep(LEAVE_POLL_SECONDS)


def end_builds(home: Home, builds: Sequence[UserCommand]) -> None:
    """End them, after writing down why: `farm run` tells its user."""
    if builds:
        _going_down(home).touch()
        end_processes([process for build in builds for process in build.processes])


def lab_gone(home: Home, instance: Instance) -> str:
    """Why the virtual lab that this process lives in is not there any more; empty when it is."""
    if instance.namespace is None:
        return ""
    if _going_down(home).exists() or not Instance.path(home).exists():
        return "The virtual lab was taken down (farm down) while the command was running."
    if not inside(instance.namespace):
        return f"The virtual lab of this command is gone: its network namespace {instance.namespace} was deleted."
    return ""


def forget_end(home: Home) -> None:
    """The lab is up: builds that end now end for reasons of their own."""
    _going_down(home).unlink(missing_ok=True)


def _going_down(home: Home) -> Path:
    return home.runtime / "going-down"
