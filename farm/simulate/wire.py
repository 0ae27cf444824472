"""icecream's wire protocol as a daemon speaks it: messages as bytes, and the scheduler's answers decoded; no I/O.

Source: services/comm.cpp of icecc/icecream 1.4, which speaks protocol 43.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct as Layout
from struct import error as LayoutError

from msgspec import Struct

from farm.scheduler.channel import Channel, ProtocolError, decode_text, encode, encode_text

DAEMON_PROTOCOL = 43
PLATFORM = "x86_64"
TOOLCHAIN = "5d5d7b5f6dd0a4b0ff4b8ce1b0b5f0a1.tar.zst"
"""The toolchain that every job asks for and every node holds, so that none is ever sent."""
COMPRESSIONS = 3
"""Environments packed by xz and by zstd."""


class DaemonMessage(IntEnum):
    """Message types between daemon and scheduler (MsgType in comm.h)."""

    PING = 66
    END = 67
    GET_CS = 71
    USE_CS = 72
    JOB_BEGIN = 76
    JOB_DONE = 77
    JOB_LOCAL_BEGIN = 78
    JOB_LOCAL_DONE = 79
    LOGIN = 80
    STATS = 81
    STATUS_TEXT = 90
    GET_INTERNALS = 91
    CS_CONF = 92
    NO_CS = 96


class UseNode(Struct, frozen=True):
    """The scheduler names the node that is to compile."""

    job: int
    address: str
    port: int
    client: int
    """The number that the submitter's request had."""


class UseNone(Struct, frozen=True):
    """The submitter is to compile by itself."""

    job: int
    client: int


class Accepted(Struct, frozen=True):
    """The login is accepted."""


class Asked(Struct, frozen=True):
    """The scheduler wants a word: a ping, or the daemon's state as text."""

    answer: bytes


class Goodbye(Struct, frozen=True):
    """The scheduler says that it ends."""


Message = UseNode | UseNone | Accepted | Asked | Goodbye

_LENGTH = Layout("!I")
_TWO = Layout("!II")
_THREE = Layout("!III")
_STATS = Layout("!IIIII")
_DONE = Layout("!IIIIIIIIIIII")
_ENVIRONMENTS = _LENGTH.pack(1) + encode_text(PLATFORM) + encode_text(TOOLCHAIN)
_NO_PREFERENCE = encode_text("") + _TWO.pack(0, 0)
"""No preferred host; minimal protocol of the node, twice (as a flag since 31, as a number since 34)."""


def login(name: str, port: int, slots: int, *, no_remote: bool) -> bytes:
    """A daemon says what it is; it holds the environment and may chroot."""
    body = _TWO.pack(port, slots) + _ENVIRONMENTS + encode_text(name) + encode_text(PLATFORM)
    return encode(DaemonMessage.LOGIN, body + _THREE.pack(1, no_remote, COMPRESSIONS))


def stats(load: int, averages: tuple[float, float, float], free_memory: int) -> bytes:
    """A daemon's load (0–1000), load averages over 1, 5 and 15 minutes, and free memory in MiB."""
    one, five, fifteen = (int(average * 1000) for average in averages)
    return encode(DaemonMessage.STATS, _STATS.pack(load, one, five, fifteen, free_memory))


def request(file: str, language: int, client: int, clients: int) -> bytes:
    """A submitter asks for a node; ``client`` comes back with the answer, ``clients`` is how many jobs it has."""
    parts = (
        _ENVIRONMENTS,
        encode_text(file),
        _TWO.pack(language, 1),
        encode_text(PLATFORM),
        _TWO.pack(0, client),  # no argument flags
        _NO_PREFERENCE,
        _THREE.pack(clients, 0, 0),  # no features required, not nice
    )
    return encode(DaemonMessage.GET_CS, b"".join(parts))


def job_begin(job: int, started: int, clients: int) -> bytes:
    """A node compiles, by its clock."""
    return encode(DaemonMessage.JOB_BEGIN, _THREE.pack(job, started, clients))


def job_done(
    job: int, code: int, real: int, user: int, in_bytes: int, out_bytes: int, *, by_submitter: bool, clients: int
) -> bytes:
    """A job has ended with that exit code; times in milliseconds."""
    times = (real, user, user // 20, 0)
    sizes = (in_bytes // 4, in_bytes, out_bytes, out_bytes)  # iceccd 1.4 too tells no compressed size of the output
    return encode(DaemonMessage.JOB_DONE, _DONE.pack(job, code, *times, *sizes, by_submitter, clients))


def local_begin(file: str, client: int, started: int) -> bytes:
    """A submitter compiles or links by itself."""
    return encode(DaemonMessage.JOB_LOCAL_BEGIN, _LENGTH.pack(started) + encode_text(file) + _LENGTH.pack(client))


def local_done(client: int) -> bytes:
    """Tells the scheduler that a job of this client's own has ended."""
    return encode(DaemonMessage.JOB_LOCAL_DONE, _LENGTH.pack(client))


class DaemonSession:
    """A daemon's side of one connection: takes bytes in any pieces, gives messages and the bytes to send."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._channel = Channel(DAEMON_PROTOCOL, DAEMON_PROTOCOL)

    def greeting(self) -> bytes:
        """What to send first."""
        return self._channel.greeting()

    @property
    def ready(self) -> bool:
        """The version is agreed: it is time to log in."""
        return bool(self._channel.protocol)

    def receive(self, data: bytes) -> tuple[list[Message], bytes]:
        """The messages that ``data`` completes, and what to answer. Raises ProtocolError."""
        answer = self._channel.receive(data)
        try:
            decoded = [self._decode(*each) for each in self._channel.messages()]
        except LayoutError:
            raise ProtocolError("A message is incomplete.") from None
        return [message for message in decoded if message is not None], answer

    def _decode(self, kind: int, data: bytes, at: int, end: int) -> Message | None:
        match kind:
            case DaemonMessage.USE_CS:
                return _use_node(data, at, end)
            case DaemonMessage.NO_CS:
                return UseNone(*_TWO.unpack_from(data[at:end]))
            case DaemonMessage.CS_CONF:
                return Accepted()
            case DaemonMessage.PING:
                return Asked(encode(DaemonMessage.PING))
            case DaemonMessage.GET_INTERNALS:
                return Asked(encode(DaemonMessage.STATUS_TEXT, encode_text(f"Node Name: {self.name}\n  Simulated\n")))
            case DaemonMessage.END:
                return Goodbye()
        return None


def _use_node(data: bytes, at: int, end: int) -> UseNode:
    job, port = _TWO.unpack_from(data, at)
    address, at = decode_text(data, at + 8, end)
    _, at = decode_text(data, at, end)  # platform
    _, client = _TWO.unpack_from(data[at:end])
    return UseNode(job=job, address=address, port=port, client=client)
