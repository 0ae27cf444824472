"""Attaching to a farm of ours through farmd, or to any scheduler directly; views use only this."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from msgspec import Struct

from farm.history.build_records import Build, BuildDetail, NodeHour
from farm.history.log_in_records import LogInRecord
from farm.view.live import Update
from farm.view.status import NodeStatus, Status
from farm.watch.state import Reading

Action = Literal["block", "unblock", "kick", "drain", "reboot", "off"]
ACTIONS: tuple[Action, ...] = ("block", "unblock", "kick", "drain", "reboot", "off")


class Lost(Struct, frozen=True):
    """farmd does not answer; it is asked again after ``retry`` seconds. Until a snapshot comes, all is old news."""

    why: str
    retry: float


class Attachment(Protocol):
    """One farm or scheduler that is watched."""

    @property
    def title(self) -> str:
        """What it is attached to, for a heading."""
        ...

    @property
    def is_farm(self) -> bool:
        """Whether it is a farm with machines that boot, and not just a scheduler."""
        ...

    @property
    def actions(self) -> frozenset[Action]:
        """What can be done to nodes here."""
        ...

    def updates(self) -> AsyncGenerator[Update | Lost, None]:
        """A snapshot, then deltas, for ever; after a `Lost` a snapshot again. Ends only when it is closed."""
        ...

    async def status(self) -> Status:
        """All at one moment. Raises FarmError."""
        ...

    async def readings(self, key: str) -> list[Reading]:
        """What a node's agent measured lately; empty for a daemon that has none. Raises FarmError."""
        ...

    async def builds(self, limit: int = 100, submitter: str | None = None, since: float | None = None) -> list[Build]:
        """The newest first, at most ``limit`` of those that are asked for. Raises FarmError.

        ``submitter``: only those of this machine; ``since``: only those that ended at this Unix time or later.
        """
        ...

    async def build(self, id: int) -> BuildDetail:
        """One of them. Raises FarmError when there is none."""
        ...

    async def node_hours(self, hours: int = 24) -> list[NodeHour]:
        """What each node did in the last hours. Raises FarmError."""
        ...

    async def log_ins(self, limit: int = 100, since: float = 0.0) -> list[LogInRecord]:
        """Log-ins at the machines' screens, the newest first. Raises FarmError.

        ``since``: only those whose session lasted at this Unix time or later.
        """
        ...

    async def act(self, action: Action, node: NodeStatus) -> str:
        """Do it, and say what was done in a sentence. Raises FarmError."""
        ...

    async def switch_image(self, image: str) -> str:
        """Choose the image that next boots of its kind get, and say so. Raises FarmError."""
        ...

    async def images(self) -> list[str]:
        """Images that next boots may get, of all kinds, newest first; empty where there are none."""
        ...
