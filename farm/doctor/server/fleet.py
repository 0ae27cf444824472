"""Checks of a farm's nodes, as farmd on the server knows them."""

from __future__ import annotations

import time

from farm.api.client import fetch_status
from farm.doctor.check import Cause, Check, Outcome, fine, skip, together
from farm.doctor.server.serving import ServerFacts
from farm.view import boot
from farm.view.status import NodeStatus
from farm.view.wording import count, few
from farm.watch.events import Stage

NO_FARMD = Cause("farmd does not answer.", "Look at its log", "farm logs farmd")
DOWN = Cause("The scheduler does not answer farmd: {why}", "Look at its log", "farm logs scheduler")
RIVALS = Cause(
    "Other schedulers answer for netname {netname}: {rivals}. Daemons without a fixed scheduler may use them.",
    "Stop them, or give the farm its own netname (scheduler: netname in farm.yaml)",
)
STUCK = Cause("{node} hangs at stage {stage}: {sentence}", "Look at it", "farm node show {node}")
STRANGER = Cause(
    "{node}, which is not in farm.yaml, asked for an address and has fetched nothing since.",
    "If it should be a node, set it to boot from the network first; otherwise do nothing",
    "farm node show {node}",
    warns=True,
)
LOST = Cause(
    "{nodes}: was running, and is no longer heard of.",
    "Look at its screen, or switch it on",
    "farm node show {first}",
)
NOBODY = Cause("No node takes jobs.", "Switch nodes on, and check", "farm node list")
OUTDATED = Cause(
    "{nodes}: runs another image than the one chosen for next boots.",
    "Reboot it",
    "sudo farm node reboot {first}",
    warns=True,
)
UNVERIFIED = Cause(
    "Next boots get {image}, of which nodes do not check what they read.",
    "Build it again",
    "sudo farm image build {name}",
    warns=True,
)
UNVERIFIED_RUNS = Cause(
    "{nodes}: runs {image}, and does not check what it reads of it.",
    "Reboot it",
    "sudo farm node reboot {first}",
    warns=True,
)
FORGOTTEN = Cause(
    "{names}: blocked at the scheduler until the scheduler ends, so it compiles nothing.",
    "If the block is no longer needed, remove it",
    "farm node unblock {first}",
    warns=True,
)


FOREIGN = Cause(
    "Unknown daemons take this farm's jobs, or make different objects than this server: {names}.",
    "Add your own to nodes.known in farm.yaml, and block the others",
    "sudo farm node block {first}",
)
FAILING = Cause(
    "{names}: all log-ins fail for one reason, which is not the users'.",
    "See which, and what to do",
    "farm node show {first}",
)
FULL = Cause(
    "{names}: the RAM for writes is full, so it gets no jobs.",
    "Reboot to empty it",
    "sudo farm node reboot {first}",
)
CROWDED = Cause(
    "{names}: the RAM is nearly used up, and somebody is logged in there.",
    "Ask them to save their work and close programs",
    "sudo farm node message {first} TEXT",
    warns=True,
)


def _status(facts: ServerFacts) -> Outcome:
    facts.status = status = fetch_status(facts.home)
    scheduler = status.scheduler
    if not scheduler.up:
        return DOWN.found(why=scheduler.why or "farmd has just started.")
    if scheduler.rivals:
        rivals = ", ".join(f"{rival.address}:{rival.port}" for rival in scheduler.rivals[:8])
        return RIVALS.found(netname=scheduler.netname, rivals=rivals)
    return fine(f"{scheduler.address}, netname {scheduler.netname}, {count(len(status.nodes), 'machine')} known")


def _nodes(facts: ServerFacts) -> list[NodeStatus]:
    return [node for node in facts.status.nodes if node.stage is not Stage.OFF] if facts.status else []


def _names(nodes: list[NodeStatus]) -> dict[str, str]:
    shown = ", ".join(node.name for node in nodes[:8]) + (f" and {len(nodes) - 8} more" * (len(nodes) > 8))
    return {"nodes": shown, "first": nodes[0].name}


def _boots(facts: ServerFacts) -> Outcome:
    now, nodes = time.time(), _nodes(facts)
    boots = {node.key: boot.spans(node, now) for node in nodes}
    usual = boot.usual(boots.values())
    found = []
    for node in nodes:
        hang = boot.hanging(node, boots[node.key], usual)
        if hang is not None and node.stage is Stage.POWERED and not node.known:
            found.append(STRANGER.found(f"{node.name}: {node.mac}, {hang.missing}", node=node.name))
        elif hang is not None:
            found.append(STUCK.found(node=node.name, stage=hang.stage, sentence=hang.sentence))
        else:
            found.append(fine(f"{node.name}: {node.stage}"))
    return together(found or [fine("No machine has booted.")])


def _lost(facts: ServerFacts) -> Outcome:
    lost = [node for node in _nodes(facts) if node.stage is Stage.LOST]
    return LOST.found(**_names(lost)) if lost else fine("No node was lost.")


def _ready(facts: ServerFacts) -> Outcome:
    ready = [node for node in _nodes(facts) if node.stage is Stage.READY]
    compiling = [node for node in _nodes(facts) if "compile" in node.roles]
    if not any(node in compiling for node in ready) and (compiling or not ready):
        return NOBODY.found(f"{count(len(_nodes(facts)), 'machine was', 'machines were')} seen.")
    return fine(
        f"{count(len(ready), 'node')} with {count(sum(node.host.slots for node in ready if node.host), 'slot')}"
    )


def _outdated(facts: ServerFacts) -> Outcome:
    old = [node for node in _nodes(facts) if node.outdated]
    return OUTDATED.found(**_names(old)) if old else fine("All nodes run the image chosen for next boots.")


def _verified(facts: ServerFacts) -> Outcome:
    found = [
        UNVERIFIED.found(each.sentence, image=each.image, name=each.name)
        if each.next_boots
        else UNVERIFIED_RUNS.found(each.sentence, image=each.image, nodes=few(each.nodes), first=each.nodes[0])
        for each in (facts.status.unverified if facts.status else [])
    ]
    return together(found or [fine("Nodes check each block that they read of their images.")])


def _blocked(facts: ServerFacts) -> Outcome:
    if facts.status is None:
        return skip("farmd does not answer.")
    names = facts.status.scheduler.blocked
    return FORGOTTEN.found(names=", ".join(names[:8]), first=names[0]) if names else fine("No daemon is blocked.")


def _found(facts: ServerFacts, cause: Cause, *codes: str) -> Outcome:
    """What farmd has found of these codes (docs/status-json.md)."""
    findings = [each for each in (facts.status.findings if facts.status else ()) if each.code in codes]
    if not findings:
        return fine("farmd has found no such daemon.")
    names = few([each.about or "a daemon" for each in findings])
    return cause.found(*(each.sentence for each in findings), names=names, first=findings[0].about.rpartition("@")[2])


def _strangers(facts: ServerFacts) -> Outcome:
    return _found(facts, FOREIGN, "stranger", "wrong-objects", "forged-login")


def _log_ins(facts: ServerFacts) -> Outcome:
    return _found(facts, FAILING, "log-ins-fail")


def _room(facts: ServerFacts) -> Outcome:
    full = _found(facts, FULL, "node-full")
    return full if full.cause else _found(facts, CROWDED, "desk-nearly-full")


_TOLD = ("farm-status",)

CHECKS: tuple[Check[ServerFacts], ...] = (
    Check(
        "farm-status", "farmd answers and sees one scheduler", "farmd watches the nodes and the scheduler.", _status,
        (NO_FARMD, DOWN, RIVALS),
    ),
    Check("nodes-booting", "No node hangs while booting", "A stuck node is idle.", _boots, (STUCK, STRANGER), _TOLD),
    Check("nodes-lost", "No node was lost", "A lost node compiles nothing.", _lost, (LOST,), _TOLD),
    Check("nodes-ready", "Nodes take jobs", "Nodes do the compiling.", _ready, (NOBODY,), _TOLD),
    Check(
        "nodes-image", "Nodes run the chosen image", "A node runs the image that was chosen when it booted.", _outdated,
        (OUTDATED,), _TOLD,
    ),
    Check(
        "images-verified", "Nodes check what they read",
        "A block that was damaged or forged would be believed.", _verified,
        (UNVERIFIED, UNVERIFIED_RUNS), _TOLD,
    ),
    Check(
        "nodes-strangers", "Only the farm's own machines compile", "icecream accepts objects from any daemon.",
        _strangers, (FOREIGN,), _TOLD,
    ),
    Check(
        "nodes-log-ins", "People can log in at the machines", "A thin client is of no use without its server.",
        _log_ins, (FAILING,), _TOLD,
    ),
    Check(
        "nodes-full", "Nodes have space for writes", "Without it a node takes no jobs.", _room, (FULL, CROWDED), _TOLD,
    ),
    Check("nodes-blocked", "No node is blocked", "A blocked node compiles nothing.", _blocked, (FORGOTTEN,), _TOLD),
)  # fmt: skip
