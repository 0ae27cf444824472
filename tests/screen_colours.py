"""What is on the screen of a virtual machine, by its colours: pictures are not compared point by point."""

from __future__ import annotations

from collections import Counter

from farm.home import Home
from farm.virtual.qemu import qmp_socket
from farm.virtual.qmp import Qmp


def screen_colours(home: Home, name: str) -> Counter[bytes]:
    """How many points of a machine's screen have each colour: red, green and blue, a byte each."""
    target = qmp_socket(home, name).with_suffix(".ppm")
    with Qmp(name, qmp_socket(home, name)) as machine:
        machine.execute("screendump", filename=str(target), format="ppm")
    points = target.read_bytes().split(b"\n", 3)[3]
    target.unlink()
    return Counter(points[at : at + 3] for at in range(0, len(points), 3))
