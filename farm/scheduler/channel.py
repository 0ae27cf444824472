"""icecream's framing, which all its programs share: the handshake and whole messages; bytes in, bytes out, no I/O.

Source: MsgChannel in services/comm.cpp of icecc/icecream. Both ends begin with the highest version that they speak,
answer with the lower of the two, and go on when they have got the same back; versions are little-endian. Then every
message is a big-endian length (which does not count itself), a big-endian type and a body.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct as Layout

from farm.errors import FarmError

NEWEST_PROTOCOL = 44
"""The highest protocol we speak: icecream's git master; 1.4 speaks 43."""
OLDEST_PROTOCOL = 21
MAX_MESSAGE = 1 << 20
MAX_VERSION = 1 << 20
"""A peer that claims more is no icecream (MsgChannel::update_state)."""

_INT = Layout("!I")
_HEAD = Layout("!II")
_VERSION = Layout("<I")

Message = tuple[int, bytes, int, int]
"""Its type, and the bytes in which its body lies, from and to."""


class ProtocolError(FarmError):
    """The peer sent what the protocol does not allow; the connection cannot go on."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "The scheduler's answer is not valid.",
            why,
            "Check that an icecream scheduler answers at this address and port: farm status",
        )


def encode(kind: int, body: bytes = b"") -> bytes:
    """The bytes of a message: its length, its kind and its body."""
    return _HEAD.pack(len(body) + 4, kind) + body


def encode_text(text: str) -> bytes:
    """A string as message bodies hold it; a path may be any bytes (os.fsdecode)."""
    raw = text.encode(errors="surrogateescape") + b"\0"
    return _INT.pack(len(raw)) + raw


def encode_version(protocol: int) -> bytes:
    """A version number as the handshake holds it."""
    return _VERSION.pack(protocol)


def decode_text(data: bytes, at: int, end: int) -> tuple[str, int]:
    """The string at an offset, and where it ends: what follows an inner NUL is dropped, as the reference does.

    Raises ProtocolError, or struct.error when there is not even a length.
    """
    start = at + 4
    after = start + _INT.unpack_from(data, at)[0]
    if after > end:
        raise ProtocolError("A string is longer than its message.")
    raw = data[start:after]
    if raw and raw[-1]:
        raise ProtocolError("A string has no end.")
    return raw[: raw.find(0)].decode(errors="replace") if raw else "", after


class Channel:
    """One end of a connection: takes bytes in any pieces, gives whole messages and what to answer."""

    def __init__(self, newest: int = NEWEST_PROTOCOL, oldest: int = OLDEST_PROTOCOL) -> None:
        self._newest, self._oldest = newest, oldest
        self.protocol = 0
        """What both sides speak; 0 until it is agreed."""
        self.highest = 0
        """What the peer can speak; 0 until it has said."""
        self._buffer = bytearray()
        self._wanted = 0
        """Bytes that must be there before more of the buffer can be decoded."""

    def greeting(self) -> bytes:
        """What to send first."""
        return encode_version(self._newest)

    @property
    def unfinished(self) -> bool:
        """More bytes are due: in the midst of the handshake or of a message, silence is a fault."""
        return not self.protocol or bool(self._buffer)

    def receive(self, data: bytes) -> bytes:
        """Take in what came; what to answer. Raises ProtocolError."""
        self._buffer += data
        answer = b""
        while not self.protocol and len(self._buffer) >= 4:
            (version,) = _VERSION.unpack_from(self._buffer)
            del self._buffer[:4]
            answer += self._agree(version)
        return answer

    def _agree(self, version: int) -> bytes:
        if not self.highest:
            if version > MAX_VERSION:
                raise ProtocolError("The program that answers is not icecream.")
            if version < self._oldest:
                raise ProtocolError(f"Its protocol is {version}; {self._oldest} or later is needed.")
            self.highest = version
            return encode_version(min(version, self._newest))
        offered = min(self.highest, self._newest)
        if version != offered:
            raise ProtocolError(f"The answer has protocol {version} although {offered} was agreed.")
        self.protocol = version
        return b""

    def messages(self) -> Iterator[Message]:
        """The whole messages that have come; raises ProtocolError when what follows them is none."""
        if not self.protocol or len(self._buffer) < self._wanted:
            return
        data, start = bytes(self._buffer), 0
        available = len(data)
        while available - start >= 8:
            length, kind = _HEAD.unpack_from(data, start)
            end = start + 4 + length
            if end > available or not 4 <= length <= MAX_MESSAGE:
                break
            yield kind, data, start + 8, end
            start = end
        del self._buffer[:start]
        self._wanted = 4
        if available - start >= 4:
            (length,) = _INT.unpack_from(data, start)
            if not 4 <= length <= MAX_MESSAGE:
                raise ProtocolError(f"A message of {length} bytes is announced; 4 to {MAX_MESSAGE} are allowed.")
            self._wanted += length
