"""Change what a farm.yaml says of machines, and nothing else in it: comments, order and spaces stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from farm.config.reader import is_null

Pair = tuple[Node, Node]
Values = Mapping[str, str | int | None]
"""Keys of a machine with their new values; None removes a key."""
_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9/._+-]*")


def with_machine(text: str, mac: str, name: str, values: Values) -> str:
    """The text with these values for the machine of that MAC address, which is added if it is not listed.

    ``text``: a farm.yaml that loads. What is written there in a way that no edit fits comes out as YAML that says
    something else, so the caller compares what both mean.
    """
    listed = _value(yaml.compose(text, yaml.SafeLoader), "machines")
    items = listed.value if isinstance(listed, SequenceNode) else []
    machine = next((each for each in items if _scalar(_value(each, "mac")) == mac), None)
    if machine is None:
        kept = {key: value for key, value in values.items() if value is not None}
        return _with_item(text, listed, {"mac": mac, "name": name, **kept})
    for key, value in values.items():
        text = _with_value(text, mac, key, value)
    return text


def with_top_value(text: str, key: str, value: str) -> str:
    """The text of a farm.yaml that loads with another value of a key at the top, which must be in it."""
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, MappingNode)
    key_node, value_node = next(pair for pair in root.value if pair[0].value == key)
    return _replaced(text, key_node, value_node, value)


def _with_value(text: str, mac: str, key: str, value: str | int | None) -> str:
    listed = _value(yaml.compose(text, yaml.SafeLoader), "machines")
    assert isinstance(listed, SequenceNode)
    machine = next(each for each in listed.value if _scalar(_value(each, "mac")) == mac)
    at = next((at for at, (each, _) in enumerate(machine.value) if each.value == key), None)
    if at is None:
        return text if value is None else _inserted(text, machine, f"{key}: {_written(value)}")
    if value is None:
        return _without(text, machine, at)
    key_node, value_node = machine.value[at]
    return _replaced(text, key_node, value_node, value)


def _replaced(text: str, key: Node, node: Node, value: str | int) -> str:
    start, end = node.start_mark.index, _end(node)
    if start == end:  # a key without a value
        return f"{text[: key.end_mark.index]}: {_written(value)}{text[text.index(':', key.end_mark.index) + 1 :]}"
    return text[:start] + _written(value) + text[end:]


def _inserted(text: str, machine: MappingNode, pair: str) -> str:
    """Behind the name, which each machine has: in the same braces, or in a line of its own."""
    key, value = next(pair for pair in machine.value if pair[0].value == "name")
    end = _end(value)
    if machine.flow_style:
        return f"{text[:end]}, {pair}{text[end:]}"
    line_end = _line_end(text, end)
    return f"{text[:line_end]}\n{' ' * key.start_mark.column}{pair}{text[line_end:]}"


def _without(text: str, machine: MappingNode, at: int) -> str:
    key, value = machine.value[at]
    start, end = key.start_mark.index, _end(value)
    has_next = at + 1 < len(machine.value)
    after = machine.value[at + 1][0].start_mark.index if has_next else end
    if machine.flow_style:
        return text[:start] + text[after:] if has_next else text[: _end(machine.value[at - 1][1])] + text[end:]
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():  # behind the hyphen: the next key takes its place
        return text[:start] + text[after:]
    return text[:line] + text[_line_end(text, max(end, key.end_mark.index)) + 1 :]


def _with_item(text: str, listed: Node | None, values: Mapping[str, str | int]) -> str:
    """A further machine, behind the last one."""
    pairs = [f"{key}: {_written(value)}" for key, value in values.items()]
    if isinstance(listed, SequenceNode) and listed.value and listed.flow_style:
        end = _end(listed)
        return f"{text[:end].removesuffix(']').rstrip().rstrip(',')}, {{{', '.join(pairs)}}}]{text[end:]}"
    if isinstance(listed, SequenceNode) and listed.value:
        at, end = listed.start_mark.column, _line_end(text, _end(listed))
        return text[:end] + _block(pairs, at) + text[end:]
    if listed is None:
        return f"{text.rstrip()}\n\nmachines:{_block(pairs, 2)}\n".lstrip()
    start = text.rindex("machines", 0, listed.start_mark.index)
    colon, line_end = text.index(":", start), _line_end(text, listed.end_mark.index)
    kept = "" if is_null(listed) and not listed.value else text[listed.end_mark.index : line_end].rstrip()
    return f"{text[: colon + 1]}{kept}{_block(pairs, 2)}{text[line_end:]}"


def _block(pairs: list[str], column: int) -> str:
    first, rest = f"\n{' ' * column}- {pairs[0]}", [f"\n{' ' * column}  {pair}" for pair in pairs[1:]]
    return first + "".join(rest)


def _value(node: Node | None, key: str) -> Node | None:
    pairs: list[Pair] = node.value if isinstance(node, MappingNode) else []
    return next((value for each, value in pairs if each.value == key), None)


def _scalar(node: Node | None) -> str:
    """A MAC address may be written in capitals or with hyphens."""
    return str(node.value).lower().replace("-", ":") if isinstance(node, ScalarNode) else ""


def _end(node: Node) -> int:
    """Where a value ends: YAML's own mark for a section is at the next one, behind comments."""
    if isinstance(node, CollectionNode) and not node.flow_style:
        return max(map(_end, _last(node)), default=int(node.end_mark.index))
    return int(node.end_mark.index)


def _last(node: CollectionNode) -> Iterator[Node]:
    if node.value:
        last: Any = node.value[-1]
        yield from last if isinstance(last, tuple) else (last,)


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end


def _written(value: str | int) -> str:
    """A value as YAML reads it back: plain where that is the same text."""
    text = str(value)
    if isinstance(value, int) or (_PLAIN.fullmatch(text) and yaml.safe_load(text) == text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
