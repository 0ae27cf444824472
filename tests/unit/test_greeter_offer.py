"""The greeter's menus, made of what servers say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.session.lts_values import LtsValues
from farm.node.session.pam.desktop_choice import LANGUAGE, SESSION, chosen_language, chosen_session
from farm.node.session.pam.greeter_offer import desktop_entry, write_menus
from farm.node.session.pam.ldminfo import MAX_LANGUAGES, MAX_SESSIONS, ServerInfo, parse_info

SAID = b"""language:de_DE.UTF-8
language:fr_FR.UTF-8
language:x;id
session:ignored
session-with-name:Xfce Session:startxfce4
session-with-name:Twice:startxfce4
session-with-name:Evil:x; rm -rf /
rating:7
"""
INFO = ServerInfo(7, (("Xfce Session", "startxfce4"), ("GNOME", "/usr/bin/gnome --x")), ("de_DE.UTF-8", "fr_FR"))


def test_what_a_server_says_is_read() -> None:
    assert ServerInfo(7, (("Twice", "startxfce4"),), ("de_DE.UTF-8", "fr_FR.UTF-8")) == parse_info(SAID)
    assert ServerInfo(None, (("startxfce4", "startxfce4"),)) == parse_info(b"session:startxfce4\n")
    assert ServerInfo() == parse_info(b"ERROR: nothing")


@given(st.binary() | st.text().map(lambda text: f"session-with-name:{text}:{text}\nlanguage:{text}".encode()))
def test_whatever_a_server_says_makes_lines_of_a_menu(said: bytes) -> None:
    info = parse_info(said)
    assert len(info.sessions) <= MAX_SESSIONS and len(info.languages) <= MAX_LANGUAGES
    assert all(LANGUAGE.fullmatch(each) for each in info.languages)
    for name, command in info.sessions:
        assert name.isprintable() and SESSION.fullmatch(command)
        assert 5 == len(desktop_entry(name, command).splitlines())


def test_menus_are_written_and_a_choice_is_read(tmp_path: Path) -> None:
    write_menus(INFO, LtsValues({}), str(tmp_path))

    assert "Default language.utf8\nde_DE.utf8\n" == (tmp_path / "run/farm/languages").read_text()
    assert "startxfce4" == chosen_session({"DESKTOP_SESSION": "server-00"}, str(tmp_path))
    assert "/usr/bin/gnome --x" == chosen_session({"DESKTOP_SESSION": "server-01"}, str(tmp_path))
    for name in ("thin", "server-02", "../server-00", ""):
        assert "" == chosen_session({"DESKTOP_SESSION": name}, str(tmp_path))

    write_menus(INFO, LtsValues({"LDM_FORCE_SESSION": "x", "LDM_FORCE_LANGUAGE": "C"}), str(tmp_path))

    assert [] == list((tmp_path / "run/farm/xsessions").iterdir())
    assert "Default language.utf8\n" == (tmp_path / "run/farm/languages").read_text()


@pytest.mark.parametrize(
    "written, language",
    [
        ("Language=de_DE.utf8", "de_DE.UTF-8"),
        ("Language=Default language.utf8", ""),
        ("Language=x;id", ""),
        ("Session=x", ""),
    ],
)
def test_a_language_is_read_from_the_display_managers_file(tmp_path: Path, written: str, language: str) -> None:
    (tmp_path / ".dmrc").write_text(f"[Desktop]\n{written}\n")
    assert language == chosen_language(str(tmp_path))
