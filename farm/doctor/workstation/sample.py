"""`python -m farm.doctor.workstation.sample ADDRESS`: a small source compiled on a daemon and here, on a server.

Prints ``right`` (the same bytes), ``wrong`` (others) or ``none`` (no object came from there). farmd runs it for daemons
that it does not know, so it runs nothing as root, and takes no more than a few megabytes from them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
from pathlib import Path

from farm import command
from farm.doctor.workstation import canary
from farm.doctor.workstation.facts import WorkstationFacts
from farm.errors import FarmError
from farm.watch.activity import Host

LARGEST = 16 << 20
"""Bytes of a file that is written meanwhile: objects are some kilobytes."""
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs", "--")


def compile_on(address: str) -> str:
    """What came of it. Raises FarmError when nothing can be compiled here."""
    here = WorkstationFacts(environment=os.environ, folder=Path("/"))
    compiler = here.compiler()
    if not compiler:
        return "none"
    # The scheduler takes an address for a name, and an address is what a daemon cannot choose.
    node = Host(name=address, address=address)
    prefix = AS_NOBODY if os.geteuid() == 0 else ()
    environment = {**here.compiling(), "HOME": "/nonexistent"}
    (result,) = asyncio.run(canary.release([node], command.find("icecc"), compiler, environment, prefix=prefix))
    if not (result.given and result.ran):
        return "none"
    return "right" if result.same else "wrong"


def main() -> None:
    """Try one daemon and say what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
    try:
        print(compile_on(parser.parse_args().address))  # noqa: T201
    except FarmError:
        print("none")  # noqa: T201


if __name__ == "__main__":
    main()
