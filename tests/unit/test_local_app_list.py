"""Which programs of a thin client the server's session may start."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.session.extras.local_apps import entry, set_up
from farm.node.session.local_app_list import LocalApp, local_apps
from farm.node.session.lts_values import LtsValues

ON = {"LOCAL_APPS": "True", "LOCAL_APPS_MENU": "True"}
MENU = {**ON, "LOCAL_APPS_MENU_ITEMS": "painter.desktop, gone terminal ../painter broken"}


@pytest.fixture
def root(tmp_path: Path) -> str:
    programs, entries = tmp_path / "usr/bin", tmp_path / "usr/share/applications"
    for folder in (programs, entries):
        folder.mkdir(parents=True)
    for program in ("painter", "player"):
        (programs / program).touch(0o755)
    action = "[Desktop Action new]\nName=New\nExec=painter --action\n"
    text = 'Exec=painter --title "a b" %U'
    (entries / "painter.desktop").write_text(f"[Desktop Entry]\nName=Painter\n{text}\nIcon=painter\n\n{action}")
    (entries / "terminal.desktop").write_text("[Desktop Entry]\nExec=painter\nTerminal=true\n")
    (entries / "broken.desktop").write_text('[Desktop Entry]\nExec=painter "\n')
    return str(tmp_path)


def test_what_the_menu_has_can_be_started(root: str) -> None:
    painter = LocalApp("painter", ["painter", "--title", "a b"], {"Name": "Painter", "Icon": "painter"})
    assert {"painter": painter} == local_apps(LtsValues(MENU), root)
    assert {} == local_apps(LtsValues({**MENU, "LOCAL_APPS": "False"}), root)
    assert {} == local_apps(LtsValues({**MENU, "LOCAL_APPS_MENU": "False"}), root)


def test_a_whitelist_leaves_nothing_else(root: str) -> None:
    found = local_apps(LtsValues({**MENU, "LOCAL_APPS_WHITELIST": "player gone /bin/sh"}), root)
    assert {"player": LocalApp("player", [f"{root}/usr/bin/player"], {})} == found
    assert {"painter", "player"} == set(local_apps(LtsValues({**MENU, "LOCAL_APPS_WHITELIST": "player painter"}), root))


def test_a_menus_entry_starts_it_by_name() -> None:
    expected = "[Desktop Entry]\nType=Application\nName=Painter\nExec=/tmp/farm-1/local-app painter\n"
    assert expected == entry(LocalApp("painter", ["painter", "-x"], {"Name": "Painter"}), "/tmp/farm-1")


@given(st.text(max_size=30))
def test_texts_of_entries_are_nothing_to_the_servers_shell(text: str) -> None:
    done = set_up("/tmp/farm-1", {"painter": LocalApp("painter", ["painter"], {"Name": text})})
    for line in done.splitlines():
        assert shlex.split(line)[0] in ("mkdir", "echo", "chmod")
        assert not set("$`;&'\"") & set(line)
