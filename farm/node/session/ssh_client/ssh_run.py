"""Running ssh as the session user, with its questions answered while it runs."""

from __future__ import annotations

import os
import pty
import pwd
import re
import selectors
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from farm.node.session.pam import askpass
from farm.node.session.ssh_client.ssh_command import ASKPASS, HOME, SESSION_USER

PATIENCE_SECONDS = 90.0
"""After which an ssh that neither ends nor asks nor says anything is given up: directories can be slow."""
MAX_SAID = 64 * 1024
_PROMPT = re.compile(r"[^\n]*passw[^\n]*: ?", re.IGNORECASE)
"""The line that passwd leaves open."""

Answer = Callable[[str], "str | None"]


@dataclass(frozen=True)
class SshSaid:
    """How an ssh ended; the code is negative when it was killed."""

    code: int
    stdout: str
    stderr: str


def environment(display: str) -> dict[str, str]:
    """All that ssh gets: nothing of it comes from the greeter."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "DISPLAY": display,
        "XAUTHORITY": f"{HOME}/.Xauthority",
        "SSH_ASKPASS": ASKPASS,
        "SSH_ASKPASS_REQUIRE": "force",
    }


def run(argv: list[str], display: str, answer: Answer = lambda asked: None) -> SshSaid:
    """Run ssh to its end, or until it is in the background; ``answer`` gets its questions."""
    uid = pwd.getpwnam(SESSION_USER).pw_uid
    said = {"stdout": b"", "stderr": b""}
    with (
        askpass.listening(uid) as door,
        _start(argv, display, subprocess.DEVNULL, subprocess.PIPE) as process,
        selectors.DefaultSelector() as selector,
    ):
        for file, name in ((door, "question"), (process.stdout, "stdout"), (process.stderr, "stderr")):
            selector.register(file, selectors.EVENT_READ, name)  # type: ignore[arg-type]
        while len(selector.get_map()) > 1:
            ready = selector.select(PATIENCE_SECONDS)
            if not ready:
                process.kill()
                said["stderr"] += b"\nConnection timed out\n"
            for key, _ in ready:
                if key.data == "question":
                    askpass.serve(door, answer)
                elif piece := os.read(key.fd, 4096):
                    said[key.data] = (said[key.data] + piece)[-MAX_SAID:]
                else:
                    selector.unregister(key.fileobj)
    return SshSaid(process.returncode, *(said[name].decode(errors="replace") for name in ("stdout", "stderr")))


def run_in_terminal(argv: list[str], display: str, answer: Answer) -> SshSaid:
    """Run ssh in a terminal, and answer each line that asks for a password; what it printed is ``stdout``."""
    ours, theirs = pty.openpty()
    said, seen = b"", 0
    with _start(argv, display, theirs, theirs) as process, os.fdopen(ours, "r+b", buffering=0) as terminal:
        os.close(theirs)
        with selectors.DefaultSelector() as selector:
            selector.register(terminal, selectors.EVENT_READ)
            while piece := _read(terminal.fileno()) if selector.select(PATIENCE_SECONDS) else b"":
                said = (said + piece)[-MAX_SAID:]
                new = said[seen:].decode(errors="replace").replace("\r", "")
                if not _PROMPT.fullmatch(new.rpartition("\n")[2]):
                    continue
                seen = len(said)
                typed = answer(new)
                if typed is None:
                    break
                terminal.write(typed.encode(errors="surrogateescape") + b"\n")
        process.terminate()
    return SshSaid(process.returncode, said.decode(errors="replace"), "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: nobody has the other end open any more
        return b""


def _start(argv: list[str], display: str, stdin: int, output: int) -> subprocess.Popen[bytes]:
    user = pwd.getpwnam(SESSION_USER)
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=output,
        stderr=output,
        env=environment(display),
        cwd="/",
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        umask=0o077,
        start_new_session=True,
    )
