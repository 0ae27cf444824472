"""What dnsmasq's and nginx's logs tell of booting machines: one line in, at most one event out.

Whoever is on the lab's network decides what these lines say: one that is not understood is no event.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON
from farm.netboot.rival import PROBE
from farm.node.contract import BOOT_ID, IMAGE
from farm.watch.events import BootEvent, Stage
from farm.watch.refusals import NO_ADDRESS

MAX_LINE = 4096
MAX_UPTIME = 1e8
"""The longest uptime that is believed, in seconds: three years."""
SUMMER = timedelta(hours=1, seconds=10)
"""So far does a log's local time go back when summer ends."""

NONE_FOR = "none-for-"
"""How the names of loaders begin that firmware is sent to fetch when there is none for it; what it is follows."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MAC = r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}"
_ADDRESS = r"\d{1,3}(?:\.\d{1,3}){3}"
_LINE = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r" dnsmasq-(?P<part>dhcp|tftp)\[\d+\]: (?P<text>.*)",
    re.ASCII,
)
_DHCP = re.compile(
    r"(?:\d+ )?(?P<kind>DHCPDISCOVER|DHCPACK|BOOTP)\([^)\s]+\) "
    rf"(?:(?P<address>{_ADDRESS}) )?(?P<mac>{_MAC})(?: (?P<why>.*)|$)",
    re.ASCII | re.IGNORECASE,
)
_SENT = re.compile(rf"sent (?P<path>/.*) to (?P<address>{_ADDRESS})", re.ASCII)
_MISSING = re.compile(rf"file (?P<path>/.*) not found for (?P<address>{_ADDRESS})", re.ASCII)
_NONE_FOR = re.compile(rf"/loader/{NONE_FOR}(?P<firmware>[A-Za-z0-9_-]{{1,32}})\Z", re.ASCII)
_BOOT = re.compile(rf"/boot/(?P<mac>{_MAC}|default|start)\.ipxe\Z", re.ASCII | re.IGNORECASE)
_IMAGE = re.compile(rf"/images/(?P<image>{IMAGE.pattern})/(?P<file>kernel|initrd)\Z", re.ASCII)
_NODE = re.compile(rf"/nodes/(?P<mac>{_MAC}|default)\.json\Z", re.ASCII | re.IGNORECASE)


class _Access(Struct, frozen=True):
    """A line of nginx-access.log."""

    time: float
    address: str
    uri: str
    status: int
    bytes: int


_access = msgspec.json.Decoder(_Access)


def parse_dnsmasq(lines: Sequence[str], written: float) -> list[BootEvent]:
    """Lines of dnsmasq's log in their order, the last one written at Unix time ``written`` at the latest.

    No stamp names a year, so they are read backwards: each line is no later than the one after it. Their times are
    local and in whole seconds, so an event may have happened up to a second later than it says.
    """
    events = []
    for line in reversed(lines):
        found = _LINE.fullmatch(line[:MAX_LINE])
        time = _resolve(found, written) if found else None
        if found is None or time is None:
            continue
        written = min(written, time)
        if event := _said(found, time):
            events.append(event)
    return events[::-1]


def _said(found: re.Match[str], time: float) -> BootEvent | None:
    if found["part"] == "tftp":
        if sent := _SENT.fullmatch(found["text"]):
            return _requested(sent["path"], sent["address"], time)
        missing = _MISSING.fullmatch(found["text"])
        return _no_loader(missing["path"], missing["address"], time) if missing else None
    said = _DHCP.match(found["text"])
    if said is None:
        return None
    if _mac(said["mac"]).startswith(PROBE.hex(":")):
        return None  # somebody looks for other DHCP servers
    if said["kind"] == "DHCPDISCOVER" and (said["why"] or "").startswith(NO_ADDRESS):
        return BootEvent(None, time, mac=_mac(said["mac"]), refused=NO_ADDRESS)
    if said["kind"] == "DHCPDISCOVER":
        return BootEvent(Stage.POWERED, time, mac=_mac(said["mac"]))
    return BootEvent(None, time, mac=_mac(said["mac"]), address=said["address"]) if said["address"] else None


def parse_nginx(line: str) -> BootEvent | None:
    """A line of nginx-access.log: one JSON object with time, address, uri, status, bytes."""
    try:
        access = _access.decode(line[:MAX_LINE])
    except NOT_JSON:
        return None
    if access.bytes < 0 or not re.fullmatch(_ADDRESS, access.address, re.ASCII) or not 0 < access.time < 1e11:
        return None
    if access.status == 404:
        return _no_loader(access.uri, access.address, access.time)
    if access.status not in (200, 206):
        return None
    return _requested(access.uri, access.address, access.time, access.bytes)


def _resolve(found: re.Match[str], latest_time: float) -> float | None:
    """Unix time of a stamp that names no year: the latest one that is not later than ``latest_time``."""
    latest = datetime.fromtimestamp(latest_time) + SUMMER
    if found["month"] not in _MONTHS:
        return None
    month = _MONTHS.index(found["month"]) + 1
    day, hour, minute, second = (int(found[part]) for part in ("day", "hour", "minute", "second"))
    for year in range(latest.year, latest.year - 9, -1):  # 29 February comes back after at most eight years
        try:
            time = datetime(year, month, day, hour, minute, second)
        except ValueError:
            continue
        if time <= latest:
            # The hour that comes twice when summer ends was the second one, if that has been by then.
            again = time.replace(fold=1).timestamp()
            return again if again <= latest_time else time.timestamp()
    return None


def _mac(text: str) -> str:
    """Lower case with colons; empty for `default` and `start`."""
    return "" if text in ("default", "start") else text.lower().replace("-", ":")


def _no_loader(path: str, address: str, time: float) -> BootEvent | None:
    """What it means that a file was asked for that is not there: a loader that the farm has not got, or nothing."""
    found = _NONE_FOR.search(path)
    return BootEvent(None, time, address=address, refused=found["firmware"].replace("_", " ")) if found else None


def _requested(uri: str, address: str, time: float, sent: int = 0) -> BootEvent | None:
    """What it means that a file was sent: ``uri`` is nginx's, or the path of a file that dnsmasq sent by TFTP."""
    try:
        parts = urlsplit(uri)
        pairs = parse_qsl(parts.query, max_num_fields=16)
    except ValueError:
        return None
    query = dict(pairs)
    if len(query) < len(pairs):
        return None  # who says a thing twice says nothing
    path = unquote(parts.path)
    said = re.fullmatch(_MAC, query.get("mac", ""), re.ASCII | re.IGNORECASE)
    mac = _mac(said[0]) if said else ""
    if found := _BOOT.search(path):
        return BootEvent(Stage.LOADER, time, _mac(found["mac"]) or mac, address, bytes=sent)
    if found := _IMAGE.search(path):
        return BootEvent(Stage.KERNEL, time, mac, address, found["image"], bytes=sent, detail=found["file"])
    if found := _NODE.search(path):
        return _settings(_mac(found["mac"]) or mac, address, time, sent, query)
    return None


def _settings(mac: str, address: str, time: float, sent: int, query: dict[str, str]) -> BootEvent:
    """A question for settings. A node repeats it while it runs, without its boot's numbers, to say where it is."""
    uptime = _uptime(query)
    boot_id = query.get("boot", "") if BOOT_ID.fullmatch(query.get("boot", "")) else ""
    stage = Stage.AGENT if "agent" in uptime or not boot_id else None
    return BootEvent(stage, time, mac, address, uptime=uptime, bytes=sent, boot_id=boot_id)


def _uptime(query: dict[str, str]) -> dict[str, float]:
    """The numbers of a node's question, if they can be: none negative, none later than the last (``agent``)."""
    uptime = {}
    for stage in ("kernel", "nic", "root", "agent"):
        text = query.get(stage, "")
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
            uptime[stage] = float(text)
    agent = uptime.get("agent", math.inf)
    return {stage: seconds for stage, seconds in uptime.items() if seconds <= min(agent, MAX_UPTIME)}
