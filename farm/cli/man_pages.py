"""Manual pages of the command line, made from what its `--help` says: `farm(1)`, and one page for each command."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version

import click

from farm.cli import cli
from farm.home import Home

ROOT = "farm"
NO_WRAP = "\b"
"""Begins a paragraph whose lines click leaves as they are."""
EXITS = {
    "0": "All went well.",
    "1": "The farm says no; the message says why, and what to do.",
    "2": "The command was called wrongly.",
    "3": "Some nodes or checks failed, the rest went well.",
}


def man_pages() -> dict[str, str]:
    """The pages' file names and texts, in man(7)'s language."""
    root = click.Context(cli, info_name=ROOT)
    pages = {f"{ROOT}.1": "\n".join(_root_page(root)) + "\n"}
    for child in _children(root):
        pages[f"{ROOT}-{child.info_name}.1"] = "\n".join(_command_page(child)) + "\n"
    return pages


def _children(ctx: click.Context) -> Iterator[click.Context]:
    """A group's commands, in its own order."""
    group = ctx.command
    if isinstance(group, click.Group):
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            if command is not None and not command.hidden:
                yield click.Context(command, info_name=name, parent=ctx)


def _root_page(root: click.Context) -> Iterator[str]:
    yield from _head(ROOT, root)
    yield ".SH COMMANDS"
    for child in _children(root):
        yield from _item(f"farm-{child.info_name}(1)", child.command.get_short_help_str(200))
    yield ".SH EXIT STATUS"
    for code, meaning in EXITS.items():
        yield from _item(code, meaning)
    home = Home.at(None)
    yield ".SH FILES"
    for path, what in (
        (home.config, "The farm's configuration; `farm init` writes it, with a comment for every key."),
        (home.state, "Images, the farm's ssh key, leases and the history."),
        (home.runtime, "Sockets, and what is served while the farm is up."),
        (home.logs, "Logs; `farm logs` lists them."),
    ):
        yield from _item(str(path), what)


def _command_page(ctx: click.Context) -> Iterator[str]:
    yield from _head(f"{ROOT}-{ctx.info_name}", ctx)
    if isinstance(ctx.command, click.Group):
        yield ".SH COMMANDS"
        for each in _descendants(ctx):
            yield f".SS {_roff(_usage(each))}"
            yield from _paragraphs(each.command)
            yield from _options(each, but=frozenset({"help"}))
    yield ".SH SEE ALSO"
    yield r".BR farm (1)"


def _descendants(ctx: click.Context) -> Iterator[click.Context]:
    """All commands below a group, however deep, each before its own."""
    for child in _children(ctx):
        yield child
        yield from _descendants(child)


def _head(page: str, ctx: click.Context) -> Iterator[str]:
    """All sections that each page has."""
    yield f'.TH "{_roff(page.upper())}" 1 "" "icecream-farm {_roff(version("icecream-farm"))}" "icecream-farm"'
    yield ".SH NAME"
    yield rf"{_roff(page)} \- {_roff(ctx.command.get_short_help_str(200).rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_roff(_usage(ctx))}"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(ctx.command)
    yield ".SH OPTIONS"
    yield from _options(ctx)


def _usage(ctx: click.Context) -> str:
    return " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])


def _paragraphs(command: click.Command) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(command.help or "").partition("\f")[0])):
        if number:
            yield ".PP"
        if paragraph.startswith(NO_WRAP):
            yield from (".nf", *map(_roff, paragraph.removeprefix(NO_WRAP).strip("\n").splitlines()), ".fi")
        else:
            yield _roff(" ".join(paragraph.split()))


def _options(ctx: click.Context, but: frozenset[str] = frozenset()) -> Iterator[str]:
    for option in ctx.command.get_params(ctx):
        record = option.get_help_record(ctx)
        if record is not None and record[1] and option.name not in but:  # an argument has no text of its own
            yield from _item(*record)


def _item(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_roff(term)}"
    yield _roff(" ".join(text.split()))


def _roff(text: str) -> str:
    """A line of text in which groff sees no request and no escape, and whose hyphens can be copied."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga").replace("…", "...")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
