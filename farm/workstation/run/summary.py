"""What `farm run` tells at the end (docs/compiling.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from farm.workstation.explain import explained_calls, icecc_log
from farm.workstation.explain.explained_calls import ReasonCount, Told
from farm.workstation.explain.icecc_log import Call
from farm.workstation.membership import Membership
from farm.workstation.run.execution import working_folder
from farm.workstation.run.tally import NodeTally
from farm.workstation.run.watched_run import Ran


class BuildName(NamedTuple):
    """What a build is called, and the command or again the name."""

    name: str
    tag: str


class SentEnvironment(Struct, frozen=True):
    """The compiler, as far as it was sent to nodes that did not have it: they keep it for later builds."""

    nodes: int = 0
    bytes: int = 0
    ms: int = 0
    """The longest that a node took to get it."""
    packed_ms: int = 0
    """The time that iceccd took to pack it; 0 when it had done so before."""


class Summary(Struct, frozen=True, kw_only=True):
    """Where a command's jobs ran; ``failed`` ones are run again here by icecc, so they count in ``local`` too."""

    schema: int = 1
    exit: int
    """The command's exit code, 128 + n if signal n ended it."""
    nodes: dict[str, NodeTally]
    local: int | None
    """Compiled, linked or preprocessed by this machine; None when icecc was not used, so that nobody counted."""
    failed: int
    """Jobs that failed on nodes."""
    complete: bool
    """False when the scheduler was not watched all the time: jobs or their times may be missing."""
    command: list[str]
    name: str
    """What the farm's history calls the build, and the next one like it."""
    tag: str
    """The command, or the name if one was given."""
    farm: str
    obstacle: str = ""
    """Why everything was compiled here; empty when the farm could be used."""
    started: float
    """Unix time at which the command began."""
    seconds: float
    failed_over: int | None = None
    """Sent to a node and compiled here after all; None when icecc's log was not ours to read."""
    remote_cpu_ms: int = 0
    """Processor time on nodes."""
    local_ms: int = 0
    """Real time of what ran here."""
    processors: int = 1
    """Number of processors of this machine."""
    saved_seconds: float | None = None
    """Estimated; negative when it took longer than here alone. None when nothing ran on a node."""
    environment: SentEnvironment = SentEnvironment()
    reasons: list[ReasonCount] = []
    """Why calls were not compiled on a node, or not there alone; the most frequent first."""


def estimate_saved(ran: Ran, processors: int) -> float | None:
    """Seconds saved against compiling here alone.

    That would have taken the processor time of the jobs on nodes and the time of those here, shared by all
    ``processors``, if a processor of a node does as much as one of these and nothing had to wait.
    """
    counts = ran.counts
    if counts is None or not counts.remote_cpu_ms:
        return None
    alone = (counts.remote_cpu_ms + counts.local_ms) / 1000 / processors
    return round(alone - (ran.ended - ran.started), 1)


def tell(log: Path | None, membership: Membership, settings: Mapping[str, str]) -> Told:
    """Why calls were not compiled on a node, by what icecc has written, if it was ours, and those who know more.

    ``settings``: icecream's variables.
    """
    if log is None:
        return Told([])
    try:
        calls = icecc_log.read(log)
    except OSError:
        return Told([])
    unclear = explained_calls.needs_scheduler(calls) or explained_calls.needs_daemon(calls)
    return explained_calls.tell(calls, membership if unclear else None, settings, working_folder())


def _longest(calls: Iterable[Call], phase: str) -> int:
    return max((call.milliseconds.get(phase, 0) for call in calls), default=0)


def sent_environment(calls: Sequence[Call]) -> SentEnvironment:
    """How much of the compiler was sent, to how many nodes, and how long it took."""
    sending = [call for call in calls if call.environment_sent]
    return SentEnvironment(
        nodes=len({call.host for call in sending}),
        bytes=sum(call.environment_sent for call in sending),
        ms=_longest(sending, "environment"),
        packed_ms=_longest(calls, "pack"),
    )


def summarise(ran: Ran, command: list[str], farm: str, named: BuildName, obstacle: str, told: Told) -> Summary:
    """All that is known of a command that has ended."""
    counts, processors = ran.counts, len(os.sched_getaffinity(0))
    return Summary(
        exit=ran.exit,
        nodes=counts.nodes if counts else {},
        local=counts.local if counts else None,
        failed=counts.failed if counts else 0,
        complete=ran.complete,
        command=command,
        name=named.name,
        tag=named.tag,
        farm=farm,
        obstacle=obstacle,
        started=ran.started,
        seconds=round(ran.ended - ran.started, 3),
        failed_over=counts.fallen if counts else None,
        remote_cpu_ms=counts.remote_cpu_ms if counts else 0,
        local_ms=counts.local_ms if counts else 0,
        processors=processors,
        saved_seconds=estimate_saved(ran, processors),
        environment=sent_environment(told.calls),
        reasons=explained_calls.summarise(told.calls),
    )
