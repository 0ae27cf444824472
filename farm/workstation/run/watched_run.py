"""Run a command so that its compiler calls go to the farm, and tell where they ran."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from farm.scheduler.connection import SCHEDULER_SILENCE_SECONDS
from farm.scheduler.monitor import watch_batches
from farm.view.wording import count
from farm.watch.activity import Job
from farm.workstation.membership import Membership
from farm.workstation.run.announcing import Announcer
from farm.workstation.run.execution import Command, execute, shell_code
from farm.workstation.run.live_line import LiveLine
from farm.workstation.run.own_calls import FollowedLog, OwnCalls
from farm.workstation.run.signals import PASSED
from farm.workstation.run.tally import Counts, Tally

LAST_REPORTS_SECONDS = 5.0
"""The longest wait for reports of the last jobs' ends."""
SETTLE_OWN_SECONDS = 1.0
"""The same where icecc's log has told which jobs there are, so that only times would be missing."""
LOG_QUIET_SECONDS = 0.3
LINE_SECONDS = 1.0
"""Between two looks at icecc's log, and two pictures of the live line."""
STILL_GOING_SECONDS = 10.0
"""Between two messages to farmd without news, or after one that nobody heard; it forgets a run after half a minute."""
FIRST_WORD_SECONDS = 0.5
"""So long does the command wait at most, so that farmd knows the run before it hears of its jobs."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended; times are Unix times in seconds."""

    returncode: int
    """-n if signal n ended it."""
    started: float
    ended: float
    counts: Counts | None = None
    """None when icecc was not used, so that nobody counted."""
    jobs: tuple[Job, ...] = ()
    """Those whose times are known."""
    complete: bool = True
    """False when the scheduler was not watched all the time."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Address → name of the nodes that had jobs, as far as known."""

    @property
    def exit(self) -> int:
        """The exit code as a shell has it: 128 + n if signal n ended it."""
        return shell_code(self.returncode)


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


@contextlib.contextmanager
def acting_as(user: pwd.struct_passwd | None) -> Iterator[None]:
    """Have the rights of a user who became root by sudo, so that nothing is written where they could not write."""
    if user is None:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def run_here(command: Command) -> Ran:
    """Run a command that does not use the farm, to its end. Raises like `execute`."""
    started = time.time()
    code = asyncio.run(execute(command))
    return Ran(code, started, time.time())


def run(
    command: Command,
    membership: Membership,
    *,
    log: Path | None = None,
    names: Mapping[str, str] | None = None,
    from_start: bool = False,
    line: LiveLine | None = None,
    announcer: Announcer | None = None,
) -> Ran:
    """Run a command to its end, and count its jobs.

    ``log``: the one that icecc writes; without it all jobs of this machine's iceccd count. ``names``: of nodes by
    address, in case the command ends before the scheduler has told. ``from_start``: wait for the scheduler, which may
    take two seconds, so that no job's time is missed. ``announcer`` tells farmd of the run. Raises like `execute`.
    """
    tally = Tally(membership.submitter, names or {})
    watched = _Watched(command, membership, log, tally, line, announcer)
    return asyncio.run(watched.run(from_start or log is None))


def _ignore_keys() -> None:
    """The keys that interrupt and quit were for the command, which is over; what is left takes a few seconds."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) != signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)


def _out_of_signals_way(work: Callable[[], bool]) -> bool:
    """Work in a thread that takes no signal: one that begins before the command does has not inherited that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED)
    return work()


class _Watched:
    """A command, and what is seen of its jobs meanwhile."""

    def __init__(
        self,
        command: Command,
        membership: Membership,
        log: Path | None,
        tally: Tally,
        line: LiveLine | None,
        announcer: Announcer | None,
    ) -> None:
        self._command, self._membership, self.tally = command, membership, tally
        self._line, self._announcer = line, announcer
        self._own = OwnCalls() if log else None
        self._log = FollowedLog(log, self._own) if log and self._own else None
        self._news = asyncio.Event()
        """Something has been folded."""
        self._heard = False
        """farmd has heard the last message."""
        self._next_word = 0.0
        """When farmd is told at the latest that the run goes on."""
        self._started = 0.0

    async def run(self, from_start: bool) -> Ran:
        watcher = asyncio.create_task(self._watch())
        try:
            if from_start:
                await self._until(lambda: self.tally.ready, SCHEDULER_SILENCE_SECONDS)
            seen_from_start = self._own is not None or self.tally.ready
            first_word = asyncio.create_task(self._tell())
            await asyncio.wait([first_word], timeout=FIRST_WORD_SECONDS)
            self._started = time.time()
            code = await self._accompanied()
            ended = time.time()
            _ignore_keys()
            self._look()
            await self._settle(from_start)
        finally:
            await self._tell(going=False)
            watcher.cancel()
            await asyncio.wait([watcher])
            if self._log:
                self._log.close()
        tally, own = self.tally, self._own
        # A command may be over before the scheduler has answered; icecc's log knows its jobs all the same.
        complete = seen_from_start and not tally.gaps and (own is not None or not tally.pending)
        used = set(own.remote.values()) if own else set()
        names = {address: name for address, name in tally.names().items() if address in used}
        return Ran(code, self._started, ended, tally.counts(own), tuple(tally.jobs(own)), complete, names)

    async def _watch(self) -> None:
        batches = watch_batches(self._membership.scheduler, self._membership.port, seed=False)
        async with contextlib.aclosing(batches):
            async for batch in batches:
                now = time.time()
                for event in batch:
                    self.tally.fold(event, now)
                self._news.set()

    async def _accompanied(self) -> int:
        """Run the command, looking at what it does meanwhile."""
        looking = asyncio.create_task(self._keep_looking())
        try:
            return await execute(self._command, stopping=self._erase, seen=self._signalled)
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            self._erase()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LINE_SECONDS)
            self._look()
            self._draw()
            await self._tell_news()

    def _look(self) -> None:
        if self._log:
            with contextlib.suppress(OSError):
                self._log.read()

    def _signalled(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._draw()

    def _erase(self) -> None:
        if self._line:
            self._line.erase()

    def _draw(self) -> None:
        if self._line:
            self._line.draw(self._text())

    def _text(self) -> str:
        now, own, tally = self.tally.now(self._own), self._own, self.tally
        on_nodes = len(own.remote) - now.remote if own else tally.done_remote
        here = own.here - now.local if own else tally.done_local
        nodes = count(now.nodes, "node")
        minutes, seconds = divmod(int(time.time() - self._started), 60)
        running = f"{now.remote} on {nodes}, {now.local} here, {now.waiting} waiting"
        return f"farm: {running}; done {max(0, on_nodes)} on nodes, {max(0, here)} here; {minutes}:{seconds:02}"

    async def _tell_news(self) -> None:
        """Tell farmd which jobs are the run's, or now and then that it goes on."""
        due, announcer = time.monotonic() > self._next_word, self._announcer
        if due or (self._heard and announcer and self._own and announcer.news(self.tally.claims(self._own))):
            await self._tell()

    async def _tell(self, *, going: bool = True) -> None:
        announcer, more = self._announcer, True
        while announcer and announcer.able and more:
            jobs = self.tally.claims(self._own) if self._own else set[int]()
            tell = functools.partial(announcer.tell, jobs, going=going)
            self._heard = await asyncio.to_thread(_out_of_signals_way, tell)
            self._next_word = time.monotonic() + STILL_GOING_SECONDS
            more = self.tally.give_up(announcer.taken)

    async def _settle(self, times: bool) -> None:
        """Wait for the last jobs' ends, but not for ever; longer where their ``times`` are wanted."""
        tally, own = self.tally, self._own
        if own is not None:
            if tally.connected:
                await self._until(lambda: not tally.open(own), LAST_REPORTS_SECONDS if times else SETTLE_OWN_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_REPORTS_SECONDS):
                changes = -1
                while tally.pending or tally.changes != changes:
                    changes = tally.changes
                    await asyncio.sleep(LOG_QUIET_SECONDS)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
