"""`farm lts`, what `farm config check` says of lts.conf, and the table of variables in the documentation."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from farm.cli import cli
from farm.cli.lts import known_machine
from farm.config.lts_table import with_lts_table
from farm.errors import FarmError
from farm.home import Home
from farm.node.lts.precedence import KnownMachine
from farm.node.lts.reading import MAX_LTS_BYTES

FARM = """
name: lab
interface: eno2
machines:
  - {mac: "52:54:00:00:00:01", name: pc01, address: 10.77.0.11}
  - {mac: "52:54:00:00:00:02", name: pc02}
"""
LTS = """[default]
SOUND=1
LDM_PASSWORD=open-sesame
USE_XFS=Y
USE_XFS=N
COLOUR=blue
XFS_SERVER=a
NBD_SWAP=Y
XKBLAYOUT=de
[pc*]
XKBLAYOUT=none
[10.77.0.12]
VOLUME=30
[52:54:00:00:00:01]
SCREEN_07="kiosk"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "farm.yaml").write_text(FARM)
    (tmp_path / "lts.conf").write_text(LTS)
    state = tmp_path / "state"
    state.mkdir()
    (state / "dhcp.leases").write_text(
        f"{int(time.time()) + 600} 52:54:00:00:00:02 10.77.0.12 pc02 *\n0 52:54:00:aa:bb:cc 10.77.0.60 * *\n"
    )
    return tmp_path


def farm(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--home", str(home), *words])


def shown(home: Path, *words: str) -> dict[str, Any]:
    """Variable → its row."""
    rows = json.loads(farm(home, "lts", "show", *words, "--json").stdout)["values"]
    return {row["key"]: row for row in rows}


def test_a_file_is_checked_and_each_variable_is_named_once(home: Path) -> None:
    done = farm(home, "lts", "check")

    assert 0 == done.exit_code
    first, second, *variables, last = done.stdout.splitlines()
    assert [
        "lts.conf:2: SOUND: 1 was false to LTSP 5, and is true here",
        "lts.conf:5: USE_XFS is set in line 4 already: the last value counts",
        f"{home}/lts.conf: LTSP 5, 4 sections, 2 warnings.",
    ] == [first, second, last]
    ignored = "Ignored: USE_XFS, XFS_SERVER (programs bring their own fonts); NBD_SWAP (thin clients need little RAM)."
    assert [ignored, "Not known: COLOUR."] == variables[-2:]
    # Which of these work is said in farm/node/lts/known.py.
    named = ", ".join(line.rstrip(".").partition(": ")[2] for line in variables[:-2]).split(", ")
    assert ["LDM_PASSWORD", "SCREEN_07", "SOUND", "VOLUME", "XKBLAYOUT"] == sorted(named)


def test_a_line_that_is_not_used_makes_the_exit_code_3(home: Path) -> None:
    other = home / "other.conf"
    other.write_text("[default]\nA=1\nwhat is\x1b[31m this\ninclude nowhere\n")
    done, plain = farm(home, "lts", "check", str(other), "--json"), farm(home, "lts", "check", str(other))

    said = json.loads(done.stdout)
    assert (3, 3) == (done.exit_code, plain.exit_code)
    assert (1, "LTSP 5") == (said["schema"], said["format"])
    assert [3, 4] == [warning["line"] for warning in said["warnings"]]
    assert ["A"] == said["variables"]["unknown"]
    assert "\x1b" not in plain.stdout


def test_an_included_file_is_read_and_said_not_to_be_served(home: Path) -> None:
    (home / "lts.conf").write_text('include "room.conf"\n[default]\nA=1\n')
    (home / "room.conf").write_text("[pc01]\nA=2\n")

    assert ("2", "room.conf", 2) == tuple(shown(home, "pc01")["A"][key] for key in ("value", "file", "line"))
    assert "room.conf:1: machines get lts.conf alone" in farm(home, "lts", "check").stdout


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "There is no"), ("dir", "is not a file"), ("x" * (MAX_LTS_BYTES + 1), "is too large")],
)
def test_without_a_file_that_can_be_read_it_says_why(home: Path, content: str | None, what: str) -> None:
    path = home / "lts.conf"
    path.unlink()
    if content == "dir":
        path.mkdir()
    elif content:
        path.write_text(content)

    for words in (["check"], ["show", "pc01"]):
        error = farm(home, "lts", *words).exception
        assert isinstance(error, FarmError)
        assert 1 == error.exit_code
        assert what in error.what
    assert 0 == farm(home, "config", "check", "--virtual").exit_code


@pytest.mark.parametrize("name", ["pc01", "PC01", "10.77.0.11", "52:54:00:00:00:01", "52-54-00-00-00-01"])
def test_a_machine_is_known_by_name_address_and_mac(home: Path, name: str) -> None:
    values = shown(home, name)

    assert ("kiosk", "52:54:00:00:00:01", 15) == tuple(values["SCREEN_07"][key] for key in ("value", "section", "line"))
    assert (None, "pc*", 11) == tuple(values["XKBLAYOUT"][key] for key in ("value", "section", "line"))
    assert ("blue", "unknown", "default") == tuple(values["COLOUR"][key] for key in ("value", "state", "section"))
    assert "VOLUME" not in values


def test_an_address_that_was_lent_counts_and_a_stranger_is_what_was_typed(home: Path) -> None:
    place = Home.at(home)

    assert "30" == shown(home, "pc02")["VOLUME"]["value"]
    assert KnownMachine("node-aabbcc", "10.77.0.60", "52:54:00:aa:bb:cc") == known_machine(place, "node-aabbcc")
    assert KnownMachine(name="pc77") == known_machine(place, "pc77")
    assert KnownMachine(address="10.77.0.99") == known_machine(place, "10.77.0.99")
    assert KnownMachine("node-000077", "", "52:54:00:00:00:77") == known_machine(place, "52-54-00-00-00-77")
    for text in ("", "a b", "10.77.0.999.1", "-x"):
        with pytest.raises(FarmError, match="no machine"):
            known_machine(place, text)


def test_values_are_shown_with_their_lines_and_passwords_as_dots(home: Path) -> None:
    lines = [line.rpartition(",")[0] for line in farm(home, "lts", "show", "pc01").stdout.splitlines()]

    assert "SOUND=1               [default] lts.conf:2" in lines
    assert "XKBLAYOUT is not set  [pc*] lts.conf:11" in lines
    assert "LDM_PASSWORD=••••••   [default] lts.conf:3" in lines
    assert "open-sesame" not in farm(home, "lts", "show", "pc01", "--json").output
    assert "LDM_PASSWORD=open-sesame" in farm(home, "lts", "show", "pc01", "--passwords").stdout


def test_config_check_tells_its_warnings_and_stays_fine(home: Path) -> None:
    done = farm(home, "config", "check", "--virtual")

    assert 0 == done.exit_code
    assert "lts.conf:2: SOUND: 1 was false to LTSP 5" in done.stderr


def test_the_documentation_has_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "lts-conf.md"

    assert with_lts_table(page.read_text()) == page.read_text(), "write it again: farm lts docs"
