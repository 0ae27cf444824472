"""What a machine notes of log-ins: the right ones, in a bounded file of root's that any content leaves readable."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.contract import MAX_BYTES
from farm.node.session.pam.log_ins import MAX_NOTED, note, noted


def test_log_ins_are_noted_in_their_order_and_for_root_alone(tmp_path: Path) -> None:
    file = tmp_path / "run/log-ins"
    note("bob", "10.0.0.1", "Wrong user name or password.", str(file))
    note("bob", "10.0.0.1", file=str(file))

    assert [("bob", "10.0.0.1", "Wrong user name or password."), ("bob", "10.0.0.1", "")] == [
        each[1:] for each in noted(str(file))
    ]
    assert 0o600 == file.stat().st_mode & 0o777
    assert [] == noted(str(tmp_path / "none"))


@pytest.mark.parametrize("typed", ["my secret password", "Bob", "-oProxyCommand=x", "bob\n", ""])
def test_what_is_no_name_may_be_a_password_and_is_not_noted(tmp_path: Path, typed: str) -> None:
    note(typed, "", "A user name has small letters.", str(tmp_path / "log-ins"))

    assert [""] == [each.user for each in noted(str(tmp_path / "log-ins"))]


def test_the_newest_are_kept_however_long_they_are(tmp_path: Path) -> None:
    file = str(tmp_path / "log-ins")
    for number in range(MAX_NOTED + 3):
        note(f"{'u' * 28}{number:04}", ".".join(["a" * 62] * 4), "é" * 1000, file)

    assert [f"{'u' * 28}{number:04}" for number in range(3, MAX_NOTED + 3)] == [each.user for each in noted(file)]
    assert len(Path(file).read_text()) <= MAX_BYTES


def test_two_at_one_moment_are_both_noted(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(partial(note, server="10.0.0.1", file=str(tmp_path / "log-ins")), ["bob"] * 40))

    assert 40 == len(noted(str(tmp_path / "log-ins")))


@given(st.text(max_size=200), st.text(max_size=400))
def test_any_content_is_read_and_any_sentence_is_one_line(content: str, sentence: str) -> None:
    with TemporaryDirectory() as name:
        file = Path(name) / "log-ins"
        file.write_text(content, errors="replace")
        before = len(noted(str(file)))
        note("bob", "10.0.0.1", sentence, str(file))
        assert before + 1 == len(noted(str(file)))
        assert noted(str(file))[-1].failed.isprintable()
