"""Backups: nothing is lost by making one that cannot be restored, by restoring twice, or on another computer."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from farm.errors import FarmError
from farm.home import Home
from farm.image.store import Store
from farm.serve.backup import swap
from farm.serve.backup.backup_index import MOST_ENTRIES, BackupIndex, proper_place, read_index
from farm.serve.backup.backup_reader import index_of
from farm.serve.backup.backup_writer import write_backup
from farm.serve.backup.restoring import restore
from tests.made_up_store import add_version

JOINED = ("workstation.json", "workstation.undo.json", "desk.json", "desk.pyz", "iceccd-spare.env")


def silent(step: str, doing: str) -> None:
    pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("FARM_IMAGES", raising=False)
    home = Home.at(tmp_path / "old")
    home.create()
    home.config.write_text("name: old-lab\n")
    return home


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    """The folder of a computer's sshd, with a key."""
    folder = tmp_path / "ssh"
    folder.mkdir()
    (folder / "ssh_host_ed25519_key").write_text("its own")
    (folder / "ssh_host_ed25519_key").chmod(0o600)
    return folder


def test_a_backup_in_a_folder_of_the_farm_is_refused(home: Home, ssh: Path, tmp_path: Path) -> None:
    for folder in (home.state, home.config.parent):
        with pytest.raises(FarmError, match=r"backup\.tar is in .*, which is the farm's\."):
            write_backup(home, folder / "backup.tar", silent, host_keys=ssh)
        assert not (folder / "backup.tar").exists()
    write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)
    inside = (tmp_path / "backup.tar").rename(home.config.with_name("backup.tar"))

    with pytest.raises(FarmError, match="which is the farm's"):
        restore(home, inside, silent, ssh=ssh)

    assert inside.exists()


def test_a_second_restore_keeps_what_was_there_before_the_first(home: Home, ssh: Path, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)
    there = Home.at(tmp_path / "new")
    there.create()
    there.config.write_text("name: mine\n")

    for _ in range(2):
        done = restore(there, tmp_path / "backup.tar", silent, ssh=ssh)

    first, second = (there.config.with_name(name) / "farm.yaml" for name in ("before-restore", "before-restore-2"))
    assert ("name: mine\n", "name: old-lab\n") == (first.read_text(), second.read_text())
    assert str(second.parent) in done.before
    names = [entry.name for entry in write_backup(there, tmp_path / "next.tar", silent, host_keys=ssh).entries]
    assert ["config/farm.yaml"] == [name for name in names if name.startswith("config/")]


def test_no_restore_removes_an_old_farm_to_make_room(tmp_path: Path) -> None:
    names = []
    for _ in range(swap.MOST_BEFORE):
        names.append(swap.free_before([tmp_path]))
        (tmp_path / names[-1]).mkdir()
        (tmp_path / names[-1] / "farm.yaml").touch()

    assert all(map(swap.is_before, names))
    with pytest.raises(FarmError, match="are kept already, so nothing was changed"):
        swap.free_before([tmp_path])


def test_what_farm_join_wrote_stays_on_its_computer(home: Home, ssh: Path, tmp_path: Path) -> None:
    for name in JOINED:
        home.config.with_name(name).write_text("of the old computer")
    index = write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)
    there = Home.at(tmp_path / "new")
    there.create()
    for name in JOINED:
        there.config.with_name(name).write_text("of this one")

    restore(there, tmp_path / "backup.tar", silent, ssh=ssh)

    assert {"config/farm.yaml"} == {entry.name for entry in index.entries if entry.name.startswith("config/")}
    assert {"of this one"} == {there.config.with_name(name).read_text() for name in JOINED}


@pytest.mark.parametrize(
    "name",
    [
        *(f"config/{name}" for name in JOINED),
        *("config/.x", "config/state/api-token", "config/before-restore/farm.yaml"),
        *("state/.restoring", "state/.changing", "state/running.json", "state/images/v1/kernel"),
        *("state/history.db-wal", "state/before-restore-2/x"),
    ],
)
def test_an_archive_can_not_bring_what_no_backup_has(name: str) -> None:
    assert not proper_place(name)


def test_a_backup_is_one_that_restore_accepts(home: Home, ssh: Path, tmp_path: Path) -> None:
    (home.state / "ssh").mkdir()
    (home.state / "ssh" / "link").symlink_to("/etc/hosts")
    old = home.config.with_name("known")
    old.touch()
    os.utime(old, (-5.0, -5.0))

    index = write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)

    assert [f"{home.state}/ssh/link is a link, which only folders of the configuration may have."] == index.left_out
    assert index == index_of(tmp_path / "backup.tar")


def test_one_with_too_many_files_is_refused_while_there_is_time(home: Home, ssh: Path, tmp_path: Path) -> None:
    folder = home.config.with_name("cad")
    folder.mkdir()
    for number in range(MOST_ENTRIES):
        (folder / str(number)).symlink_to("x")

    with pytest.raises(FarmError, match="No backup was written: farm restore would not accept it"):
        write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)

    assert not (tmp_path / "backup.tar").exists()


def test_names_that_are_no_text_are_left_out_and_told(home: Home, ssh: Path, tmp_path: Path) -> None:
    folder = home.config.with_name("cad")
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9")).touch()
    (folder / "link").symlink_to(os.fsdecode(b"caf\xe9"))

    left_out = write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh).left_out

    assert 2 == len(left_out)
    assert all(line.isprintable() for line in left_out)
    assert "cad/link: the name that the link leads to cannot be kept." in left_out[1]


def test_the_own_host_keys_are_kept_however_often(
    home: Home, ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)
    other = tmp_path / "other"
    other.mkdir()
    (other / "ssh_host_ed25519_key").write_text("of this computer")
    (other / "ssh_host_ed25519_key").chmod(0o600)
    created: list[tuple[str, int]] = []
    opened = os.open

    def watched(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        created.append((str(path), mode))
        return opened(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", watched)
    for _ in range(2):
        restore(home, tmp_path / "backup.tar", silent, host_keys=True, ssh=other)

    kept = other / "ssh_host_ed25519_key.before-restore"
    assert "of this computer" == kept.read_text()
    assert 0o600 == stat.S_IMODE(kept.stat().st_mode)
    assert [0o600] == [mode for path, mode in created if f".{kept.name}." in path]


def test_what_is_restored_is_on_the_disk_before_it_takes_a_place(
    home: Home, ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.state / "api-token").write_text("secret")
    write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)
    flushed: set[int] = set()
    moved: list[bool] = []
    there = Home.at(tmp_path / "new")
    fsync, rename, unlink = os.fsync, os.rename, os.unlink

    def noted(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def judged(source: Path, target: Path) -> None:
        if swap.NEW in str(source) and source.is_file():
            moved.append(source.stat().st_ino in flushed)
        rename(source, target)
        flushed.difference_update(folder.stat().st_ino for folder in (there.state, there.config.parent))

    def at_the_end(path: Path) -> None:
        if Path(path).name == ".restoring" and path.exists():
            moved.append(flushed >= {folder.stat().st_ino for folder in (there.state, there.config.parent)})
        unlink(path)

    monkeypatch.setattr(os, "unlink", at_the_end)
    monkeypatch.setattr(os, "fsync", noted)  # a power cut cannot be had in a test
    monkeypatch.setattr(os, "rename", judged)
    restore(there, tmp_path / "backup.tar", silent, ssh=ssh)

    assert [True, True, True] == moved  # farm.yaml and the token; then the names, before the journal goes


def test_an_interface_for_no_farm_yaml_is_not_passed_over(home: Home, ssh: Path, tmp_path: Path) -> None:
    (home.state / "api-token").write_text("secret")
    home.config.unlink()
    write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)

    with pytest.raises(FarmError, match=r"has no farm\.yaml to put an interface into"):
        restore(Home.at(tmp_path / "new"), tmp_path / "backup.tar", silent, interface="lo", ssh=ssh)


def test_a_restore_that_fails_leaves_the_choice_of_images(
    home: Home, ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(home.images)
    for version in ("v1", "v2"):
        add_version(store, version)
        store.use(version)
    write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)
    store.use("v1")
    before = store.selection("icecream-node")

    def failing(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rename", failing)  # as for a file that is immutable, or a mount point
    with pytest.raises(PermissionError):
        restore(home, tmp_path / "backup.tar", silent, ssh=ssh)

    assert before == store.selection("icecream-node")


def test_no_backup_is_made_of_a_farm_whose_restore_was_interrupted(home: Home, ssh: Path, tmp_path: Path) -> None:
    (home.state / ".restoring").write_text("[]")

    with pytest.raises(FarmError, match="was interrupted"):
        write_backup(home, tmp_path / "backup.tar", silent, host_keys=ssh)


@pytest.mark.parametrize("key", ["made", "modified"])
def test_times_that_no_clock_shows_are_refused(key: str) -> None:
    entry: dict[str, object] = {"name": "state/key", "size": 1, "sha256": "", "mode": 0o600}
    told = BackupIndex(release="1", farm="x", host="h", made=1.0, interface="")
    index = {**msgspec.to_builtins(told), "entries": [entry]}
    assert isinstance(read_index(msgspec.json.encode(index)), BackupIndex)
    (index if key == "made" else entry)[key] = 1e300

    with pytest.raises(ValueError, match="Its index cannot be read"):
        read_index(msgspec.json.encode(index))
