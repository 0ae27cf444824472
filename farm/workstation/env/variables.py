"""What the farm offers a build, and the environment in which compiler calls go there."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from farm.scheduler.channel import ProtocolError
from farm.scheduler.connection import SchedulerLostError
from farm.scheduler.control import list_nodes
from farm.view.wording import count
from farm.watch.activity import NO_JOBS, Host
from farm.watch.activity.daemons import from_list
from farm.workstation.join.iceccd import answers
from farm.workstation.join.login import LOGIN_SECONDS, logged_in
from farm.workstation.membership import SYSTEM_SOCKET, Membership

ICECC_WRAPPERS = "/usr/lib/icecc/bin"
"""cc, c++, gcc, g++, clang and clang++, each of them icecc."""
SYSTEM_SOCKETS = (SYSTEM_SOCKET, "/run/iceccd.socket")
"""Where icecc looks before the user's own (client/main.cpp, get_local_daemon)."""
CMAKE_LAUNCHERS = ("CMAKE_C_COMPILER_LAUNCHER", "CMAKE_CXX_COMPILER_LAUNCHER")
SPARE_JOBS = 2
"""More jobs than slots, so that preprocessing here and compiling there overlap."""
FED_BY_A_PROCESSOR = 8
"""Jobs elsewhere that one processor here keeps busy: icecc preprocesses on this machine, one call per processor at a
time (client/util.cpp, dcc_lock_host). docs/builds.md has what was measured."""


LOAD_SECONDS = 7.0
"""iceccd measures its load some 3 s after it has logged in, and then every 3 s (daemon/main.cpp)."""
RESTART_SECONDS = 7.0
"""systemd waits for five before it starts an iceccd again (farm.workstation.join.iceccd)."""


@dataclass(frozen=True)
class Slots:
    """What the farm has to offer; ``obstacle`` says why that is nothing."""

    nodes: int = 0
    total: int = 0
    free: int = 0
    obstacle: str = ""
    logging_in: bool = False
    """The obstacle is this machine's own iceccd, which will log in by itself."""
    overloaded: bool = False
    """The obstacle is the load of the nodes that there are; one that has just logged in says that it is 1000, too."""
    free_known: bool = True
    """False: as far as is known all are free."""
    names: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Address → name of each node."""

    def parallel_jobs(self, cpus: int) -> int:
        """How many jobs a build should run at a time: what the free slots take, if this machine can feed so many."""
        return max(min(self.free + SPARE_JOBS, cpus * FED_BY_A_PROCESSOR), cpus) if self.nodes else cpus

    def why_parallel_jobs(self, cpus: int) -> str:
        """What decided that number."""
        here = f"this machine has {cpus} processor{'s' if cpus != 1 else ''}"
        if not self.nodes:
            return f"{here}, and no node takes jobs"
        wanted, fed = self.free + SPARE_JOBS, cpus * FED_BY_A_PROCESSOR
        slots = f"{self.free} of the farm's {self.total} slots are free" if self.free_known else self._all_slots
        free = f"{slots}, plus {SPARE_JOBS} to keep them busy"
        if wanted > fed:
            return f"{free}; but {here}, and each can preprocess for about {FED_BY_A_PROCESSOR} jobs"
        return free if wanted >= cpus else f"{free}; but {here}"

    @property
    def _all_slots(self) -> str:
        return f"the farm has {count(self.total, 'slot')} (only its server knows which are free)"


def count_slots(nodes: Sequence[Host], submitter: str) -> Slots:
    """Add up the nodes that the scheduler gives jobs to (at load NO_JOBS it gives none)."""
    takers = [node for node in nodes if node.name != submitter and node.offered]
    ready = [node for node in takers if node.load < NO_JOBS]
    if all(node.name != submitter for node in nodes):
        why = f"This machine's iceccd ({submitter}) has not logged in to the scheduler."
        return Slots(obstacle=why, logging_in=True)
    if not ready:
        return Slots(obstacle="No node is ready.", overloaded=bool(takers))
    return Slots(
        nodes=len(ready),
        total=sum(node.offered for node in ready),
        free=sum(max(0, node.offered - node.running) for node in ready),
        names={node.address: node.name for node in ready},
    )


def disabled(environment: Mapping[str, str]) -> str:
    """What keeps every job here by icecc's own setting; empty when nothing does."""
    value = environment.get("ICECC", "")
    return f"ICECC={value} is set." if value.lower() in ("no", "disable") else ""


def survey(membership: Membership) -> Slots:
    """Ask the scheduler what the farm has to offer now.

    Its control port knows which slots are free, but a farm's server opens that to nobody else; others are told of all
    slots by the scheduler itself.
    """
    if not membership.scheduler:
        why = f"This machine's iceccd is connected to no scheduler (it looks for netname {membership.netname})."
        return Slots(obstacle=why)
    try:
        try:
            listed = asyncio.run(list_nodes(membership.scheduler, membership.port))
            nodes, free_known = [from_list(each) for each in listed], True
        except (SchedulerLostError, ProtocolError):
            nodes, free_known = asyncio.run(logged_in(membership)), False
    except (SchedulerLostError, ProtocolError) as error:
        return Slots(obstacle=f"{error.what} {error.why}")
    return replace(count_slots(nodes, membership.submitter), free_known=free_known)


def survey_patiently(membership: Membership, say: Callable[[str], None]) -> Slots:
    """`survey`, but an iceccd that has lost its scheduler gets the time it takes to come back, and ``say`` says so.

    One that does not run gets the time in which systemd would start it again, and nodes without a slot that of two
    measurements: what they say at one moment does not decide about a whole build.
    """
    start = now = alive = time.monotonic()
    slots = survey(membership)
    if slots.logging_in:
        say(f"{slots.obstacle} Waiting for it.")
    elif slots.overloaded:
        say("All nodes are busy. Waiting for a moment.")
    while now - start < (LOGIN_SECONDS if slots.logging_in else LOAD_SECONDS if slots.overloaded else 0):
        time.sleep(1)
        now = time.monotonic()
        if answers(membership.socket):
            alive = now
        elif now - alive > RESTART_SECONDS:
            by = _START[membership.how].format(membership.scheduler)
            return Slots(obstacle=f"This machine's iceccd is not running. Start it: {by}.")
        slots = survey(membership)
    return slots


_START = {
    "server": "sudo farm up",
    "system": "sudo farm join {}",
    "user": "farm join {}",
    "icecream": "sudo systemctl start iceccd",
}


def uses_ccache(environment: Mapping[str, str]) -> bool:
    """Whether compiler calls go through ccache: by its own prefix, a launcher, or its folder in PATH."""
    if "CCACHE_PREFIX" in environment:
        return True
    if any(_first_program(environment, name) == "ccache" for name in ("CC", "CXX", *CMAKE_LAUNCHERS)):
        return True
    compiler = shutil.which("gcc", path=path_without_wrappers(environment))
    return compiler is not None and Path(compiler).resolve().name == "ccache"


def compile_environment(
    base: Mapping[str, str], *, remote: bool, jobs: int, ccache: bool = False, make: bool = False
) -> dict[str, str]:
    """The environment in which a command compiles on the farm, or with ``remote`` unset on this machine alone.

    icecc comes in by PATH or, where ccache is used, behind it, or where CMake has it for a launcher, by that: never two
    ways at once (icecc refuses to call itself). Where cc is gcc, CC says gcc (likewise CXX):
    icecc makes an environment for each name, and nodes would receive the same one twice. ``jobs`` is passed on as
    FARM_JOBS, and with ``make`` to make itself and to `cmake --build`.
    """
    environment = {**base, "FARM_JOBS": str(jobs)}
    if make:
        # Behind -- make takes all words for variables.
        flags, mark, settings = f" {base.get('MAKEFLAGS', '')}".partition(" -- ")
        environment["MAKEFLAGS"] = f"{flags} -j{jobs}{mark}{settings}".strip()
        environment["CMAKE_BUILD_PARALLEL_LEVEL"] = str(jobs)
    path = path_without_wrappers(base)
    if not remote:
        return {**environment, "ICECC": "disable"}
    if ccache:
        environment.update(PATH=path, CCACHE_PREFIX="icecc")
    elif any(_first_program(base, name) == "icecc" for name in CMAKE_LAUNCHERS):
        environment["PATH"] = path
    else:
        environment["PATH"] = os.pathsep.join([ICECC_WRAPPERS, path])
    return environment | _compiler_names(base, path)


def _compiler_names(base: Mapping[str, str], path: str) -> dict[str, str]:
    """CC and CXX where they have to change; a compiler named by its full path would pass by what PATH has in front."""
    names = {}
    for variable, generic, name in (("CC", "cc", "gcc"), ("CXX", "c++", "g++")):
        given, *options = base.get(variable, "").split(" ")
        if variable not in base and _same_program(generic, name, path):
            names[variable] = name
        elif given.startswith("/") and _same_program(given, Path(given).name, path):
            names[variable] = " ".join([Path(given).name, *options])
    return names


def _first_program(environment: Mapping[str, str], variable: str) -> str:
    words = environment.get(variable, "").split()
    return Path(words[0]).name if words else ""


def _same_program(one: str, other: str, path: str) -> bool:
    found = [shutil.which(name, path=path) for name in (one, other)]
    return all(found) and len({Path(file).resolve() for file in found if file}) == 1


def path_without_wrappers(environment: Mapping[str, str]) -> str:
    """PATH, icecc's folder not in it."""
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if folder.rstrip("/") != ICECC_WRAPPERS)


def socket_variable(membership: Membership, environment: Mapping[str, str]) -> dict[str, str]:
    """ICECC_TEST_SOCKET where icecc would find another daemon than the farm's; else nothing.

    It tries three sockets in turn (client/main.cpp, get_local_daemon). With the variable it tries that one only, and a
    compiler call fails when nobody listens there, where without it the call would go on alone: so not without need.
    """
    own = (f"{environment['HOME']}/.iceccd.socket",) if "HOME" in environment else ()
    for path in (*SYSTEM_SOCKETS, *own):
        if os.path.realpath(path) == os.path.realpath(membership.socket):
            return {}
        if answers(Path(path)):
            break
    return {"ICECC_TEST_SOCKET": membership.socket}
