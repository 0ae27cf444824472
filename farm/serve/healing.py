"""Wait until a farm's services answer, and start again those that run and do not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.serve import health
from farm.supervisor import Supervisor

Report = Callable[[str, str], None]
"""Called with the step and what is being done in it."""

HEALING_SECONDS = 60.0
"""Seconds that services have to become healthy, and once more after one was started again."""
SICK_SECONDS = 10.0
"""A service that has been silent for so long is started again, once: a busy one has answered by then."""
SICK_ANSWERS = 3


class _Sick:
    """Since when each service has not answered, how often it was asked since, and what was started again."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, int]] = {}
        self._restarted: set[str] = set()

    def hopeless(self, names: set[str], now: float) -> set[str]:
        """Of those that do not answer now, the ones to start again."""
        self._since = {
            name: (self._since[name][0], self._since[name][1] + 1) if name in self._since else (now, 1)
            for name in names
        }
        found = {
            name
            for name, (since, times) in self._since.items()
            if now - since >= SICK_SECONDS and times >= SICK_ANSWERS and name not in self._restarted
        }
        self._restarted |= found
        return found


def wait_until_healthy(home: Home, instance: Instance, report: Report) -> None:
    """Return when every service answers; one that runs and does not is started again, once. Machines never are.

    Raises FarmError that says what does not answer, and why.
    """
    machines = {machine.name for machine in instance.machines}
    supervisor, seen = Supervisor(home), _Sick()
    deadline = time.monotonic() + HEALING_SECONDS
    while True:
        answers = [answer for answer in health.check(home, instance) if answer.service not in machines]
        sick = [answer for answer in answers if not answer.ok]
        if not sick:
            return
        report("services", "waiting for " + ", ".join(answer.service for answer in sick))
        if hopeless := sorted(seen.hopeless({answer.service for answer in sick}, time.monotonic())):
            for name in hopeless:
                report("services", f"restarting {name}, which does not answer")
            _restart(supervisor, hopeless)
            deadline = time.monotonic() + HEALING_SECONDS
        if time.monotonic() > deadline:
            raise FarmError(
                f"Not all services came up: {', '.join(answer.service for answer in sick)}.",
                "\n".join(f"{answer.service}: {answer.detail}" for answer in sick),
                f"See: farm logs {sick[0].service}. Then run again: sudo farm up",
            )
        time.sleep(0.5)


def _restart(supervisor: Supervisor, names: Sequence[str]) -> None:
    """All at once: one that hangs is given ten seconds to end before it is killed."""

    def restart(name: str) -> None:
        with contextlib.suppress(FarmError):  # what then does not answer is said by the one that waits
            supervisor.restart(name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(restart, names))
