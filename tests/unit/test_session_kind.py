"""Which machines run their sessions themselves, and in which environment those begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.node.session.fat_session import session_environment
from farm.node.session.lts_values import LtsValues
from farm.node.session.session_kind import FAT, IMAGE_SESSIONS, LIGHTDM, SESSIONS, THIN, kind_of, prepare, settled


@pytest.mark.parametrize(
    ("has_desktop", "lts", "kind"),
    [
        (True, {"FAT_RAM_THRESHOLD": "1"}, FAT),
        (True, {"FAT_RAM_THRESHOLD": "1", "LTSP_FATCLIENT": "yes"}, FAT),
        (True, {"FAT_RAM_THRESHOLD": "1", "LTSP_FATCLIENT": "no"}, THIN),
        (True, {"FAT_RAM_THRESHOLD": "16000000"}, THIN),
        (False, {"FAT_RAM_THRESHOLD": "1", "LTSP_FATCLIENT": "yes"}, THIN),
    ],
)
def test_image_lts_conf_and_ram_decide(has_desktop: bool, lts: dict[str, str], kind: str, tmp_path: Path) -> None:
    folder = tmp_path / IMAGE_SESSIONS
    folder.mkdir(parents=True)
    for each in (THIN, FAT)[: 1 + has_desktop]:
        (folder / f"{each}.desktop").write_text(each)

    prepare(LtsValues(lts), str(tmp_path))

    assert kind == kind_of(LtsValues(lts), str(tmp_path))
    # The greeter has no other one in its menu.
    assert [f"{kind}.desktop"] == [each.name for each in (tmp_path / SESSIONS).iterdir()]
    assert kind == settled(str(tmp_path))
    assert f"user-session={kind}\n" in (tmp_path / LIGHTDM).read_text()


@pytest.mark.parametrize(
    ("lts", "chosen", "language"),
    [
        ({}, "", "sv_SE.UTF-8"),
        ({"LDM_LANGUAGE": "de_DE.UTF-8"}, "", "de_DE.UTF-8"),
        ({"LDM_LANGUAGE": "de_DE.UTF-8"}, "fr_FR.UTF-8", "fr_FR.UTF-8"),
        ({"LDM_FORCE_LANGUAGE": "de_DE.UTF-8"}, "fr_FR.UTF-8", "de_DE.UTF-8"),
        ({"LDM_FORCE_LANGUAGE": "xx_XX.UTF-8"}, "Default language.utf8", "sv_SE.UTF-8"),
    ],
)
def test_a_session_has_the_first_language_that_the_machine_knows(
    lts: dict[str, str], chosen: str, language: str, tmp_path: Path
) -> None:
    (tmp_path / ".dmrc").write_text(f"[Desktop]\nLanguage={chosen}\n")
    told = {"FARM_LANGUAGE": "sv_SE.UTF-8", "FARM_ZONE": "Europe/Berlin", "HOME": "/home/bob"}
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe/Berlin").touch()

    found = session_environment(told, LtsValues(lts), str(tmp_path), lambda name: "xx" not in name, str(tmp_path))

    assert {"HOME": "/home/bob", "LANG": language, "XDG_SESSION_TYPE": "x11", "TZ": "Europe/Berlin"} == found


def test_the_time_zone_of_lts_conf_counts_before_the_servers(tmp_path: Path) -> None:
    told = {"FARM_ZONE": "UTC"}

    assert "TZ" not in session_environment(told, LtsValues({"TIMEZONE": "Europe/Paris"}), str(tmp_path))
