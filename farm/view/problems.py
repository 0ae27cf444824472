"""What is wrong with a farm or a scheduler, each thing with a code and what to do about it (docs/status-json.md)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from farm.errors.hints import hint
from farm.instance import Instance
from farm.node.environments import ROOM_PER_SLOT
from farm.node.scarcity import scarce
from farm.printable import printable
from farm.view.refused import refused
from farm.view.session_words import log_in_problems, unsaved_problems
from farm.view.strangers import stranger_problems
from farm.view.wording import NAMED, few, size
from farm.watch.activity import Scheduler
from farm.watch.activity.daemons import FIGHT_SECONDS
from farm.watch.events import Finding
from farm.watch.state import ANSWERS, Farm, Node

ENDED_STATES = ("STOPPED", "EXITED")
COMING = ("RUNNING", "STARTING")

LEAST_MEMORY = 64 << 20
"""Bytes that must be available on a node, or a sixteenth of what a small one has."""

FIGHTS = 3


def problems(farm: Farm, instance: Instance, farmd_why: str = "") -> list[Finding]:
    """All that is wrong with a farm. ``farmd_why``: why farmd could not be asked; only services are known then."""
    found = [
        *_services(farm, instance),
        *([_silent_farmd(farmd_why)] if farmd_why else _scheduler(farm)),
        *(finding for probe, found in sorted(farm.findings.items()) if probe != ANSWERS for finding in found),
        *refused(farm, instance.config),
        *stranger_problems(farm, instance.config),
        *_silent_nodes(farm),
        *_full_nodes(farm),
        *_crowded_desks(farm),
        *_missing_files(farm),
        *log_in_problems(farm),
        *unsaved_problems(farm),
        *_same_name(farm),
        *_forged(farm),
    ]
    return [replace(finding, fix=hint(finding.fix)) for finding in found]


def bare_problems(farm: Farm, netname: str) -> list[Finding]:
    """What is wrong with any scheduler."""
    return [*_down(farm, ""), *_rivals(farm.activity.scheduler, netname), *_same_name(farm), *_forged(farm)]


def _services(farm: Farm, instance: Instance) -> Iterator[Finding]:
    if farm.services_why:
        what = f"The services are not running: {printable(farm.services_why)}"
        yield Finding("services-down", what, "Start them: sudo farm up")
    machines = {machine.name for machine in instance.machines}
    for service in farm.services:
        name = service.name
        if service.state not in COMING and not (name in machines and service.state in ENDED_STATES):
            what = f"The service {name} is down ({service.state.lower()})."
            yield Finding("service-down", what, f"Its log: farm logs {name}", name)
        elif why := farm.silent(name):
            what = f"The service {name} runs but does not answer: {printable(why)}."
            yield Finding("service-silent", what, f"Restart it: sudo farm up. Its log: farm logs {name}", name)


def _silent_farmd(why: str) -> Finding:
    what = f"The state of the nodes is not known: {printable(why)}"
    return Finding("farmd-silent", what, "Restart it: sudo farm up. Its log: farm logs farmd", "farmd")


def _scheduler(farm: Farm) -> Iterator[Finding]:
    if not farm.silent("scheduler"):
        yield from _down(farm, "Its log: farm logs scheduler")
    yield from _rivals(farm.activity.scheduler, "")


def _down(farm: Farm, fix: str) -> Iterator[Finding]:
    scheduler, silent = farm.activity.scheduler, farm.silent("scheduler")
    if not scheduler.up or silent:
        yield Finding("scheduler-down", f"The scheduler does not answer. {scheduler.why or silent}".strip(), fix)


def _rivals(scheduler: Scheduler, netname: str) -> Iterator[Finding]:
    for rival in scheduler.rivals:
        where = f"{printable(rival.address)}:{rival.port}"
        what = f"Another scheduler, at {where}, answers for the same netname {printable(rival.netname) or netname}."
        yield Finding("rival-scheduler", what, "Stop it: daemons without a fixed scheduler may join it.", where)


def _silent_nodes(farm: Farm) -> Iterator[Finding]:
    """Nodes that the scheduler still counts on: it notices late that a machine was reset, or its cable pulled out."""
    silent = [node.name for node in farm.nodes.values() if node.silent and farm.host(node) and not node.order]
    if silent:
        verb = "does" if len(silent) == 1 else "do"
        what = f"{few(silent)} {verb} not answer, but the scheduler still assigns jobs."
        fix = f"Check its power and cable: farm node show {silent[0]}. Until then block it: farm node block {silent[0]}"
        yield Finding("node-silent", what, fix, silent[0])


def _full_nodes(farm: Farm) -> Iterator[Finding]:
    """Nodes whose RAM, which takes all writes, has no room: iceccd then takes no job, and programs there fail."""
    full = [node.name for node in farm.nodes.values() if _is_full(node)]
    if full:
        fix = f"Reboot to empty it: sudo farm node reboot {' '.join(full[:NAMED])}"
        yield Finding(
            "node-full", f"The RAM of {few(full)} is full: jobs fail there, or are not assigned.", fix, full[0]
        )


def _is_full(node: Node) -> bool:
    told = node.telemetry if node.verified and not node.silent else None
    if told is None or not told.overlay.total:
        return False
    slots = node.told.compile.slots if node.told and node.told.compile else 0
    wanted = min(ROOM_PER_SLOT * (slots + 1), told.overlay.total // 4)
    least = min(LEAST_MEMORY, told.memory.total // 16)
    return told.overlay.total - told.overlay.used < wanted or told.memory.available < least


def _crowded_desks(farm: Farm) -> Iterator[Finding]:
    """Desks in use whose RAM is nearly used up: who sits there is told so as well, as long as that helps."""
    for node in farm.nodes.values():
        told = node.telemetry if node.verified and not node.silent else None
        in_use = node.told and node.told.session and node.told.session.users
        if not told or not in_use or _is_full(node):
            continue
        if scarce(told.memory.available, told.memory.total, told.overlay.used, told.overlay.total):
            left = f"{size(told.memory.available)} of memory, {size(told.overlay.total - told.overlay.used)} for files"
            what = f"The RAM of {node.name}, where somebody is logged in, is nearly full: {left}."
            fix = f"Ask to save, and to close programs: sudo farm node message {node.name} TEXT"
            yield Finding("desk-nearly-full", what, fix, node.name)


def _missing_files(farm: Farm) -> Iterator[Finding]:
    """Nodes that did not get all files of `files` in farm.yaml when they booted."""
    failed = {
        node.name: node.telemetry.files.failed
        for node in farm.nodes.values()
        if node.telemetry and node.verified and not node.silent and node.telemetry.files.failed
    }
    if failed:
        first = next(iter(failed))
        path, why = next(iter(failed[first].items()))
        what = f"{few(list(failed))} did not get all files: no {printable(path)}, {printable(why)}."
        yield Finding("node-files", what, f"Look: farm node show {first}. Then: sudo farm node reboot {first}", first)


def _same_name(farm: Farm) -> Iterator[Finding]:
    """Daemons of one name and address: the scheduler takes the older login for a stale one, and ends it."""
    now = farm.activity.samples[-1].time if farm.activity.samples else 0.0
    for host in farm.activity.hosts.values():
        if host.evictions >= FIGHTS and now - host.evicted < FIGHT_SECONDS:
            what = f"Several daemons at {host.address} have the name {host.name}, and displace each other."
            fix = "Give each a name of its own (iceccd -N NAME), or stop all but one."
            yield Finding("same-name", what, fix, f"{host.name}@{host.address}")


def _forged(farm: Farm) -> Iterator[Finding]:
    count = len(farm.activity.forged)
    if count:
        who = "A daemon is" if count == 1 else f"{count} daemons are"
        what = f"{who} logged in with line breaks in its name or platform, so its data is ignored."
        fix = "Find its address among the scheduler's connections, and block it: ss -tn; farm node block ADDRESS"
        yield Finding("forged-login", what, fix)
