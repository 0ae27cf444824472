"""Letters and colours of submitters; paths that are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from farm.view.live import Live
from farm.watch.activity import NOBODY, HostKey
from tests.unit.tui_fixtures import ALICE, BOB, live
from tui.submitters import LETTERS, OTHERS, UNKNOWN, Sign, give, sign
from tui.widgets.safe_text import fit_path


def test_a_sign_stays_whoever_comes_later() -> None:
    known = live()
    assert ("A", "B") == (sign(known, ALICE).letter, sign(known, BOB).letter)
    assert sign(known, ALICE).tone != sign(known, BOB).tone
    before = sign(known, BOB)
    assert "a" == sign(known, ("anna", "10.0.0.9")).letter
    assert before == sign(known, BOB)
    assert UNKNOWN == sign(known, NOBODY)


@given(st.sets(st.tuples(st.text(max_size=8), st.text(max_size=3)), max_size=80))
def test_no_two_share_a_letter(keys: set[HostKey]) -> None:
    given: dict[HostKey, Sign] = {}
    give(given, keys)
    letters = [each.letter for each in given.values()]
    assert len(letters) == len(set(letters)) == min(len(keys), len(LETTERS))


def test_beyond_the_last_letter_all_are_others() -> None:
    known = Live()
    letters = [sign(known, (f"pc{i}", "")).letter for i in range(len(LETTERS) + 3)]
    assert ["P", "1", "2", OTHERS] == [*letters[:3], letters[-1]]
    assert "P" == sign(known, ("pc0", "")).letter


def test_paths_are_cut_before_the_name() -> None:
    path = "office/tests/core/codec_reader26.cpp"
    assert path == fit_path(path, len(path))
    assert "…/core/codec_reader26.cpp " == fit_path(path, 26)
    assert "…/codec_reader26.cpp" == fit_path(path, 20)
    assert "…reader26.cpp" == fit_path(path, 13)
    assert "…" == fit_path(path, 1)
    assert "" == fit_path(path, 0)
    assert "  a/b" == fit_path("a/b", 5, "right")
    assert "…uild/" == fit_path("some/build/", 6)


@given(st.text(max_size=300), st.integers(0, 80))
def test_paths_fill_their_cells_exactly(path: str, width: int) -> None:
    text = fit_path(path, width)
    assert width == cell_len(text)
    assert not any(character < " " for character in text)
