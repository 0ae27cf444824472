"""Does each service do its work? Asked as a client would ask, from inside the farm's network.

`python -m farm.serve.health [--home DIR]` prints the answers as JSON: the virtual lab's network can be asked only by a
process that lives in its namespace, so `check` starts one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from farm import command
from farm.errors import NOT_JSON, FarmError
from farm.export import serving
from farm.home import Home
from farm.image.store import Store
from farm.instance import Instance
from farm.netboot import tftp
from farm.node.ports import LDMINFO_PORT
from farm.printable import printable
from farm.scheduler.channel import NEWEST_PROTOCOL
from farm.scheduler.discovery import parse_reply
from farm.supervisor import Supervisor
from farm.unix_http import UnixHTTPConnection
from farm.virtual.namespace import ICECC_SOCKETS, enter

PROBE_SECONDS = 2.0
"""Seconds that a service may take to answer."""


class Health(msgspec.Struct, frozen=True):
    """Whether one service answers, and what it said."""

    service: str
    ok: bool
    detail: str


def check(home: Home, instance: Instance) -> list[Health]:
    """Ask all services; raises FarmError when supervisord itself is gone."""
    argv = [*enter(instance, home), sys.executable, "-P", "-m", "farm.serve.health", *home.options]
    done = command.run(argv, check=False, timeout=60)
    try:
        # The answer is the last line: warnings of the interpreter would come before it.
        return msgspec.json.decode(done.stdout.strip().rpartition("\n")[2], type=list[Health])
    except NOT_JSON:
        raise FarmError(
            "The farm's services could not be asked.", done.stdout.strip(), "Start them: sudo farm up"
        ) from None


def _http(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PROBE_SECONDS) as answer:
        return f"{url} is served ({len(answer.read(65536))} bytes)"


def _tftp(server: str) -> str:
    """A read request is answered with data block 1 (RFC 1350, section 5)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PROBE_SECONDS)
        sock.sendto(tftp.READ, (server, tftp.TFTP_PORT))
        block, sender = sock.recvfrom(2048)
        if block[:4] != b"\0\3\0\1":
            raise OSError(f"TFTP answered {block[:40]!r}")
        sock.sendto(b"\0\4\0\1", sender)
    return "boot/start.ipxe is served by TFTP"


def _tftp_is_read(server: str) -> str:
    """Too short for a request, dnsmasq throws the datagram away without a word in its log; that it reads it shows."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"\0", (server, tftp.TFTP_PORT))
    end = time.monotonic() + PROBE_SECONDS
    while waiting := _waiting_datagrams(server):
        if time.monotonic() > end:
            raise OSError(f"{waiting} bytes are unread on UDP port {tftp.TFTP_PORT}")
        time.sleep(0.05)
    return "reads its requests"


def _waiting_datagrams(server: str) -> int:
    """Bytes that wait at the TFTP port (proc(5), /proc/net/udp). Raises OSError when nobody listens there."""
    wanted = f"{int.from_bytes(socket.inet_aton(server), sys.byteorder):08X}:{tftp.TFTP_PORT:04X}"
    for line in Path("/proc/net/udp").read_text().splitlines():
        fields = line.split()
        if fields[1] == wanted:
            return int(fields[4].partition(":")[2], 16)
    raise OSError(f"no program listens on UDP port {tftp.TFTP_PORT} of {server}")


def scheduler(server: str, port: int) -> str:
    """Ask with a discovery byte; the answer has the version (icecream, services/comm.cpp: DiscoverSched).

    Raises OSError when there is none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PROBE_SECONDS)
        sock.connect((server, port))
        sock.send(bytes([NEWEST_PROTOCOL]))
        found = parse_reply(sock.recv(512))
    if found is None:
        raise OSError("the program that answers is not a scheduler")
    return f"answers for netname {printable(found.netname)!r}"


def _unix_http(path: Path) -> str:
    connection = UnixHTTPConnection(path, PROBE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise OSError(f"GET /healthz: HTTP status {status}")
    return "answers"


def _ldminfod(server: str) -> str:
    """Whoever connects is told what this computer offers, to the end."""
    with socket.create_connection((server, LDMINFO_PORT), PROBE_SECONDS) as sock, sock.makefile("rb") as answer:
        said = answer.read(1 << 20)
    if b"rating:" not in said:
        raise OSError("ldminfod closed the connection")
    return f"tells what it offers ({len(said)} bytes)"


def _iceccd(path: Path) -> str:
    """Whoever connects is told a version at once; the kernel alone accepts connections for a daemon that hangs."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PROBE_SECONDS)
        sock.connect(str(path))
        if len(sock.recv(4)) < 4:
            raise OSError("iceccd closed the connection")
    return "accepts compile jobs"


def _probe(home: Home, instance: Instance, service: str, pid: int, quiet: bool) -> Callable[[], str] | None:
    """The question for a service; ``quiet``: one that leaves nothing in its log."""
    config = instance.config
    match service:
        case "nginx":
            path = "healthz" if quiet else "boot/start.ipxe"
            return lambda: _http(f"http://{config.server}:{config.http_port}/{path}")
        case "dnsmasq":
            return lambda: _tftp_is_read(config.server) if quiet else _tftp(config.server)
        case "scheduler":
            return lambda: scheduler(config.server, config.scheduler.port)
        case "ldminfod":
            return lambda: _ldminfod(config.server)
        case "farmd":
            return lambda: _unix_http(home.farmd_socket)
        case "iceccd":
            return lambda: _iceccd(Path(ICECC_SOCKETS, "iceccd.socket"))
    machines = {machine.name for machine in instance.machines}
    if service not in machines and (served := serving(instance, Store(home.images), service)):
        export, root = served
        return lambda: export.ask(instance, pid, root)
    return None


def ask(home: Home, instance: Instance, service: str, pid: int, *, quiet: bool = False) -> Health:
    """Ask one service that runs; blocks for a few seconds at most. ``quiet``: so that its log does not tell of it."""
    try:
        if psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            raise OSError("the process is stopped (SIGSTOP)")
        probe = _probe(home, instance, service, pid, quiet)
        return Health(service, True, probe() if probe else "runs")
    except psutil.NoSuchProcess:
        return Health(service, False, "the process has just ended")
    except FarmError as error:
        return Health(service, False, error.what)
    except (OSError, http.client.HTTPException, psutil.Error) as error:
        return Health(service, False, str(error))


def probe_all(home: Home, instance: Instance) -> list[Health]:
    """What `check` does, in this process."""
    answers = []
    for service in Supervisor(home).status():
        if not service.up:
            answers.append(Health(service.name, False, f"{service.state.lower()}: {service.detail}"))
            continue
        answer = ask(home, instance, service.name, service.pid)
        detail = answer.detail if answer.ok else f"runs but does not answer: {answer.detail}"
        answers.append(Health(service.name, answer.ok, detail))
    return answers


def main() -> None:
    """Print the services' health as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    home = Home.at(parser.parse_args().home)
    try:
        answers = probe_all(home, Instance.load(home))
    except FarmError as error:
        sys.exit(str(error))
    json.dump(msgspec.to_builtins(answers), sys.stdout)


if __name__ == "__main__":
    main()
