"""`farm restore`: put a backup in the place of what a farm that is down has, or leave all as it is."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import psutil
from msgspec import Struct

from farm.config import Config
from farm.config.edit import with_top_value
from farm.config.file import load, parse
from farm.errors import NOT_JSON, ConfigError, FarmError
from farm.export import adopt, prepare, require_room
from farm.history.database import DATABASE_SCHEMA
from farm.home import Home, remove, write_atomic
from farm.image.store import FILES, Manifest, Selection, Store
from farm.instance import Instance
from farm.netboot.host_keys import FOLDER
from farm.serve.backup import backup_reader, swap
from farm.serve.backup.backup_index import BackupEntry, BackupIndex, is_configuration, is_state
from farm.serve.healing import Report
from farm.serve.up import exclusive
from farm.supervisor import Supervisor


class Restored(Struct, frozen=True):
    """What a restore did, and what somebody has to do before `farm up`, or should know."""

    index: BackupIndex
    images_added: list[str]
    images_missing: list[str]
    """Versions that next boots got there, and that this store does not have."""
    interface_missing: str
    """The interface that farm.yaml names, if this computer has none of that name."""
    interfaces: list[str]
    """Those that it has."""
    other_host_keys: bool
    """This computer's sshd has other keys than the one that was backed up, so clients that are on do not know it."""
    before: list[str]
    """The folders in which the files are that were there before."""


def restore(
    home: Home, file: Path, report: Report, *, interface: str = "", host_keys: bool = False, ssh: Path = FOLDER
) -> Restored:
    """Restore a farm that is down; ``interface``: put this one into farm.yaml. Raises FarmError, and changes nothing.

    ``host_keys``: give this computer's sshd (in the folder ``ssh``) the keys of the one that was backed up.
    """
    swap.require_outside(home, file)
    backup_reader.index_of(file)  # a file that is none is refused before anything is locked
    with exclusive(home), contextlib.ExitStack() as stack:
        _require_down(home)
        swap.take_back_interrupted(home)
        store, folders = Store(home.images), (home.config.parent, home.state)
        places = {
            top: stack.enter_context(_fresh(folder / swap.NEW))
            for top, folder in (("config", folders[0]), ("state", folders[1]), ("images", home.images))
        }
        places["host-keys"] = stack.enter_context(_fresh(home.state / f"{swap.NEW}-keys"))
        present = {manifest.image for manifest in store.list()}
        report("reading", str(file))
        index = backup_reader.unpack(file, places, lambda entry: not _has(present, entry))
        config = _usable_config(home, places["config"], interface)
        _require_known_history(places["state"])
        report("restoring", "images")
        before = swap.free_before(folders)
        with _choices_kept_on_failure(store):
            added = _add_images(store, index, places["images"])
            report("restoring", "configuration and state")
            swap.swap(home, folders, lambda path: _replaced(home, path), before)
        if host_keys:
            _give_host_keys(places["host-keys"], ssh)
        names = sorted(psutil.net_if_addrs())
        wanted = config.interface if config else ""
        there = {manifest.image for manifest in store.list()}
        return Restored(
            index,
            images_added=added,
            images_missing=[image for image in index.selected.values() if image not in there],
            interface_missing=wanted if wanted and wanted not in names else "",
            interfaces=[name for name in names if name != "lo"],
            other_host_keys=_differ(places["host-keys"], ssh),
            before=[str(folder / before) for folder in folders],
        )


@contextlib.contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """An empty folder for what is unpacked, removed in the end."""
    remove(folder)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        remove(folder)


def _require_down(home: Home) -> None:
    supervisor = Supervisor(home)
    if Instance.known(home) is not None or supervisor.pid is not None or supervisor.orphans():
        raise FarmError(
            "The farm is up, so nothing was restored.",
            "Its services would go on with what was there before.",
            "Take it down first: sudo farm down --keep-nodes (under systemd: sudo systemctl stop farm)",
        )


def _replaced(home: Home, path: Path) -> bool:
    """Whether something beside farm.yaml or in the state goes when a backup comes in its place."""
    if path.parent == home.state:
        return is_state(path.name) or path.name.startswith("history.db")
    return is_configuration(path.name)


def _has(present: set[str], entry: BackupEntry) -> bool:
    """Whether a file is of an image version that this store has: what is in use here stays."""
    return entry.name.startswith("images/") and entry.name[len("images/") :].rpartition("/")[0] in present


def _usable_config(home: Home, folder: Path, interface: str) -> Config | None:
    """The configuration, if this release takes it; None where there is no farm.yaml. Raises FarmError."""
    path = folder / home.config.name
    if not path.exists():
        if interface:
            raise FarmError("The backup has no farm.yaml to put an interface into.", "", "Leave --interface out.")
        return None
    try:
        config = load(path)
        if interface and interface != config.interface:
            text = path.read_text()
            if not config.interface:
                raise FarmError("The farm.yaml in the backup names no interface.", "", "Leave --interface out.")
            changed = with_top_value(text, "interface", interface)
            parse(changed)
            write_atomic(path, changed, mode=path.stat().st_mode & 0o777)
            config = load(path)
    except ConfigError as error:
        raise FarmError(
            "This release does not accept the farm.yaml in the backup, so nothing was changed.",
            "\n".join(part for part in (error.what, error.why) if part).replace(str(folder), "backup"),
            "Restore it with the release that wrote it, or a later one.",
        ) from None
    return config


def _require_known_history(folder: Path) -> None:
    """Raise FarmError when a later release wrote the history, or it is none: farmd could not use it."""
    path = folder / "history.db"
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        why = f"{error}."
    else:
        if version <= DATABASE_SCHEMA:
            return
        why = f"Its schema is {version}, and {DATABASE_SCHEMA} is the last one that this release knows."
    raise FarmError(
        "This release cannot read the history in the backup, so nothing was changed.",
        why,
        "Restore it with the release that wrote it, or a later one.",
    )


@contextlib.contextmanager
def _choices_kept_on_failure(store: Store) -> Iterator[None]:
    """If what follows fails, machines boot the versions that they would have booted; those that were added stay."""
    before = {name: store.selection(name) for name in store.names()}
    try:
        yield
    except BaseException:
        for name in store.names():
            if store.selection(name) != (selection := before.get(name, Selection())):
                store.reselect(name, selection)
        raise


def _add_images(store: Store, index: BackupIndex, folder: Path) -> list[str]:
    """Add the versions that the store lacks, in the slots that they had, and choose what was chosen."""
    manifests = [_manifest(index, folder, image) for image in index.versions if (folder / image).is_dir()]
    with store.lock():
        if manifests:
            require_room(store)
            adopt(store, {each.image: index.exports.get(each.image, {}) for each in manifests})
        for manifest in manifests:
            store.add(folder / manifest.image, manifest)
        there = {manifest.image for manifest in store.list()}
        for image in index.selected.values():
            if image in there and store.selected(store.get(image).name) != image:
                store.use(image)
        prepare(store)
    return [manifest.image for manifest in manifests]


def _manifest(index: BackupIndex, folder: Path, image: str) -> Manifest:
    """The manifest of a version that was unpacked, which must be of the files that came with it. Raises FarmError."""
    hashes = {entry.name: entry.sha256 for entry in index.entries}
    try:
        manifest = msgspec.json.decode((folder / image / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, *NOT_JSON):
        manifest = None
    came = {name: hashes.get(f"images/{image}/{name}") for name in FILES}
    if manifest is None or manifest.image != image or came != {n: f.sha256 for n, f in manifest.files.items()}:
        raise FarmError(
            f"The image {image} in the backup is not whole, so nothing was changed.",
            "Its manifest is of other files.",
            "Take another backup, or build the image again after a restore of one without images.",
        )
    return manifest


def _differ(keys: Path, ssh: Path) -> bool:
    """Whether this computer's sshd has other keys than the one that was backed up had."""
    return any(
        not (ssh / path.name).exists() or (ssh / path.name).read_bytes() != path.read_bytes()
        for path in keys.glob("*.pub")
    )


def _give_host_keys(keys: Path, ssh: Path) -> None:
    for path in sorted(keys.iterdir()):
        there = ssh / path.name
        kept = there.with_name(f"{there.name}.before-restore")
        if there.exists() and not kept.exists():  # the second time sshd's key is not this computer's own any more
            write_atomic(kept, there.read_bytes(), mode=there.stat().st_mode & 0o777)
        write_atomic(there, path.read_bytes(), mode=0o644 if path.suffix == ".pub" else 0o600)
