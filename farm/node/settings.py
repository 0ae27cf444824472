"""What a node is told, read: the kernel command line and the server's JSON, checked by `farm.node.contract`.

Imported while a machine boots, so nothing here imports more than json and re.
"""

from __future__ import annotations

import json
import re

from farm.node.contract import (
    ADDRESS,
    EXPORT,
    FARM_FILES,
    FILE_MODES,
    FILE_PATH,
    FIRST_ROLES,
    IMAGE,
    KEY,
    MAC,
    MAX_BYTES,
    MAX_FILES,
    MAX_KEYS,
    MAX_PORT,
    MAX_ROLES,
    NAME,
    PORT,
    ROLES,
    SCHEMA,
    SHA256,
    SettingsError,
    number_of,
    text_of,
)
from farm.node.roles import load

_STAGE = re.compile(r"([a-z]{1,16}) ([0-9]{1,9}(\.[0-9]{1,9})?)")


class Settings:
    """What the server tells a machine (``/nodes/MAC.json``, schema 1); ``name`` None: the machine names itself."""

    def __init__(
        self,
        *,
        farm: str,
        name: str | None,
        roles: dict[str, dict[str, object]],
        unknown: list[str],
        telemetry_port: int,
        authorized_keys: list[str],
        files: list[dict[str, str]],
        refused: dict[str, str],
    ) -> None:
        self.farm = farm
        self.name = name
        self.roles = roles
        """Role → its settings, as the role has checked them."""
        self.unknown = unknown
        """Roles that this version does not have: the image is older than the server."""
        self.telemetry_port = telemetry_port
        self.authorized_keys = authorized_keys
        self.files = files
        """Files to fetch: ``path``, ``sha256``, also their name at the server, and ``mode``, in octal digits."""
        self.refused = refused
        """Path → why this version does not accept the file. A machine works without it, so that this is no error."""


class Boot:
    """What the kernel command line says: the boot NIC's MAC, the server, its HTTP port, the image, the root's export.

    MAC, other server, image and export are empty where it does not say them.
    """

    def __init__(self, *, mac: str, server: str, http_port: int, image: str, root: str, other: str = "") -> None:
        self.mac = mac
        self.server = server
        self.other = other
        """The lab's other boot server."""
        self.http_port = http_port
        self.image = image
        self.root = root


def parse_cmdline(text: str) -> Boot:
    """Read the kernel command line; raises SettingsError when it does not name the farm's server."""
    # The first of each counts, as for the initrd.
    options = dict(word.split("=", 1) for word in reversed(text.split()) if "=" in word)
    server = options.get("farm.server", "")
    other = options.get("farm.other", "")
    port = options.get("farm.http", "8069")
    image = options.get("farm.image", "")
    root = options.get("farm.root", "").split(":")[0]
    # pxelinux puts the hardware type before the address (01-, Ethernet), others do not: the address comes last.
    mac = options.get("BOOTIF", "")[-17:].replace("-", ":").lower()
    if not ADDRESS.fullmatch(server):
        raise SettingsError("the kernel command line names no server (farm.server=ADDRESS)")
    if not PORT.fullmatch(port):
        raise SettingsError("the kernel command line's farm.http is not a port")
    return Boot(
        mac=mac if MAC.fullmatch(mac) else "",
        server=server,
        http_port=int(port),
        image=image if IMAGE.fullmatch(image) else "",
        root=root if EXPORT.fullmatch(root) else "",
        other=other if ADDRESS.fullmatch(other) else "",
    )


def parse_stages(text: str) -> dict[str, float]:
    """What the initrd left in /run/farm/boot: stage → seconds since the kernel started; the first of each counts."""
    stages: dict[str, float] = {}
    for line in text.splitlines()[:64]:
        if found := _STAGE.fullmatch(line):
            stages.setdefault(found[1], float(found[2]))
    return stages


def parse_settings(data: bytes) -> Settings:
    """Check what the server said, size and types and characters; raises SettingsError."""
    if len(data) > MAX_BYTES:
        raise SettingsError(f"more than {MAX_BYTES} bytes")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise SettingsError("not JSON") from None
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        raise SettingsError(f"schema is not {SCHEMA}")
    keys = said.get("authorized_keys", [])
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise SettingsError(f"authorized_keys is not a list of at most {MAX_KEYS}")
    roles = said.get("roles", [*FIRST_ROLES])
    if not isinstance(roles, list) or len(roles) > MAX_ROLES:
        raise SettingsError(f"roles is not a list of at most {MAX_ROLES}")
    names = [text_of({"roles": role}, "roles", NAME) for role in roles]
    files, refused = _files(said.get("files", []))
    return Settings(
        farm=text_of(said, "farm", NAME),
        name=None if said.get("name") is None else text_of(said, "name", NAME),
        roles={name: load(name).parse(said) for name in names if name in ROLES},
        unknown=[name for name in names if name not in ROLES],
        telemetry_port=number_of(said, "telemetry_port", 1, MAX_PORT),
        authorized_keys=[text_of({"authorized_keys": key}, "authorized_keys", KEY) for key in keys],
        files=files,
        refused=refused,
    )


def _files(said: object) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The files that a node fetches, and those that it refuses: a newer server may know of more places."""
    if not isinstance(said, list):
        return [], {"?": "files is not a list"}
    files, refused = [], {}
    most = MAX_FILES + FARM_FILES
    for entry in said[:most]:
        entry = entry if isinstance(entry, dict) else {}
        path, sha256, mode = (str(entry.get(key, "")) for key in ("path", "sha256", "mode"))
        if not FILE_PATH.fullmatch(path):
            refused[ascii(path)[1:-1][:128] or "?"] = "not a place for files"
        elif not SHA256.fullmatch(sha256) or mode not in FILE_MODES:
            refused[path] = "its hash or its mode is not valid"
        else:
            files.append({"path": path, "sha256": sha256, "mode": mode})
    if len(said) > most:
        refused["?"] = f"more than {most} files"
    return files, refused


def node_name(settings: Settings, mac: str) -> str:
    """The name the server gave, or ``node-`` and the last six digits of the boot NIC's MAC."""
    return settings.name or "node-" + mac.replace(":", "")[-6:]
