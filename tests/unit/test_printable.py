from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.printable import printable


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
