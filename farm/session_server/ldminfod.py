"""LTSP's ldminfod: tells thin clients, on a TCP port, which languages and sessions this computer offers.

`python -m farm.session_server.ldminfod ADDRESS`. Whoever connects is told it and nothing is read of them, so there is
nothing that a client could ask for; LTSP 5's clients ask here too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import time
from collections import Counter
from collections.abc import Callable

from farm.node.ports import LDMINFO_PORT
from farm.session_server import offer

MAX_CLIENTS = 256
"""At a time; a further one is turned away, and asks another server."""
MAX_OF_ADDRESS = 128
"""Of these from one address: nobody alone keeps the others out."""
CLIENT_SECONDS = 5.0
"""That a client has to take its answer: as long as LDM waits for one."""
FRESH_SECONDS = 5.0
"""For so long an answer is given again."""
USER = "nobody"


class Ldminfod:
    """Answers clients; what it says is ``look``'s, which is asked again when its last word is no longer fresh."""

    def __init__(self, look: Callable[[], str] = offer.lines) -> None:
        self._look = look
        self._said = b""
        self._until = 0.0
        self._clients = Counter[str]()
        """How many there are, by their address."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell one client all, and close."""
        address = (writer.get_extra_info("peername") or [""])[0]
        self._clients[address] += 1
        try:
            if self._clients[address] <= MAX_OF_ADDRESS and self._clients.total() <= MAX_CLIENTS:
                writer.write(self._answer())
                async with asyncio.timeout(CLIENT_SECONDS):
                    await writer.drain()
                    writer.write_eof()
                    # Closed while something of the client's is unread, the kernel would take the answer back.
                    while await reader.read(1024):
                        pass
        except (OSError, TimeoutError):
            pass
        finally:
            self._clients[address] -= 1
            if not self._clients[address]:
                del self._clients[address]
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # what the client has not taken by now keeps no place
            writer.close()

    def _answer(self) -> bytes:
        if time.monotonic() >= self._until:
            self._said = self._look().encode(errors="replace")
            self._until = time.monotonic() + FRESH_SECONDS
        return self._said


async def serve(address: str, port: int) -> None:
    """Answer on a port, as a user who may do nothing else, until the process ends."""
    server = await asyncio.start_server(Ldminfod().answer, address, port, backlog=MAX_CLIENTS)
    _drop_rights()
    async with server:
        await server.serve_forever()


def _drop_rights() -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def main() -> None:
    """Serve on the address that is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    asyncio.run(serve(parser.parse_args().address, LDMINFO_PORT))


if __name__ == "__main__":
    main()
