"""Checks of a node: what `farm.node` finds, which has to do without the rest of the farm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from farm.doctor.check import Cause, Check, Outcome, fine, skip
from farm.node import doctor


@dataclass
class NodeFacts:
    """A node, examined once."""

    root: str = "/"
    findings: list[doctor.Finding] = field(default_factory=list)

    def finding(self, code: str) -> doctor.Finding | None:
        """What was found under that code."""
        self.findings = self.findings or doctor.examine(self.root)
        return next((each for each in self.findings if each["code"] == code), None)


def _look(code: str, cause: Cause) -> Callable[[NodeFacts], Outcome]:
    def look(facts: NodeFacts) -> Outcome:
        found = facts.finding(code)
        if found is None:
            configured = facts.finding("node-configured")
            ok = configured is not None and configured["ok"]
            return skip("No role of this machine needs this." if ok else "The node was not configured.")
        return fine(found["seen"]) if found["ok"] else cause.found(found["seen"])

    return look


def _check(code: str, title: str, why: str, cause: Cause) -> Check[NodeFacts]:
    return Check(code, title, why, _look(code, cause), (cause,))


CHECKS: tuple[Check[NodeFacts], ...] = (
    _check(
        "node-configured",
        "The node has its settings",
        "Without them nothing starts.",
        Cause("The node has not received its settings.", "Request them again", "systemctl restart farm-node-configure"),
    ),
    _check(
        "node-greeter",
        "People can log in",
        "The greeter is the only way to log in on a thin client's screen.",
        Cause("There is no greeter.", "Restart it, and look at its log", "systemctl restart lightdm"),
    ),
    _check(
        "node-iceccd",
        "iceccd answers",
        "iceccd runs the compile jobs.",
        Cause("iceccd does not answer.", "Restart it, and look at its log", "systemctl restart iceccd"),
    ),
    _check(
        "node-iceccd-spare",
        "The spare iceccd answers",
        "It runs the jobs that a machine with a desktop takes while nobody sits there.",
        Cause("The spare iceccd does not answer.", "Restart it, and look at its log", "systemctl restart iceccd-spare"),
    ),
    _check(
        "node-folder",
        "The environment folder is iceccd's",
        "iceccd can unpack compilers only into a folder of its own user; otherwise it takes no jobs.",
        Cause(
            "The environment folder does not belong to the user icecc.",
            "Change its owner",
            "install -d -o icecc /var/cache/icecc",
        ),
    ),
    _check(
        "node-space",
        "The environment folder has space",
        "With less than 25 MiB for each slot and one more, iceccd reports a load of 1000 and gets no jobs.",
        Cause("The RAM disk is full.", "Reboot it, or give it more RAM or fewer slots", "reboot"),
    ),
    _check(
        "node-scheduler",
        "The scheduler can be reached",
        "The scheduler assigns the jobs.",
        Cause("The scheduler does not answer from here.", "Look at the server's status", "farm status"),
    ),
    _check(
        "node-clock",
        "The clock is plausible",
        "Build tools misbehave if files are older than the software.",
        Cause("The clock is years behind.", "Reboot it; its battery may be empty", "reboot"),
    ),
)
