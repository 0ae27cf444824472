"""Records what a real scheduler tells a monitor.

``sudo .venv/bin/python -m tests.recording tests/data/monitor-1.4.bin`` makes that file anew.
Two daemons log in, a few files are compiled (on the other daemon, on the submitter's own, one with an error), one is
linked, and a daemon leaves. Ids, times and loads differ from one recording to the next; the story is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from farm.scheduler.connection import connect, poking
from farm.scheduler.control import list_nodes
from farm.scheduler.protocol import MonitorSession, NodeOffline
from tests.lab import Namespace, namespaces, until

SERVER = "10.99.33.1"
PORT = 8765
JOBS = """
cd {sources}
PATH=/usr/lib/icecc/bin:$PATH
for n in 1 2 3; do ICECC_PREFERRED_HOST=pc02 gcc -c part$n.c; done
ICECC_PREFERRED_HOST=pc01 gcc -c part4.c
ICECC_PREFERRED_HOST=pc02 gcc -c broken.c
gcc main.c part1.o -o main
"""


async def record(lab: Namespace) -> bytes:
    """The bytes of one session, from the greeting to a daemon's leaving."""
    await asyncio.to_thread(lab.iceccd, "pc01", SERVER, "-m", "2")
    other = await asyncio.to_thread(lab.iceccd, "pc02", SERVER, "-m", "3", "-p", "10300")
    await asyncio.to_thread(until, lambda: lab.gather(_takes_jobs()) == 2, "no node gets jobs")

    def story() -> None:
        _compile(lab)
        lab.stop(other)

    recorded = bytearray()
    session = MonitorSession()
    async with asyncio.timeout(120), connect(SERVER, PORT) as (reader, writer), poking(SERVER, PORT):
        writer.write(session.greeting())
        telling = asyncio.create_task(asyncio.to_thread(story))
        while data := await reader.read(1 << 16):
            recorded += data
            events, answer = session.receive(data)
            writer.write(answer)
            if any(isinstance(event, NodeOffline) for event in events):
                break
        await telling
    return bytes(recorded)


async def _takes_jobs() -> int:
    return sum(node.load < 1000 for node in await list_nodes(SERVER, PORT))


def _compile(lab: Namespace) -> None:
    sources = lab.folder / "sources"
    sources.mkdir()
    for n in range(1, 5):
        (sources / f"part{n}.c").write_text(f"int part{n}(void) {{ return {n}; }}\n")
    (sources / "broken.c").write_text("int broken(void) { return nothing; }\n")
    (sources / "main.c").write_text("int main(void) { return 0; }\n")
    argv = ("sh", "-c", JOBS.format(sources=sources))
    lab.start("compile", *argv, icecc_folder=lab.folder / "pc01-icecc").wait(timeout=100)


def main() -> None:
    """Write a recording to the file that is named."""
    with namespaces(f"{SERVER}/24") as (lab,), contextlib.redirect_stdout(sys.stderr):
        lab.scheduler()
        Path(sys.argv[1]).write_bytes(lab.gather(record(lab)))


if __name__ == "__main__":
    main()
