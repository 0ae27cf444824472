"""Run a command as if it were this process: what it is given, and every signal, is as with env(1)."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from farm.errors import FarmError
from farm.workstation.run.signals import Bystander, Signals, held_back, passed_on, stop_like

PR_SET_PDEATHSIG = 1


class NoSuchCommandError(FarmError):
    """The command to run is not in PATH, or its interpreter is not there; the exit code is the shell's."""

    exit_code = 127


class NotExecutableError(FarmError):
    """The command to run may not be run; the exit code is the shell's."""

    exit_code = 126


@dataclass(frozen=True)
class Command:
    """What to run, and as whom (None: as ourselves)."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    user: pwd.struct_passwd | None = None


def given_environment() -> dict[str, str]:
    """The environment that this process was given.

    In the C locale Python sets LC_CTYPE for itself and all it starts (PEP 538), by which compilers quote otherwise.
    """
    found: dict[str, str] = {}
    for entry in Path("/proc/self/environ").read_bytes().split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            found.setdefault(os.fsdecode(name), os.fsdecode(value))
    return found


def working_folder() -> str:
    """Where we stand; empty when that has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


async def execute(
    command: Command,
    *,
    stdout: IO[Any] | None = None,
    stderr: IO[Any] | None = None,
    stopping: Callable[[], None] = lambda: None,
    seen: Callable[[int], None] = lambda number: None,
) -> int:
    """Run a command to its end; -n if signal n ended it. For the main thread.

    The command has our descriptors, signals, limits and terminal, and is in our process group. When it is stopped we
    stop as well, after ``stopping`` was called; ``seen`` hears of signals. Raises NoSuchCommandError or
    NotExecutableError.
    """
    tell = asyncio.get_running_loop().call_soon_threadsafe
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the kernel tells nobody how the command ended
    with held_back() as mask, Bystander() as bystander:
        process = _start(command, mask, stdout, stderr)
        with passed_on(process.pid, bystander, lambda number: tell(seen, number)):
            while process.returncode is None:
                _, status = await asyncio.to_thread(os.waitpid, process.pid, os.WUNTRACED)
                if os.WIFSTOPPED(status):
                    stopping()
                    stop_like(process.pid, os.WSTOPSIG(status))
                else:
                    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode


def _start(command: Command, mask: Signals, stdout: IO[Any] | None, stderr: IO[Any] | None) -> subprocess.Popen[bytes]:
    identity: dict[str, Any] = {}
    if command.user is not None:
        user = command.user
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        """Between fork and exec: the signals as we were given them, and our SIGKILL is the command's, too."""
        if callable(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=command.environment,
            stdout=stdout,
            stderr=stderr,
            close_fds=False,
            preexec_fn=prepare,
            **identity,
        )

    try:
        try:
            return start(command.argv)
        except OSError as error:
            path = _path(command)
            if error.errno != errno.ENOEXEC or path is None:
                raise
            return start(["/bin/sh", path, *command.argv[1:]])  # as execvp(3) does
    except OSError as error:
        raise _refusal(command, error) from error


def _path(command: Command) -> str | None:
    return shutil.which(command.argv[0], path=command.environment.get("PATH"))


def _refusal(command: Command, error: OSError) -> FarmError:
    name = command.argv[0]
    if error.errno == errno.ENOENT or not name:
        if name and _path(command) is not None:
            why = "The interpreter in its first line, or its loader, does not exist."
            return NoSuchCommandError(f"{name} cannot be run.", why, "Check its first line: head -n 1 FILE")
        why = "The file does not exist." if "/" in name else "The command is not in PATH."
        return NoSuchCommandError(f"There is no command {name}.", why, "Check its spelling.")
    if error.errno == errno.EACCES:
        why = "This is a folder." if os.path.isdir(name) else "The file is not executable."
        return NotExecutableError(f"{name} cannot be run.", why, "Use the path of a program.")
    mend = "Check its mode and, if it is a script, its first line."
    return NotExecutableError(f"{name} cannot be run.", error.strerror or "", mend)


def shell_code(returncode: int) -> int:
    """The exit code as a shell has it: 128 + n if signal n ended the command."""
    return returncode if returncode >= 0 else 128 - returncode


def leave(returncode: int) -> NoReturn:
    """End as a command did: a shell that sees that Ctrl-C ended it stops its script."""
    if returncode < 0:
        for stream in (sys.stdout, sys.stderr):
            if stream:  # None: it was closed before we began
                stream.flush()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP have no handler to be removed
            signal.signal(-returncode, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-returncode})
        os.kill(os.getpid(), -returncode)
    sys.exit(shell_code(returncode))
