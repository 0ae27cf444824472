"""Does each service do its work? Asked as a client would ask, from inside the farm's network.

`python -m farm.health [--home DIR]` prints the answers as JSON: the virtual lab's network can be asked only by a
process that lives in its namespace, so `check` starts one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec

from farm import command
from farm.errors import NOT_JSON, FarmError
from farm.home import Home
from farm.running import Running
from farm.services import Supervisor
from farm.unix_http import UnixHTTPConnection
from farm.virtual.namespace import enter

PATIENCE = 2.0
"""Seconds that a service may take to answer."""


class Health(msgspec.Struct, frozen=True):
    """One service's answer."""

    service: str
    ok: bool
    detail: str


def check(home: Home, running: Running) -> list[Health]:
    """Ask all services; raises FarmError when supervisord itself is gone."""
    argv = [*enter(running, home), sys.executable, "-m", "farm.health", *home.options]
    done = command.run(argv, check=False, timeout=60)
    try:
        # The answer is the last line: warnings of the interpreter would come before it.
        return msgspec.json.decode(done.stdout.strip().rpartition("\n")[2], type=list[Health])
    except NOT_JSON:
        raise FarmError(
            "The farm's services could not be asked.", done.stdout.strip(), "Start them: sudo farm up"
        ) from None


def _http(config_server: str, port: int) -> str:
    url = f"http://{config_server}:{port}/boot/start.ipxe"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as answer:
        return f"{url} is served ({len(answer.read(65536))} bytes)"


def _tftp(server: str) -> str:
    """A read request is answered with data block 1 (RFC 1350, section 5)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.sendto(b"\0\1boot/start.ipxe\0octet\0", (server, 69))
        block, sender = sock.recvfrom(2048)
        if block[:4] != b"\0\3\0\1":
            raise OSError(f"TFTP answered {block[:40]!r}")
        sock.sendto(b"\0\4\0\1", sender)
    return "boot/start.ipxe is served by TFTP"


def _scheduler(server: str, port: int) -> str:
    """A discovery byte is answered with the scheduler's version (icecream, services/comm.cpp: DiscoverSched)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.sendto(bytes([43]), (server, port))
        answer = sock.recv(512)
    netname = answer[13:].split(b"\0")[0].decode(errors="replace")
    return f"answers for netname {netname!r}"


def _unix_http(path: Path) -> str:
    connection = UnixHTTPConnection(path, PATIENCE)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise OSError(f"GET /healthz: HTTP status {status}")
    return "answers"


def _unix(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
    return "accepts compile jobs"


def _probes(home: Home, running: Running) -> dict[str, Callable[[], str]]:
    config = running.config
    return {
        "nginx": lambda: _http(config.server, config.http_port),
        "dnsmasq": lambda: _tftp(config.server),
        "scheduler": lambda: _scheduler(config.server, config.scheduler.port),
        "farmd": lambda: _unix_http(home.farmd_socket),
        "iceccd": lambda: _unix(Path("/run/icecc/iceccd.socket")),
    }


def probe_all(home: Home, running: Running) -> list[Health]:
    """What `check` does, in this process."""
    probes = _probes(home, running)
    answers = []
    for service in Supervisor(home).status():
        if not service.up:
            answers.append(Health(service.name, False, f"{service.state.lower()}: {service.detail}"))
        elif service.name not in probes:
            answers.append(Health(service.name, True, "runs"))
        else:
            try:
                answers.append(Health(service.name, True, probes[service.name]()))
            except (OSError, http.client.HTTPException) as error:
                answers.append(Health(service.name, False, f"runs but does not answer: {error}"))
    return answers


def main() -> None:
    """Print the services' health as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    home = Home.at(parser.parse_args().home)
    try:
        answers = probe_all(home, Running.load(home))
    except FarmError as error:
        sys.exit(str(error))
    json.dump(msgspec.to_builtins(answers), sys.stdout)


if __name__ == "__main__":
    main()
