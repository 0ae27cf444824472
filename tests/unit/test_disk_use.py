"""Where disk space goes: each file counted once, and what can go with the command that frees it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from farm.home import Home
from farm.image.store import Store
from farm.serve.disk_use import DiskPart, disk_use
from farm.supervisor import Service, render
from tests.made_up_store import add_version


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("FARM_IMAGES", raising=False)
    home = Home.at(tmp_path / "a lab")
    home.create()
    home.config.write_text("name: x\ninterface: eno2\nhistory: {days: 7, megabytes: 9}\n")
    add_version(Store(home.images), "v1", 1)
    add_version(Store(home.images), "v2", 2)
    Store(home.images).use("v2")
    (home.images / ".base" / "hash").mkdir(parents=True)
    (home.images / ".base" / "hash" / "bash").write_bytes(b"x" * 100_000)
    (home.images / ".exports").mkdir()
    os.link(home.images / "v1" / "root.squashfs", home.images / ".exports" / "v1")
    (home.state / "history.db").write_bytes(b"x" * 50_000)
    (home.state / "history.db.corrupt-20260101").write_bytes(b"x" * 5000)
    (home.logs / "farmd.log").write_bytes(b"x" * 9000)
    return home


def parts(home: Home) -> dict[str, DiskPart]:
    return {part.name: part for part in disk_use(home).parts}


def test_what_can_go_is_named_with_the_command_that_frees_it(home: Home) -> None:
    found = parts(home)

    assert (True, "sudo farm image remove v1") == (found["v1"].removable, found["v1"].free)
    assert (False, "Next boots get it.", "") == (found["v2"].removable, found["v2"].why, found["v2"].free)
    assert found["packages for builds"].bytes >= 100_000
    assert "bounded: 7 days and 9 MB" == found["history"].why
    assert not found["history"].removable
    for name in ("packages for builds", "a damaged history"):
        subprocess.run(["sh", "-c", found[name].free.removeprefix("sudo ")], check=True)
    assert {*found} - {*parts(home)} == {"packages for builds", "a damaged history"}


def test_each_file_counts_once(home: Home) -> None:
    assert home.directory is not None
    told = sum(part.bytes for part in disk_use(home).parts)
    folders = [home.state, home.logs]
    said = subprocess.run(["du", "-s", "-c", "-B1", *folders], capture_output=True, text=True, check=True)
    assert int(said.stdout.splitlines()[-1].split()[0]) == told


def test_the_files_from_before_each_restore_are_listed(home: Home) -> None:
    folders = [home.state / "before-restore", home.state / "before-restore-2"]
    for folder in folders:
        folder.mkdir()
        (folder / "api-token").write_text("old")

    found = [part.path for part in disk_use(home).parts if part.part == "before-restore"]

    assert [str(folder) for folder in folders] == found


def test_a_farm_that_has_nothing_yet(tmp_path: Path) -> None:
    assert [] == disk_use(Home.at(tmp_path / "none")).parts


def test_the_log_of_each_service_is_bounded(home: Home) -> None:
    text = render(home, [Service("a", ["a"]), Service("b", ["b"], log="c")])
    assert 2 == text.count("stdout_logfile_maxbytes=4MB") == text.count("stdout_logfile_backups=1")
    assert "logfile_maxbytes=1MB\nlogfile_backups=2" in text
