"""icecream's wire protocol, as far as a monitor meets it: bytes in, events out, no I/O.

Source: services/comm.h and comm.cpp of icecc/icecream. After a handshake of little-endian version numbers, every
message is a big-endian length (which does not count itself), a big-endian type and a body.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from struct import Struct as Layout
from struct import error as LayoutError

from msgspec import Struct

from farm.errors import FarmError

NEWEST_PROTOCOL = 44
"""The highest protocol we speak: icecream's git master; 1.4 speaks 43."""
OLDEST_PROTOCOL = 21
MAX_MESSAGE = 1 << 20
MAX_VERSION = 1 << 20
"""A peer that claims more is no icecream (MsgChannel::update_state)."""


class ProtocolError(FarmError):
    """The scheduler sent what the protocol does not allow; the connection cannot go on.

    ``events``: what came with it and was understood.
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            "The scheduler's answer cannot be understood.",
            why,
            "Check that an icecream scheduler answers at this address and port: farm status",
        )
        self.events: list[Event] = []


class MonitorMessage(IntEnum):
    """Message types that a monitor meets, and the ends of the range (MsgType in comm.h)."""

    FIRST = 65
    END = 67
    GET_CS = 71
    JOB_DONE = 77
    JOB_LOCAL_DONE = 79
    MON_LOGIN = 82
    MON_GET_CS = 83
    MON_JOB_BEGIN = 84
    MON_JOB_DONE = 85
    MON_LOCAL_JOB_BEGIN = 86
    MON_STATS = 87
    LAST = 96


class NodeStats(Struct, frozen=True, gc=False):
    """What the scheduler knows of a daemon. ``host`` is good for one login only: name and address identify a node."""

    host: int
    name: str
    address: str
    max_jobs: int
    no_remote: bool
    platform: str
    protocol: int
    features: tuple[str, ...]
    speed: float
    """Output bytes per user millisecond, weighted; 0: never measured."""
    load: int
    """0–1000; at 1000 it gets no job."""
    load_averages: tuple[float, float, float] | None = None
    """Over 1, 5 and 15 minutes; only when a report of the daemon caused the message."""
    free_memory: int | None = None
    """In MiB; like the load averages, only when a report of the daemon caused the message."""


class NodeOffline(Struct, frozen=True, gc=False):
    """A daemon is gone; its host id may never have been seen before."""

    host: int


class NodeForged(Struct, frozen=True, gc=False):
    """A daemon has put lines of its own into the text about it, by its name or platform: nothing of it is believed."""

    host: int


class JobRequested(Struct, frozen=True, gc=False):
    """A submitter asks for a node."""

    job: int
    submitter: int
    """The host id of the daemon that asked for a node."""
    file: str
    """Its last three path parts."""
    language: int
    """0 C, 1 C++, 2 Objective-C, 3 Objective-C++, 4 custom."""


class JobBegun(Struct, frozen=True, gc=False):
    """A node compiles; it may be the submitter itself."""

    job: int
    host: int
    started: int
    """Unix time by the node's clock, which may be off."""


class JobDone(Struct, frozen=True, gc=False):
    """A job has ended, perhaps before it began. Times in milliseconds, sizes in bytes."""

    job: int
    exit: int
    """Of the compiler; 255: daemon lost, 118: the client could not use the node, 107: the client is gone."""
    real: int
    user: int
    system: int
    page_faults: int
    in_compressed: int
    in_bytes: int
    out_compressed: int
    out_bytes: int
    from_submitter: bool


class LocalBegun(Struct, frozen=True, gc=False):
    """A submitter compiles (or links) by itself, without asking for a node or after one failed."""

    job: int
    host: int
    started: int
    file: str


class LocalDone(Struct, frozen=True, gc=False):
    """A job that its submitter ran by itself has ended."""

    job: int


class SchedulerEnd(Struct, frozen=True, gc=False):
    """The scheduler says goodbye."""


Event = NodeStats | NodeOffline | NodeForged | JobRequested | JobBegun | JobDone | LocalBegun | LocalDone | SchedulerEnd

_INT = Layout("!I")
_TWO = Layout("!II")
_THREE = Layout("!III")
_DONE = Layout("!IiIIIIIIIII")
_GREETING = Layout("<I")

_Decoder = Callable[[bytes, int, int], Event]
"""Decodes the message body between two offsets; raises LayoutError or ProtocolError."""


def _text(data: bytes, at: int, end: int) -> tuple[str, int]:
    """The C string at an offset, and where it ends: what follows an inner NUL is dropped, as the reference does."""
    start = at + 4
    after = start + _INT.unpack_from(data, at)[0]
    if after > end:
        raise ProtocolError("A string is longer than its message.")
    raw = data[start:after]
    if raw and raw[-1]:
        raise ProtocolError("A string has no end.")
    return raw[: raw.find(0)].decode(errors="replace") if raw else "", after


def _exactly(at: int, end: int) -> None:
    if at != end:
        raise ProtocolError("A message is longer or shorter than its kind.")


def _job_requested(data: bytes, at: int, end: int) -> Event:
    file, at = _text(data, at, end)
    _exactly(at + 12, end)
    language, job, submitter = _THREE.unpack_from(data, at)
    return JobRequested(job, submitter, file, language)


def _job_requested_in_full(data: bytes, at: int, end: int, protocol: int) -> Event:
    """Up to protocol 28 the monitor gets all that the submitter has sent."""
    (environments,) = _INT.unpack_from(data, at)
    at += 4
    for _ in range(2 * environments):
        _, at = _text(data, at, end)
    file, at = _text(data, at, end)
    language, _ = _TWO.unpack_from(data, at)  # and a count
    _, at = _text(data, at + 8, end)  # target platform
    at += 8  # argument flags, the submitter's client id
    if protocol >= 22:
        _, at = _text(data, at, end)  # preferred host
    _exactly(at + 8, end)
    job, submitter = _TWO.unpack_from(data, at)
    return JobRequested(job, submitter, file, language)


def _job_begun(data: bytes, at: int, end: int) -> Event:
    _exactly(at + 12, end)
    job, started, host = _THREE.unpack_from(data, at)
    return JobBegun(job, host, started)


def _job_done(data: bytes, at: int, end: int) -> Event:
    _exactly(at + 44, end)
    job, code, real, user, system, faults, in_c, in_u, out_c, out_u, flags = _DONE.unpack_from(data, at)
    return JobDone(job, code, real, user, system, faults, in_c, in_u, out_c, out_u, bool(flags & 1))


def _local_begun(data: bytes, at: int, end: int) -> Event:
    file, after = _text(data, at + 12, end)
    _exactly(after, end)
    host, job, started = _THREE.unpack_from(data, at)
    return LocalBegun(job, host, started, file)


def _local_done(data: bytes, at: int, end: int) -> Event:
    _exactly(at + 4, end)
    return LocalDone(_INT.unpack_from(data, at)[0])


def _stats(data: bytes, at: int, end: int) -> Event:
    text, after = _text(data, at + 4, end)
    _exactly(after, end)
    (host,) = _INT.unpack_from(data, at)
    lines = [line.partition(":") for line in text.split("\n") if line]
    values = {key: value for key, _, value in lines}
    if len(values) < len(lines) or (lines and lines[0][0] == "Name" and (len(lines) < 2 or lines[1][0] != "IP")):
        return NodeForged(host)
    if "IP" not in values:
        return NodeOffline(host)
    averages = [_whole(values[key]) / 1000 for key in ("LoadAvg1", "LoadAvg5", "LoadAvg10") if key in values]
    return NodeStats(
        host,
        values.get("Name", ""),
        values["IP"],
        _whole(values.get("MaxJobs", "").removeprefix("-")),  # negative while the scheduler waits for a pong
        values.get("NoRemote") == "true",
        values.get("Platform", ""),
        _whole(values.get("Version", "")),
        _features(values.get("Features", "")),
        _speed(values.get("Speed", "")),
        _whole(values.get("Load", "")),
        (averages[0], averages[1], averages[2]) if len(averages) == 3 else None,
        _whole(values["FreeMem"]) if "FreeMem" in values else None,
    )


def _features(text: str) -> tuple[str, ...]:
    return tuple([name for name in text.split() if name != "--"])


def _whole(text: str) -> int:
    """A number, or 0: a daemon's name may put any line into the text, and that must not end the connection."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else 0


def _speed(text: str) -> float:
    return float(text) if len(text) < 40 and text.isascii() and text.replace(".", "", 1).isdecimal() else 0.0


def _end(data: bytes, at: int, end: int) -> Event:
    _exactly(at, end)
    return SchedulerEnd()


def _decoders(protocol: int) -> dict[int, _Decoder]:
    """Each kind of message that means something to a monitor, as that protocol has it."""

    def requested_in_full(data: bytes, at: int, end: int) -> Event:
        return _job_requested_in_full(data, at, end, protocol)

    def done_and_clients(data: bytes, at: int, end: int) -> Event:
        return _job_done(data, at, end - 4)  # the daemon's count of clients is left

    requested = _job_requested if protocol >= 29 else requested_in_full
    done = done_and_clients if protocol >= 39 else _job_done
    return {
        MonitorMessage.MON_GET_CS: requested,
        MonitorMessage.GET_CS: requested,  # git master's label for the same body
        MonitorMessage.MON_JOB_BEGIN: _job_begun,
        MonitorMessage.MON_JOB_DONE: done,
        MonitorMessage.JOB_DONE: done,  # likewise
        MonitorMessage.MON_LOCAL_JOB_BEGIN: _local_begun,
        MonitorMessage.JOB_LOCAL_DONE: _local_done,
        MonitorMessage.MON_STATS: _stats,
        MonitorMessage.END: _end,
    }


def encode(kind: int, body: bytes = b"") -> bytes:
    """The bytes of a message: its length, its kind and its body."""
    return _TWO.pack(len(body) + 4, kind) + body


def encode_text(text: str) -> bytes:
    """A string as message bodies hold it; a path may be any bytes (os.fsdecode)."""
    raw = text.encode(errors="surrogateescape") + b"\0"
    return _INT.pack(len(raw)) + raw


def encode_version(protocol: int) -> bytes:
    """A version number as the handshake holds it."""
    return _GREETING.pack(protocol)


class MonitorSession:
    """A monitor's side of one connection: takes bytes in any pieces, gives events and the bytes to send."""

    def __init__(self) -> None:
        self.protocol = 0
        """What both sides speak; 0 until it is agreed."""
        self._offered = 0
        self._decoders: dict[int, _Decoder] = {}
        self._buffer = bytearray()
        """The beginning of a message; no more is done about it before ``_wanted`` bytes are there."""
        self._wanted = 0

    @staticmethod
    def greeting() -> bytes:
        """What to send first."""
        return encode_version(NEWEST_PROTOCOL)

    @property
    def unfinished(self) -> bool:
        """More bytes are due: in the midst of the handshake or of a message, silence is a fault."""
        return not self.protocol or bool(self._buffer)

    def receive(self, data: bytes) -> tuple[list[Event], bytes]:
        """The events that ``data`` completes, and what to answer. Raises ProtocolError."""
        if self._buffer or not self.protocol:
            self._buffer += data
            if len(self._buffer) < self._wanted:
                return [], b""
            answer = b"" if self.protocol else self._handshake()
            data = bytes(self._buffer) if self.protocol else b""
        else:
            answer = b""
        return self._messages(data) if self.protocol else [], answer

    def _handshake(self) -> bytes:
        answer = b""
        while not self.protocol and len(self._buffer) >= 4:
            (version,) = _GREETING.unpack_from(self._buffer)
            del self._buffer[:4]
            if not self._offered:
                if version > MAX_VERSION:
                    raise ProtocolError("What answers there is no icecream scheduler.")
                if version < OLDEST_PROTOCOL:
                    raise ProtocolError(
                        f"It speaks protocol {version}; {OLDEST_PROTOCOL} to {NEWEST_PROTOCOL} are known."
                    )
                self._offered = min(version, NEWEST_PROTOCOL)
                answer += encode_version(self._offered)
            elif version == self._offered:
                self.protocol = version
                self._decoders = _decoders(version)
                answer += encode(MonitorMessage.MON_LOGIN)
            else:
                raise ProtocolError(f"It answers with protocol {version} where {self._offered} was agreed.")
        return answer

    def _messages(self, data: bytes) -> list[Event]:
        """The events of the whole messages in ``data``; the rest of it is kept."""
        events: list[Event] = []
        try:
            start = self._decode(data, events)
        except ProtocolError as error:
            error.events = events
            raise
        self._buffer[:] = data[start:]
        return events

    def _decode(self, data: bytes, events: list[Event]) -> int:
        """Decode the whole messages at the front of ``data``; how many bytes they are."""
        decoders, available, start = self._decoders, len(data), 0
        while available - start >= 8:
            length, kind = _TWO.unpack_from(data, start)
            end = start + 4 + length
            if end > available or not 4 <= length <= MAX_MESSAGE:
                break
            decoder = decoders.get(kind)
            if decoder is not None:
                try:
                    events.append(decoder(data, start + 8, end))
                except LayoutError:
                    raise ProtocolError("A message ends too early.") from None
            elif not MonitorMessage.FIRST <= kind <= MonitorMessage.LAST:
                raise ProtocolError(f"There is no message of type {kind}.")
            start = end
        self._wanted = 4
        if available - start >= 4:
            (length,) = _INT.unpack_from(data, start)
            if not 4 <= length <= MAX_MESSAGE:
                raise ProtocolError(f"A message of {length} bytes is announced; 4 to {MAX_MESSAGE} are allowed.")
            self._wanted = 4 + length
        return start
