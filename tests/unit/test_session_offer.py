"""What ldminfod says: languages, sessions and the rating, as LTSP 5's clients read them."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.session.pam.desktop_choice import LANGUAGE, SESSION
from farm.session_server import offer

PLAIN = "[Desktop Entry]\nName=Plain\nName[de]=Schlicht\nExec=plain --session\n[Desktop Action x]\nExec=other\n"


def test_languages_are_spelt_one_way_and_the_default_comes_first() -> None:
    said = [
        "C",
        "C.utf8",
        "POSIX",
        "de_DE.utf8",
        "de_DE.ISO-8859-1",
        "ca_ES.utf8@valencia",
        "a.utf8;rm",
        "de_DE.UTF-8",
    ]
    wanted = ["de_DE.UTF-8", "C.UTF-8", "ca_ES.UTF-8@valencia"]
    assert wanted == offer.languages("de_DE.UTF-8", said)
    assert all(LANGUAGE.fullmatch(each) for each in wanted)
    assert [] == offer.languages("", [])
    many = [f"{a}{b}_XX.utf8" for a, b in product(ascii_lowercase, repeat=2)]
    assert offer.MAX_LANGUAGES == len(offer.languages("", many))


def test_a_session_is_what_its_desktop_entry_says() -> None:
    assert offer.Desktop("Plain", "plain --session") == offer.desktop(PLAIN)
    assert offer.Desktop("plain --session", "plain --session") == offer.desktop(PLAIN.replace("Name=Plain\n", ""))
    assert offer.Desktop("A B", "a:b") == offer.desktop("[Desktop Entry]\nName=A:B\nExec=a:b")


@pytest.mark.parametrize(
    "command", ["startxfce4", "/usr/bin/gnome-session", "env A=b /usr/bin/startplasma-x11", "lxqt"]
)
def test_thin_clients_take_the_commands_of_usual_desktops(command: str) -> None:
    found = offer.desktop(f"[Desktop Entry]\nExec={command}\n")
    assert found is not None
    assert SESSION.fullmatch(found.command)


@pytest.mark.parametrize("line", ["Hidden=true", "NoDisplay=true", "TryExec=/no/such", "TryExec=nosuchprogram"])
def test_a_session_that_cannot_be_chosen_is_left_out(line: str) -> None:
    assert offer.desktop(PLAIN.replace("Exec", f"{line}\nExec", 1)) is None


@given(st.text(max_size=300))
def test_whatever_a_desktop_entry_holds_stays_on_its_line(text: str) -> None:
    found = offer.desktop(f"[Desktop Entry]\nExec={text}\nName={text}\n")
    if found is not None:
        assert ":" not in found.name
        assert 1 == len(f"session-with-name:{found.name}:{found.command}".splitlines())


@pytest.mark.parametrize(
    ("load", "memory", "wanted"), [(0.0, 0.0, 100), (8.0, 0.0, 50), (0.0, 1.0, 50), (4.0, 0.5, 50), (80.0, 1.0, 0)]
)
def test_the_rating_falls_with_load_and_memory(load: float, memory: float, wanted: int) -> None:
    assert wanted == offer.rating(load, memory)


def test_all_that_a_computer_says(tmp_path: Path) -> None:
    for path, text in {
        "usr/share/xsessions/plain.desktop": PLAIN,
        "usr/share/xsessions/gone.desktop": PLAIN.replace("Exec", "TryExec=/x\nExec", 1),
        "usr/share/xsessions/b.desktop": "[Desktop Entry]\nExec=b\n",
        "etc/default/locale": 'LC_TIME=C\nLANG="fr_FR.UTF-8"\n',
        "etc/X11/Xsession": "#!/bin/sh\n",
        "proc/meminfo": "MemTotal:  1000 kB\nMemAvailable:  500 kB\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "etc/X11/Xsession").chmod(0o755)

    said = offer.lines(tmp_path).splitlines()

    assert "language:fr_FR.UTF-8" == said[0]
    rest = [line for line in said if not line.startswith(("language:", "rating:"))]
    assert [
        "session:b",
        "session:plain --session",
        "session-with-name:b:b",
        "session-with-name:Plain:plain --session",
        "xsession:/etc/X11/Xsession",
    ] == rest
    assert 0 <= int(said[-1].removeprefix("rating:")) <= 75


def test_a_computer_without_anything_says_how_busy_it_is(tmp_path: Path) -> None:
    assert "rating:" == offer.lines(tmp_path).splitlines()[-1][:7]
