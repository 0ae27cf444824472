"""What farmd's API answers besides the status: small records around those of state, views and history (docs/api.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from farm.history.build_records import Build, NodeHour
from farm.history.log_in_history import MOST
from farm.history.log_in_records import LogInRecord
from farm.history.runs import MAX_TAG
from farm.view.status import STATUS_SCHEMA, HostStatus, NodeStatus, SchedulerStatus
from farm.watch.activity import Job, Sample, Totals
from farm.watch.state import Reading

MAX_BUILDS = 1000
"""Builds in one answer."""
MAX_LOG_INS = MOST
"""Log-ins in one answer: all that are kept."""
MAX_HOURS = 24 * 366
"""Hours back; a year's."""


class Jobs(Struct, frozen=True, kw_only=True):
    """Jobs at Unix ``time``."""

    schema: int = 1
    time: float
    jobs: list[Job]
    """Jobs that wait for a node or run on one."""
    ended: list[Job]
    """The last ones, oldest first; as many as were asked for."""


class NodeList(Struct, frozen=True, kw_only=True):
    """Machines of this farm, and the daemons at its scheduler that are none of them."""

    schema: Literal[2] = STATUS_SCHEMA
    nodes: list[NodeStatus]
    hosts: list[HostStatus]


class Readings(Struct, frozen=True, kw_only=True):
    """What a node's agent measured lately, oldest first."""

    schema: int = 1
    key: str
    readings: list[Reading]


class NodeHours(Struct, frozen=True, kw_only=True):
    """What each node did in each of the last hours."""

    schema: int = 1
    hours: list[NodeHour]


class SchedulerNow(Struct, frozen=True, kw_only=True):
    """The scheduler, the present moment, and totals since the watching began."""

    schema: int = 1
    scheduler: SchedulerStatus
    now: Sample
    totals: Totals


class Builds(Struct, frozen=True, kw_only=True):
    """Builds, the newest first."""

    schema: int = 1
    builds: list[Build]


class LogIns(Struct, frozen=True, kw_only=True):
    """Log-ins at the machines' screens, the newest first."""

    schema: int = 1
    log_ins: list[LogInRecord]


class ImageStatus(Struct, frozen=True, kw_only=True):
    """A version in the image store; ``built``: Unix time, ``size``: bytes."""

    image: str
    """What it is called among all images: the version, or NAME/VERSION."""
    name: str
    """The image that it is a version of."""
    kind: str
    """The built-in kind that it is, or was made from."""
    version: str
    built: float
    size: int
    selected: bool
    """Next boots of its image get it."""
    nodes: int
    """Nodes that run it."""


class Images(Struct, frozen=True, kw_only=True):
    """The image store, newest version first."""

    schema: int = 1
    selected: str | None
    """What machines that farm.yaml does not list boot next; null when no image was chosen."""
    kinds: dict[str, str]
    """The version that next boots get, by the name of the image."""
    images: list[ImageStatus]


class PrometheusTarget(Struct, frozen=True):
    """A node's telemetry for Prometheus' HTTP service discovery: addresses with ports, and labels."""

    targets: list[str]
    labels: dict[str, str]


class Done(Struct, frozen=True, kw_only=True):
    """An order was carried out."""

    schema: int = 1
    done: str
    """What was done, in a sentence."""


class RunHeard(Struct, frozen=True, kw_only=True):
    """What a `farm run` has told was heard."""

    schema: int = 1
    taken: list[int] = []
    """Those of its jobs that another run has claimed before: they are not its own."""


class Tag(Struct, frozen=True, forbid_unknown_fields=True):
    """What a build outside of `farm run` is called in the history."""

    submitter: Annotated[str, Meta(min_length=1, max_length=256)]
    """The name with which the submitter's daemon logs in."""
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TAG)]


class Failure(Struct, frozen=True):
    """What failed, why, and what mends it; the last two may be empty."""

    what: str
    why: str = ""
    mend: str = ""


class Refused(Struct, frozen=True):
    """The answer to every request that failed."""

    error: Failure
