"""Texts for users are plain English: some words that do not belong are in no message, help text or page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_docs import NAMES, PAGES, SPAN, prose

TOP = Path(__file__).parents[2]
SOURCES = [*sorted((TOP / "farm").rglob("*.py")), *sorted((TOP / "tui").rglob("*.py"))]

WORDS = re.compile(
    r"\b(?:anew|mend(?:s|ed|ing)?|shall|whoever|so long(?! ago)|it is who|they are who|"
    r"who (?:asks|compiles|gives|listens|waits))\b",
    re.IGNORECASE,
)
"""Again, fix, must or can, anyone, and a sentence whose subject is a thing are the words to use."""
WITHOUT_A_SUBJECT = re.compile(r"(?:It|So many)\b")
"""A message says what it is about; an option's help begins with a noun or an imperative."""
SPOKEN = {"FarmError", "UsageError", "PartialError", "ConfigError", "ApiError", "Check", "option", "Cause", "Idle"}
"""Calls whose texts are sentences of their own."""
OLD_RELEASES = "CHANGELOG.md"


def shown(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts of several words that are no docstrings, and the docstrings of commands, which are their help."""
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.add(node.value)
        if isinstance(node, ast.FunctionDef) and any(map(is_command, node.decorator_list)):
            yield node.lineno, ast.get_docstring(node) or ""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node in docstrings:
            continue
        if " " in node.value.strip():
            yield node.lineno, node.value


def is_command(decorator: ast.expr) -> bool:
    """``@click.command()``, ``@history.command()``, ``@click.group(…)``."""
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(function, ast.Attribute) and function.attr in {"command", "group"}


def spoken(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts that errors, checks and options begin with: their arguments' first words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SPOKEN:
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                first = argument.values[0] if isinstance(argument, ast.JoinedStr) and argument.values else argument
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.lineno, first.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_messages_have_plain_words(path: Path) -> None:
    tree = ast.parse(path.read_text())

    assert [] == [(line, text) for line, text in shown(tree) if WORDS.search(text)]
    assert [] == [(line, text) for line, text in spoken(tree) if WITHOUT_A_SUBJECT.match(text)]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != OLD_RELEASES], ids=lambda page: page.name)
def test_pages_have_plain_words(page: Path) -> None:
    lines = enumerate(prose(page.read_text()).splitlines(), 1)

    assert [] == [(number, line) for number, line in lines if WORDS.search(SPAN.sub("", line))]


def test_the_check_finds_what_it_looks_for() -> None:
    tree = ast.parse(
        'raise FarmError(f"It broke: {why}.", "", "Start it anew.")\n"""Anew, in a docstring."""\nx = {"mend": 1}'
    )

    assert ["Start it anew."] == [text for _, text in shown(tree) if WORDS.search(text)]
    assert ["It broke: "] == [text for _, text in spoken(tree) if WITHOUT_A_SUBJECT.match(text)]
    assert set(NAMES) > {OLD_RELEASES}
