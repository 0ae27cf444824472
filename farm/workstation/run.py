"""Run a command so that its compiler calls go to the farm, and tell where they ran."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from farm.config import Config
from farm.errors import FarmError
from farm.scheduler.connection import PATIENCE
from farm.scheduler.monitor import watch
from farm.workstation.membership import submitter_name
from farm.workstation.tally import NodeTally, Tally

SETTLE_SECONDS = 5.0
"""The longest wait for reports of the last jobs' ends."""
QUIET_SECONDS = 0.3


class NoSuchCommandError(FarmError):
    """The command to run is not in PATH; the exit code is the shell's."""

    exit_code = 127


class NotExecutableError(FarmError):
    """The command to run may not be run; the exit code is the shell's."""

    exit_code = 126


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
