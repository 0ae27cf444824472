"""Client files of KIWI's network boot (KIWI/config.MAC, config.default), read as settings of this farm.

KIWI's initrd sourced them as shell on the node. Here the server reads assignments and runs nothing. Source of names and
forms: KIWI's documentation, "PXE Client Setup Configuration".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from farm.config import Config, FileConfig, MachineConfig, own_name
from farm.config.rules import check, is_nic, options_problems
from farm.config.values import RootName
from farm.node import contract
from farm.printable import printable

FOLDER = "kiwi"
"""Beside farm.yaml: a copy of the TFTP server's folder KIWI."""
MAX_BYTES = 64 * 1024
MAX_CLIENTS = 1024
MAX_OPTIONS = 512
"""Characters of kernel options, as for those in farm.yaml."""

_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]{0,63})=(.*)")
_VALUE = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s"'#][^"'#]*?)?)\s*(?:#.*)?""")
_CLIENT = re.compile(r"config\.((?:[0-9A-Fa-f]{2}[.:-]){5}[0-9A-Fa-f]{2})")
_ROOTS = {"AOEROOT": "aoe", "NBDROOT": "nbd", "NFSROOT": "nfs"}
_DISK = "nodes have nothing on their disks"
_UNSUPPORTED = {
    "IMAGE": "which image a machine boots is `image` of its entry in farm.yaml",
    "DISK": _DISK,
    "PART": _DISK,
    "RAID": _DISK,
    "KIWI_BOOT_TIMEOUT": _DISK,
    "REBOOT_IMAGE": _DISK,
    "RELOAD_IMAGE": _DISK,
    "RELOAD_CONFIG": "files are fetched at every boot",
}


class KiwiLine(Struct, frozen=True):
    """One line of a client file: what it sets here, or why it sets nothing."""

    file: str
    line: int
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{FOLDER}/{self.file}:{self.line}: {printable(self.text)}"


class KiwiClient(Struct, frozen=True, kw_only=True):
    """What one client file means here; ``mac`` None: config.default."""

    file: str
    mac: str | None
    root: str | None = None
    kernel_options: str = ""
    files: list[FileConfig] = []
    lines: list[KiwiLine] = []

    def line_of(self, said: str) -> KiwiLine | None:
        """The last line that sets something, by how its text goes on after the variable: `root: `, `files: /opt/a `."""
        found = (line for line in reversed(self.lines) if f": {said}" in line.text and not line.warning)
        return next(found, None)

    @property
    def warnings(self) -> list[KiwiLine]:
        """What of it does not count here, each reason once."""
        return [line for line in self.lines if line.warning]


def read_clients(folder: Path) -> list[KiwiClient]:
    """All client files in a folder, config.default first; none where there is no such folder. Raises no OSError."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name.startswith("config."))[:MAX_CLIENTS]
    except OSError:
        return []
    return [_read(folder, name) for name in sorted(names, key=lambda name: name != "config.default")]


def _read(folder: Path, name: str) -> KiwiClient:
    shown = printable(name)
    found = _CLIENT.fullmatch(name)
    mac = found[1].lower().replace(".", ":").replace("-", ":") if found else None
    if mac is None and name != "config.default":
        why = "the name is neither config.default nor config. and a MAC address; the file is not used"
        return KiwiClient(file=shown, mac="", lines=[KiwiLine(shown, 1, why, True)])
    if mac is not None and not is_nic(mac):
        return KiwiClient(file=shown, mac="", lines=[KiwiLine(shown, 1, f"{mac} cannot be a NIC's address", True)])
    try:
        with (folder / name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return KiwiClient(file=shown, mac="", lines=[KiwiLine(shown, 1, f"cannot be read: {error.strerror}", True)])
    if len(data) > MAX_BYTES:
        return KiwiClient(file=shown, mac="", lines=[KiwiLine(shown, 1, f"more than {MAX_BYTES} bytes", True)])
    return parse_client(data.decode("utf-8", "replace"), shown, mac, folder)


def parse_client(text: str, file: str, mac: str | None, folder: Path) -> KiwiClient:
    """What a client file says. ``folder``: where it lies, in which files that CONF names are looked for."""
    reader = _Reader(file, folder)
    for number, line in enumerate(text.split("\n"), 1):
        reader.line(number, line.strip())
    return KiwiClient(
        file=file,
        mac=mac,
        root=reader.root,
        kernel_options=reader.options,
        files=list(reader.files.values()),
        lines=reader.lines,
    )


class _Reader:
    """Collects what the lines of one client file mean."""

    def __init__(self, file: str, folder: Path) -> None:
        self.file, self.folder = file, folder
        self.root: str | None = None
        self.options = ""
        self.files: dict[str, FileConfig] = {}
        self.lines: list[KiwiLine] = []
        self._told: set[str] = set()
        self._variables: Mapping[str, Callable[[int, str, str], None]] = {
            **dict.fromkeys(_ROOTS, self._root),
            **dict.fromkeys(("UNIONFS_CONFIG", "UNIONFS_CONFIGURATION"), self._union),
            "CONF": self._conf,
            "KIWI_KERNEL_OPTIONS": self._options,
        }

    def line(self, number: int, line: str) -> None:
        """One line without the space around it."""
        if not line or line.startswith("#"):
            return
        found = _ASSIGNMENT.fullmatch(line)
        if not found:
            self._warn(number, "this is not NAME=VALUE on one line; the line is not used")
            return
        name, written = found.groups()
        value = _VALUE.fullmatch(written)
        if value is None:
            self._warn(number, f"{name}: the quotation marks do not match on this line; it is not used")
        elif name in _UNSUPPORTED:
            self._warn(number, f"{name} is not supported: {_UNSUPPORTED[name]}")
        elif name not in self._variables:
            self._warn(number, f"{name} is not supported")
        elif re.search(r"[$`\\]", written):
            self._warn(
                number, f"{name}: the file is read, not run: $, ` and \\ are not supported; the line is not used"
            )
        elif not (plain := next((part for part in value.groups() if part), "")).isprintable() or not plain.isascii():
            self._warn(number, f"{name}: only printable ASCII characters are supported; the line is not used")
        else:
            self._variables[name](number, name, plain)

    def _note(self, number: int, text: str) -> None:
        self.lines.append(KiwiLine(self.file, number, text))

    def _warn(self, number: int, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.lines.append(KiwiLine(self.file, number, text, warning=True))

    def _root(self, number: int, name: str, value: str) -> None:
        root = _ROOTS[name]
        if not value:
            return
        if root not in get_args(RootName):
            self._warn(number, f"{name}: this farm has no root by {root}")
            return
        if self.root and self.root != root:
            self._warn(number, f"{name}: a root by {self.root} was set above; the last one counts")
        self.root = root
        self._note(number, f"{name}: root: {root}; server, device and export are the farm's own")
        if (name == "AOEROOT" and "," in value) or (name == "NBDROOT" and any(value.split(";")[3:])):
            self._warn(number, f"{name}: devices for writes and swap are not supported: writes go to RAM")

    def _union(self, number: int, name: str, value: str) -> None:
        written = value.split(",")[0]
        if written == "tmpfs" or written.startswith("/dev/ram"):
            self._note(number, f"{name}: as always: writes go to RAM")
        else:
            self._warn(number, f"{name}: writes to {written or 'nothing'} are not supported: they go to RAM")

    def _options(self, number: int, name: str, value: str) -> None:
        kept = [word for word in value.split() if not list(options_problems((), word))]
        for word in value.split():
            if word not in kept:
                self._warn(number, f"{name}: {word} is not supported: only the farm can set it, or iPXE interprets it")
        if len(" ".join(kept)) > MAX_OPTIONS:
            self._warn(number, f"{name}: more than {MAX_OPTIONS} characters; the line is not used")
            return
        self.options = " ".join(kept)
        self._note(number, f"{name}: kernel_options: {self.options}")

    def _conf(self, number: int, name: str, value: str) -> None:
        self.files = {}
        for entry in filter(None, value.split(",")):
            source, path = [*(part.strip() for part in entry.split(";")), "", ""][:2]
            why = self._unfit(source, path)
            if why:
                self._warn(number, f"{name}: {path or entry}: {why}; this file is not given to the node")
            elif len(self.files) >= contract.MAX_FILES:
                self._warn(number, f"{name}: a node accepts at most {contract.MAX_FILES} files; the rest is not given")
            else:
                self.files[path] = FileConfig(path, f"{FOLDER}/{_own(source)}")
                self._note(number, f"{name}: files: {path} from {FOLDER}/{_own(source)}")

    def _unfit(self, source: str, path: str) -> str:
        """Why a file of CONF is not given; empty if it is."""
        if not contract.FILE_PATH.fullmatch(path):
            return "nodes accept no file there (docs/node-files.md)"
        own = _own(source)
        if not own or len(own) > 1024:
            return "it names no source"
        try:
            real = (self.folder / own).resolve()
            inside = real.is_relative_to(self.folder.resolve())
            return "" if inside and real.is_file() else f"there is no file {own} in {FOLDER}"
        except (OSError, RuntimeError, ValueError):
            return f"{own} cannot be read"


def _own(source: str) -> str:
    """A path below the TFTP server's top, as one below the copy of its folder KIWI."""
    return source.lstrip("/").removeprefix("KIWI/").lstrip("/")


def with_clients(config: Config, clients: list[KiwiClient], given: Mapping[str, Any]) -> tuple[Config, list[KiwiLine]]:
    """The configuration with what client files say below what farm.yaml says, and warnings.

    ``given``: what farm.yaml sets at all. A machine's entry wins over its client file, that over its group and `nodes`;
    `nodes` and `image.root`, if set, win over config.default.
    """
    warnings: list[KiwiLine] = []
    before = config
    for client in clients:
        warnings += client.warnings
        if client.mac == "":
            continue
        new = _with_default(config, client, given) if client.mac is None else _with_machine(config, client)
        text = (
            next(_unfit(new, client.mac), "") if new else f"{own_name(client.mac or '')} is the name of another machine"
        )
        if new is None or text:
            warnings.append(KiwiLine(client.file, 1, f"not used: {text}", True))
        else:
            config = new
    if problem := next(iter(check(config)), None):
        # Such as more machines than there are addresses.
        warnings.append(KiwiLine("config.*", 1, f"no client file is used: {problem.text}", True))
        return before, warnings
    return config, warnings


def _unfit(config: Config, mac: str | None) -> Iterator[str]:
    """Why a configuration is not valid with a client file; ``mac``: its machine, None for all."""
    options = [config.nodes.kernel_options, *(each.kernel_options for each in config.machines)]
    if any(len(text) > MAX_OPTIONS for text in options):
        yield f"with those of farm.yaml, the kernel options have more than {MAX_OPTIONS} characters"
    machines = [None, *config.listed] if mac is None else [each for each in config.listed if each.mac == mac]
    if any(len(config.files_of(machine)) > contract.MAX_FILES for machine in machines):
        yield f"with those of farm.yaml, a node would get more than {contract.MAX_FILES} files"


def _with_default(config: Config, client: KiwiClient, given: Mapping[str, Any]) -> Config:
    nodes = msgspec.structs.replace(config.nodes, **_merged(client, config.nodes.kernel_options, config.nodes.files))
    image = config.image
    if client.root and "root" not in (given.get("image") or {}):
        image = msgspec.structs.replace(image, root=client.root)
    return msgspec.structs.replace(config, nodes=nodes, image=image)


def _with_machine(config: Config, client: KiwiClient) -> Config | None:
    """None where the name that the machine would have is another's."""
    assert client.mac
    machines = list(config.machines)
    known = next((at for at, machine in enumerate(machines) if machine.mac == client.mac), None)
    if known is None:
        if own_name(client.mac) in {machine.name for machine in config.listed if machine.mac != client.mac}:
            return None
        machines.append(MachineConfig(client.mac, own_name(client.mac)))
        known = len(machines) - 1
    old = machines[known]
    more = _merged(client, old.kernel_options, old.files)
    machines[known] = msgspec.structs.replace(old, root=old.root or client.root, **more)
    return msgspec.structs.replace(config, machines=machines)


def _merged(client: KiwiClient, options: str, files: list[FileConfig]) -> dict[str, Any]:
    """Kernel options and files of a section: of two values of an option the kernel takes the last."""
    own = {file.path for file in files}
    return {
        "kernel_options": " ".join(part for part in (client.kernel_options, options) if part),
        "files": [*(file for file in client.files if file.path not in own), *files],
    }
