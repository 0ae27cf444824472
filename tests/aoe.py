"""An AoE initiator of a few lines, to talk to a target as a node would, or as an attacker (AoE specification)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

AOE = 0x88A2
ATA, CONFIG, MAC_MASK, RESERVE = 0, 1, 2, 3
READ, READ_EXT, WRITE, WRITE_EXT, IDENTIFY = 0x20, 0x24, 0x30, 0x34, 0xEC
QUERY, SET, FORCE_SET = 0, 3, 4
"""Subcommands of CONFIG."""
FORCE_RESERVE = 2
"""Subcommand of RESERVE."""
Tags = Sequence[tuple[int, int]]
"""VLAN tags, outermost first: type (0x8100 or 0x88a8), VLAN number."""


@dataclass(frozen=True)
class Answer:
    """What a target says: its error code (0: none), and what follows the header."""

    error: int
    body: bytes


EVERYBODY = "ff:ff:ff:ff:ff:ff"


class Initiator:
    """Frames from one interface, with a MAC of its own; made and used inside the interface's namespace."""

    def __init__(self, interface: str, *, mac: str, shelf: int = 7, slot: int = 1, to: str = EVERYBODY) -> None:
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self._target = struct.pack("!HB", shelf, slot)
        self._to = bytes.fromhex(to.replace(":", ""))
        self._tag = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(AOE))
        self._socket.bind((interface, AOE))
        self._socket.settimeout(0.4)

    def __enter__(self) -> Initiator:
        return self

    def __exit__(self, *args: object) -> None:
        self._socket.close()

    def ask(self, command: int, body: bytes, *, vlans: Tags = ()) -> Answer | None:
        """Send a frame, by default to all targets on the wire, with these VLAN tags, and return the answer, or None."""
        self._tag += 1
        tagged = b"".join(struct.pack("!HH", kind, number) for kind, number in vlans)
        header = struct.pack("!HBB3sBI", AOE, 0x10, 0, self._target, command, self._tag)
        self._socket.send((self._to + self.mac + tagged + header + body).ljust(60, b"\0"))
        while True:
            try:
                frame = self._socket.recv(9216)
            except TimeoutError:
                return None
            if frame[:6] == self.mac and frame[14] & 8 and struct.unpack("!I", frame[20:24])[0] == self._tag:
                return Answer(frame[15], frame[24:])

    def ata(self, command: int, *, lba: int = 0, data: bytes = b"", vlans: Tags = ()) -> Answer | None:
        """An ATA command for one sector."""
        flags = (0x40 if command in (READ_EXT, WRITE_EXT) else 0) | (1 if data else 0)
        sectors = 0 if command == IDENTIFY else 1
        return self.ask(ATA, struct.pack("<BBBBQ", flags, 0, sectors, command, lba)[:12] + data, vlans=vlans)

    def read(self, lba: int = 0, command: int = READ_EXT) -> bytes | None:
        """A sector, or None when the target does not answer or refuses."""
        answer = self.ata(command, lba=lba)
        return answer.body[12 : 12 + 512] if answer and not answer.error else None

    def config(self, subcommand: int, text: bytes = b"") -> Answer | None:
        """Ask for the configuration string, or change it."""
        return self.ask(CONFIG, struct.pack("!HHBBH", 0, 0, 0, 0x10 | subcommand, len(text)) + text)

    def config_string(self) -> bytes | None:
        """The target's configuration string."""
        answer = self.config(QUERY)
        if answer is None:
            return None
        (length,) = struct.unpack("!H", answer.body[6:8])
        return answer.body[8 : 8 + length]

    def reserve(self, *macs: str, vlans: Tags = ()) -> Answer | None:
        """Force the target to listen to these MACs only."""
        body = bytes([FORCE_RESERVE, len(macs)]) + b"".join(bytes.fromhex(mac.replace(":", "")) for mac in macs)
        return self.ask(RESERVE, body, vlans=vlans)

    def allow_only(self, mac: str) -> Answer | None:
        """Add a MAC to the target's list of those it answers (directive 1: add)."""
        return self.ask(MAC_MASK, bytes([0, 1, 0, 1]) + bytes([0, 1]) + bytes.fromhex(mac.replace(":", "")))
