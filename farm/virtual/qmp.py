"""QEMU's machine protocol (docs/interop/qmp-spec.rst of QEMU): commands to a virtual machine, over its Unix socket."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from farm.errors import FarmError

ANSWER_SECONDS = 30.0
"""QEMU answers between two instructions of its guest; on a busy computer it may not get to run for a while."""
MAX_LINE = 1 << 20
"""Bytes of one answer."""


class Qmp:
    """A connection to one machine, as a context manager; QEMU serves one at a time."""

    def __init__(self, machine: str, path: Path) -> None:
        self.machine = machine
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Qmp:
        """Connect; raises FarmError when the machine is off, or QEMU does not answer."""
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.connect(str(self.path))
            self._read()  # its greeting
            self.execute("qmp_capabilities")
        except (FileNotFoundError, ConnectionRefusedError):
            self._close()
            raise FarmError(
                f"{self.machine} is off.", f"No QEMU listens on {self.path}.", "Start it: sudo farm up"
            ) from None
        except FarmError:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection, so that another program can have it."""
        self._close()

    def execute(self, command: str, **arguments: object) -> Any:
        """Carry out a command and return what QEMU answers; raises FarmError."""
        line = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
        try:
            self._socket.sendall(line.encode() + b"\n")
        except OSError as error:
            raise self._silent(str(error.strerror or error)) from None
        while True:
            answer = self._read()
            if "error" in answer:
                why = answer["error"].get("desc", "")
                raise FarmError(f"{self.machine} refuses the command {command}.", why, "farm logs " + self.machine)
            if "return" in answer:
                return answer["return"]
            # Otherwise an event, which nobody has asked for.

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline(MAX_LINE)
        except OSError as error:
            raise self._silent(str(error.strerror or error)) from None
        if not line:
            raise self._silent("QEMU has closed the connection.")
        with contextlib.suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer
        raise self._silent("What it says is not QEMU's machine protocol.")

    def _silent(self, why: str) -> FarmError:
        return FarmError(
            f"{self.machine} does not answer.",
            f"{self.path}: {why}",
            f"Check whether it runs, and whether another program uses this socket: farm logs {self.machine}",
        )

    def _close(self) -> None:
        self._lines.close()
        self._socket.close()
