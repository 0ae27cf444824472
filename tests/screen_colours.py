"""What is on the screen of a virtual machine, by its colours: pictures are not compared point by point."""

from __future__ import annotations

from collections import Counter

from farm.home import Home
from farm.virtual.qemu import qmp_socket
from farm.virtual.qmp import Qmp


def screen_colours(home: Home, name: str, first: int = 0, last: int | None = None) -> Counter[bytes]:
    """How many points of a machine's screen have each colour: red, green and blue, a byte each.

    ``first``, ``last``: of its lines, those from this one to the one before that.
    """
    target = qmp_socket(home, name).with_suffix(".ppm")
    with Qmp(name, qmp_socket(home, name)) as machine:
        machine.execute("screendump", filename=str(target), format="ppm")
    _, size, _, points = target.read_bytes().split(b"\n", 3)
    target.unlink()
    line = 3 * int(size.split()[0])
    part = points[first * line : None if last is None else last * line]
    return Counter(part[at : at + 3] for at in range(0, len(part), 3))
