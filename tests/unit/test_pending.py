"""Orders that are written down while they are carried out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from farm.home import Home
from farm.nodes import pending
from farm.watch.events import Ordered

MAC = "52:54:00:00:00:01"
DRAIN = Ordered(MAC, "drain", 100.0, os.getpid())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path)
    made.create()
    return made


def test_an_order_stands_while_it_is_carried_out(home: Home) -> None:
    assert () == pending.read(home)
    with pending.noted(home, DRAIN):
        assert (DRAIN,) == pending.read(home)
    assert () == pending.read(home)


def test_what_follows_stays(home: Home) -> None:
    off = Ordered(MAC, "off", 160.0)
    with pending.noted(home, DRAIN):
        pending.note(home, off)
    assert (off,) == pending.read(home)


def test_it_falls_with_the_process_that_was_at_it(home: Home) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    pending.note(home, replace(DRAIN, pid=process.pid))
    assert () == pending.read(home)


def test_one_that_is_struck_is_to_be_given_up(home: Home) -> None:
    other = replace(DRAIN, mac="../../pc\x1b07@10.0.0.9")
    with pending.noted(home, DRAIN) as struck, pending.noted(home, other) as other_struck:
        assert pending.drains(home, MAC) and pending.drains(home, other.mac)
        assert not struck() and not other_struck()
        pending.strike(home, other.mac)
        assert other_struck() and not struck()
        assert not pending.drains(home, other.mac)
        pending.strike(home, MAC)
        assert struck()


def test_one_about_nobody_is_not_written_down_and_damage_is_passed_over(home: Home) -> None:
    with pending.noted(home, replace(DRAIN, mac="")) as struck:
        assert () == pending.read(home)
        assert not struck()
    pending.note(home, DRAIN)
    (home.runtime / "orders" / "foul.json").write_bytes(b'{"mac": "\xff"}')
    (home.runtime / "orders" / "folder.json").mkdir()
    assert (DRAIN,) == pending.read(home)


def test_one_that_cannot_be_written_down_is_carried_out_all_the_same(home: Home) -> None:
    (home.runtime / "orders").write_text("in the way")
    with pending.noted(home, DRAIN) as struck:
        assert () == pending.read(home)
        assert not struck()
