"""What a simulated farm does: its hosts and each submitter's jobs, all from a seed; no I/O.

The plan says when a job is due and how much work it is; where it runs and when it ends is up to the scheduler.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from msgspec import Struct

USUAL_LOAD = 0.65
"""Share of slots that are busy on average, unless the jobs' duration is given."""
BUILD_SECONDS = (8.0, 40.0)
"""The shortest and the longest build."""
SPREAD = 0.6
"""Of the durations, as the sigma of a log-normal distribution: a few jobs take much longer than most."""
LONGEST_OF_MEAN = 4
"""No job takes more than so many times the mean."""
BYTES_PER_MS = 90
"""Object code that a node of speed 1 puts out per millisecond."""

PROJECTS = ("browser", "compiler", "engine", "kernel", "office", "player", "renderer", "database")
FOLDERS = ("core", "gui", "io", "math", "net", "parser", "storage", "tests", "text", "util")
FIRST = ("async", "base", "buffer", "cache", "codec", "event", "file", "glyph", "hash", "image", "index", "layout")
SECOND = ("builder", "filter", "handler", "loader", "manager", "pool", "queue", "reader", "table", "tree", "writer")


class SimulationSettings(Struct, frozen=True, kw_only=True):
    """A simulated farm's size and behaviour."""

    nodes: int = 50
    slots: int = 4
    """Job slots of each node."""
    submitters: int = 6
    submitter_slots: int = 0
    """Per submitter, for its own jobs only."""
    jobs: float = 100.0
    """A second, on average over time: those that ask for a node and local ones together."""
    local: float = 0.1
    """Share of jobs that a submitter does by itself."""
    failures: float = 0.02
    """Share of remote jobs that end with exit code 1; the submitter then compiles locally."""
    seconds: float | None = None
    """Mean duration of a job on a node of speed 1; None: as long as keeps ``USUAL_LOAD`` of the slots busy."""
    idle: float = 0.25
    """Share of the time in which a submitter builds nothing; 0 makes an even load."""
    churn: float = 0.0
    """Nodes that are lost a minute; each returns after 5 to 20 s."""
    seed: int = 1

    @property
    def mean_seconds(self) -> float:
        """Mean duration of a job on a node of speed 1."""
        if self.seconds is not None:
            return self.seconds
        remote = self.jobs * (1 - self.local)
        return min(USUAL_LOAD * self.nodes * self.slots / remote, 8.0) if remote else 1.0

    @property
    def parallel(self) -> int:
        """How many jobs a submitter lets wait or run at a time, as `make -jN` does."""
        return max(8, math.ceil(1.5 * self.nodes * self.slots / self.submitters))


class SimulatedHost(Struct, frozen=True):
    """A machine with a daemon."""

    name: str
    slots: int
    no_remote: bool
    speed: float
    """A job takes its seconds divided by this."""
    memory: int
    """Memory of the node in MiB."""


class PlannedJob(Struct, frozen=True):
    """A compiler call of a submitter."""

    due: float
    """Seconds after the start."""
    file: str
    output: str
    language: int
    """0 C, 1 C++."""
    seconds: float
    in_bytes: int
    out_bytes: int
    local: bool
    fails: bool
    """If it is remote."""


def hosts(settings: SimulationSettings) -> tuple[list[SimulatedHost], list[SimulatedHost]]:
    """The submitters and the nodes."""
    random = Random(f"hosts {settings.seed}")
    submitters = [
        SimulatedHost(f"dev{number:02}", settings.submitter_slots, no_remote=True, speed=1.0, memory=16384)
        for number in range(1, settings.submitters + 1)
    ]
    nodes = [
        SimulatedHost(
            f"pc{number:03}",
            settings.slots,
            no_remote=False,
            speed=random.choice((0.8, 1.0, 1.0, 1.3)),
            memory=random.choice((4096, 8192, 8192, 16384)),
        )
        for number in range(1, settings.nodes + 1)
    ]
    return submitters, nodes


def jobs(settings: SimulationSettings, submitter: int) -> Iterator[PlannedJob]:
    """The jobs of one submitter in the order in which they are due, without end.

    They come in builds with pauses between; the submitters start at different points of that.
    """
    random = Random(f"jobs {settings.seed} {submitter}")
    rate = settings.jobs / settings.submitters / (1 - settings.idle)
    if not rate:
        return
    length, pause = _cycle(random, settings.idle)
    now = random.uniform(-length, pause)
    end = now + length
    while True:
        project, user = random.choice(PROJECTS), f"dev{submitter + 1:02}"
        while True:
            now += random.expovariate(rate)
            if now >= end:
                break
            if now >= 0:
                yield _job(random, settings, now, project, user)
        length, pause = _cycle(random, settings.idle)
        now = end + pause
        end = now + length


def _cycle(random: Random, idle: float) -> tuple[float, float]:
    length = random.uniform(*BUILD_SECONDS)
    return length, length * idle / (1 - idle)


def _job(random: Random, settings: SimulationSettings, due: float, project: str, user: str) -> PlannedJob:
    mean = settings.mean_seconds
    seconds = mean * random.lognormvariate(-SPREAD * SPREAD / 2, SPREAD)
    seconds = min(max(seconds, 0.01), LONGEST_OF_MEAN * mean)
    local = random.random() < settings.local
    language = int(random.random() < 0.8)
    folder = random.choice(FOLDERS)
    stem = f"{random.choice(FIRST)}_{random.choice(SECOND)}{random.randrange(1, 40)}"
    out_bytes = int(seconds * 1000 * BYTES_PER_MS * random.uniform(0.8, 1.25))
    home = f"/home/{user}/{project}"
    return PlannedJob(
        due=due,
        file=f"{project}/{folder}/{stem}.{'cpp' if language else 'c'}",
        output=f"{home}/lib/lib{folder}.so" if local else f"{home}/{folder}/{stem}.o",
        language=language,
        seconds=seconds,
        in_bytes=4 * out_bytes,
        out_bytes=max(out_bytes, 4096),  # of less the scheduler learns no speed
        local=local,
        fails=not local and random.random() < settings.failures,
    )
