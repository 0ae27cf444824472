"""Checks of a farm's nodes, from a workstation: are there any, can they be reached, do they take jobs."""

from __future__ import annotations

import asyncio
import http.client
import time
import urllib.request
from collections.abc import Callable

import msgspec

from farm.doctor.check import Cause, Check, Outcome, fine, skip, together
from farm.doctor.workstation.facts import WorkstationFacts, listens_at
from farm.doctor.workstation.peers import peers, round_trips
from farm.errors import NOT_JSON
from farm.instance import Instance
from farm.node.environments import ROOM_PER_SLOT
from farm.node.ports import TELEMETRY_PORT
from farm.view.wording import count
from farm.watch.activity import NO_JOBS, Host
from farm.watch.mdns import find_nodes
from farm.watch.node_telemetry import Telemetry

LOAD_PATIENCE = 15.0
"""A daemon says that its load is 1000 until its first measurement, some 3 s after it has logged in, and for a moment
whenever all of its processors are busy with something else."""
LONG_SECONDS = 30.0
"""An environment is received in a few."""
TELEMETRY_SECONDS = 2.0
MAX_NODE_ANSWER = 1 << 20

NO_NODES = Cause("No node is logged in to compile jobs.", "Switch nodes on, and check", "farm node list")
UNREACHABLE = Cause(
    "This machine cannot connect to {nodes} at TCP port {port} ({why}): icecc sends sources to nodes directly.",
    "Allow TCP {port} from here to the nodes; on a node with a firewall: nft insert rule inet filter input tcp "
    "dport {port} accept",
)
FULL_NODES = Cause(
    "{nodes}: load 1000, so it gets no jobs. Less than 25 MiB for each free slot is left in the environment "
    "folder, or its memory is full, or other programs take all of its processors.",
    "Give it more RAM or fewer slots, or reboot it to empty its RAM",
    "farm node reboot {first}",
)
NO_ROOM = Cause(
    "{nodes}: its RAM disk is full ({free} MiB are left, {wanted} are needed), so its load is 1000 and it gets "
    "no jobs.",
    "Give it more RAM or fewer slots, or reboot it to empty its RAM",
    "farm node reboot {first}",
)
BUSY = Cause(
    "{nodes}: another program uses all of its processors, so its load is 1000 and it gets no jobs.",
    "See which program runs there",
    "farm node ssh {first} -- top -bn1",
    warns=True,
)
STUCK = Cause(
    "{nodes}: has been receiving an environment for {seconds} s.",
    "The connection from the submitter is slow, or the node's RAM is full: check",
    "farm node show {first}",
    warns=True,
)


def ask(facts: WorkstationFacts) -> None:
    """Ask the scheduler who is logged in. Raises FarmError."""
    assert facts.scheduler is not None
    activity, facts.free_known = asyncio.run(peers(facts.scheduler.address, facts.scheduler.port))
    facts.peers = sorted(activity.online, key=lambda host: host.name)
    facts.blocked = activity.scheduler.blocked


def ask_until(facts: WorkstationFacts, holds: Callable[[], bool], seconds: float) -> None:
    """Ask the scheduler until something holds, or for so long."""
    deadline = time.monotonic() + seconds
    ask(facts)
    while not holds() and time.monotonic() < deadline:
        time.sleep(1)
        ask(facts)


def _nodes(facts: WorkstationFacts) -> Outcome:
    if not facts.peers:
        ask(facts)
    nodes = facts.nodes
    if not nodes:
        here = Instance.known(facts.home) if facts.home else None
        if here and here.roles and "compile" not in here.roles:
            return skip("No machine of this farm is there to compile.")
        seen = f"Logged in are: {', '.join(peer.name for peer in facts.peers[:16]) or 'none'}."
        return NO_NODES.found(seen)
    return fine(f"Nodes that take jobs: {len(nodes)}, with {count(sum(node.slots for node in nodes), 'slot')}.")


def _ports(facts: WorkstationFacts) -> Outcome:
    nodes = facts.nodes
    answers = asyncio.run(round_trips({listens_at(node) for node in nodes}))
    facts.reachable = {target for target, answer in answers.items() if isinstance(answer, float)}
    found = []
    for node in nodes:
        answer = answers[listens_at(node)]
        if isinstance(answer, float):
            found.append(fine(f"{node.name} ({node.address}): round trip {answer * 1000:.2f} ms"))
    lost = [node for node in nodes if listens_at(node) not in facts.reachable]
    if lost:
        told = [f"{node.name} ({node.address}:{listens_at(node)[1]}): {answers[listens_at(node)]}" for node in lost]
        names = ", ".join(node.name for node in lost[:8])
        found.append(
            UNREACHABLE.found(*told, nodes=names, port=listens_at(lost[0])[1], why=answers[listens_at(lost[0])])
        )
    found.append(fine("Only connections from here are tested; nodes never connect to a machine that only submits."))
    return together(found)


def _room(facts: WorkstationFacts) -> Outcome:
    def none_full() -> bool:
        return all(node.load < NO_JOBS for node in facts.nodes)

    if not none_full():
        ask_until(facts, none_full, LOAD_PATIENCE)
    seen = [_burden(node) for node in facts.nodes]
    full = [node for node in facts.nodes if node.load >= NO_JOBS]
    if full:
        ports = {beacon.address: beacon.port for beacon in asyncio.run(find_nodes())}
        # A farm may have set another port, which no workstation is told: the advertisement has it.
        told = [_telemetry(node.address, ports.get(node.address, TELEMETRY_PORT)) for node in full]
        return together([fine(*seen), *map(_full, full, told)])
    now = time.time()
    slow = [node for node in facts.nodes if node.installing and now - node.installing > LONG_SECONDS]
    if slow:
        names = ", ".join(node.name for node in slow[:8])
        return STUCK.found(*seen, nodes=names, seconds=round(now - slow[0].installing), first=slow[0].name)
    return fine(*seen)


def _full(node: Host, told: Telemetry | None) -> Outcome:
    """Why a node's load is 1000: a node of a farm's tells how much room it has."""
    names = {"nodes": node.name, "first": node.name}
    if told is None or not told.overlay.total:
        return FULL_NODES.found(f"{node.name} does not report its RAM.", **names)
    free, wanted = told.overlay.total - told.overlay.used, ROOM_PER_SLOT * (node.slots + 1)
    seen = f"{node.name}: {free >> 20} MiB of its RAM disk free, {told.memory.available >> 20} MiB of memory available"
    if free < wanted:
        return NO_ROOM.found(seen, free=free >> 20, wanted=wanted >> 20, **names)
    return BUSY.found(seen, **names)


def _telemetry(address: str, port: int) -> Telemetry | None:
    """What a node says of itself; None when it is no node of a farm's, or does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{port}/status.json", timeout=TELEMETRY_SECONDS) as answer:
            return msgspec.json.decode(answer.read(MAX_NODE_ANSWER), type=Telemetry)
    except (OSError, http.client.HTTPException, *NOT_JSON):
        return None


def _burden(node: Host) -> str:
    parts = [f"{node.name}: load {node.load} of 1000, {count(node.slots, 'slot')}"]
    if node.load_averages is not None:
        parts.append(f"load average {node.load_averages[0]:.1f}")
    if node.free_memory is not None:
        parts.append(f"{node.free_memory} MiB of memory free")
    return ", ".join(parts)


CHECKS: tuple[Check[WorkstationFacts], ...] = (
    Check(
        "nodes",
        "Nodes are logged in",
        "Nodes do the compiling.",
        _nodes,
        causes=(NO_NODES,),
        needs=("scheduler",),
    ),
    Check(
        "node-port",
        "Every node can be reached from here",
        "Sources are sent directly to the node, not through the scheduler.",
        _ports,
        causes=(UNREACHABLE,),
        needs=("nodes",),
    ),
    Check(
        "node-room",
        "Nodes have space for jobs",
        "A node with load 1000 gets no jobs.",
        _room,
        causes=(NO_ROOM, FULL_NODES, BUSY, STUCK),
        needs=("nodes",),
    ),
)
