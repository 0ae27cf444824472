"""What daemons do: submitters ask and compile locally, nodes compile; all is counted."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from farm.simulate import wire
from farm.simulate.beat import BeatClock
from farm.simulate.counts import SimulatedCounts
from farm.simulate.fake_daemon import FakeDaemon
from farm.simulate.plan import PlannedJob

STATS_INTERVAL = 3.0
"""Seconds between a daemon's looks at its load, as CS_CONF has it."""
NOTEWORTHY = 100
"""A load that moved by so much is told."""
OVERLOAD = 0.0003
"""Chance that a look finds a node so busy that it takes no jobs until the next look."""
TRANSFER = 50e6
"""Bytes a second of preprocessed code on its way to a node."""
LOST_EXIT = 255
"""The scheduler's exit code for jobs whose node is gone."""


class Flight:
    """A job for which a submitter asked for a node, until it has ended."""

    __slots__ = ("begun", "client", "ended", "job", "node", "number", "submitter")

    def __init__(self, submitter: SimulatedSubmitter, client: int, job: PlannedJob) -> None:
        self.submitter = submitter
        self.client = client
        self.job = job
        self.number = 0
        """The scheduler's; 0 before it answers."""
        self.node: SimulatedNode | None = None
        self.begun = 0.0
        """By the clock; 0: not yet."""
        self.ended = False

    def result(self, speed: float, now: float, *, by_submitter: bool, clients: int) -> bytes:
        """The message that it has ended."""
        job = self.job
        return wire.job_done(
            self.number,
            int(job.fails),
            real=int((now - self.begun) * 1000),
            user=max(int(job.seconds * 950 / speed), 1),
            in_bytes=job.in_bytes,
            out_bytes=0 if job.fails else job.out_bytes,
            by_submitter=by_submitter,
            clients=clients,
        )


class SimulatedNode:
    """Who compiles: as many jobs at a time as it has slots; others that the scheduler sent ahead wait."""

    def __init__(self, daemon: FakeDaemon, clock: BeatClock, counts: SimulatedCounts, random: Random) -> None:
        self.daemon = daemon
        self._clock = clock
        self._counts = counts
        self._random = random
        self._flights: set[Flight] = set()
        self._waiting: deque[Flight] = deque()
        self._running = 0
        self._load = random.randrange(200)
        self._told = 0
        daemon.on_login = self._tell_load
        daemon.on_loss = self._lost
        clock.later(random.uniform(0, STATS_INTERVAL), self._look)

    def expect(self, flight: Flight) -> None:
        """The scheduler has named this node; the submitter sends the source."""
        self._flights.add(flight)
        flight.node = self
        self._clock.later(flight.job.in_bytes / TRANSFER, partial(self._receive, flight))

    def forget(self, flight: Flight) -> None:
        """The submitter is gone."""
        self._flights.discard(flight)
        if flight.begun:
            self._running -= 1
            self._begin_waiting()

    def _receive(self, flight: Flight) -> None:
        self._waiting.append(flight)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        while self._waiting and self._running < self.daemon.host.slots:
            flight = self._waiting.popleft()
            if flight.ended:
                continue
            self._running += 1
            flight.begun = self._clock.now()
            self._counts.begun += 1
            self._clock.send(self.daemon, wire.job_begin(flight.number, int(time.time()), self._running))
            self._clock.later(flight.job.seconds / self.daemon.host.speed, partial(self._finish, flight))

    def _finish(self, flight: Flight) -> None:
        if flight.ended:
            return
        self._flights.discard(flight)
        self._running -= 1
        result = flight.result(self.daemon.host.speed, self._clock.now(), by_submitter=False, clients=self._running)
        self._clock.send(self.daemon, result)
        flight.submitter.ended(flight, int(flight.job.fails))
        self._begin_waiting()

    def _lost(self) -> None:
        flights, self._flights = self._flights, set()
        self._waiting.clear()
        self._running = 0
        for flight in flights:
            flight.submitter.ended(flight, LOST_EXIT)

    def _look(self) -> None:
        """What others do on the machine wanders; iceccd tells only when that moved a lot, and so do we."""
        self._clock.later(STATS_INTERVAL, self._look)
        if self._random.random() < OVERLOAD:
            self._load = 1000
        else:
            self._load = min(max(int(self._load + self._random.gauss(-5, 60)), 0), 900)
        if self.daemon.logged_in and abs(self._load - self._told) >= NOTEWORTHY:
            self._tell_load()

    def _tell_load(self) -> None:
        self._told = self._load
        memory = self.daemon.host.memory - 200 * self._running - 500
        average = self._running + self._load / 1000
        self._clock.send(self.daemon, wire.stats(self._load, (average, average, average), memory))


class SimulatedSubmitter:
    """Who asks for nodes, compiles what failed there, and links."""

    def __init__(
        self,
        daemon: FakeDaemon,
        jobs: Iterator[PlannedJob],
        parallel: int,
        clock: BeatClock,
        counts: SimulatedCounts,
        find: Callable[[str, int], SimulatedNode | None],
    ) -> None:
        self.daemon = daemon
        self._jobs = jobs
        self._next = next(jobs, None)
        self._parallel = parallel
        self._clock = clock
        self._counts = counts
        self._find = find
        self._flights: dict[int, Flight] = {}
        self._local: set[int] = set()
        self._clients = itertools.count(1)
        daemon.on_login = self._tell_load
        daemon.on_loss = self._lost
        daemon.on_message = self._answered

    @property
    def in_flight(self) -> int:
        """Jobs that have not ended."""
        return len(self._flights) + len(self._local)

    def start_due(self, now: float) -> None:
        """Start the jobs that are due; those beyond ``parallel`` wait, those of a daemon that is away are left out."""
        while self._next is not None and self._next.due <= now:
            if self.daemon.logged_in:
                if len(self._flights) >= self._parallel:
                    return
                if self._next.local:
                    self._begin_local(self._next)
                else:
                    self._ask(self._next)
            self._next = next(self._jobs, None)

    def ended(self, flight: Flight, code: int) -> None:
        """A job has ended, which nobody need be told any more; what failed is compiled here."""
        flight.ended = True
        del self._flights[flight.client]
        self._counts.done += 1
        if code == LOST_EXIT:
            self._counts.lost += 1
        elif code:
            self._counts.failed += 1
        if code and self.daemon.logged_in:
            self._counts.fallback += 1
            self._begin_local(flight.job)

    def _ask(self, job: PlannedJob) -> None:
        client = next(self._clients)
        self._flights[client] = Flight(self, client, job)
        self._counts.requested += 1
        self._clock.send(self.daemon, wire.request(job.file, job.language, client, self.in_flight))

    def _answered(self, message: wire.Message) -> None:
        if not isinstance(message, wire.UseNode | wire.UseNone):
            return
        flight = self._flights.get(message.client)
        if flight is None:
            return
        flight.number = message.job
        if isinstance(message, wire.UseNone):
            self._compile_own(flight)
        elif node := self._find(message.address, message.port):
            node.expect(flight)
        else:
            self.ended(flight, LOST_EXIT)  # it has just gone, as the scheduler will find, too

    def _compile_own(self, flight: Flight) -> None:
        flight.begun = self._clock.now()
        self._counts.begun += 1
        self._counts.own += 1
        self._clock.send(self.daemon, wire.job_begin(flight.number, int(time.time()), self.in_flight))
        self._clock.later(flight.job.seconds, partial(self._finish_own, flight))

    def _finish_own(self, flight: Flight) -> None:
        if not flight.ended:
            result = flight.result(1.0, self._clock.now(), by_submitter=True, clients=self.in_flight)
            self._clock.send(self.daemon, result)
            self.ended(flight, int(flight.job.fails))

    def _begin_local(self, job: PlannedJob) -> None:
        client = next(self._clients)
        self._local.add(client)
        self._counts.local += 1
        self._clock.send(self.daemon, wire.local_begin(job.output, client, int(time.time())))
        self._clock.later(job.seconds, partial(self._finish_local, client))

    def _finish_local(self, client: int) -> None:
        if client in self._local:
            self._local.remove(client)
            self._counts.local_done += 1
            self._clock.send(self.daemon, wire.local_done(client))

    def _lost(self) -> None:
        self._local.clear()
        for flight in list(self._flights.values()):
            if flight.node:
                flight.node.forget(flight)
            self.ended(flight, LOST_EXIT)

    def _tell_load(self) -> None:
        self._clock.send(self.daemon, wire.stats(100, (1.0, 1.0, 1.0), self.daemon.host.memory // 2))
