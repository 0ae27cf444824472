"""Which nodes are shown: a line such as ``state:busy,booting -lab2``, and marks by state, stage, platform and image.

Terms and words of the line are joined by "and", the values of one term by "or"; ``-`` turns one round.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from farm.view.status import NodeStatus
from farm.watch.events import Stage
from tui import state_words

MARK_KINDS = ("state", "stage", "platform", "image")
HINT = "name, address, reason…; state: stage: platform: image:; - for not"


class NodeTerm(Struct, frozen=True):
    """One term of a line, or one word of it."""

    kind: str
    """One of MARK_KINDS; empty: a word, which is searched for."""
    values: tuple[str, ...]
    """Folded; of a kind, beginnings of what a node may have."""
    negated: bool

    def keeps(self, node: NodeStatus, why: str) -> bool:
        """Whether a node passes."""
        if self.kind:
            own = value_of(self.kind, node).casefold()
            found = any(own.startswith(value) for value in self.values)
        else:
            found = self.values[0] in searched(node, why)
        return found is not self.negated


class NodeFilter(Struct, frozen=True):
    """Marks of one kind are joined by "or", kinds and the text by "and"."""

    text: str = ""
    marks: frozenset[tuple[str, str]] = frozenset()
    """Pairs of kind and value that a node must have, such as a stage."""

    @property
    def shown(self) -> str:
        """What it asks for, in words."""
        parts = [", ".join(sorted(value for kind, value in self.marks if kind == each)) for each in MARK_KINDS]
        if self.text:
            parts.append(f'"{self.text}"')
        return " and ".join(part for part in parts if part)

    def keeps(self, node: NodeStatus, why: str) -> bool:
        """Whether a node passes; ``why``: its reason to be idle, which is searched too.

        Daemons that only submit are shown when they are asked for.
        """
        kinds = {kind for kind, _ in self.marks}
        for kind in kinds:
            if (kind, value_of(kind, node)) not in self.marks:
                return False
        if "state" not in kinds and state_words.state(node) == state_words.SUBMITS and not self.text:
            return False
        return all(term.keeps(node, why) for term in terms(self.text))

    @property
    def searched_words(self) -> str:
        """What is to be marked where it is found; empty when there are several words or terms."""
        only = terms(self.text)
        return only[0].values[0] if len(only) == 1 and not only[0].kind and not only[0].negated else ""


@functools.lru_cache(maxsize=32)
def terms(text: str) -> tuple[NodeTerm, ...]:
    """What a line asks for. What has a colon but none of the kinds before it is a word: MAC addresses are searched."""
    found = []
    for word in text.casefold().split():
        body = word.removeprefix("-") or word
        kind, colon, value = body.partition(":")
        values = tuple(filter(None, value.split(",")))
        if colon and kind in MARK_KINDS:
            if values:  # or it is half typed
                found.append(NodeTerm(kind, values, word != body))
        else:
            found.append(NodeTerm("", (body,), word != body))
    return tuple(found)


def value_of(kind: str, node: NodeStatus) -> str:
    """What a node has of a kind."""
    if kind == "state":
        return state_words.state(node)
    if kind == "stage":
        return str(node.stage)
    if kind == "platform":
        return node.host.platform if node.host else ""
    return node.image


def searched(node: NodeStatus, why: str) -> str:
    """All that a search looks at, folded."""
    platform = node.host.platform if node.host else ""
    blocked = "blocked" if node.blocked else ""
    parts = (node.name, node.address, node.mac, node.stage, state_words.state(node), node.image, platform, blocked, why)
    return " ".join(parts).casefold()


def values(nodes: Iterable[NodeStatus]) -> list[tuple[str, str, int]]:
    """Kind, value and number of nodes, for all values that there are."""
    known = list(nodes)
    found = []
    for kind in MARK_KINDS:
        counted = Counter(value_of(kind, node) for node in known)
        order = {"state": state_words.STATES, "stage": tuple(Stage)}.get(kind, tuple(sorted(counted)))
        found += [(kind, str(value), counted[value]) for value in order if value and counted[value]]
    return found
