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

VERSION = 44
"""The highest protocol we speak: icecream's git master; 1.4 speaks 43."""
OLDEST = 21
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


class Kind(IntEnum):
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


class NodeStats(Struct, frozen=True):
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
    """MiB, likewise."""


class NodeOffline(Struct, frozen=True):
    """A daemon is gone; its host id may never have been seen before."""

    host: int


class JobRequested(Struct, frozen=True):
    """A submitter asks for a node."""

    job: int
    submitter: int
    """Host id."""
    file: str
    """Its last three path parts."""
    language: int
    """0 C, 1 C++, 2 Objective-C, 3 Objective-C++, 4 custom."""


class JobBegun(Struct, frozen=True):
    """A node compiles; it may be the submitter itself."""

    job: int
    host: int
    started: int
    """Unix time by the node's clock, which may be off."""


class JobDone(Struct, frozen=True):
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


class LocalBegun(Struct, frozen=True):
    """A submitter compiles (or links) by itself, without asking for a node or after one failed."""

    job: int
    host: int
    started: int
    file: str


class LocalDone(Struct, frozen=True):
    """It has ended."""

    job: int


class SchedulerEnd(Struct, frozen=True):
    """The scheduler says goodbye."""


Event = NodeStats | NodeOffline | JobRequested | JobBegun | JobDone | LocalBegun | LocalDone | SchedulerEnd

_INT = Layout("!I")
_HEAD = Layout("!II")
_THREE = Layout("!III")
_DONE = Layout("!IiIIIIIIIII")
_GREETING = Layout("<I")


class _Body:
    """Reads a message's body from the front; raises ProtocolError when it is too short."""

    __slots__ = ("data", "offset", "protocol")

    def __init__(self, data: memoryview, protocol: int) -> None:
        self.data = data
        self.offset = 0
        self.protocol = protocol

    def take(self, layout: Layout) -> tuple[int, ...]:
        try:
            values = layout.unpack_from(self.data, self.offset)
        except LayoutError:
            raise ProtocolError("A message ends too early.") from None
        self.offset += layout.size
        return values

    def integer(self) -> int:
        return self.take(_INT)[0]

    def text(self) -> str:
        """A C string: what follows an inner NUL is dropped, as the reference does."""
        end = self.integer() + self.offset
        if end > len(self.data):
            raise ProtocolError("A string is longer than its message.")
        raw = bytes(self.data[self.offset : end])
        if raw and raw[-1]:
            raise ProtocolError("A string has no end.")
        self.offset = end
        return raw.partition(b"\0")[0].decode(errors="replace")

    def skip_get_cs(self) -> None:
        """What GET_CS has after the language, up to protocol 28."""
        self.integer()  # count
        self.text()  # target platform
        self.integer()  # argument flags
        self.integer()  # client id
        if self.protocol >= 22:
            self.text()  # preferred host

    def skip_environments(self) -> None:
        for _ in range(self.integer()):
            self.text()
            self.text()


def _job_requested(body: _Body) -> Event:
    whole = body.protocol < 29
    if whole:
        body.skip_environments()
    file = body.text()
    language = body.integer()
    if whole:
        body.skip_get_cs()
    return JobRequested(job=body.integer(), submitter=body.integer(), file=file, language=language)


def _job_begun(body: _Body) -> Event:
    job, started, host = body.take(_THREE)
    return JobBegun(job=job, host=host, started=started)


def _job_done(body: _Body) -> Event:
    job, code, real, user, system, faults, in_compressed, in_bytes, out_compressed, out_bytes, flags = body.take(_DONE)
    if body.protocol >= 39:
        body.integer()  # the daemon's client count
    sizes = (in_compressed, in_bytes, out_compressed, out_bytes)
    return JobDone(job, code, real, user, system, faults, *sizes, from_submitter=bool(flags & 1))


def _local_begun(body: _Body) -> Event:
    host, job, started = body.take(_THREE)
    return LocalBegun(job=job, host=host, started=started, file=body.text())


def _local_done(body: _Body) -> Event:
    return LocalDone(body.integer())


def _stats(body: _Body) -> Event:
    host = body.integer()
    values = dict(line.partition(":")[::2] for line in body.text().split("\n") if ":" in line)
    if "IP" not in values:
        return NodeOffline(host)
    averages = [_whole(values[key]) / 1000 for key in ("LoadAvg1", "LoadAvg5", "LoadAvg10") if key in values]
    return NodeStats(
        host=host,
        name=values.get("Name", ""),
        address=values["IP"],
        max_jobs=_whole(values.get("MaxJobs", "")),
        no_remote=values.get("NoRemote") == "true",
        platform=values.get("Platform", ""),
        protocol=_whole(values.get("Version", "")),
        features=tuple(name for name in values.get("Features", "").split() if name != "--"),
        speed=_speed(values.get("Speed", "")),
        load=_whole(values.get("Load", "")),
        load_averages=(averages[0], averages[1], averages[2]) if len(averages) == 3 else None,
        free_memory=_whole(values["FreeMem"]) if "FreeMem" in values else None,
    )


def _whole(text: str) -> int:
    """A number, or 0: a daemon's name may put any line into the text, and that must not end the connection."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0


def _speed(text: str) -> float:
    whole, _, fraction = text.partition(".")
    if not (f"{whole}{fraction}".isascii() and f"{whole}{fraction}".isdigit() and len(text) < 40):
        return 0.0
    return float(text)


_DECODERS: dict[int, Callable[[_Body], Event]] = {
    Kind.MON_GET_CS: _job_requested,
    Kind.GET_CS: _job_requested,  # git master's label for the same body
    Kind.MON_JOB_BEGIN: _job_begun,
    Kind.MON_JOB_DONE: _job_done,
    Kind.JOB_DONE: _job_done,  # likewise
    Kind.MON_LOCAL_JOB_BEGIN: _local_begun,
    Kind.JOB_LOCAL_DONE: _local_done,
    Kind.MON_STATS: _stats,
    Kind.END: lambda body: SchedulerEnd(),
}


def encode(kind: int, body: bytes = b"") -> bytes:
    """A message, framed."""
    return _HEAD.pack(len(body) + 4, kind) + body


def encode_text(text: str) -> bytes:
    """A string as message bodies hold it."""
    raw = text.encode() + b"\0"
    return _INT.pack(len(raw)) + raw


def encode_version(protocol: int) -> bytes:
    """A version number as the handshake holds it."""
    return _GREETING.pack(protocol)


def decode(message: memoryview, protocol: int) -> Event | None:
    """One message without its length; None for those that mean nothing to a monitor. Raises ProtocolError."""
    body = _Body(message, protocol)
    kind = body.integer()
    if not Kind.FIRST <= kind <= Kind.LAST:
        raise ProtocolError(f"There is no message of type {kind}.")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        return None
    event = decoder(body)
    if body.offset != len(message):
        raise ProtocolError(f"A message of type {kind} is {len(message) - body.offset} bytes too long.")
    return event


class Session:
    """A monitor's side of one connection: takes bytes in any pieces, gives events and the bytes to send."""

    def __init__(self) -> None:
        self.protocol = 0
        """What both sides speak; 0 until it is agreed."""
        self._offered = 0
        self._buffer = bytearray()

    @staticmethod
    def greeting() -> bytes:
        """What to send first."""
        return encode_version(VERSION)

    @property
    def unfinished(self) -> bool:
        """More bytes are due: in the midst of the handshake or of a message, silence is a fault."""
        return not self.protocol or bool(self._buffer)

    def receive(self, data: bytes) -> tuple[list[Event], bytes]:
        """The events that ``data`` completes, and what to answer. Raises ProtocolError."""
        self._buffer += data
        answer = b"" if self.protocol else self._handshake()
        return self._messages() if self.protocol else [], answer

    def _handshake(self) -> bytes:
        answer = b""
        while not self.protocol and len(self._buffer) >= 4:
            (version,) = _GREETING.unpack_from(self._buffer)
            del self._buffer[:4]
            if not self._offered:
                if not OLDEST <= version <= MAX_VERSION:
                    raise ProtocolError(f"It speaks protocol {version}; {OLDEST} to {VERSION} are known.")
                self._offered = min(version, VERSION)
                answer += encode_version(self._offered)
            elif version == self._offered:
                self.protocol = version
                answer += encode(Kind.MON_LOGIN)
            else:
                raise ProtocolError(f"It answers with protocol {version} where {self._offered} was agreed.")
        return answer

    def _messages(self) -> list[Event]:
        events: list[Event] = []
        try:
            with memoryview(self._buffer) as view:
                start = self._decode_all(view, events)
        except ProtocolError as error:
            error.events = events
            raise
        del self._buffer[:start]
        return events

    def _decode_all(self, view: memoryview, events: list[Event]) -> int:
        """Decode the whole messages at the front of ``view``; how many bytes they are."""
        start, available = 0, len(view)
        while available - start >= 4:
            (length,) = _INT.unpack_from(view, start)
            if not 4 <= length <= MAX_MESSAGE:
                raise ProtocolError(f"A message of {length} bytes is announced; 4 to {MAX_MESSAGE} are allowed.")
            end = start + 4 + length
            if end > available:
                break
            with view[start + 4 : end] as message:
                event = decode(message, self.protocol)
            if event is not None:
                events.append(event)
            start = end
        return start
