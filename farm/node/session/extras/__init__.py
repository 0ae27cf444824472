"""What a session has besides its windows: a module here is an extra, such as sound or sticks.

Each is prepared at boot, lasts as long as a session, and tells how it is doing; none keeps a session from starting.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from farm.node.session.lts_values import LtsValues
from farm.node.session.ssh_client.ssh_command import over_master

EXTRAS: tuple[str, ...] = ("sound", "printers", "sticks", "local_apps")
"""The modules, in the order in which they begin."""
REMOTE_SECONDS = 15.0
"""In which a short command on the server has to end."""
_FOLDER = re.compile("/tmp/farm-[A-Za-z0-9]{8}")
"""Nothing else becomes part of an option of ssh."""


class RemoteFolder:
    """A folder of this session on the server, readable by its user alone.

    ``say``: waits until the server says its path, or why there is none.
    """

    def __init__(self, say: Callable[[], str]) -> None:
        self._say = say

    @functools.cached_property
    def _said(self) -> str:
        return self._say().strip()

    @property
    def path(self) -> str:
        """Its path; raises OSError when there can be none."""
        if not _FOLDER.fullmatch(self._said):
            raise OSError(self._said[-200:] or "the server does not say where it is")
        return self._said


class Extra:
    """An extra that does nothing: others say what they do instead."""

    def prepare(self, lts: LtsValues, root: str) -> None:
        """At boot, as root, each time before the display manager starts."""

    def during(self, lts: LtsValues, folder: RemoteFolder) -> contextlib.AbstractContextManager[dict[str, str]]:
        """As the session's user, around a session; gives what the session's environment on the server has of it."""
        return contextlib.nullcontext({})

    def look(self) -> dict[str, object]:
        """As root, again and again: what the machine tells of it; empty: nothing."""
        return {}


class _Module(Protocol):
    EXTRA: Extra


def load() -> Iterator[tuple[str, Extra]]:
    """All extras, by name."""
    for name in EXTRAS:
        module: _Module = importlib.import_module(f"{__name__}.{name}")
        yield name, module.EXTRA


def prepare_all(lts: LtsValues, root: str) -> None:
    """Prepare each; one that fails is said, and the others are prepared all the same."""
    for name, extra in load():
        try:
            extra.prepare(lts, root)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            complain(name, error)


@contextlib.contextmanager
def during_session(lts: LtsValues, folder: RemoteFolder) -> Iterator[dict[str, str]]:
    """Begin each, and end it after the session; gives the environment of all."""
    environment: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for name, extra in load():
            try:
                environment |= stack.enter_context(_patient(name, extra.during(lts, folder)))
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                complain(name, error)
        yield environment


@contextlib.contextmanager
def _patient(name: str, extra: contextlib.AbstractContextManager[dict[str, str]]) -> Iterator[dict[str, str]]:
    """An extra whose end may fail: the session is over by then."""
    given = extra.__enter__()
    try:
        yield given
    finally:
        try:
            extra.__exit__(None, None, None)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            complain(name, error)


def look_all() -> dict[str, dict[str, object]]:
    """What each tells, by name."""
    return {name: told for name, extra in load() if (told := extra.look())}


def on_server(command: str, *options: str) -> str:
    """Run a short command on the server, over the log-in's connection; what it printed. Raises OSError."""
    argv = over_master(command, "-T", "-x", *options)
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=REMOTE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError("the server does not answer") from None
    if done.returncode:
        raise OSError(done.stderr.strip()[-200:] or f"exit code {done.returncode}")
    return done.stdout


def complain(name: str, error: Exception) -> None:
    """A line for the machine's log."""
    sys.stderr.write(f"farm-node: {name}: {error}\n")
