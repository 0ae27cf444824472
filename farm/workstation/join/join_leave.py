"""Join this machine, or this user, to a farm; and leave it as if nothing had been."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from farm import command
from farm.errors import FarmError
from farm.home import write_atomic
from farm.workstation.join import desk_program, machine_undo, shared_slots
from farm.workstation.join.candidates import Target, check_installed, own_name
from farm.workstation.join.icecc_conf import LAYOUTS, Layout, assign, layout, override, wanted, without
from farm.workstation.join.iceccd import (
    SYSTEMD,
    SystemService,
    UserDaemon,
    answers,
    cache_folder,
    service,
    state_folder,
    user_manager,
)
from farm.workstation.join.iceccd import user_daemon as daemon_of_user
from farm.workstation.join.machine_undo import SavedFile, Undo, beside
from farm.workstation.join.shared_slots import Share
from farm.workstation.membership import SYSTEM, SYSTEM_SOCKET, Membership, home_folder, load, save, user_file

EDITED = ".before-leave"
"""Added to the name of a file that somebody has changed since this machine joined: its state then is kept there."""


class Joined(Struct, frozen=True):
    """What joining has come to."""

    membership: Membership
    already: bool = False
    """Nothing had to be changed."""
    notes: tuple[str, ...] = ()
    """What whoever joins should know."""


def record() -> Path:
    """Where the membership is kept that this user can make: root's is the machine's."""
    return SYSTEM if os.geteuid() == 0 else user_file()


def join(target: Target, jobs: int | None = None, share: Share | None = None) -> Joined:
    """Have this machine's iceccd submit to a scheduler that answers; by root, for all; else for this user.

    ``jobs``: how many of others to take at a time (0: as many as processors, None: none at all); ``share``: how many
    when somebody uses the machine, instead. Both are for root only. Raises FarmError; what was changed until then is
    undone by `leave`.
    """
    check_installed()
    with _alone():
        return _join_system(target, jobs, share) if os.geteuid() == 0 else _join_user(target)


def _join_system(target: Target, jobs: int | None, share: Share | None) -> Joined:
    files = layout()
    daemon = service(files)
    if share is not None:
        if not daemon.systemd:
            raise FarmError("Slots cannot be shared.", "systemd is not running.", "Try: farm join SERVER --accept-jobs")
        desk_program.interpreter()
        jobs = share.stay or None
    before = load(SYSTEM)
    made = machine_undo.load(beside(SYSTEM))
    settings = wanted(files.prefix, scheduler=target.scheduler, port=target.port, netname=target.netname, jobs=jobs)
    edits = _edits(files, settings)
    if made is None:
        if answers(SYSTEM_SOCKET) and not daemon.active:
            raise FarmError(
                "Another iceccd is running.",
                f"That iceccd listens on {SYSTEM_SOCKET}, but the service {daemon.name} is not running.",
                "Stop it (pgrep -a iceccd shows it), then join again.",
            )
        made = _remember_system(files, daemon)
    changed = _share(target, share, daemon, made)
    for path, old, new in edits:
        machine_undo.rewrite(path, new)
        changed = changed or new != old
    membership = Membership(
        farm=target.farm,
        netname=target.netname,
        scheduler=target.scheduler,
        port=target.port,
        submitter=own_name(),
        how="system",
        api=target.api,
        joined=time.time(),
    )
    already = not changed and daemon.active and _same(before, membership)
    if not already:
        daemon.restart()
        daemon.enable(True)
        if share is not None:
            shared_slots.start()
        save(SYSTEM, membership)
    if share is not None:
        return Joined(before if already and before else membership, already, shared_slots.notes(share))
    notes = () if daemon.systemd else ("systemd is not running: whether iceccd starts at boot is not changed.",)
    return Joined(before if already and before else membership, already, notes)


def _share(target: Target, share: Share | None, daemon: SystemService, made: Undo) -> bool:
    """Write what sharing needs, or take it away; whether something has changed."""
    if share is None:
        return shared_slots.remove(daemon.name)
    known = {saved.path for saved in made.files}
    new = [path for path in shared_slots.paths(daemon.name) if str(path.resolve()) not in known]
    if new:
        folders = machine_undo.missing(*(path.parent for path in new))
        files = (*made.files, *map(machine_undo.snapshot, new))
        machine_undo.save(beside(SYSTEM), replace(made, files=files, folders=(*made.folders, *folders)))
    changed = shared_slots.write(shared_slots.contents(share, target, own_name(), daemon.name))
    if changed:
        command.run(["systemctl", "daemon-reload"], timeout=120)
    return changed


def _remember_system(files: Layout, daemon: SystemService) -> Undo:
    paths = [files.file, *([files.overrides] if files.overrides and files.overrides.exists() else [])]
    made = Undo(
        files=tuple(machine_undo.snapshot(path) for path in paths),
        folders=machine_undo.missing(SYSTEM.parent),
        service=daemon.name,
        active=daemon.active,
        enabled=daemon.enabled,
    )
    SYSTEM.parent.mkdir(parents=True, exist_ok=True)
    machine_undo.save(beside(SYSTEM), made)
    return made


def _edits(files: Layout, settings: dict[str, str]) -> list[tuple[Path, bytes, bytes]]:
    """Each file, what it says and what it is to say. Raises FarmError for one that no shell can read."""
    edits = []
    for path, edit in ((files.file, assign), (files.overrides, override)):
        if path is not None and path.exists():
            read = command.run(["sh", "-n", str(path)], check=False)
            if read.returncode:
                raise FarmError(
                    f"{path} cannot be changed: a shell cannot read it.",
                    read.stdout.strip(),
                    f"Correct the line, and check it: sh -n {shlex.quote(str(path))}",
                )
            old = path.read_bytes()
            edits.append((path, old, edit(_text(old), settings).encode(errors="surrogateescape")))
    return edits


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _same(old: Membership | None, new: Membership) -> bool:
    return old is not None and replace(old, joined=0.0, api="") == replace(new, joined=0.0, api="")


def _join_user(target: Target) -> Joined:
    path = user_file()
    system = load(SYSTEM)
    before = load(path)
    made = machine_undo.load(beside(path))
    if system and before is None and (system.scheduler, system.port) == (target.scheduler, target.port):
        return Joined(system, True, ("Root has joined this machine for all users.",))
    daemon = daemon_of_user()
    if answers(daemon.socket) and not daemon.processes():
        raise FarmError(
            "Another iceccd of yours is running.",
            f"That iceccd listens on {daemon.socket}, and was not started by `farm join`.",
            "Stop it (pgrep -au $USER iceccd shows it), then join again.",
        )
    membership = Membership(
        farm=target.farm,
        netname=target.netname,
        scheduler=target.scheduler,
        port=target.port,
        submitter=own_name(_user()),
        socket=str(daemon.socket),
        how="user",
        api=target.api,
        joined=time.time(),
    )
    notes = (_PASSED_BY,) if answers(SYSTEM_SOCKET) else ()
    argv = daemon.argv(target, membership.submitter)
    if before and made and _same(before, membership) and daemon.runs_as(argv):
        return Joined(before, True, notes)
    _remember_user(path, daemon, made)
    daemon.stop()
    daemon.start(argv)
    save(path, membership)
    return Joined(membership, False, notes)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user that has no name
        return str(os.geteuid())


_PASSED_BY = (
    "The system's iceccd is running too, and a bare icecc uses that one first: use `farm run` or the settings from "
    "`farm env`."
)


def _remember_user(path: Path, daemon: UserDaemon, made: Undo | None) -> None:
    """Write down which folders are about to be made, besides those that an earlier joining has made."""
    units = [daemon.unit.parent / "default.target.wants"] if user_manager() else []
    folders = machine_undo.missing(path.parent, daemon.cache, daemon.log.parent, *units)
    if made is None:
        trees = [folder for folder in (cache_folder(), state_folder()) if not folder.exists()]
        made = Undo(folders=folders, trees=tuple(map(str, (*trees, daemon.cache))))
    else:
        new = tuple(folder for folder in folders if folder not in made.folders)
        made = replace(made, folders=(*made.folders, *new))
    for folder in (path.parent, daemon.cache.parent, daemon.log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    machine_undo.save(beside(path), made)


def leave() -> tuple[str, ...]:
    """Undo `join`: files, folders and services are as they were before; says what could not be, or was kept.

    Raises FarmError when nothing was joined.
    """
    path = record()
    with _alone():
        made = machine_undo.load(beside(path))
        if made is None and not path.exists():
            raise _not_joined()
        made = made or Undo()
        notes = _leave_system(made) if path == SYSTEM else _leave_user()
        path.unlink(missing_ok=True)
        beside(path).unlink(missing_ok=True)
        machine_undo.remove_made(made)
    return notes


def _leave_system(made: Undo) -> tuple[str, ...]:
    notes = []
    shared_slots.stop()
    for saved in made.files:
        path = Path(saved.path)
        if not path.parent.exists():
            notes.append(f"{path} was not restored: its folder no longer exists.")
            continue
        if _edited(saved):
            kept = path.with_name(path.name + EDITED)
            write_atomic(kept, path.read_bytes(), path.stat().st_mode & 0o777)
            notes.append(f"{path} was changed after joining: it was restored, and the changed file is now {kept}.")
        machine_undo.restore(saved)
    if SYSTEMD.is_dir():
        command.run(["systemctl", "daemon-reload"], check=False, timeout=120)
    if made.service:
        daemon = SystemService(made.service, systemd=SYSTEMD.is_dir())
        try:
            if made.active:
                daemon.restart()
            elif daemon.active:
                daemon.stop()
            daemon.enable(made.enabled)
        except FarmError as error:
            notes.append(f"The service {made.service} could not be restored: {error.what}")
    return tuple(notes)


def _edited(saved: SavedFile) -> bool:
    """Whether more has changed in a file than what `join` changes."""
    now = machine_undo.snapshot(Path(saved.path)).content
    if saved.content is None or now is None:
        return False
    prefix = next((known.prefix for known in LAYOUTS if Path(saved.path) in _resolved(known)), "")
    return without(_text(now), prefix) != without(_text(saved.content), prefix)


def _resolved(files: Layout) -> list[Path]:
    return [path.resolve() for path in (files.file, files.overrides) if path is not None]


def _leave_user() -> tuple[str, ...]:
    daemon_of_user().remove()
    return ()


def _not_joined() -> FarmError:
    if os.geteuid() != 0 and SYSTEM.exists():
        return FarmError("You have joined no farm.", "Root has joined this machine to a farm.", "sudo farm leave")
    return FarmError("There is no farm to leave.", f"There is no {record()}.", "See what is there: farm join --list")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep other joinings and leavings of this machine, or of this user, away; makes no file."""
    folder = "/etc" if os.geteuid() == 0 else str(home_folder())
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise FarmError(
            "Your home folder cannot be used, but joining needs it.",
            f"{folder}: {error.strerror}",
            "Set HOME to a folder of yours, or join as root: sudo farm join",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FarmError(
            "Another farm join or farm leave is running.", f"That command holds {folder}.", "Try again."
        ) from None
    finally:
        os.close(handle)
