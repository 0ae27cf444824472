"""Every command of ours that an error, a check or a reason names is there, with the options that it is given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.test_docs import fault

TOP = Path(__file__).parents[2]
NAMED = re.compile(r"(?:^|: |, |`|sudo |\(|\. |\$\()farm ((?:[a-z][a-z-]*|--?[a-z][a-z-]*)(?: [^\s.,;`)|—]+)*)")
"""The command `farm` after what introduces one; not the noun."""


def texts() -> Iterator[tuple[str, str]]:
    """Each string in the sources that names commands, and where it stands."""
    for path in sorted([*(TOP / "farm").rglob("*.py"), *(TOP / "tui").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(TOP)}:{node.lineno}", node.value


def test_every_command_that_is_named_exists() -> None:
    found = [(place, match[1]) for place, text in texts() for match in NAMED.finditer(text)]
    assert len(found) > 200
    missing = [(place, command, why) for place, command in found if (why := fault(command.split()))]
    assert missing == []
