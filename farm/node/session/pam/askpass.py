"""The program that ssh runs to ask for a password: it passes the question on to the log-in, and prints the answer.

ssh closes what it inherits, and argv and environment are no place for a password: hence a socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator

from farm.node.session.ssh_client.ssh_command import QUESTIONS

MAX_BYTES = 16 * 1024
"""Of a question or an answer."""
SLOW_SECONDS = 10.0
"""In which the other end, a program, has to speak."""
_ANSWERED = b"\0"
"""Begins an answer, which may be empty: one without it means that the user gave up."""


WHERE = "FARM_QUESTIONS"
"""In the environment: where the socket is."""


@contextlib.contextmanager
def listening(uid: int, path: str = QUESTIONS) -> Iterator[socket.socket]:
    """A socket for questions of a user's programs."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        os.chmod(path, 0o600)
        os.chown(path, uid, -1)
        door.listen(1)
        try:
            yield door
        finally:
            os.unlink(path)


def serve(door: socket.socket, answer: Callable[[str], str | None]) -> None:
    """Answer one question; what cannot be read is no question."""
    asker, _ = door.accept()
    with asker, contextlib.suppress(OSError):
        asker.settimeout(SLOW_SECONDS)
        asked = _read(asker).decode(errors="replace")
        reply = answer(asked)
        if reply is not None:
            asker.sendall(_ANSWERED + reply.encode(errors="surrogateescape"))


def main(asked: str) -> int:
    """Pass a question on; 1 when the user gave up, at which ssh does so too."""
    with socket.socket(socket.AF_UNIX) as log_in:
        log_in.connect(os.environ.get(WHERE, QUESTIONS))
        log_in.sendall(asked.encode(errors="surrogateescape")[:MAX_BYTES])
        log_in.shutdown(socket.SHUT_WR)
        reply = _read(log_in)
    if not reply.startswith(_ANSWERED):
        return 1
    sys.stdout.buffer.write(reply.removeprefix(_ANSWERED) + b"\n")
    return 0


def _read(peer: socket.socket) -> bytes:
    data = b""
    while len(data) < MAX_BYTES and (piece := peer.recv(MAX_BYTES)):
        data += piece
    return data


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
