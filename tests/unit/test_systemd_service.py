"""The unit by which systemd runs a farm: systemctl's real work, on a system that does not run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from farm.errors import ConfigError, FarmError
from farm.home import Home
from farm.serve.systemd_service import MARK, Systemd, install, require_systemd, uninstall, unit_name, unit_state
from farm.serve.systemd_unit import unit_text


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    (tmp_path / "root" / "etc/systemd/system").mkdir(parents=True)
    return Systemd(tmp_path / "root")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "lab")
    home.create()
    home.config.write_text("name: lab\ninterface: eno2\n")
    return home


def test_a_unit_is_installed_and_removed_again(home: Home, systemd: Systemd) -> None:
    unit = unit_name(home)
    assert ("", False) == ((state := unit_state(home, systemd)).file, state.enabled)

    for _ in range(2):
        state = install(home, systemd)
        assert (unit, True, False) == (state.unit, state.enabled, state.active)
    text = systemd.own(unit).read_text()
    assert f" --home {home.directory} up --foreground\n" in text
    assert f" --home {home.directory} down --keep-nodes --force\n" in text
    assert (systemd.root / "etc/systemd/system/multi-user.target.wants" / unit).is_symlink()

    state = uninstall(home, systemd)
    assert ("", False) == (state.file, state.enabled)
    assert not [*(systemd.root / "etc/systemd/system/multi-user.target.wants").glob("*")]
    with pytest.raises(FarmError, match="There is no unit"):
        uninstall(home, systemd)


def test_a_packages_unit_is_only_enabled_and_disabled(systemd: Systemd, home: Home) -> None:
    unit = unit_name(home)
    packaged = systemd.root / "lib/systemd/system" / unit
    packaged.parent.mkdir(parents=True)
    packaged.write_text(unit_text("/usr/bin/farm"))

    state = install(home, systemd)

    assert (True, True) == (state.packaged, state.enabled)
    assert not systemd.own(unit).exists()
    state = uninstall(home, systemd)
    assert (True, False) == (state.packaged, state.enabled)
    assert packaged.exists()


def test_a_farm_that_could_not_come_up_at_boot_is_not_enabled(home: Home, systemd: Systemd) -> None:
    home.config.write_text("hovercraft: 1\n")
    with pytest.raises(ConfigError):
        install(home, systemd)
    home.config.unlink()
    with pytest.raises(ConfigError, match="There is no"):
        install(home, systemd)
    assert not unit_state(home, systemd).file


def test_each_home_has_a_unit_of_its_own() -> None:
    assert "farm.service" == unit_name(Home.at(None))
    assert "farm-srv-lab.service" == unit_name(Home.at(Path("/srv/lab")))
    homes = ["/srv/lab", "/srv-lab", "/srv/lab-2", "/srv/lab/2", "/srv/my lab", "/srv/my%lab", "/srv/ä"]
    names = [unit_name(Home.at(Path(home))) for home in homes]
    assert len(homes) == len({*names})
    assert all(name.isascii() and "%" not in name and " " not in name for name in names)


def test_without_systemd_the_advice_is_to_run_in_the_foreground() -> None:
    if Path(MARK).is_dir() and shutil.which("systemctl"):
        require_systemd()
        return
    with pytest.raises(FarmError, match="systemd does not run this machine") as error:
        require_systemd()
    assert "up --foreground" in error.value.fix


def test_systemd_accepts_the_text(tmp_path: Path) -> None:
    path = tmp_path / "farm-x.service"
    path.write_text(unit_text("/bin/true", ["--home", '/srv/a "b" 100%']))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
    assert "farm-x.service" not in done.stderr
