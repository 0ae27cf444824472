"""Checks of compiling: the environment that nodes receive, canaries on every node, and how many jobs make sense."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from farm import command
from farm.doctor.check import Cause, Check, Outcome, fine, skip, together
from farm.doctor.workstation import canary
from farm.doctor.workstation.environment import ENVIRONMENT_CHECK
from farm.doctor.workstation.facts import Canary, WorkstationFacts, listens_at
from farm.doctor.workstation.farm_nodes import LOAD_PATIENCE, ask_until
from farm.errors.hints import hint
from farm.view.wording import count
from farm.workstation.env.variables import Slots
from farm.workstation.explain import reasons
from farm.workstation.explain.reasons.farm_side import ASSIGNED_HERE
from farm.workstation.explain.reasons.record import Reason

FILLER_BYTES = 6 << 20
SLOW_RATE = 8.0
"""MB/s: what a network of 100 Mbit/s cannot do."""
LOAD_ROUNDS = 3

NOT_GIVEN = Cause(
    "The scheduler gives {nodes} no jobs and sends them back: most likely it cannot connect to TCP port {port} "
    "there (inferred; an iceccd that may not chroot, or that has refused this compiler, looks the same).",
    "Let TCP {port} through from the scheduler's machine to the nodes (it tries again by itself); try there",
    "nc -vz {address} {port}",
)
WAITED = Cause(
    "{nodes} could take a job, but got none within {seconds} s: other jobs were first, or its load rose.",
    "Try again when the farm is less busy",
    "farm status",
    warns=True,
)
LOCAL = Cause(
    "A test job for {node} was compiled here instead: {reason}",
    "{fix}",
)
UNTOLD = Reason("untold", "icecc does not say why.", "Look at the node: farm node list")
DIFFERENT = Cause(
    "{nodes} made a different object than this machine from the same source.",
    "Its environment does not match this compiler, or its memory is faulty: reboot it",
    "farm node reboot {first}",
)
SLOW = Cause(
    "The connection to {node} carries {rate} MB/s.",
    "Look for a link of 100 Mbit/s (ethtool), Wi-Fi, or a busy switch",
    warns=True,
)
FEW_SLOTS = Cause("No node has a free slot: builds will wait.", "See which jobs are running", "farm jobs", warns=True)
BOTTLENECK = Cause(
    "This machine's preprocessor is the bottleneck: preprocessing takes {share} of the compiler's time, so {cpus} "
    "processors here can feed about {fed} slots of {slots}.",
    "More nodes will not help; fewer includes, or ccache with its direct mode, will",
    warns=True,
)


def _given(facts: WorkstationFacts) -> Outcome:
    ask_until(facts, lambda: bool(facts.able), LOAD_PATIENCE)
    if not facts.able:
        return skip("No node can take a job now: every load is 1000, or the nodes cannot be reached.")
    facts.canaries = asyncio.run(canary.release(facts.able, facts.icecc, facts.compiler(), facts.compiling()))
    returned = [each for each in facts.canaries if each.reason == ASSIGNED_HERE]
    waited = [each for each in facts.canaries if each.waited]
    given = [each for each in facts.canaries if each.given]
    found = [fine(*(f"{each.node}: the scheduler assigned the test job to it." for each in given))]
    if returned:
        told = [f"{each.node}: requested by name, but the scheduler sent the job back at once." for each in returned]
        address, port = next(listens_at(node) for node in facts.able if node.name == returned[0].node)
        found.append(NOT_GIVEN.found(*told, nodes=_names(returned), port=port, address=address))
    if waited:
        found.append(WAITED.found(nodes=_names(waited), seconds=f"{canary.GIVEN_SECONDS:.0f}"))
    found.append(fine("This is inferred: the scheduler assigns jobs only to nodes it can connect to."))
    return together(found)


def _names(canaries: list[Canary]) -> str:
    return ", ".join(each.node for each in canaries[:8])


def _canaries(facts: WorkstationFacts) -> Outcome:
    sent = [each for each in facts.canaries or [] if not each.waited and each.reason != ASSIGNED_HERE]
    if not sent:
        return skip("No node got a test job.")
    found = [fine(*(_sung(each) for each in sent if each.same))]
    for each in sent:
        if not each.ran:
            why = reasons.find(each.reason) if each.reason else UNTOLD
            seen = (f"{each.node}: {why.code}: {line}" for line in each.told)
            found.append(
                LOCAL.found(*seen, node=each.node, reason=why.sentence, fix=hint(why.mend) or "See docs/explain.md")
            )
    odd = [each for each in sent if each.ran and not each.same]
    if odd:
        found.append(DIFFERENT.found(nodes=_names(odd), first=odd[0].node))
    return together(found)


def _sung(each: Canary) -> str:
    return f"{each.node}: compiled in {each.seconds:.1f} s, the same bytes as here"


def _throughput(facts: WorkstationFacts) -> Outcome:
    """One node after another, so that they do not share the way."""
    if not facts.able:
        return skip("No node can take a job.")
    compiler, environment = facts.compiler(), facts.compiling()
    found = []
    for node in facts.able:
        (sent,) = asyncio.run(canary.release([node], facts.icecc, compiler, environment, FILLER_BYTES))
        if not sent.ran or not sent.send_ms:
            found.append(skip(f"{node.name}: the large test job was not compiled there."))
            continue
        rate = sent.sent / sent.send_ms / 1000
        seen = f"{node.name}: {sent.sent / 1e6:.1f} MB sent in {sent.send_ms} ms, {rate:.1f} MB/s with preprocessing"
        slow = rate < SLOW_RATE
        found.append(SLOW.found(seen, node=node.name, rate=f"{rate:.1f}") if slow else fine(seen))
    return together(found)


def _slots(facts: WorkstationFacts) -> Outcome:
    able, cpus = facts.able, len(os.sched_getaffinity(0))
    total = sum(node.slots for node in able)
    if not able:
        return skip("No node can take a job.")
    if not facts.free_known:
        free, seen = (
            total,
            f"{count(total, 'slot')} on {count(len(able), 'node')}; the number of free slots is not known here.",
        )
    else:
        free = sum(max(0, node.offered - node.running) for node in able)
        seen = f"{free} of {count(total, 'slot')} on {count(len(able), 'node')} free."
    offer = Slots(nodes=len(able), total=total, free=free)
    outcome = fine(seen, f"-j{offer.parallel_jobs(cpus)} fits: {offer.why_parallel_jobs(cpus)}.")
    return together([outcome, FEW_SLOTS.found()]) if not free else outcome


def fed_slots(cpus: int, preprocess: float, compile_: float) -> int:
    """How many slots a machine keeps busy: each job takes its processors ``preprocess`` s and a slot ``compile_`` s."""
    return max(1, int(cpus * compile_ / max(preprocess, 1e-6)))


SAMPLE_CXX = "#include <algorithm>\n#include <iostream>\n#include <map>\n#include <string>\n#include <vector>\n" + (
    'int main() { std::map<std::string, std::vector<int>> all; all["a"].push_back(1);'
    " for (auto& [k, v] : all) { std::sort(v.begin(), v.end()); std::cout << k; } }\n"
)
SAMPLE_C = (
    '#include <stdio.h>\n#include <stdlib.h>\n#include <math.h>\nint main(void) { return printf("%f", rand()); }\n'
)


def _preprocessor(facts: WorkstationFacts) -> Outcome:
    """Time what icecc does here for each job against what it hands out."""
    cpus, slots = len(os.sched_getaffinity(0)), sum(node.slots for node in facts.nodes)
    compiler = facts.compiler("g++", "clang++")
    suffix, sample = (".cpp", SAMPLE_CXX) if compiler else (".c", SAMPLE_C)
    compiler = compiler or facts.compiler()
    if not compiler:
        return skip("There is no compiler to measure.")
    with tempfile.TemporaryDirectory(prefix="farm-doctor-") as folder:
        file = Path(folder, f"sample{suffix}")
        file.write_text(sample)
        merge = "-frewrite-includes" if "clang" in Path(compiler).name else "-fdirectives-only"
        before = _quickest([compiler, "-E", merge, file.name, "-o", "merged"], facts, Path(folder))
        options = ["-O2", *(["-std=c++17"] if suffix == ".cpp" else [])]
        whole = _quickest([compiler, *options, "-c", file.name], facts, Path(folder))
    fed = fed_slots(cpus, before, whole)
    first, all_ = f"{before * 1000:.0f} ms", f"{whole * 1000:.0f} ms"
    seen = [
        f"{Path(compiler).name}: {first} to preprocess, {all_} to compile a file with common headers.",
        f"Rule: {cpus} processors × {all_} / {first} feed about {fed} slots; there are {slots}.",
    ]
    if slots > fed:
        share = f"{before / whole:.0%}"
        return BOTTLENECK.found(*seen, share=share, cpus=cpus, fed=fed, slots=slots)
    return fine(*seen)


def _quickest(argv: list[str], facts: WorkstationFacts, folder: Path) -> float:
    """Seconds; the least of some, since other programs only add to it."""
    least = float("inf")
    for _ in range(LOAD_ROUNDS):
        started = time.perf_counter()
        command.run(argv, timeout=60, env=facts.compiling(), cwd=folder)
        least = min(least, time.perf_counter() - started)
    return least


CHECKS: tuple[Check[WorkstationFacts], ...] = (
    ENVIRONMENT_CHECK,
    Check(
        "scheduler-to-node",
        "The scheduler assigns jobs to each node",
        "The scheduler silently leaves out nodes that it cannot connect to.",
        _given,
        causes=(NOT_GIVEN, WAITED),
        needs=("iceccd-login", "nodes", "environment"),
        after=("node-port",),
    ),
    Check(
        "canary",
        "Every node makes the same objects as this machine",
        "An object must not depend on where it was compiled.",
        _canaries,
        causes=(LOCAL, DIFFERENT),
        needs=("iceccd-login", "nodes", "environment"),
        after=("scheduler-to-node",),
    ),
    Check(
        "throughput",
        "Connections to nodes are fast",
        "Each job's source is sent to a node, and the compiler once to every node.",
        _throughput,
        causes=(SLOW,),
        needs=("iceccd-login", "nodes", "environment"),
        after=("node-port",),
        deep=True,
    ),
    Check(
        "slots",
        "Slots are free",
        "Builds wait when all slots are busy.",
        _slots,
        causes=(FEW_SLOTS,),
        needs=("nodes",),
        after=("node-port",),
    ),
    Check(
        "preprocessor",
        "This machine preprocesses fast enough for the farm",
        "icecc preprocesses each file here before it sends it.",
        _preprocessor,
        causes=(BOTTLENECK,),
        needs=("nodes",),
    ),
)
