"""icecream's messages, as far as a monitor meets them: bytes in, events out, no I/O.

Source: services/comm.h and comm.cpp of icecc/icecream.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from struct import Struct as Layout
from struct import error as LayoutError

from msgspec import Struct

from farm.scheduler.channel import Channel, ProtocolError, decode_text, encode


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

_Decoder = Callable[[bytes, int, int], Event]
"""Decodes the message body between two offsets; raises LayoutError or ProtocolError."""


def _exactly(at: int, end: int) -> None:
    if at != end:
        raise ProtocolError("A message has the wrong length for its type.")


def _job_requested(data: bytes, at: int, end: int) -> Event:
    file, at = decode_text(data, at, end)
    _exactly(at + 12, end)
    language, job, submitter = _THREE.unpack_from(data, at)
    return JobRequested(job, submitter, file, language)


def _job_requested_in_full(data: bytes, at: int, end: int, protocol: int) -> Event:
    """Up to protocol 28 the monitor gets all that the submitter has sent."""
    (environments,) = _INT.unpack_from(data, at)
    at += 4
    for _ in range(2 * environments):
        _, at = decode_text(data, at, end)
    file, at = decode_text(data, at, end)
    language, _ = _TWO.unpack_from(data, at)  # and a count
    _, at = decode_text(data, at + 8, end)  # target platform
    at += 8  # argument flags, the submitter's client id
    if protocol >= 22:
        _, at = decode_text(data, at, end)  # preferred host
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
    file, after = decode_text(data, at + 12, end)
    _exactly(after, end)
    host, job, started = _THREE.unpack_from(data, at)
    return LocalBegun(job, host, started, file)


def _local_done(data: bytes, at: int, end: int) -> Event:
    _exactly(at + 4, end)
    return LocalDone(_INT.unpack_from(data, at)[0])


def _stats(data: bytes, at: int, end: int) -> Event:
    text, after = decode_text(data, at + 4, end)
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


class MonitorSession:
    """A monitor's side of one connection: takes bytes in any pieces, gives events and the bytes to send."""

    def __init__(self) -> None:
        self._channel = Channel()
        self._decoders: dict[int, _Decoder] = {}
        self.events: list[Event] = []
        """What came last and was understood, also when a fault followed it."""

    @property
    def protocol(self) -> int:
        """What both sides speak; 0 until it is agreed."""
        return self._channel.protocol

    def greeting(self) -> bytes:
        """What to send first."""
        return self._channel.greeting()

    @property
    def unfinished(self) -> bool:
        """More bytes are due: in the midst of the handshake or of a message, silence is a fault."""
        return self._channel.unfinished

    def receive(self, data: bytes) -> tuple[list[Event], bytes]:
        """The events that ``data`` completes, and what to answer. Raises ProtocolError."""
        events = self.events = []
        answer = self._channel.receive(data)
        if self.protocol and not self._decoders:
            self._decoders = _decoders(self.protocol)
            answer += encode(MonitorMessage.MON_LOGIN)
        decoders = self._decoders
        try:
            for kind, body, at, end in self._channel.messages():
                decoder = decoders.get(kind)
                if decoder is not None:
                    events.append(decoder(body, at, end))
                elif not MonitorMessage.FIRST <= kind <= MonitorMessage.LAST:
                    raise ProtocolError(f"Unknown message type {kind}.")
        except LayoutError:
            raise ProtocolError("A message is incomplete.") from None
        return events, answer
