"""Docstrings are sentences: what three words say, the name says already, and half a sentence nobody understands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
LEAST_WORDS = 4


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """The line and text of each docstring, and of each text below a constant or a field."""
    for node in ast.walk(ast.parse(path.read_text())):
        for child in ast.iter_child_nodes(node):
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                yield child.lineno, child.value.value


@pytest.mark.parametrize("folder", ["farm", "tui"])
def test_each_says_something(folder: str) -> None:
    short = [
        f"{path.relative_to(TOP)}:{line}: {text!r}"
        for path in sorted((TOP / folder).rglob("*.py"))
        for line, text in docstrings(path)
        if len(text.split()) < LEAST_WORDS or text.rstrip().endswith((",", " and", " or"))
    ]
    assert [] == short, f"a docstring is a sentence of {LEAST_WORDS} words or more, or it is left out"
