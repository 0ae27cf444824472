"""Plays a room: the plan as JSON is the argument; how each node fared is printed as JSON."""

from __future__ import annotations

import asyncio
import gc
import mmap
import resource
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import msgspec

from tests.storm.node import Node
from tests.storm.plan import Plan, Told
from tests.storm.wire import Wire


async def play(plan: Plan) -> list[Told]:
    """Switch all nodes on at once, and wait until all have booted or the time is over."""
    with Wire(plan.interface) as wire:
        began = time.monotonic()
        nodes = [Node(number, plan, wire, contents, began) for number in range(plan.nodes)]
        boots = [asyncio.create_task(_boot(node)) for node in nodes]
        _, late = await asyncio.wait(boots, timeout=plan.patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*boots, return_exceptions=True)
        return [node.told() for node in nodes]


async def _boot(node: Node) -> None:
    try:
        await node.boot()
    except (ValueError, IndexError) as error:
        node.error = f"{type(error).__name__}: {error}"


@cache
def contents(path: Path) -> memoryview:
    """A file, once for all nodes that compare it with what they get."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def main() -> None:
    """Play the room that is described."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    # A connection of each node, and a few files.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    # All addresses that nodes get are this machine's, without a list of them.
    subprocess.run(["ip", "route", "add", "local", plan.addresses, "dev", plan.interface], check=True)
    gc.disable()
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(play(plan))) + b"\n")


if __name__ == "__main__":
    main()
