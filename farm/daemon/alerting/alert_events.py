"""Which alerts a farm gives rise to: decided from what is wrong now and what was told before, by pure functions."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from farm.config.values import AlertEvent
from farm.printable import printable
from farm.view.status import NodeStatus, Status
from farm.view.wording import count, few
from farm.watch.events import Stage

ALERT_SCHEMA = 1
STEADY_LOOKS = 3
"""Looks in a row at which something is seen, or not seen any more, before that counts: services may restart."""
MOST_SINGLE = 5
"""Alerts of one event at one moment; more are told as one: a room without power is one event for people."""
MOST_HELD = 1024
MOST_TEXT = 1000
OWN_CODE = "alerts"
"""The code of the problem that an alert was not delivered, of which no alert tells."""

Kind = Literal["lost", "drain", "problem"]


class Alert(Struct, frozen=True, kw_only=True):
    """An event as receivers get it, in JSON."""

    schema: int = ALERT_SCHEMA
    id: str
    """Different for each; the same when it is sent again because an attempt failed."""
    event: AlertEvent | Literal["test"]
    farm: str
    time: float
    """Unix time at which it was noticed."""
    about: str = ""
    """The node, service or image in question."""
    code: str = ""
    """Of a problem: as in `farm status --json`."""
    text: str
    fix: str = ""
    """What to do about it, with the command if one does."""
    count: int = 1
    """How many of the same are told together."""


class Ongoing(Struct, frozen=True):
    """Something that holds for a while, with which alerts begin and end."""

    kind: Kind
    about: str
    text: str
    fix: str = ""
    code: str = ""


class Held(Struct, frozen=True):
    """What holds as receivers know it, by key, and what is about to change."""

    told: Mapping[str, Ongoing] = {}
    looks: Mapping[str, int] = {}
    """How often in a row a key was seen that is not told yet, or not seen that is."""


def conditions(status: Status) -> dict[str, Ongoing]:
    """All that holds now, by key."""
    found = {}
    for node in status.nodes:
        if node.mac and node.stage is Stage.LOST and node.order not in ("off", "reboot"):
            text = f"{node.name} does not answer any more."
            found[f"lost {node.mac}"] = Ongoing("lost", node.name, text, f"Look: farm node show {node.name}")
        if node.order == "drain":
            found[f"drain {node.key}"] = Ongoing("drain", node.name, "")
    for problem in status.findings:
        if problem.code != OWN_CODE:
            key = f"problem {problem.code} {problem.about}"
            found[key] = Ongoing("problem", problem.about, problem.what, problem.fix, problem.code)
    return dict([*found.items()][:MOST_HELD])


def step(held: Held, status: Status, now: float, earlier: Collection[str] | None = None) -> tuple[Held, list[Alert]]:
    """What holds after another look, and what is to be told because of it.

    ``earlier``: what an earlier farmd has told, as long as this one has not asked all nodes and looked at everything
    itself: until then a node that is not heard counts as little as a problem that is not seen.
    """
    seen, told, looks = conditions(status), dict(held.told), {}
    if earlier is not None:
        seen = {key: each for key, each in seen.items() if each.kind != "lost" or key in told}
        seen |= {key: told[key] for key in earlier if key in told and told[key].kind == "problem"}
    nodes = {node.mac or node.key: node for node in status.nodes}
    alerts: list[Alert] = []
    for key in {**told, **seen}:
        if (key in seen) == (key in told):
            continue
        looks[key] = held.looks.get(key, 0) + 1
        node = nodes.get(key.partition(" ")[2])
        if key in seen and (looks[key] >= STEADY_LOOKS or seen[key].kind == "drain") and len(told) < MOST_HELD:
            told[key] = seen[key]
            alerts += _begins(seen[key], status.farm, now)
        elif key in told and (looks[key] >= STEADY_LOOKS or told[key].kind == "drain") and _is_over(told[key], node):
            alerts += _ends(told.pop(key), node, status.farm, now)
        else:
            continue
        del looks[key]
    return Held(told, looks), [*_together(alerts)]


def _begins(condition: Ongoing, farm: str, now: float) -> Iterator[Alert]:
    if condition.kind == "lost":
        yield alert("node-lost", farm, now, condition.text, about=condition.about, fix=condition.fix)
    elif condition.kind == "problem":
        text, fix, code = condition.text, condition.fix, condition.code
        yield alert("problem", farm, now, text, about=condition.about, fix=fix, code=code)


def _is_over(condition: Ongoing, node: NodeStatus | None) -> bool:
    """A lost node is back when it is ready: on its way it may be lost again."""
    return condition.kind != "lost" or node is None or node.stage in (Stage.READY, Stage.OFF) or bool(node.order)


def _ends(condition: Ongoing, node: NodeStatus | None, farm: str, now: float) -> Iterator[Alert]:
    name = condition.about
    if condition.kind == "problem":
        text = f"No longer: {condition.text}"
        yield alert("problem-over", farm, now, text, about=name, code=condition.code)
    elif condition.kind == "drain":
        done = node is not None and (node.blocked or node.order in ("off", "reboot"))
        text = f"{name} has finished its jobs." if done else f"The drain of {name} has ended before its jobs had."
        yield alert("drain-ended", farm, now, text, about=name)
    elif node is not None and node.stage is Stage.READY:
        yield alert("node-back", farm, now, f"{name} is ready again.", about=name)


def alert(
    event: AlertEvent | Literal["test"],
    farm: str,
    now: float,
    text: str,
    *,
    about: str = "",
    fix: str = "",
    code: str = "",
) -> Alert:
    """An alert whose texts, parts of which come from strangers, are one line each and bounded."""
    text, about, fix = (printable(each, MOST_TEXT) for each in (text, about, fix))
    return Alert(id=uuid.uuid4().hex, event=event, farm=farm, time=now, about=about, code=code, text=text, fix=fix)


def _together(alerts: Iterable[Alert]) -> Iterator[Alert]:
    """Many of one event and code at one moment as one."""
    groups: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for each in alerts:
        groups[each.event, each.code].append(each)
    for group in groups.values():
        if len(group) <= MOST_SINGLE:
            yield from group
        else:
            about = few([each.about for each in group])
            text = f"{count(len(group), 'event')} at once. The first: {group[0].text}"
            yield replace(group[0], about=about, text=text, count=len(group))
