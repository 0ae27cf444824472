"""Run a command so that its compiler calls go to the farm, and tell where they ran."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct

from farm.config import Config
from farm.errors import FarmError
from farm.scheduler.connection import PATIENCE, SchedulerLostError
from farm.scheduler.control import ListedNode, list_nodes
from farm.scheduler.monitor import watch
from farm.scheduler.protocol import ProtocolError
from farm.workstation.membership import submitter_name
from farm.workstation.tally import NodeTally, Tally

ICECC_WRAPPERS = "/usr/lib/icecc/bin"
"""cc, c++, gcc, g++, clang and clang++, each of them icecc."""
CMAKE_LAUNCHERS = ("CMAKE_C_COMPILER_LAUNCHER", "CMAKE_CXX_COMPILER_LAUNCHER")
SPARE_JOBS = 2
"""More jobs than slots, so that preprocessing here and compiling there overlap."""
SETTLE_SECONDS = 5.0
"""The longest wait for reports of the last jobs' ends."""
QUIET_SECONDS = 0.3
LOGIN_SECONDS = 60.0
"""iceccd comes back 20 to 51 s after it has lost its scheduler (daemon/main.cpp, reconnect)."""


class NoSuchCommandError(FarmError):
    """The command to run is not in PATH; the exit code is the shell's."""

    exit_code = 127


class NotExecutableError(FarmError):
    """The command to run may not be run; the exit code is the shell's."""

    exit_code = 126


@dataclass(frozen=True)
class Slots:
    """What the farm has to offer; ``obstacle`` says why that is nothing."""

    nodes: int = 0
    total: int = 0
    free: int = 0
    obstacle: str = ""
    logging_in: bool = False
    """The obstacle is this machine's own iceccd, which will log in by itself."""

    def parallel_jobs(self, cpus: int) -> int:
        """How many jobs a build should run at a time."""
        return max(self.free + SPARE_JOBS, cpus) if self.nodes else cpus


class Summary(Struct, frozen=True):
    """Where a command's jobs ran; ``failed`` ones are run again here by icecc, so they count in ``local`` too."""

    exit: int
    """The command's exit code, 128 + n if signal n ended it."""
    nodes: dict[str, NodeTally]
    local: int | None
    """Compiled or linked by this machine; None when icecc was not used, so that nobody counted."""
    failed: int
    complete: bool
    """False when the scheduler was not watched all the time: jobs may be missing."""
    schema: int = 1


def count_slots(nodes: Sequence[ListedNode], submitter: str) -> Slots:
    """Add up the nodes that the scheduler gives jobs to (at load 1000 it gives none)."""
    ready = [node for node in nodes if node.name != submitter and node.max_jobs > 0 and node.load < 1000]
    if all(node.name != submitter for node in nodes):
        why = f"This machine's iceccd ({submitter}) has not logged in to the scheduler."
        return Slots(obstacle=why, logging_in=True)
    if not ready:
        return Slots(obstacle="No node is ready.")
    return Slots(
        nodes=len(ready),
        total=sum(node.max_jobs for node in ready),
        free=sum(max(0, node.max_jobs - node.jobs) for node in ready),
    )


def survey(config: Config) -> Slots:
    """Ask the scheduler what the farm has to offer now."""
    try:
        nodes = asyncio.run(list_nodes(config.server, config.scheduler.port))
    except (SchedulerLostError, ProtocolError) as error:
        return Slots(obstacle=f"{error.what} {error.why}")
    return count_slots(nodes, submitter_name(config))


def survey_patiently(config: Config, say: Callable[[str], None]) -> Slots:
    """`survey`, but an iceccd that has lost its scheduler gets the time it takes to come back, and ``say`` says so."""
    deadline = time.monotonic() + LOGIN_SECONDS
    slots = survey(config)
    if slots.logging_in:
        say(f"{slots.obstacle} Waiting for it.")
    while slots.logging_in and time.monotonic() < deadline:
        time.sleep(1)
        slots = survey(config)
    return slots


def uses_ccache(environment: Mapping[str, str]) -> bool:
    """Whether compiler calls go through ccache: by its own prefix, a launcher, or its folder in PATH."""
    if "CCACHE_PREFIX" in environment:
        return True
    if any(_first_program(environment, name) == "ccache" for name in ("CC", "CXX", *CMAKE_LAUNCHERS)):
        return True
    compiler = shutil.which("gcc", path=_path_without_wrappers(environment))
    return compiler is not None and Path(compiler).resolve().name == "ccache"


def compile_environment(
    base: Mapping[str, str], *, remote: bool, jobs: int, ccache: bool = False, make: bool = False
) -> dict[str, str]:
    """The environment in which a command compiles on the farm, or with ``remote`` unset on this machine alone.

    icecc comes in by PATH or, where ccache is used, behind it, or where CMake has it for a launcher, by that: never two
    ways at once (icecc refuses to call itself). Where cc is gcc, CC says gcc (likewise CXX):
    icecc makes an environment for each name, and nodes would receive the same one twice. ``jobs`` is passed on as
    FARM_JOBS, and with ``make`` to make itself.
    """
    environment = {**base, "FARM_JOBS": str(jobs)}
    if make:
        environment["MAKEFLAGS"] = f"{base.get('MAKEFLAGS', '')} -j{jobs}".strip()
    path = _path_without_wrappers(base)
    if not remote:
        return {**environment, "ICECC": "disable"}
    if ccache:
        environment.update(PATH=path, CCACHE_PREFIX="icecc")
    elif any(_first_program(base, name) == "icecc" for name in CMAKE_LAUNCHERS):
        environment["PATH"] = path
    else:
        environment["PATH"] = os.pathsep.join([ICECC_WRAPPERS, path])
    compilers = {
        variable: name
        for variable, generic, name in (("CC", "cc", "gcc"), ("CXX", "c++", "g++"))
        if variable not in base and _same_program(generic, name, path)
    }
    return environment | compilers


def _first_program(environment: Mapping[str, str], variable: str) -> str:
    words = environment.get(variable, "").split()
    return Path(words[0]).name if words else ""


def _same_program(one: str, other: str, path: str) -> bool:
    found = [shutil.which(name, path=path) for name in (one, other)]
    return all(found) and len({Path(file).resolve() for file in found if file}) == 1


def _path_without_wrappers(environment: Mapping[str, str]) -> str:
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if folder.rstrip("/") != ICECC_WRAPPERS)


def sudo_caller(environment: Mapping[str, str]) -> pwd.struct_passwd | None:
    """The user who became root by sudo, if one did."""
    uid = environment.get("SUDO_UID", "")
    if os.geteuid() != 0 or not uid.isdecimal() or int(uid) == 0:
        return None
    try:
        return pwd.getpwuid(int(uid))
    except KeyError:
        return None


def as_user(environment: Mapping[str, str], user: pwd.struct_passwd) -> dict[str, str]:
    """The environment without sudo's marks on it."""
    kept = {name: value for name, value in environment.items() if not name.startswith("SUDO_")}
    return {**kept, "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


def run(
    argv: Sequence[str],
    config: Config,
    environment: Mapping[str, str],
    *,
    remote: bool,
    user: pwd.struct_passwd | None = None,
) -> Summary:
    """Run a command to its end, as ``user`` if given, and count its jobs if they may be ``remote``.

    Signals from the terminal reach the command directly, like those of a shell; SIGTERM and SIGHUP are passed on.
    Raises NoSuchCommandError or NotExecutableError.
    """
    if shutil.which(argv[0], path=environment.get("PATH")) is None:
        raise NoSuchCommandError(f"There is no command {argv[0]}.", "It is not in PATH.", "Check its spelling.")
    return asyncio.run(_run(argv, config, environment, remote, user))


async def _run(
    argv: Sequence[str], config: Config, environment: Mapping[str, str], remote: bool, user: pwd.struct_passwd | None
) -> Summary:
    if not remote:
        return Summary(await _execute(argv, environment, user), {}, None, 0, True)
    tally = Tally(submitter_name(config))
    ready = asyncio.Event()
    watcher = asyncio.create_task(_watch(config, tally, ready))
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ready.wait(), PATIENCE)
        code = await _execute(argv, environment, user)
        complete = ready.is_set()
        await _settle(tally)
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])
    failed = sum(node.failed for node in tally.nodes.values())
    nodes = dict(sorted(tally.nodes.items()))
    return Summary(code, nodes, tally.local, failed, complete and tally.complete and not tally.pending)


async def _watch(config: Config, tally: Tally, ready: asyncio.Event) -> None:
    async with contextlib.aclosing(watch(config.server, config.scheduler.port, seed=False)) as events:
        async for event in events:
            tally.fold(event)
            if tally.ready:
                ready.set()


async def _settle(tally: Tally) -> None:
    """Wait until the end of every job has been reported and nothing more comes, but not for ever."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            changes = -1
            while tally.pending or tally.changes != changes:
                changes = tally.changes
                await asyncio.sleep(QUIET_SECONDS)


async def _execute(argv: Sequence[str], environment: Mapping[str, str], user: pwd.struct_passwd | None) -> int:
    identity: dict[str, Any] = {}
    if user is not None:
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, lambda: None)  # not SIG_IGN, which the command would inherit
    try:
        process = await asyncio.create_subprocess_exec(*argv, env=environment, **identity)
    except OSError as error:
        raise NotExecutableError(f"{argv[0]} cannot be run.", error.strerror or "", "Look at its mode.") from error
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _send, process, number)
    code = await process.wait()
    return code if code >= 0 else 128 - code


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
