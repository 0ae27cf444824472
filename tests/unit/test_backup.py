"""Backups: what is in them, what a hostile one cannot do, and that a restore changes all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.config.file import load
from farm.errors import FarmError
from farm.history import database
from farm.home import Home
from farm.image.store import Store
from farm.serve.backup import swap
from farm.serve.backup.backup_index import INDEX_NAME, BackupEntry, BackupIndex, proper_place
from farm.serve.backup.backup_reader import index_of, unpack
from farm.serve.backup.backup_writer import write_backup
from farm.serve.backup.restoring import Restored, restore
from tests.made_up_store import add_version

YAML = "name: old-lab # ours\ninterface: gone7\n"


def silent(step: str, doing: str) -> None:
    pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with all that a farm may have; sockets have short paths only there."""
    monkeypatch.delenv("FARM_IMAGES", raising=False)
    home = Home.at(tmp_path / "old")
    home.create()
    home.config.write_text(YAML)
    (tmp_path / "lts.conf").write_text("[Default]\n")
    home.config.with_name("lts.conf").symlink_to(tmp_path / "lts.conf")
    description = home.config.with_name("cad") / "root"
    description.mkdir(parents=True)
    (description / "tool").write_text("#!/bin/sh\n")
    (description / "tool").chmod(0o755)
    (description / "unit").symlink_to("/dev/null")
    (home.state / "ssh").mkdir(mode=0o700)
    (home.state / "ssh" / "id_ed25519").write_text("secret")
    (home.state / "ssh" / "id_ed25519").chmod(0o600)
    (home.state / "dhcp.leases").write_text("1 52:54:00:00:00:01 10.99.7.50 pc01 *\n")
    (home.state / "running.json").write_text("{}")
    (home.logs / "farmd.log").write_text("not kept")
    add_version(Store(home.images), "v1")
    Store(home.images).use("v1")
    return home


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "ssh"
    folder.mkdir()
    (folder / "ssh_host_ed25519_key").write_text("host secret")
    (folder / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAA\n")
    return folder


def content(home: Home) -> dict[str, tuple[str, str]]:
    """All files of a home but those of its locks and logs, with their permissions."""
    assert home.directory is not None
    found = {}
    for path in sorted(home.directory.rglob("*")):
        name = str(path.relative_to(home.directory))
        ours = path.is_file() and not any(part.startswith(".") for part in path.relative_to(home.directory).parts)
        if path.is_symlink() or (ours and "before-restore" not in name):
            text = os.readlink(path) if path.is_symlink() else path.read_bytes().hex()
            found[name] = (oct(path.lstat().st_mode), text)
    return found


def test_a_backup_is_for_root_alone_and_has_neither_logs_nor_what_runs(home: Home, keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    os.mkfifo(home.state / "pipe")
    (home.state / ("x" * 200)).touch()

    index = write_backup(home, file, silent, host_keys=keys)

    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    names = {entry.name: entry.mode for entry in index.entries}
    assert {
        "config/cad/root/tool": 0o755,
        "config/farm.yaml": 0o644,
        "config/lts.conf": 0o644,
        "host-keys/ssh_host_ed25519_key": 0o644,
        "host-keys/ssh_host_ed25519_key.pub": 0o644,
        "state/dhcp.leases": 0o644,
        "state/ssh/id_ed25519": 0o600,
    } == names
    assert {"config/cad/root/unit": "/dev/null"} == index.links
    assert ("old-lab", "gone7", {"icecream-node": "v1"}) == (index.farm, index.interface, index.selected)
    long = f"{home.state}/{'x' * 200}: its name cannot be kept."
    assert [f"{home.state}/pipe is no file.", long] == index.left_out
    assert [INDEX_NAME, *names] == [*members(file.read_bytes())]
    assert [".backup"] == [path.name for path in home.state.glob(".*")]


def test_another_machine_gets_all_of_it_with_its_permissions(home: Home, keys: Path, tmp_path: Path) -> None:
    file, there = tmp_path / "backup.tar", Home.at(tmp_path / "new")
    write_backup(home, file, silent, images=True, host_keys=keys)
    other_keys = tmp_path / "other-ssh"
    other_keys.mkdir()
    (other_keys / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 BBBB\n")

    done = restore(there, file, silent, ssh=other_keys)

    assert ("gone7", True, ["v1"], []) == (
        done.interface_missing,
        done.other_host_keys,
        done.images_added,
        done.images_missing,
    )
    assert 0o700 == stat.S_IMODE((there.state / "ssh").stat().st_mode)
    kept = {name: each for name, each in content(home).items() if not name.startswith(("log/", "state/running.json"))}
    kept["lts.conf"] = ("0o100644", b"[Default]\n".hex())  # a link at the top is followed
    assert kept == content(there)
    assert "v1" == Store(there.images).selected("icecream-node")

    done = restore(there, file, silent, interface="lo", host_keys=True, ssh=other_keys)

    assert ("", False) == (done.interface_missing, done.other_host_keys)
    assert YAML.replace("gone7", "lo") == there.config.read_text()
    assert "host secret" == (other_keys / "ssh_host_ed25519_key").read_text()
    assert 0o600 == stat.S_IMODE((other_keys / "ssh_host_ed25519_key").stat().st_mode)
    assert "ssh-ed25519 BBBB\n" == (other_keys / "ssh_host_ed25519_key.pub.before-restore").read_text()


def test_without_images_the_store_stays_and_what_is_missing_is_told(home: Home, keys: Path, tmp_path: Path) -> None:
    file, there = tmp_path / "backup.tar", Home.at(tmp_path / "new")
    write_backup(home, file, silent, host_keys=keys)
    there.create()
    add_version(Store(there.images), "v2")

    done = restore(there, file, silent, ssh=keys)

    assert (["v1"], False) == (done.images_missing, done.other_host_keys)
    assert ["v2"] == [manifest.image for manifest in Store(there.images).list()]


def test_the_history_is_copied_while_it_is_written(home: Home, keys: Path, tmp_path: Path) -> None:
    db, _ = database.open_file(home.state / "history.db", check=False)
    db.execute("INSERT INTO node_hours VALUES (1, 'pc01', 1, 0, 1, 1)")  # in the log beside the file, by now
    file, there = tmp_path / "backup.tar", Home.at(tmp_path / "new")
    write_backup(home, file, silent, host_keys=keys)
    db.execute("INSERT INTO node_hours VALUES (2, 'pc02', 1, 0, 1, 1)")
    there.create()
    (there.state / "history.db-wal").write_bytes(b"of another file")

    restore(there, file, silent, ssh=keys)

    assert not (there.state / "history.db-wal").exists()
    copy, _ = database.open_file(there.state / "history.db", check=True)
    assert [("pc01",)] == copy.execute("SELECT node FROM node_hours").fetchall()


def test_a_history_that_cannot_be_read_does_not_prevent_a_backup(home: Home, keys: Path, tmp_path: Path) -> None:
    (home.state / "history.db").write_bytes(b"no database" * 500)

    index = write_backup(home, tmp_path / "backup.tar", silent, host_keys=keys)

    assert ["history.db cannot be read: file is not a database."] == [
        line.removeprefix(f"{home.state}/") for line in index.left_out
    ]


def _later_history(home: Home) -> None:
    with sqlite3.connect(home.state / "history.db") as db:
        db.execute("CREATE TABLE builds (id)")
        db.execute(f"PRAGMA user_version = {database.DATABASE_SCHEMA + 1}")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_later_history, "This release cannot read the history in the backup"),
        (lambda home: home.config.write_text(YAML + "hovercraft: 1\n"), "This release does not accept the farm.yaml"),
    ],
)
def test_what_a_later_release_wrote_is_refused(
    home: Home, keys: Path, tmp_path: Path, change: Callable[[Home], None], what: str
) -> None:
    change(home)
    file, there = tmp_path / "backup.tar", Home.at(tmp_path / "new")
    write_backup(home, file, silent, host_keys=keys)
    before = _something_there(there)

    with pytest.raises(FarmError, match=what) as refused:
        restore(there, file, silent, ssh=keys)

    assert "the release that wrote it, or a later one" in refused.value.fix
    assert before == content(there)


def _something_there(there: Home) -> dict[str, tuple[str, str]]:
    there.create()
    there.config.write_text("name: mine\n")
    (there.state / "api-token").write_text("mine")
    return content(there)


def test_a_restore_that_fails_in_the_midst_leaves_all_as_it_was(
    home: Home, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, there = tmp_path / "backup.tar", Home.at(tmp_path / "new")
    write_backup(home, file, silent, host_keys=keys)
    before = _something_there(there)
    moves: list[str] = []
    rename = os.rename

    def failing(source: Path, target: Path) -> None:
        moves.append(str(source))
        if len(moves) == 5:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)  # a disk that fails at a chosen moment cannot be had otherwise
    with pytest.raises(OSError, match="No space"):
        restore(there, file, silent, ssh=keys)

    assert before == content(there)


@pytest.mark.parametrize("moves", range(7))
def test_a_power_cut_in_the_midst_is_noticed_and_undone(tmp_path: Path, moves: int) -> None:
    home = Home.at(tmp_path)
    home.create()
    new, before = home.state / swap.NEW, home.state / swap.BEFORE
    new.mkdir()
    before.mkdir()
    for name in ("a", "b"):
        (home.state / name).write_text(f"old {name}")
        (new / name).write_text(f"new {name}")
    (new / "c").write_text("new c")
    planned = [(home.state / n, before / n) for n in "ab"] + [(new / n, home.state / n) for n in "abc"]
    (home.state / ".restoring").write_bytes(msgspec.json.encode([(str(a), str(b)) for a, b in planned]))
    for source, target in planned[:moves]:
        source.rename(target)

    with pytest.raises(FarmError, match="was interrupted"):
        swap.require_no_interrupted(home)
    swap.take_back_interrupted(home)

    swap.require_no_interrupted(home)
    assert ["old a", "old b"] == [(home.state / name).read_text() for name in "ab"]
    assert not (home.state / "c").exists()


# -- what a stranger may have made


@pytest.fixture
def good(home: Home, keys: Path, tmp_path: Path) -> bytes:
    write_backup(home, tmp_path / "good.tar", silent, host_keys=keys)
    return (tmp_path / "good.tar").read_bytes()


def _refused(raw: bytes, folder: Path) -> FarmError:
    """The error at a restore of this file, which has changed nothing."""
    file, there = folder / "bad.tar", Home.at(folder / "there")
    file.write_bytes(raw)
    before = _something_there(there)
    with pytest.raises(FarmError) as refused:
        restore(there, file, silent, ssh=folder)
    assert before == content(there)
    assert [] == list(there.state.glob(".restor*"))
    return refused.value


def test_one_that_was_cut_off_anywhere_is_refused(good: bytes, tmp_path: Path) -> None:
    sizes = [len(body) for body in members(good).values()]
    end, last = sum(512 + -(-size // 512) * 512 for size in sizes), sizes[-1]
    for length in (0, 1, 511, 512, 600, 1024, end // 2, end - 512, end - (-(-last // 512) * 512) + last - 1):
        error = _refused(good[:length], tmp_path)
        assert "is not a whole backup of a farm, so nothing was changed." in error.what, length


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_changed_byte_is_refused_or_changes_nothing_that_is_written(data: st.DataObject) -> None:
    """Whatever comes in: an error for users, or the files that the index states, below the folders that were given."""
    with _made() as (folder, raw):
        place = data.draw(st.integers(0, len(raw) - 1))
        changed = raw[:place] + bytes([data.draw(st.integers(0, 255))]) + raw[place + 1 :]
        (folder / "bad.tar").write_bytes(changed)
        places = {top: folder / "out" / top for top in ("config", "state", "images", "host-keys")}
        for each in places.values():
            each.mkdir(parents=True)
        try:
            unpack(folder / "bad.tar", places, lambda entry: True)
        except FarmError as error:
            assert "nothing was changed" in error.what
        assert {"bad.tar", "out"} == {path.name for path in folder.iterdir()}
        assert {*places} == {path.name for path in (folder / "out").iterdir()}


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=2000))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with _made() as (folder, _):
        (folder / "bad.tar").write_bytes(raw)
        with pytest.raises(FarmError, match="is not a whole backup"):
            index_of(folder / "bad.tar")


@contextlib.contextmanager
def _made() -> Iterator[tuple[Path, bytes]]:
    """A folder of its own, and a small backup."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), archive({"config/farm.yaml": b"name: x\n", "state/key": b"secret"})


def members(raw: bytes) -> dict[str, bytes]:
    """The files in a tar file, by name."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as found:
        return {info.name: file.read() for info in found if (file := found.extractfile(info))}


def archive(files: dict[str, bytes], **index: object) -> bytes:
    """A backup of these files, as somebody could make it by hand."""
    entries = [
        BackupEntry(name=name, size=len(body), sha256=hashlib.sha256(body).hexdigest(), mode=0o600)
        for name, body in files.items()
    ]
    told = BackupIndex(release="1", farm="x", host="h", made=1.0, interface="", entries=entries)
    content = msgspec.json.encode({**msgspec.to_builtins(told), **index})
    return tar({INDEX_NAME: content, **files})


def tar(files: dict[str, bytes], **header: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as written:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            if name != INDEX_NAME:
                for key, value in header.items():
                    setattr(info, key, value)
            written.addfile(info, io.BytesIO(body))
    return out.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "/etc/passwd",
        "config/../../etc/passwd",
        "config/./farm.yaml",
        "config",
        "config/",
        "config//x",
        "run/farmd.sock",
        "host-keys/authorized_keys",
        "host-keys/ssh_host_x_key/../../sudoers",
        "images/v1/../../x",
        "images/v1/selection.json",
        "state/a\nb",
    ],
)
def test_places_where_no_file_belongs(name: str, tmp_path: Path) -> None:
    assert not proper_place(name)
    error = _refused(archive({name: b"x"}), tmp_path)
    assert "nothing was changed" in error.what


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ({"schema": 2}, "A later release wrote it: its format is 2, and 1 is known here."),
        ({"entries": "none"}, "Its index cannot be read"),
        ({"links": {"config/lts.conf": "/etc/shadow"}}, "a link at a place where none belongs"),
        ({"links": {"state/ssh/x": "/etc/shadow"}}, "a link at a place where none belongs"),
        ({"links": {"config/cad": "/etc", "config/cad/x": "y"}}, "a link at a place where none belongs"),
        ({"links": {"config/cad/d": "/etc", "config/cad/d/x": "y"}}, "'config/cad/d' as a file and as a folder"),
        ({"links": {"config/cad/d": "/etc"}, "folders": {"config/cad/d": 0o755}}, "as a file and as a folder"),
        ({"folders": {"state/../..": 0o777}}, "at a place where none belongs"),
        ({"folders": {"state/x": 0o4755}}, "Its index cannot be read"),
    ],
)
def test_an_index_that_says_what_none_says(index: dict[str, object], why: str, tmp_path: Path) -> None:
    error = _refused(archive({"config/farm.yaml": b"name: x\n"}, **index), tmp_path)

    assert why in error.why


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    files = {"state/key": b"secret"}
    raw = tar({INDEX_NAME: members(archive(files))[INDEX_NAME], **files}, type=kind, linkname="/etc/shadow")

    assert "State/key should come next, as a plain file" in _refused(raw, tmp_path).why


def test_a_file_twice_and_files_that_need_more_than_the_disk_has(tmp_path: Path) -> None:
    entry = {"name": "state/key", "size": 6, "sha256": "", "mode": 0o600}
    assert "lists a file twice" in _refused(archive({"state/key": b"secret"}, entries=[entry, entry]), tmp_path).why
    large = [{**entry, "name": f"state/key{number}", "size": (1 << 33) - 1} for number in range(10_000)]
    error = _refused(archive({}, entries=large), tmp_path)
    assert "There is not enough disk space to restore this backup" in error.what


def test_a_manifest_of_other_files_is_refused(home: Home, keys: Path, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "backup.tar", silent, images=True, host_keys=keys)
    files = members((tmp_path / "backup.tar").read_bytes())
    del files[INDEX_NAME]
    files["images/v1/kernel"] = b"another"
    assert "nothing was changed" in _refused(archive(files), tmp_path).what


def test_the_farm_of_a_restored_configuration_is_that_of_the_backup(home: Home, keys: Path, tmp_path: Path) -> None:
    write_backup(home, tmp_path / "backup.tar", silent, host_keys=keys)
    done: Restored = restore(home, tmp_path / "backup.tar", silent, ssh=keys)

    assert "old-lab" == done.index.farm == load(home.config).name
    assert (home.config.parent / "before-restore" / "farm.yaml").read_text() == YAML


def test_without_a_farm_nothing_is_backed_up(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="There is no farm on this computer"):
        write_backup(Home.at(tmp_path / "none"), tmp_path / "backup.tar", silent)
    assert [] == [*tmp_path.iterdir()]
