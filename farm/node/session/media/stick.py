"""A stick or disc at this machine, from when it is plugged in until it is gone: started for each by its unit.

    stick sdb1

While somebody is logged in, the stick is mounted and shown in the user's home on the server; otherwise nobody touches
it, and it can be unplugged without a word.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pwd
import select
import shlex
import signal
import subprocess
import sys
import time
from typing import IO, Any, NamedTuple

from farm.node.files import read, write
from farm.node.session.lts_values import told_values
from farm.node.session.media import stick_cell
from farm.node.session.media.stick_facts import KERNEL_NAME, Stick, found_at, parse, refusal
from farm.node.session.media.stick_state import SESSION, State, state_file
from farm.node.session.on_screen import message
from farm.node.session.session_kind import FAT, kind_of
from farm.node.session.ssh_client.ssh_command import HOME, SESSION_USER, over_master

SCRIPT = os.path.join(os.path.dirname(__file__), "remote-stick.sh")
NO_SSHFS, NO_FUSE, NO_PLACE = 94, 95, 96
"""Exit codes of the part on the server."""
REASONS = {
    NO_SSHFS: "The server lacks sshfs: sudo apt-get install sshfs",
    NO_FUSE: "Users of the server can not mount anything: /dev/fuse is missing there, or closed to them.",
    NO_PLACE: "No folder can be made in USB in the user's home on the server.",
}
PIPE_BYTES = 1024 * 1024
"""Of files on their way: with little room the programs at both ends would wake each other for each piece."""
POLL_SECONDS = 0.2
MOUNT_SECONDS = 70.0
"""For a stick to be mounted, or to fail."""
WRITE_SECONDS = 60.0
"""For all that is in memory to be on a stick that is no longer used."""
END_SECONDS = 5.0
_OWN_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")


class Condition(NamedTuple):
    """How it stands with the stick, and why when that needs a word."""

    state: State
    why: str = ""


def main(device: str) -> int:
    """Show it in each session that there is, until a signal says that it is gone."""
    if not KERNEL_NAME.fullmatch(device):
        sys.stderr.write("farm-node: this is no device's name\n")
        return os.EX_USAGE
    if kind_of(told_values()) == FAT:
        return 0  # the desktop of this machine shows it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    found, why = _found(device)
    if why:
        sys.stderr.write(f"farm-node: {device} is not shown: {why}\n")
        if found.kind == "internal":
            return 0
    try:
        _tell(found, Condition("refused", why) if why else Condition("waiting"))
        while why:
            signal.pause()
        _show_in_sessions(found)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(state_file(device))
    return 0


def remote_command(name: str) -> str:
    """What the user's shell on the server is to run, whichever shell it is."""
    said = {
        "FARM_STICK": name,
        "FARM_FOLDER": stick_cell.STICK,
        "FARM_NO_SSHFS": str(NO_SSHFS),
        "FARM_NO_FUSE": str(NO_FUSE),
        "FARM_NO_PLACE": str(NO_PLACE),
    }
    return "exec " + shlex.join(["env", *(f"{key}={value}" for key, value in said.items()), "sh", "-c", read(SCRIPT)])


def _found(device: str) -> tuple[Stick, str]:
    """What is there, by udev and the kernel, and why it is not shown."""
    argv = ["udevadm", "info", "-q", "property", "-n", f"/dev/{device}"]
    properties = parse(subprocess.run(argv, check=True, capture_output=True, text=True, errors="replace").stdout)
    found = found_at(device, properties)
    return found, refusal(found, properties, told_values())


def _show_in_sessions(found: Stick) -> None:
    """Show it in one session after the other; in none twice."""
    done = ""
    while True:
        session = _session()
        if not session or session == done:
            time.sleep(POLL_SECONDS)
            continue
        outcome, done = _show(found, session), session
        _tell(found, outcome)
        _say(found, outcome)


def _session() -> str:
    """What tells the session that wants sticks from others; empty when there is none."""
    try:
        there = os.lstat(SESSION)
    except OSError:
        return ""
    return f"{there.st_ino} {there.st_mtime_ns}"


def _show(found: Stick, session: str) -> Condition:
    """Mount it and show it, until its user puts it away, the session ends, or either side fails."""
    with contextlib.ExitStack() as stack:
        from_server, to_cell = _pipe(stack)
        from_cell, to_server = _pipe(stack)
        report, told = _pipe(stack)
        words = [stick_cell.__name__, f"/dev/{found.device}", found.file_system, str(told.fileno())]
        argv = ["unshare", *_OWN_NAMESPACES, sys.executable, "-I", "-m", *words]
        cell = subprocess.Popen(argv, stdin=from_server, stdout=to_server, pass_fds=[told.fileno()])
        stack.callback(_end, cell, signal.SIGKILL)
        told.close()
        mounted = _mounted(report)
        if "error" in mounted:
            return Condition("failed", f"The stick can not be mounted: {mounted['error']}")
        ssh = _connect(found.name, from_cell, to_cell)
        stack.callback(_end, ssh, signal.SIGTERM)
        # Each end is closed when the program that has it ends.
        for end in (from_server, to_cell, from_cell, to_server):
            end.close()
        _tell(found, Condition("shown"), bool(mounted.get("read_only")))
        return _watch(cell, ssh, session)


def _watch(cell: subprocess.Popen[bytes], ssh: subprocess.Popen[bytes], session: str) -> Condition:
    """Wait until it is no longer shown, and all that was written is on it."""
    while _session() == session and ssh.poll() is None:
        if cell.poll() is not None:
            return Condition("failed", "The stick can no longer be read.")
        time.sleep(POLL_SECONDS)
    code = ssh.poll()
    _end(ssh, signal.SIGTERM)
    try:
        if cell.wait(WRITE_SECONDS):
            return Condition("failed", "What was written last may be missing on the stick.")
    except subprocess.TimeoutExpired:
        return Condition("failed", "The stick is too slow: what was written last may be missing on it.")
    if code in REASONS:
        return Condition("failed", REASONS[code])
    # sshfs ends well when its user unmounts, and not when the connection ends.
    return Condition("put away") if code == 0 else Condition("waiting")


def _connect(name: str, from_cell: IO[bytes], to_cell: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the part on the server, as the user to whom the connection belongs."""
    account = pwd.getpwnam(SESSION_USER)
    return subprocess.Popen(
        over_master(remote_command(name), "-T", "-x"),
        stdin=from_cell,
        stdout=to_cell,
        env={"HOME": HOME, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd="/",
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )


def _pipe(stack: contextlib.ExitStack) -> list[IO[bytes]]:
    """A pipe whose ends are closed at the end, if they are not by then."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return [stack.enter_context(os.fdopen(end, mode, 0)) for end, mode in zip(ends, ("rb", "wb"), strict=True)]


def _mounted(report: IO[bytes]) -> dict[str, Any]:
    """What the cell says: ``read_only``, or ``error``."""
    if not select.select([report], [], [], MOUNT_SECONDS)[0]:
        return {"error": "the device does not answer"}
    said = report.read(select.PIPE_BUF)
    return dict(json.loads(said)) if said else {"error": "the program that mounts has ended"}


def _end(process: subprocess.Popen[bytes], word: signal.Signals) -> None:
    """End it; what a broken device holds in the kernel is left to the unit's end."""
    process.send_signal(word)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _tell(found: Stick, outcome: Condition, read_only: bool | None = None) -> None:
    """Leave word for `extras.sticks`."""
    more = {} if read_only is None else {"read_only": read_only}
    write(state_file(found.device), json.dumps({**dataclasses.asdict(found), **outcome._asdict(), **more}))


def _say(found: Stick, outcome: Condition) -> None:
    """Tell the one who sits there what can not be seen in the home."""
    if outcome.state == "put away":
        text = f"{found.name} can be unplugged now."
    elif outcome.state == "failed":
        text = f"{found.name}: {outcome.why}"
    else:
        return
    sys.stderr.write(f"farm-node: {found.device}: {text}\n")
    with contextlib.suppress(OSError, KeyError):
        message.show(text, "Sticks and discs")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
