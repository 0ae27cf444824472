"""The simulated farm as a whole: everyone logs in, works for a while, and leaves."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from random import Random

from farm.errors import FarmError
from farm.node.ports import ICECCD_PORT
from farm.scheduler.connection import POKE_INTERVAL, poke
from farm.simulate import plan
from farm.simulate.beat import BeatClock
from farm.simulate.counts import SimulatedCounts
from farm.simulate.fake_daemon import FakeDaemon, LoginPlace, listen
from farm.simulate.plan import SimulationSettings
from farm.simulate.work import SimulatedNode, SimulatedSubmitter

BEAT = 0.02
LOGINS_SECONDS = 90.0
LAST_JOBS_SECONDS = 120.0
"""Seconds for the jobs in flight at the end."""
ABSENCE = (5.0, 20.0)
"""Seconds that a lost node stays away."""
FIRST_PORT = 20000
"""Of daemons that share an address."""
FIRST_SUBMITTER = 10
"""Its place in the network; nodes are a 256th or more above."""


class Simulation:
    """A farm that logs in to the scheduler at ``host``:``port`` and compiles; good for one ``run``.

    ``network``: each daemon has an address of its own from it, and iceccd's port. None: all share one address.
    """

    def __init__(self, settings: SimulationSettings, host: str, port: int, network: IPv4Network | None = None) -> None:
        self.settings = settings
        self.counts = SimulatedCounts()
        self.login_seconds = 0.0
        """How long it took until all were logged in."""
        self.at_work = asyncio.Event()
        """All are logged in, and the first jobs are submitted."""
        self._scheduler = (host, port)
        self._network = network
        self._random = random = Random(f"behaviour {settings.seed}")
        self._clock = clock = BeatClock()
        self._stopped = False
        self._by_key: dict[tuple[str, int], SimulatedNode] = {}
        submitters, nodes = plan.hosts(settings)
        places = _places(host, port, network, len(submitters), len(nodes))
        self.submitters = [
            SimulatedSubmitter(
                FakeDaemon(machine, next(places), random),
                plan.jobs(settings, number),
                settings.parallel,
                clock,
                self.counts,
                self._find,
            )
            for number, machine in enumerate(submitters)
        ]
        self.nodes = [
            SimulatedNode(FakeDaemon(machine, next(places), random), clock, self.counts, random) for machine in nodes
        ]
        self._daemons = [submitter.daemon for submitter in self.submitters] + [node.daemon for node in self.nodes]

    @property
    def logged_in(self) -> int:
        """How many nodes are there."""
        return sum(node.daemon.logged_in for node in self.nodes)

    @property
    def in_flight(self) -> int:
        """Jobs that have not ended, local ones among them."""
        return sum(submitter.in_flight for submitter in self.submitters)

    def stop(self) -> None:
        """End ``run`` soon, with jobs in flight."""
        self._stopped = True

    async def run(self, duration: float | None = None) -> SimulatedCounts:
        """Log in, submit jobs for ``duration`` seconds (None: until ``stop``), let those in flight end, and leave.

        Raises FarmError when the daemons cannot log in at the beginning; a scheduler that goes later is waited for.
        """
        servers = await listen({node.daemon.place.listen for node in self.nodes})
        try:
            await self._log_in()
            self.at_work.set()
            await self._work(math.inf if duration is None else duration)
        finally:
            self.counts.unfinished = self.in_flight
            # Else the scheduler may see a submitter leave before it sees its last job end.
            await asyncio.gather(*(node.daemon.settle() for node in self.nodes))
            await asyncio.gather(*(daemon.leave() for daemon in self._daemons))
            for server in servers:
                server.close()
        return self.counts

    async def _log_in(self) -> None:
        start = time.monotonic()
        await self._daemons[0].connect()  # the first tells whether there is a scheduler at all
        await asyncio.gather(*(daemon.connect() for daemon in self._daemons[1:]))
        while missing := sum(not daemon.logged_in for daemon in self._daemons):
            self.login_seconds = time.monotonic() - start
            if self.login_seconds > LOGINS_SECONDS:
                raise FarmError(
                    f"{missing} of {len(self._daemons)} simulated daemons cannot log in.",
                    f"The scheduler did not accept them within {LOGINS_SECONDS:.0f} s; they may be blocked.",
                    "Check: echo listblocks | nc SCHEDULER 8766",
                )
            if self._stopped:
                return
            await poke(*self._scheduler)
            await asyncio.sleep(POKE_INTERVAL / 2)

    async def _work(self, end: float) -> None:
        start = time.monotonic()
        next_poke = 0.0
        self._plan_loss()
        while not self._stopped:
            now = time.monotonic() - start
            self._clock.do_due()
            for submitter in self.submitters:
                submitter.start_due(min(now, end))
            self._clock.flush()
            if now >= end and (not self.in_flight or now >= end + LAST_JOBS_SECONDS):
                return
            if now >= next_poke:
                next_poke = now + POKE_INTERVAL
                if any(daemon.wanted and not daemon.logged_in for daemon in self._daemons):
                    await poke(*self._scheduler)
            await asyncio.sleep(BEAT)

    def _find(self, address: str, port: int) -> SimulatedNode | None:
        if not self._by_key:
            self._by_key = {node.daemon.key: node for node in self.nodes}
        node = self._by_key.get((address, port))
        return node if node and node.daemon.logged_in else None

    def _plan_loss(self) -> None:
        if self.settings.churn:
            self._clock.later(self._random.expovariate(self.settings.churn / 60), self._lose_one)

    def _lose_one(self) -> None:
        self._plan_loss()
        present = [node.daemon for node in self.nodes if node.daemon.logged_in]
        if present:
            daemon = self._random.choice(present)
            daemon.close()
            self._clock.later(self._random.uniform(*ABSENCE), daemon.come_back)


def _places(host: str, port: int, network: IPv4Network | None, submitters: int, nodes: int) -> Iterator[LoginPlace]:
    """The submitters' and then the nodes' places."""
    if network is None:
        for number in range(submitters + nodes):
            yield LoginPlace(host, port, None, FIRST_PORT + number)
        return
    numbers = [FIRST_SUBMITTER + number for number in range(submitters)]
    numbers += [256 * (1 + number // 250) + 1 + number % 250 for number in range(nodes)]
    if submitters > 240 or numbers[-1] >= network.num_addresses:
        raise FarmError(
            f"{network} is too small for {nodes} nodes and {submitters} submitters.",
            "The first 256th of the network is for at most 240 submitters, the rest for nodes.",
            "Use a network of 65536 addresses: --network 127.78.0.0/16",
        )
    for number in numbers:
        yield LoginPlace(host, port, str(network[number]), ICECCD_PORT)
