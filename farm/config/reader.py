"""Walk farm.yaml's YAML nodes beside the declaration in farm/config: plain values, lines, and what is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import yaml
from msgspec import Struct
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from farm.config import Config, Place
from farm.config.rules import Problem, dotted
from farm.config.shapes import Key, Shape, everything, keys

_LOOSE_MAC = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}", re.IGNORECASE)
_TAG = "tag:yaml.org,2002:"
NAME_EXAMPLE = "room-b:"
"""How an entry of a mapping of names begins."""


class Reader:
    """What a farm.yaml holds: ``plain`` values, the line of each place, and problems with the line of each."""

    def __init__(self, root: Node) -> None:
        self.lines: dict[Place, int] = {(): 1}
        self.problems: list[tuple[int, Problem]] = []
        self._constructor = SafeConstructor()
        self.plain = self._section(root, Config, ())

    def line(self, problem: Problem) -> int:
        """The line of a problem's key, or of the one it collides with, or of the nearest thing around it."""
        for place in (problem.place, problem.related):
            if place in self.lines and place:
                return self.lines[place]
        place = problem.place
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]

    def complain(self, place: Place, text: str, why: str = "", fix: str = "", line: int | None = None) -> None:
        """Note what is wrong at a place."""
        problem = Problem(place, text, why, fix)
        self.problems.append((line or self.line(problem), problem))

    def _pairs(self, node: MappingNode, place: Place) -> Iterator[tuple[str, Place, Node, Node]]:
        """The keys of a mapping, each once: its text, its place, its node and its value's node."""
        for key_node, value_node in node.value:
            name = _printable(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            here = (*place, name)
            line = key_node.start_mark.line + 1
            if here in self.lines:
                self.complain(here, f"given twice, first in line {self.lines[here]}.", fix="Remove one.", line=line)
                continue
            self.lines[here] = line
            yield name, here, key_node, value_node

    def _section(self, node: Node, struct: type[Struct], place: Place) -> dict[str, Any]:
        """A mapping as a struct's fields, without those that are empty, unknown or wrong."""
        known = keys(struct)
        plain: dict[str, Any] = {}
        if not isinstance(node, MappingNode):
            self.complain(place, *_not_a_section(node, known))
            return plain
        for name, here, _, value_node in self._pairs(node, place):
            if name not in known:
                self.complain(here, *_unknown(here, known))
                continue
            value = self._value(value_node, known[name].shape, here)
            if value is not None:
                plain[name] = value
        for key in known.values():
            here = (*place, key.name)
            if key.required and here not in self.lines:
                example = yaml.safe_dump({key.name: key.shape.example}).strip()
                self.complain(here, "missing.", f"This key is the {key.shape.about}.", f"Write it, like {example}")
        return plain

    def _value(self, node: Node, expected: Shape, place: Place) -> Any:
        """A value as plain data; None when it is empty or wrong."""
        if is_null(node) and (expected.optional or expected.section or expected.item or expected.entry):
            return None
        if expected.section:
            return self._section(node, expected.section, place)
        if expected.item:
            return self._items(node, expected, expected.item, place)
        if expected.entry:
            return self._entries(node, expected, place)
        return self._scalar(node, expected, place)

    def _items(self, node: Node, expected: Shape, item: Shape, place: Place) -> list[Any] | None:
        """A list, each item by itself."""
        if not isinstance(node, SequenceNode):
            fix = "Begin each item with a hyphen and a space, on a line of its own."
            self.complain(place, _expected(node, expected), fix=fix)
            return None
        found = []
        for index, child in enumerate(node.value):
            here = (*place, index)
            self.lines[here] = child.start_mark.line + 1
            if is_null(child):
                self.complain(here, "nothing follows the hyphen.", fix="Remove it, or write the item.")
            found.append(self._value(child, item, here))
        return found

    def _entries(self, node: Node, expected: Shape, place: Place) -> dict[str, Any] | None:
        """A mapping of names that people choose, each entry by itself; one that says nothing has the defaults."""
        assert expected.name and expected.entry
        if not isinstance(node, MappingNode):
            self.complain(place, _expected(node, expected), fix=f"Write a name and a colon: {NAME_EXAMPLE}")
            return None
        found = {}
        for _, here, key_node, value_node in self._pairs(node, place):
            name = self._scalar(key_node, expected.name, here)
            value = self._value(value_node, expected.entry, here)
            if name is not None:
                found[name] = {} if value is None else value
        return found

    def _scalar(self, node: Node, expected: Shape, place: Place) -> Any:
        """A text or a number."""
        try:
            value = self._constructor.construct_object(node) if isinstance(node, ScalarNode) else None
        except yaml.YAMLError:
            self.complain(place, f"the YAML tag {node.tag!r} is not supported.", fix="Remove it.")
            return None
        except ValueError:  # a date with a 13th month, a hexadecimal number without digits
            value = None
        if isinstance(value, str):
            value = _normal_mac(value) if _holds_mac(place) else value
        if isinstance(value, str) and (trouble := _unwanted(value)):
            self.complain(place, *trouble)
            return None
        try:
            return msgspec.convert(value, expected.hint)
        except msgspec.ValidationError:
            self.complain(place, _expected(node, expected), *_explain(node, value, expected))
            return None


def is_null(node: Node) -> bool:
    """Nothing is written there, or YAML's word for nothing."""
    return isinstance(node, ScalarNode) and node.tag == f"{_TAG}null"


def _normal_mac(text: str) -> str:
    """A MAC address in lower case with colons, as Linux writes it; anything else as it is."""
    return text.lower().replace("-", ":") if _LOOSE_MAC.fullmatch(text) else text


def _holds_mac(place: Place) -> bool:
    return place[-1] == "mac" or (place[0] == "groups" and isinstance(place[-1], int))


def _unwanted(text: str) -> tuple[str, str, str] | None:
    """What no value may contain, as text, why and fix."""
    if "PRIVATE KEY" in text:
        return "this is a private key.", "A private key must stay secret.", "Write the line of the .pub file instead."
    if not text.isprintable():
        return "contains a line break or a control character.", "", "Write it on one line, without `|` or `>`."
    return None


def _expected(node: Node, expected: Shape) -> str:
    return f"expected {expected.form}, found {_kind(node)}."


def _kind(node: Node) -> str:
    """What the file says, for an error."""
    if isinstance(node, MappingNode):
        return "a section"
    if isinstance(node, SequenceNode):
        return "a list"
    if not node.value and is_null(node):
        return "nothing"
    text = _printable(node.value)
    return f"'{text}'" if node.tag == f"{_TAG}str" else text


def _printable(text: str) -> str:
    """Text from the file for an error: control characters as their escapes, and not too long."""
    shown = text if text.isprintable() else repr(text)[1:-1]
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _explain(node: Node, value: Any, expected: Shape) -> tuple[str, str]:
    """Why YAML took the value for something else, and how to write it: (why, fix)."""
    if not isinstance(node, ScalarNode):
        return "", "Write one value after the colon."
    written: str = node.value
    if isinstance(value, str):
        if expected.base is int and node.style and _fits_number(written, expected):
            return "A number in quotes is a text.", f"Remove the quotes: {written}"
        if expected.base is bool:
            return _not_a_truth_value(node, written)
        lower = value.lower()
        return "", f"Write it like this: {lower}" if lower != value and _fits(lower, expected) else ""
    if not written:
        return "", 'Write a value, or "" for none.' if _fits("", expected) else "Write a value, or remove the key."
    if expected.base is int:
        return "", ""
    if expected.base is bool:
        return "", "Write true or false."
    fix = f'Put it in quotes: "{written}"' if _fits(_normal_mac(written), expected) else ""
    return f"YAML reads {_taken_for(node, value)}.", fix


def _not_a_truth_value(node: ScalarNode, written: str) -> tuple[str, str]:
    """Why a text is no boolean, and how to write the one that it looks like: (why, fix)."""
    truth = SafeConstructor.bool_values.get(written.lower())
    if truth is None:
        return "", "Write true or false."
    meant = "true" if truth else "false"
    why = "A truth value in quotes is a text." if node.style else ""
    return why, f"Write it without quotes: {meant}"


def _taken_for(node: Node, value: Any) -> str:
    if isinstance(value, bool):
        return "yes, no, on, off, true and false for truth values"
    if isinstance(value, int | float):
        sexagesimal = ":" in node.value
        return f"digits with colons for a number in base 60, {value}" if sexagesimal else f"it for the number {value}"
    if is_null(node):
        return "~ and null for nothing"
    kind = node.tag.removeprefix(_TAG)
    return f"it for {'a date' if kind == 'timestamp' else kind}"


def _fits(value: Any, expected: Shape) -> bool:
    try:
        msgspec.convert(value, expected.hint)
    except msgspec.ValidationError:
        return False
    return True


def _fits_number(text: str, expected: Shape) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", text) is not None and _fits(int(text), expected)


def _not_a_section(node: Node, known: dict[str, Key]) -> tuple[str, str, str]:
    """Text, why and fix for something else where a section should be."""
    fix = "Put a space after each colon." if isinstance(node, ScalarNode) and ":" in node.value else ""
    return f"expected lines of `key: value`, found {_kind(node)}.", _the_keys((), known), fix


def _unknown(place: Place, known: dict[str, Key]) -> tuple[str, str, str]:
    """Text, why and fix for a key that the section does not have."""
    *section, last = place
    name = str(last).lower().replace("-", "_")
    near = [dotted((*section, key)) for key in difflib.get_close_matches(name, known, n=1)]
    elsewhere = [path for path, _ in everything() if path.rpartition(".")[2] == name and path not in near]
    meant = " or ".join([*near, *elsewhere])
    fix = f"Did you mean {meant}?" if meant else "Remove it. For all keys see: farm init --stdout"
    return "there is no such key.", _the_keys(section, known), fix


def _the_keys(section: Sequence[str | int], known: dict[str, Key]) -> str:
    return f"The keys{f' of {dotted(tuple(section))}' if section else ''} are: {', '.join(known)}."
