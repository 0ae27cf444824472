"""A host on the lab's segment that answers for an AoE target, with one byte of its file changed.

    python -m tests.e2e.forger INTERFACE SLOT FILE BYTE

Run inside the lab's network namespace; BYTE is the place of the changed byte. Nothing in AoE tells it from the server.
"""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

from tests.aoe import AOE, ATA, READ, READ_EXT

ANSWER, READY = 0x08, 0x40
SECTOR = 512


def forged(frame: bytes, own: bytes, slot: int, data: bytearray) -> bytes | None:
    """The answer to a request to read (AoE specification, section 3); None when the frame is none."""
    flags, shelf_slot, command = frame[14], frame[16:19], frame[19]
    if flags & ANSWER or shelf_slot[2] != slot or command != ATA or frame[27] not in (READ, READ_EXT):
        return None
    sectors, start = frame[26], int.from_bytes(frame[28:34], "little") * SECTOR
    header = struct.pack("!6s6sHBB3sB4s", frame[6:12], own, AOE, 0x10 | ANSWER, 0, shelf_slot, ATA, frame[20:24])
    ata = bytes([frame[24], 0, sectors, READY]) + frame[28:36]
    return header + ata + data[start : start + sectors * SECTOR].ljust(sectors * SECTOR, b"\0")


def main(interface: str, slot: int, file: Path, byte: int) -> None:
    """Answer until the process is ended."""
    data = bytearray(file.read_bytes())
    data[byte] ^= 1
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(AOE)) as lab:
        lab.bind((interface, AOE))
        own = lab.getsockname()[4]
        sys.stdout.write("answers\n")
        sys.stdout.flush()
        while True:
            frame = lab.recv(65536)
            if len(frame) >= 36 and (answer := forged(frame, own, slot, data)):
                lab.send(answer)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
