"""The screen of a virtual machine, as a picture."""

from __future__ import annotations

from dataclasses import dataclass

from farm.errors import FarmError
from farm.home import Home
from farm.virtual.qemu import qmp_socket
from farm.virtual.qmp import Qmp

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """What is on a screen: a PNG file's content, and its size in pixels."""

    data: bytes
    width: int
    height: int


def picture(home: Home, name: str) -> Picture:
    """What is on the screen of a machine now; raises FarmError."""
    target = qmp_socket(home, name).with_suffix(".png")
    try:
        with Qmp(name, qmp_socket(home, name)) as machine:
            machine.execute("screendump", filename=str(target), format="png")
        return read(target.read_bytes())
    finally:
        target.unlink(missing_ok=True)


def read(data: bytes) -> Picture:
    """A PNG file's content, with the size that its header tells (PNG specification, section 11.2.2)."""
    if data[:8] != PNG or data[12:16] != b"IHDR":
        raise FarmError("QEMU made no picture of the screen.", "What it wrote is not a PNG file.", "Try again.")
    return Picture(data, int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
