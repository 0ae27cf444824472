from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from farm.cli.output import PrintableConsole
from farm.printable import PrintableFormatter, printable, printable_lines, without_sequences


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ä[b]", "ä[b]"),
        ("\x1b[31mred\x07", "�[31mred�"),
        ("a\r\nb\tc", "a��b�c"),
        ("\x9b31m", "�31m"),
        ("\u202egnp.exe\u200b", "�gnp.exe�"),
        ("\udc80", "�"),
    ],
    ids=ascii,
)
def test_what_a_terminal_would_obey_is_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_flood_is_cut() -> None:
    assert printable("x" * 9, 8) == "x" * 7 + "…"
    assert len(printable("x" * 10000)) == 128


def test_what_stands_for_it_can_be_chosen() -> None:
    assert printable("two\nlines", inert=" ") == "two lines"


@given(st.text(), st.integers(1, 20))
def test_any_text_becomes_one_short_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert printable(shown, limit) == shown


def test_of_several_lines_each_is_kept() -> None:
    assert "a\n�[31mb\n" == printable_lines("a\n\x1b[31mb\n")


def test_colours_and_titles_go_without_a_trace() -> None:
    assert "[ OK ] up" == without_sequences("\x1b[0;32m[ OK ]\x1b[0m \x1b]0;title\x07up")
    assert "\x1b" not in printable(without_sequences("\x1b\x1b[0m[2J"))


def logged(message: str, error: Exception | None = None) -> list[str]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrintableFormatter("%(name)s: %(message)s"))
    trouble = (type(error), error, error.__traceback__) if error else None
    handler.handle(logging.LogRecord("farmd", logging.ERROR, "", 0, "%s failed", (message,), trouble))
    return stream.getvalue().splitlines()


def test_a_log_cannot_be_forged() -> None:
    assert ["farmd: x�farmd: all is well�[2J failed"] == logged("x\nfarmd: all is well\x1b[2J")
    assert len(logged("x" * 10000)[0]) == 2000
    first, *rest = logged("x", ValueError("a\nfarmd: all is well\x1b[2J"))
    assert "farmd: x failed" == first
    assert rest[-1] == "  farmd: all is well�[2J"
    assert all(line.startswith("  ") for line in rest)


def test_what_is_printed_by_whatever_way_holds_nothing_that_a_terminal_obeys() -> None:
    console = PrintableConsole(file=io.StringIO(), force_terminal=True, color_system="standard", width=60)
    evil = "\x1b]0;owned\x07\x9b2J\u202e"
    table = Table("head")
    table.add_row(Text(evil, style="red"))
    console.print(table)
    console.print(evil, markup=False)
    console.print(Text(f"two\n{evil}"), soft_wrap=True)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[31m" in said  # a colour of ours
    assert "two\n" in said
    assert all(line.isprintable() for line in without_sequences(said).split("\n"))
    assert "owned" in without_sequences(said)
