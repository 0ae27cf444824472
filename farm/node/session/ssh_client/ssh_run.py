"""Running ssh without root's rights, with its questions answered while it runs."""

from __future__ import annotations

import contextlib
import os
import pty
import pwd
import re
import selectors
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from farm.node.session.pam import askpass
from farm.node.session.ssh_client.ssh_command import ASKPASS, HOME, QUESTIONS, SESSION_USER

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


class _Caller(NamedTuple):
    """Whose process ssh is: the session user's for root, as at a log-in, or else the one's who calls."""

    uid: int
    home: str
    questions: str
    """Path of the socket at which ssh asks."""
    rights: dict[str, Any]
    """Of subprocess: those that ssh does not get."""


@contextlib.contextmanager
def _caller() -> Iterator[_Caller]:
    if os.geteuid() == 0:
        user = pwd.getpwnam(SESSION_USER)
        rights = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        yield _Caller(user.pw_uid, HOME, QUESTIONS, rights)
        return
    with tempfile.TemporaryDirectory(prefix="farm-questions-", dir="/tmp") as folder:
        yield _Caller(os.geteuid(), folder, f"{folder}/socket", {})


def environment(display: str, home: str = HOME, questions: str = QUESTIONS) -> dict[str, str]:
    """All that ssh gets: nothing of it comes from the greeter."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        askpass.WHERE: questions,
        "LANG": "C.UTF-8",
        "DISPLAY": display,
        "XAUTHORITY": f"{home}/.Xauthority",
        "SSH_ASKPASS": ASKPASS,
        "SSH_ASKPASS_REQUIRE": "force",
    }


def run(argv: list[str], display: str, answer: Answer = lambda asked: None) -> SshSaid:
    """Run ssh to its end, or until it is in the background; ``answer`` gets its questions."""
    said = {"stdout": b"", "stderr": b""}
    with (
        _caller() as caller,
        askpass.listening(caller.uid, caller.questions) as door,
        _start(caller, argv, display, subprocess.DEVNULL, subprocess.PIPE) as process,
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
    with (
        _caller() as caller,
        _start(caller, argv, display, theirs, theirs) as process,
        os.fdopen(ours, "r+b", buffering=0) as terminal,
    ):
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


def _start(caller: _Caller, argv: list[str], display: str, stdin: int, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=output,
        stderr=output,
        env=environment(display, caller.home, caller.questions),
        cwd="/",
        umask=0o077,
        start_new_session=True,
        **caller.rights,
    )
