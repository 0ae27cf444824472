"""The iceccd that icecc would talk to on this machine, found and asked the way icecc does it (client/main.cpp)."""

from __future__ import annotations

import contextlib
import platform
import socket
import struct
from collections.abc import Mapping, Sequence

import psutil
from msgspec import Struct

from farm.errors import FarmError
from farm.node.contract import PORT
from farm.node.ports import ICECCD_PORT, SCHEDULER_PORT
from farm.scheduler.channel import Channel, Message, ProtocolError, decode_text, encode, encode_text

TCP = ("127.0.0.1", ICECCD_PORT)
ICECCD_SECONDS = 5.0
PACKING_SECONDS = 240.0
"""As long as icecc waits for an environment (client/main.cpp): iceccd may have to pack the compiler first."""
GET_NATIVE_ENV, NATIVE_ENV = 69, 70
COMPRESSION_SINCE = 42
CHUNK = 1 << 16
_NO_ANSWER = (OSError, struct.error, ProtocolError)
DEFAULT_NETNAME = "ICECREAM"

_VALUES = {
    "-n": "netname", "--netname": "netname", "-s": "scheduler", "--scheduler-host": "scheduler", "-N": "name",
    "--name": "name", "-b": "folder", "--env-basedir": "folder", "-m": "slots", "--max-processes": "slots",
    "-p": "port", "--port": "port",
}  # fmt: skip
_VALUELESS = ("-d", "--daemonize", "-v", "-vv", "-vvv", "--verbose", "--no-remote", "-h", "--help")


class IceccdOptions(Struct, frozen=True):
    """What an iceccd was started with; empty: not given."""

    netname: str = ""
    scheduler: str = ""
    """HOST or HOST:PORT; empty: it looks for one of its netname by broadcast."""
    name: str = ""
    folder: str = ""
    slots: str = ""
    port: str = ""
    no_remote: bool = False

    @property
    def effective_netname(self) -> str:
        """What it looks for, and takes whatever its scheduler says when it was given one."""
        return self.netname or DEFAULT_NETNAME

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the scheduler it was given; an empty host when it was not."""
        host, _, port = self.scheduler.partition(":")
        return host, int(port) if PORT.fullmatch(port) else SCHEDULER_PORT


class LocalIceccd(Struct, frozen=True):
    """An iceccd that answers."""

    where: str
    """Socket file or address."""
    protocol: int
    """The highest that it speaks."""
    pid: int = 0
    """0: not to be found out."""
    options: IceccdOptions | None = None

    @property
    def login(self) -> str:
        """The name with which it logs in."""
        return (self.options.name if self.options else "") or platform.node()


def parse_options(argv: Sequence[str]) -> IceccdOptions:
    """What an iceccd's command line says (daemon/main.cpp)."""
    found: dict[str, str] = {}
    words = iter(argv[1:])
    for word in words:
        name, equals, value = word.partition("=")
        if word in _VALUELESS:
            continue
        if equals and name in _VALUES:
            found[_VALUES[name]] = value
        elif word in _VALUES:
            found[_VALUES[word]] = next(words, "")
        elif word[:2] in _VALUES and not word.startswith("--"):
            found[_VALUES[word[:2]]] = word[2:]
    return IceccdOptions(**found, no_remote="--no-remote" in argv)


def sockets(environment: Mapping[str, str]) -> list[str]:
    """Where icecc looks, in its order."""
    if test := environment.get("ICECC_TEST_SOCKET"):
        return [test]
    home = [f"{environment['HOME']}/.iceccd.socket"] if environment.get("HOME") else []
    return ["/var/run/icecc/iceccd.socket", "/var/run/iceccd.socket", *home]


def find(environment: Mapping[str, str]) -> tuple[LocalIceccd | None, list[str]]:
    """The first that answers, as for icecc, and what the others before it said."""
    tried: list[str] = []
    for path in sockets(environment):
        try:
            with _connect(path) as connection:
                return LocalIceccd(path, _handshake(connection).highest, *_peer(connection)), tried
        except _NO_ANSWER as error:
            tried.append(f"{path}: {_reason(error)}")
    if "ICECC_TEST_SOCKET" not in environment:
        try:
            with socket.create_connection(TCP, ICECCD_SECONDS) as connection:
                return LocalIceccd(f"{TCP[0]}:{TCP[1]}", _handshake(connection).highest), tried
        except _NO_ANSWER as error:
            tried.append(f"{TCP[0]}:{TCP[1]}: {_reason(error)}")
    return None, tried


def native_environment(
    where: str, compiler: str, compression: str = "", extra: Sequence[str] = (), patience: float = PACKING_SECONDS
) -> str:
    """The tarball that iceccd has of a compiler and ``extra`` files, made now if need be; empty when it can make none.

    Raises FarmError when it does not answer within ``patience`` seconds.
    """
    try:
        with _connect(where) as connection:
            channel = _handshake(connection)
            connection.settimeout(patience)
            body = encode_text(compiler) + struct.pack("!I", len(extra)) + b"".join(map(encode_text, extra))
            body += encode_text(compression) if channel.protocol >= COMPRESSION_SINCE else b""
            connection.sendall(encode(GET_NATIVE_ENV, body))
            kind, data, at, end = _message(connection, channel)
            return decode_text(data, at, end)[0] if kind == NATIVE_ENV else ""
    except _NO_ANSWER as error:
        raise FarmError(
            "iceccd sends no environment.", f"{where}: {_reason(error)}", "Look at its log: journalctl -u iceccd"
        ) from error


def _connect(where: str) -> socket.socket:
    if not where.startswith("/"):
        return socket.create_connection(TCP, ICECCD_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ICECCD_SECONDS)
    try:
        connection.connect(where)
    except OSError:
        connection.close()
        raise
    return connection


def _handshake(connection: socket.socket) -> Channel:
    channel = Channel()
    connection.sendall(channel.greeting())
    while not channel.protocol:
        connection.sendall(channel.receive(_some(connection)))
    return channel


def _message(connection: socket.socket, channel: Channel) -> Message:
    """The next message; waits until there is one."""
    while True:
        for message in channel.messages():
            return message
        channel.receive(_some(connection))


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(CHUNK)
    if not data:
        raise ConnectionResetError(0, "iceccd closed the connection")
    return data


def _reason(error: Exception) -> str:
    return error.why if isinstance(error, ProtocolError) else str(getattr(error, "strerror", None) or error)


def _peer(connection: socket.socket) -> tuple[int, IceccdOptions | None]:
    """Who listens at the other end, and its command line, which anyone may read."""
    size = struct.calcsize("3i")
    pid: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
    with contextlib.suppress(psutil.Error, ValueError):
        return pid, parse_options(psutil.Process(pid).cmdline())
    return pid, None
