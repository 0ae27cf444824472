"""Where compiler calls ran and why: icecc's log, and what only the scheduler knows besides."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from msgspec import Struct
from msgspec.structs import replace

from farm.attach.direct import Direct
from farm.errors import FarmError
from farm.events import Stage
from farm.view.idle import Idle, idle_reason
from farm.view.status import HostStatus, NodeStatus, Overview, Status
from farm.workstation.environment import outdated
from farm.workstation.environment.variables import disabled
from farm.workstation.explaining import icecc_log, last_run
from farm.workstation.explaining.icecc_log import Call, Cause, Outcome
from farm.workstation.explaining.last_run import LastRun, last_run_folder
from farm.workstation.explaining.reasons import Reason, farm_side, find, machine
from farm.workstation.membership import Membership
from farm.workstation.running.execution import Command, execute

__all__ = [
    "Kept", "Look", "NodeWhy", "ReasonCount", "call_reason", "failed_there", "find_outdated", "kept_here", "last",
    "last_run_folder", "look", "needs_daemon", "needs_look", "node_names", "refine", "run", "summarise", "uncalled",
]  # fmt: skip

MAX_FILES = 5
"""Examples given for a reason."""
FREE = frozenset(("nothing-queued", "next", "passed-over"))
"""What `idle_reason` says of a node that could take a job."""
EXIT_KILLED = 105
"""icecc's exit code where a signal ended the compiler on the node: workit.cpp presets EXIT_OUT_OF_MEMORY and writes the
true one only over a compiler that exited."""


ASKING = "asking for native environment for "
"""What icecc says of a compiler before iceccd answers."""


class NodeWhy(Struct, frozen=True):
    """Why a node could not have taken a job."""

    name: str
    address: str
    code: str
    why: str
    mend: str = ""


class Kept(Struct, frozen=True):
    """Why the farm gave a job back: the code of a reason, a sentence about this case, and what keeps each node."""

    code: str
    why: str = ""
    nodes: tuple[NodeWhy, ...] = ()


class Look(Struct, frozen=True):
    """What the scheduler says at one moment; None with ``why`` when it does not answer."""

    status: Status | None
    why: str = ""

    @property
    def hosts(self) -> list[HostStatus]:
        """All daemons that are logged in."""
        if self.status is None:
            return []
        found = [*(node.host for node in self.status.nodes), *self.status.hosts]
        return [host for host in found if host is not None and host.online]


class ReasonCount(Struct, frozen=True):
    """A reason, how many calls it kept here, and some of their files."""

    code: str
    sentence: str
    mend: str
    count: int
    files: tuple[str, ...]


def look(membership: Membership) -> Look:
    """Ask the farm's scheduler."""
    try:
        return Look(asyncio.run(Direct(membership.scheduler, membership.port, membership.netname).status()))
    except FarmError as error:
        return Look(None, f"{error.what} {error.why}".strip())


def node_names(seen: Look) -> dict[str, str]:
    """Address → name."""
    return {host.address: host.name for host in seen.hosts}


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    user: pwd.struct_passwd | None = None,
    stdout: IO[Any] | None = None,
) -> tuple[int, list[Call]]:
    """Run a command, as ``user`` if given; its exit code (-n for signal n), and the calls of icecc in it.

    ``environment`` brings icecc in. Raises like `execute`.
    """
    with tempfile.TemporaryDirectory(prefix="farm-explain-") as folder:
        log = Path(folder) / "icecc.log"
        log.touch(mode=0o600)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(log, user.pw_uid, user.pw_gid)
        told = {**environment, "ICECC_LOGFILE": str(log), "ICECC_DEBUG": "debug"}
        code = asyncio.run(execute(Command(argv, told, user), stdout=stdout))
        return code, icecc_log.read(log)


def failed_there(code: int, calls: list[Call]) -> list[Call]:
    """The calls of a command that ended with ``code``, with what became of a compiler that failed on a node.

    icecc's log does not tell, so it is known only where the code is that of a single call.
    """
    if code == 0 or len(calls) != 1 or calls[0].outcome is not Outcome.NODE:
        return calls
    return [replace(calls[0], causes=(Cause(farm_side.KILLED if code == EXIT_KILLED else farm_side.FAILED),))]


def last(folder: Path) -> tuple[LastRun, list[Call]]:
    """The last `farm run` and its calls. Raises FarmError when there was none."""
    record, log = last_run.read(folder)
    return record, icecc_log.read(log)


def uncalled(argv: Sequence[str], environment: Mapping[str, str]) -> Cause:
    """Why icecc was not called by a command at all."""
    path = shutil.which(argv[0], path=environment.get("PATH")) or argv[0]
    name = os.path.basename(argv[0])
    if name == "ccache" or os.path.basename(os.path.realpath(path)) == "ccache":
        return Cause(machine.CCACHE_HIT)
    if is_compiler(name):
        return Cause(machine.BYPASSED, f"{argv[0]} is {os.path.realpath(path)}")
    return Cause(machine.NO_CALL)


def is_compiler(name: str) -> bool:
    """Whether icecc would take a program of that name for a compiler (services/util.cpp)."""
    return name in ("cc", "c++") or any(part in name for part in ("gcc", "g++", "clang"))


def needs_look(calls: Iterable[Call]) -> bool:
    """Whether the scheduler must be asked why it gave jobs back."""
    return any(cause.code == farm_side.ASSIGNED_HERE for call in calls for cause in call.causes)


def needs_daemon(calls: Iterable[Call]) -> bool:
    """Whether this machine's iceccd must be asked why it made no environment."""
    return any(cause.code == machine.NOT_MADE for call in calls for cause in call.causes)


def kept_here(
    seen: Look,
    membership: Membership,
    settings: Mapping[str, str],
    *,
    elsewhere: bool = False,
    now: float | None = None,
) -> Kept:
    """Why the farm gave jobs back to this machine, as far as the scheduler shows it now.

    ``settings``: icecream's variables; ``elsewhere``: other jobs did go to nodes at that time.
    """
    if seen.status is None:
        return Kept(farm_side.NO_SCHEDULER, seen.why)
    own = next((host for host in seen.hosts if host.name == membership.submitter), None)
    if own is None:
        where = f"{membership.scheduler}:{membership.port}, network {membership.netname}"
        return Kept(farm_side.NOT_LOGGED_IN, f"The scheduler ({where}) knows no {membership.submitter}.")
    moment = time.time() if now is None else now
    any_platform = "ICECC_VERSION" in settings
    others = [(host, _obstacle(host, own, seen.status, moment, any_platform)) for host in seen.hosts if host != own]
    able = [host for host, idle in others if idle is None]
    kept = tuple(NodeWhy(host.name, host.address, idle.code, idle.why, idle.mend) for host, idle in others if idle)
    preferred = settings.get("ICECC_PREFERRED_HOST", "")
    if preferred and all(preferred not in host.key for host in able):
        return Kept(farm_side.PREFERRED_ABSENT, f"No node that takes jobs is called {preferred}.", kept)
    if own.slots and not own.no_remote:
        return Kept(farm_side.OWN_SLOT)
    if not able:
        return Kept(
            farm_side.NO_ELIGIBLE_NODE, "" if others else "No other machine is logged in to the scheduler.", kept
        )
    if elsewhere or all(host.jobs_running >= host.slots for host in able):
        return Kept(farm_side.NODES_BUSY)
    return Kept(farm_side.PASSED_OVER, f"Free now: {', '.join(host.name for host in able[:MAX_FILES])}.", kept)


def _obstacle(host: HostStatus, own: HostStatus, overview: Overview, now: float, any_platform: bool) -> Idle | None:
    """What keeps a daemon from taking a job of ours."""
    node = NodeStatus(
        key=f"{host.name}@{host.address}",
        name=host.name,
        address=host.address,
        stage=Stage.READY,
        since=host.since,
        host=host,
    )
    idle = idle_reason(node, [node], overview, now)
    if idle is not None and idle.code not in FREE:
        return idle
    if host.platform != own.platform and not any_platform:
        return Idle(
            "platform", f"It is {host.platform}, this machine is {own.platform}, and there is no compiler for it."
        )
    return None


def refine(calls: Iterable[Call], kept: Kept | None, settings: Mapping[str, str]) -> list[Call]:
    """The calls, with what icecc's log alone does not tell put in its place."""
    return [replace(call, causes=tuple(_refine(cause, kept, settings) for cause in call.causes)) for call in calls]


def _refine(cause: Cause, kept: Kept | None, settings: Mapping[str, str]) -> Cause:
    if cause.code == farm_side.ASSIGNED_HERE and kept is not None:
        return Cause(kept.code, kept.why)
    if cause.code == machine.DISABLED and not disabled(settings) and "=" in settings.get("ICECC_VERSION", ""):
        return Cause(machine.NO_ENVIRONMENT, settings["ICECC_VERSION"])
    return cause


def find_outdated(calls: Iterable[Call], socket: str, settings: Mapping[str, str], folder: str) -> list[Call]:
    """The calls, with the reason in its place where iceccd made no environment since the compiler has changed.

    icecc's log says the same of both, so iceccd is asked again. ``settings``: icecream's variables; ``folder``: where
    the calls were made.
    """
    where = settings.get("ICECC_TEST_SOCKET", socket)
    compression = settings.get("ICECC_ENV_COMPRESSION", "")
    known: dict[tuple[str, ...], str] = {}

    def place(call: Call) -> Call:
        if all(cause.code != machine.NOT_MADE for cause in call.causes):
            return call
        compiler = next((line.removeprefix(ASKING) for line in call.evidence if line.startswith(ASKING)), "")
        key = (compiler, *outdated.extra_files(call.command.split(), settings, folder))
        if key not in known:
            known[key] = outdated.lost_archive(where, compiler, key[1:], compression) if compiler else ""
        if not known[key]:
            return call
        told = Cause(machine.OUTDATED, f"iceccd names {known[key]}, which is not there.")
        return replace(call, causes=tuple(told if each.code == machine.NOT_MADE else each for each in call.causes))

    return [place(call) for call in calls]


def call_reason(call: Call) -> Reason | None:
    """The true reason for which a call was not compiled on a node; None when it was, or nothing is known of it."""
    if call.causes:
        return find(call.causes[0].code)
    return find(farm_side.FELL_BACK) if call.outcome is Outcome.AGAIN else None


def summarise(calls: Iterable[Call]) -> list[ReasonCount]:
    """How many calls each reason kept here, the most frequent first."""
    by_code: dict[str, list[Call]] = {}
    for call in calls:
        reason = call_reason(call)
        if reason is not None:
            by_code.setdefault(reason.code, []).append(call)
    counted = []
    for code, those in by_code.items():
        files = tuple(dict.fromkeys(call.file for call in those if call.file))[:MAX_FILES]
        reason = find(code)
        counted.append(ReasonCount(code, reason.sentence, reason.mend, len(those), files))
    return sorted(counted, key=lambda each: (-each.count, each.code))
