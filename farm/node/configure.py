"""`farm-node configure`: at boot, find out which machine this is and what it is for, and set it up accordingly.

Every import here is paid for at every boot of every node, so curl is run for TFTP, and only when HTTP fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable

from farm.node import witness
from farm.node.contract import MAX_BYTES, MAX_FILE_BYTES, SettingsError
from farm.node.files import read, write
from farm.node.given_files import fetch_files
from farm.node.network import address_of, ensure_broadcast, mac_of, nic_of
from farm.node.retry import pauses
from farm.node.roles import load
from farm.node.settings import Boot, Settings, node_name, parse_cmdline, parse_settings, parse_stages

LINK_POLL_SECONDS = 0.05
COMPLAIN_SECONDS = 30.0
ASK_PAUSES = 0.2, 15.0
"""Seconds between questions to the server, at first and in the end."""
HTTP_TRIES = 3
"""So often is HTTP asked before TFTP is tried as well."""


def main(root: str = "/") -> int:
    """Configure this machine; ``root`` is where files are read and written. Returns the exit code.

    EX_CONFIG is the one that to start again cannot change (RestartPreventExitStatus of the unit).
    """
    try:
        boot = parse_cmdline(read(os.path.join(root, "proc/cmdline")))
    except SettingsError as error:
        _say(f"{error}; this machine was not booted by a farm")
        return os.EX_CONFIG
    nic = _wait("the boot NIC", lambda: _boot_nic(boot, root))
    mac = mac_of(nic)
    address = _wait(f"an IPv4 address on {nic} ({mac}) from DHCP", lambda: address_of(nic))
    ensure_broadcast(nic)
    stages = parse_stages(read(os.path.join(root, "run/farm/boot")))
    boot_id = witness.boot_id(root)
    settings = ask(boot, mac, boot_id, stages)
    stages["agent"] = uptime()
    apply(root, boot, settings, {"mac": mac, "nic": nic, "address": address, "boot_id": boot_id}, stages)
    return 0


def uptime() -> float:
    """Seconds since the kernel started, as /proc/uptime counts them."""
    return round(time.clock_gettime(time.CLOCK_BOOTTIME), 2)


def ask(boot: Boot, mac: str, boot_id: str, stages: dict[str, float]) -> Settings:
    """Ask the server what this node is to be, for as long as it takes; after some tries the other one and TFTP, too."""
    complained = time.monotonic()
    waits = pauses(*ASK_PAUSES)
    attempt = 0
    while True:
        attempt += 1
        try:
            return _ask_once(boot, mac, boot_id, stages, tftp=attempt > HTTP_TRIES)
        except (OSError, SettingsError) as error:
            reason = error
        if attempt == HTTP_TRIES or time.monotonic() - complained >= COMPLAIN_SECONDS:
            complained = time.monotonic()
            _say(f"no settings from the server {boot.server} yet: {reason}; still asking")
        time.sleep(next(waits))


def _ask_once(boot: Boot, mac: str, boot_id: str, stages: dict[str, float], tftp: bool) -> Settings:
    question = witness.question(mac, boot_id, {**stages, "agent": uptime()})
    try:
        return parse_settings(http_get(boot.server, boot.http_port, question))
    except (OSError, SettingsError):
        if not tftp:
            raise
    if boot.other:
        with contextlib.suppress(OSError, SettingsError):
            settings = parse_settings(http_get(boot.other, boot.http_port, question))
            # What else is to be fetched comes from there, too.
            boot.server, boot.other = boot.other, boot.server
            return settings
    try:
        return parse_settings(tftp_get(boot.server, f"nodes/{mac.replace(':', '-')}.json"))
    except FileNotFoundError:
        return parse_settings(tftp_get(boot.server, "nodes/default.json"))


def http_get(server: str, port: int, path: str, timeout: float = 5.0, most: int = 2 * MAX_BYTES) -> bytes:
    """The body of one HTTP/1.0 answer; OSError when there is none, or it is not 200, cut off or over ``most`` bytes.

    Written out because http.client would double this program's start (it brings the e-mail parser and TLS).
    """
    deadline = time.monotonic() + timeout
    with socket.create_connection((server, port), timeout) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: {server}:{port}\r\nUser-Agent: farm-node\r\n\r\n".encode())
        data = bytearray()
        while len(data) <= most and (piece := sock.recv(16384)):
            data += piece
            if time.monotonic() > deadline:
                raise TimeoutError("the answer takes too long")
    head, end, body = bytes(data).partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    if not end or status.split(" ")[1:2] != ["200"]:
        raise OSError(f"HTTP: {status[:80]!r}")
    for field in fields:
        key, _, value = field.partition(":")
        if key.lower() == "content-length" and value.strip() != str(len(body)):
            raise OSError("HTTP: the answer was cut off")
    return body


def tftp_get(server: str, path: str) -> bytes:
    """A file by TFTP; FileNotFoundError when the server has none, another OSError when it does not answer."""
    import subprocess

    options = ["--silent", "--fail", "--max-time", "3", "--max-filesize", str(MAX_BYTES)]
    done = subprocess.run(["curl", *options, f"tftp://{server}/{path}"], capture_output=True, check=False)
    if done.returncode in (68, 69):  # CURLE_TFTP_NOTFOUND, and CURLE_TFTP_PERM of servers that do not say more
        raise FileNotFoundError(f"TFTP: no {path}")
    if done.returncode:
        raise OSError(f"TFTP: curl's exit code {done.returncode}")
    return done.stdout


def apply(root: str, boot: Boot, settings: Settings, nic: dict[str, str], stages: dict[str, float]) -> None:
    """Make the machine what the server said; what the agent needs goes to /run/farm/node.json."""
    name = node_name(settings, nic["mac"])
    socket.sethostname(name)
    write(os.path.join(root, "etc/hostname"), name + "\n")
    write(os.path.join(root, "etc/hosts"), f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n")
    os.makedirs(os.path.join(root, "root/.ssh"), mode=0o700, exist_ok=True)
    write(
        os.path.join(root, "root/.ssh/authorized_keys"), "".join(key + "\n" for key in settings.authorized_keys), 0o600
    )
    failed = _fetch_files(root, boot, settings)
    node = {
        **nic,
        "schema": 1,
        "farm": settings.farm,
        "name": name,
        "image": boot.image,
        "root": boot.root,
        "server": boot.server,
        "other": boot.other,
        "http_port": boot.http_port,
        "telemetry_port": settings.telemetry_port,
        "boot": stages,
        "files": {"written": len(settings.files) + len(settings.refused) - len(failed), "failed": failed},
        "roles": settings.roles,
    }
    for role in settings.roles:
        _say(f"{name}: {role}: {load(role).set_up(root, node)}")
    if settings.unknown:
        _say(f"{name}: this image is too old for: {', '.join(settings.unknown)}")
    # Last: what starts after this program goes by it.
    write(os.path.join(root, "run/farm/node.json"), json.dumps(node) + "\n")


def _fetch_files(root: str, boot: Boot, settings: Settings) -> dict[str, str]:
    """Fetch the files that the machine was given; returns path → why there is none. Its roles start in any case."""

    def get(path: str, timeout: float) -> bytes:
        # Beside the file there are the answer's header fields.
        return http_get(boot.server, boot.http_port, path, timeout, MAX_FILE_BYTES + MAX_BYTES)

    failed = {**settings.refused, **fetch_files(root, settings.files, get)}
    for path, why in failed.items():
        _say(f"no file {path}: {why}")
    return failed


def _boot_nic(boot: Boot, root: str) -> str | None:
    """The NIC the initrd used, which of two with one address is the one that has a link; or else the one of BOOTIF."""
    nic = read(os.path.join(root, "run/farm/boot-nic")).strip()
    if nic and (mac := mac_of(nic)) and boot.mac in ("", mac):
        return nic
    return nic_of(boot.mac) if boot.mac else None


def _wait(what: str, check: Callable[[], str | None]) -> str:
    """Call ``check`` until it returns something; what is missing is said on the console from time to time."""
    complained = time.monotonic() - COMPLAIN_SECONDS + 5
    while not (found := check()):
        if time.monotonic() - complained >= COMPLAIN_SECONDS:
            complained = time.monotonic()
            _say(f"waiting for {what}")
        time.sleep(LINK_POLL_SECONDS)
    return found


def _say(text: str) -> None:
    """One line for the console and the journal."""
    sys.stderr.write(f"farm-node: {text}\n")
    sys.stderr.flush()
