"""The documentation: its links lead somewhere, and the commands it names exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from farm.cli import cli

TOP = Path(__file__).parents[2]
PAGES = [TOP / "README.md", TOP / "CHANGELOG.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(TOP)) for page in PAGES]

FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
COMMAND = re.compile(r"^\s*(?:\$ |Exec\w+=)?(?:sudo )?(?:/usr/local/bin/)?farm (.*?)(?:\s+#.*)?$", re.MULTILINE)
WORD = re.compile(r"[a-z][a-z-]*")


def prose(text: str) -> str:
    """The text without fenced blocks."""
    return FENCE.sub("", text)


def commands(text: str) -> Iterator[str]:
    """What follows `farm` in code spans and in lines of fenced blocks."""
    for code in [*SPAN.findall(prose(text)), *FENCE.findall(text)]:
        yield from COMMAND.findall(code)


def fault(words: list[str]) -> str:
    """Why these words after `farm` are no command; empty when they are."""
    command: click.Command = cli
    rest = iter(words)
    for word in rest:
        if word == "--":
            return ""
        if word.startswith("-"):
            options = {name: option for option in command.params for name in [*option.opts, *option.secondary_opts]}
            name, value, _ = word.partition("=")
            if name not in {*options, "--help", "-h"}:
                return f"{command.name} has no option {word}"
            option = options.get(name)
            if isinstance(option, click.Option) and not option.is_flag and not value:
                next(rest, None)
        elif isinstance(command, click.Group):
            if WORD.fullmatch(word) is None:
                return ""  # "farm …"
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"{command.name} has no command {word}"
            command = found
    return ""


def headings(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    found = re.findall(r"^#+ +(.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_exist(page: Path) -> None:
    named = list(commands(page.read_text()))
    wrong = {f"farm {text.strip()}": why for text in named if (why := fault(shlex.split(text)))}

    assert wrong == {}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in LINK.findall(prose(page.read_text())):
        if path.startswith(("http://", "https://")):
            continue
        target = page.parent / path if path else page
        if not target.is_file() or (anchor and anchor not in headings(target.read_text())):
            broken.append(f"{path}#{anchor}" if anchor else path)

    assert broken == []


def test_every_page_is_listed_in_the_readme() -> None:
    linked = {path for path, _ in LINK.findall((TOP / "README.md").read_text())}

    assert {name for name in NAMES if name != "README.md"} <= linked


def test_the_check_finds_what_does_not_exist() -> None:
    text = "Try `sudo farm image bild`.\n```ini\nExecStart=/usr/local/bin/farm up --foregrund  # stay\n```\n"

    assert list(commands(text)) == ["image bild", "up --foregrund"]
    assert fault(["image", "bild"])
    assert fault(["up", "--foregrund"])
    assert not fault(["--home", "DIR", "image", "build", "--force"])
    assert not fault(["run", "-j", "20", "--", "cmake", "--build", "build"])
