"""Signals while a command runs for us: what is sent to this process alone is passed on to it.

What is sent to the process group (by the terminal, or by kill(1) with a negative number) reaches the command by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from farm.virtual.user_commands import BYSTANDER

Signals = frozenset[int]

NOT_OURS = frozenset((
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGURG, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE,
    signal.SIGXCPU, signal.SIGXFSZ, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP,
    signal.SIGSYS, signal.SIGABRT,
))  # fmt: skip
"""Those that cannot be held back, and those that tell this process of something that it did itself."""
PASSED: Signals = frozenset(signal.valid_signals()) - NOT_OURS


@contextlib.contextmanager
def held_back() -> Iterator[Signals]:
    """Keep `PASSED` signals waiting; yields what was blocked before, which is for the command to inherit.

    What still waits at the end was for a command that is over, and is dropped.
    """
    before: Signals = frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, PASSED))
    try:
        yield before
    finally:
        while signal.sigtimedwait(PASSED, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Bystander:
    """A process of our group that never takes a signal: what waits for it was sent to the whole group.

    The kernel says by whom a signal was sent, but not to whom. To be started while signals are held back.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def __enter__(self) -> Bystander:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def had(self, number: int) -> bool:
        """Whether a signal that has just come to us was sent to it as well; asked once for each."""
        pending = _signals_pending(self._process.pid) if self._process else 0
        if pending:
            self._end()
            self._start()
        return bool(pending >> (number - 1) & 1)

    def _start(self) -> None:
        null, argv = subprocess.DEVNULL, ["setpriv", "--pdeathsig", "KILL", *BYSTANDER]
        with contextlib.suppress(OSError):  # without it what is sent to the group reaches the command twice
            self._process = subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, cwd="/")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()


@contextlib.contextmanager
def passed_on(pid: int, bystander: Bystander, seen: Callable[[int], object]) -> Iterator[None]:
    """Pass signals on to a child while it runs; ``seen`` hears of each, in a thread. They must be held back."""
    child = os.pidfd_open(pid)
    over = threading.Event()
    thread = threading.Thread(target=_pass, args=(pid, child, bystander, seen, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        assert thread.ident is not None
        signal.pthread_kill(thread.ident, signal.SIGWINCH)
        thread.join()
        os.close(child)


def _pass(pid: int, child: int, bystander: Bystander, seen: Callable[[int], object], over: threading.Event) -> None:
    while True:
        told = signal.sigwaitinfo(PASSED)
        if over.is_set():
            return
        number = told.si_signo
        to_group = bystander.had(number)
        by_kernel = told.si_code > 0  # the terminal's; else a process has sent it
        idle = number == signal.SIGCONT and not is_stopped(pid)
        if not (to_group or by_kernel or idle):
            with contextlib.suppress(OSError):  # it has ended, or has become another user
                signal.pidfd_send_signal(child, number)
        seen(number)


def stop_like(pid: int, number: int) -> None:
    """Stop this process by the signal that has stopped a child; returns when both are continued.

    A child with a process group of its own, such as a shell, is not continued by who continues ours.
    """
    if not is_stopped(pid):
        return  # it goes on already: both of us were stopped, and continued
    if signal.getsignal(number) == signal.SIG_IGN:
        number = signal.SIGSTOP
    while signal.sigtimedwait({number}, 0):
        pass  # our own copy of Ctrl-Z, which would stop us a second time
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.raise_signal(number)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if is_stopped(pid):
        with contextlib.suppress(OSError):  # it is another user's now
            os.kill(pid, signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, as by Ctrl-Z (proc(5))."""
    return _read(pid, "stat").rpartition(")")[2].split()[:1] == ["T"]


def _signals_pending(pid: int) -> int:
    """A bit for each signal that waits for a process, the lowest for number 1 (proc(5))."""
    lines = dict(line.split(":\t", 1) for line in _read(pid, "status").splitlines() if ":\t" in line)
    return int(lines.get("ShdPnd", "0"), 16)


def _read(pid: int, name: str) -> str:
    try:
        return Path("/proc", str(pid), name).read_text(errors="replace")
    except OSError:
        return ""
