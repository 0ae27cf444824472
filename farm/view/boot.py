"""How a machine's boot goes: how long each stage took, and whether it hangs, by what that stage takes the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import median

from msgspec import Struct

from farm.errors.hints import hint
from farm.export import advice
from farm.view.roles import load
from farm.view.status import NodeStatus
from farm.view.wording import duration
from farm.watch.events import BOOT_STAGES, Stage

LEAST_SECONDS = 20.0
"""Nothing that took less is called hanging."""
TIMES = 3.0
"""A stage hangs after this multiple of its usual duration."""
UNKNOWN_SECONDS = 60.0
"""A stage hangs after this time when no other machine shows how long it usually takes."""

ADVICE: Mapping[Stage, tuple[str, str]] = {
    Stage.POWERED: (
        "no loader fetched",
        "check that TFTP (UDP 69) reaches the server, and that it boots from this card first: farm logs dnsmasq",
    ),
    Stage.LOADER: ("no kernel fetched", "check that the server's HTTP can be reached: farm logs nginx"),
    Stage.KERNEL: ("no root mounted", "{export}; see its console, and the exports in farm status"),
    Stage.ROOT: ("its agent has not been heard", "see its console, and farm logs farmd"),
}
"""What is missing at a stage, and where to look; of what comes after these the roles tell (`advice_for`).

``{export}`` is what the export of the machine's root advises.
"""


class Span(Struct, frozen=True):
    """The time from one stage until the next was reached."""

    stage: Stage
    seconds: float
    open: bool = False
    """The next has not been reached; ``seconds`` is until now."""


class Hang(Struct, frozen=True):
    """A boot that does not go on."""

    stage: Stage
    seconds: float
    usual: float | None
    """What the stage takes the others, in the middle; None when no other tells."""
    missing: str
    look: str

    @property
    def what(self) -> str:
        """What is missing, and for how long."""
        usual = "" if self.usual is None else f" (others need {duration(self.usual)})"
        return f"{self.missing} for {duration(self.seconds)}{usual}"

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return f"{self.what}: {self.look}"


def booting(node: NodeStatus) -> bool:
    """It is on its way."""
    return Stage.OFF.rank < node.stage.rank < Stage.READY.rank


def advice_for(node: NodeStatus) -> tuple[str, str]:
    """What is missing at the stage of a node that is on its way, and where to look."""
    if node.stage in ADVICE:
        return ADVICE[node.stage]
    said = (role.advice.get(node.stage) for role in map(load, node.roles) if role.behind(node))
    return next((each for each in said if each), ("its agent does not say that it is ready", "farm node show {name}"))


def spans(node: NodeStatus, now: float) -> list[Span]:
    """The stages of a node's boot, in their order; the last one is open while it boots."""
    reached = [(stage, node.stages[stage]) for stage in BOOT_STAGES if stage in node.stages]
    if booting(node):
        at = node.stages.get(node.stage, node.since)
        reached = [*(each for each in reached if each[0].rank < node.stage.rank), (node.stage, at)]
    found = [Span(stage, max(0.0, after - at)) for (stage, at), (_, after) in pairwise(reached)]
    if booting(node):
        # A node can fall back to a stage that it had left.
        found.append(Span(node.stage, max(0.0, now - max(at, node.since)), open=True))
    return found


def marks(node: NodeStatus) -> list[tuple[str, float]]:
    """What its roles have come to after the stages of its boot, and the Unix time of each, by our clock."""
    agent, noted = node.stages.get(Stage.AGENT), node.uptime.get(Stage.AGENT)
    if agent is None or noted is None:
        return []
    names = (name for role in map(load, node.roles) for name in role.marks if name in node.uptime)
    return [(name, agent + node.uptime[name] - noted) for name in names]


def usual(boots: Iterable[list[Span]]) -> dict[Stage, float]:
    """How many seconds each stage takes, in the middle of all that have got past it."""
    seconds: dict[Stage, list[float]] = {}
    for boot in boots:
        for span in boot:
            if not span.open:
                seconds.setdefault(span.stage, []).append(span.seconds)
    return {stage: median(values) for stage, values in seconds.items()}


def hanging(node: NodeStatus, boot: list[Span], usual: Mapping[Stage, float]) -> Hang | None:
    """Whether a boot hangs: its stage has lasted for more than 20 s and three times what the others needed.

    A minute counts when there are no others. One that is blocked, or was told to go, is as
    far as it may come.
    """
    if not boot or not boot[-1].open or node.order or any(load(role).held(node) for role in node.roles):
        return None
    last = boot[-1]
    others = usual.get(last.stage)
    limit = UNKNOWN_SECONDS if others is None else max(LEAST_SECONDS, TIMES * others)
    if last.seconds <= limit:
        return None
    missing, look = advice_for(node)
    return Hang(
        last.stage,
        last.seconds,
        others,
        missing,
        hint(look.format(name=node.name, export=advice(node.root))),
    )
