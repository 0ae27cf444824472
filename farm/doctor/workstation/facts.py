"""What the checks of a workstation find out for one another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from farm.doctor.workstation.peers import Target
from farm.home import Home
from farm.node.contract import SPARE
from farm.node.ports import ICECCD_PORT, SPARE_ICECCD_PORT
from farm.scheduler.discovery import FoundScheduler
from farm.watch.activity import NO_JOBS, Host
from farm.workstation.env.compilers import is_ccache, is_wrapper, real_compiler
from farm.workstation.join.iceccd import state_folder
from farm.workstation.join.restart import BY_HAND
from farm.workstation.local_iceccd import LocalIceccd
from farm.workstation.membership import Membership


class Canary(Struct, frozen=True):
    """How a small compilation on a node of our choice went."""

    node: str
    address: str
    given: bool
    """The scheduler gave it to that node."""
    waited: bool
    """The scheduler gave it to nobody, though it was waited for long."""
    ran: bool
    """The node compiled it."""
    same: bool
    """The object is the same bytes as the one made here."""
    seconds: float
    sent: int = 0
    """Bytes of source, compressed."""
    send_ms: int = 0
    """Until they were sent, preprocessing included, which goes on at the same time."""
    reason: str = ""
    """Why the node did not compile it: a code of farm.workstation.explain.reasons."""
    told: tuple[str, ...] = ()
    """The lines of icecc's log that say so."""


def listens_at(node: Host) -> Target:
    """Where it takes sources: the scheduler's monitor does not tell the port, but the name that of a spare one."""
    spare = node.name.endswith(SPARE) and node.port == ICECCD_PORT
    return node.address, SPARE_ICECCD_PORT if spare else node.port


@dataclass
class WorkstationFacts:
    """A machine on which compiler calls are made."""

    environment: Mapping[str, str]
    folder: Path
    """Where the user stands, and CMake's caches may be."""
    membership: Membership | None = None
    home: Home | None = None
    """Of the farm that runs here, if one does."""
    icecc: str = ""
    daemon: LocalIceccd | None = None
    scheduler: FoundScheduler | None = None
    found: list[FoundScheduler] = field(default_factory=list)
    """All schedulers that answer a broadcast."""
    blocked: tuple[str, ...] = ()
    peers: list[Host] = field(default_factory=list)
    """The daemons that are logged in at the scheduler."""
    free_known: bool = True
    """Their jobs are known too."""
    reachable: set[Target] = field(default_factory=set)
    """Nodes that answer from here."""
    canaries: list[Canary] | None = None
    """None: none were sent."""

    @property
    def nodes(self) -> list[Host]:
        """Daemons that take jobs, but for this machine's own."""
        return [peer for peer in self.peers if peer.offered and peer.name != self.login]

    @property
    def able(self) -> list[Host]:
        """Nodes that can be given a job now and be reached from here."""
        return [node for node in self.nodes if node.load < NO_JOBS and listens_at(node) in self.reachable]

    @property
    def login(self) -> str:
        """The name with which this machine's iceccd logs in."""
        if self.membership is not None and (self.daemon is None or self.daemon.options is None):
            return self.membership.submitter
        return self.daemon.login if self.daemon else ""

    @property
    def home_of_log(self) -> str:
        """The command that shows iceccd's log."""
        if self.membership is not None and self.membership.how == "server":
            return "farm logs iceccd"
        if self.membership is not None and self.membership.how == "user":
            return f"tail -n 50 {state_folder() / 'iceccd.log'}"
        return "journalctl -u iceccd"

    @property
    def restart(self) -> str:
        """The command that restarts iceccd, which then packs its compilers again."""
        return BY_HAND[self.membership.how if self.membership else "system"]

    def compiler(self, *names: str) -> str:
        """The path of the first of these that is a real compiler, neither icecc nor ccache; empty if none is."""
        found = (real_compiler(name, self.environment) for name in names or ("gcc", "clang", "cc"))
        return next(filter(None, found), "")

    def compiling(self, **changes: str) -> dict[str, str]:
        """The environment of a compilation of our own: with the user's settings of icecc, without ways around it."""
        dropped = ("CCACHE_PREFIX", "ICECC", "ICECC_PREFERRED_HOST", "ICECC_DEBUG", "ICECC_LOGFILE", "MAKEFLAGS")
        kept = {name: value for name, value in self.environment.items() if name not in dropped}
        folders = kept.get("PATH", os.defpath).split(os.pathsep)
        clear = [folder for folder in folders if folder and not _around(folder)]
        return {**kept, "PATH": os.pathsep.join(clear), "LC_ALL": "C", **changes}


def _around(folder: str) -> bool:
    found = shutil.which("gcc", path=folder)
    return is_wrapper(found) or is_ccache(found)
