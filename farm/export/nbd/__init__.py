"""NBD (network block device): one nbdkit serves all versions, each under its own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import SOCK_STREAM, SocketKind

from farm.config import Config
from farm.export.description import Root
from farm.export.nbd.handshake import look
from farm.export.served_folder import fill, is_served, served_folder, served_name
from farm.instance import Instance
from farm.supervisor import Service

PORT = 10809
"""The TCP port that IANA gave NBD."""
SERVICE = "nbd"
THREADS = 4
"""For each client: so many of its reads are worked on at a time."""
ASK_SECONDS = 2.0
WITH_MANY_FILES = 'ulimit -Sn "$(ulimit -Hn)" && exec "$@"'
"""A client takes four descriptors, and most systems allow a program 1024 unless it asks for more."""


class Nbd:
    """The export by nbdkit."""

    name = "nbd"
    programs: Mapping[str, str] = {"nbdkit": "nbdkit"}
    ingress_rules = ()
    most_versions = 0
    advice = f"check that TCP port {PORT} of the server reaches it: farm doctor, and farm logs {SERVICE}"

    def ports(self, config: Config) -> Sequence[tuple[SocketKind, int]]:
        """One, on the lab's address."""
        return ((SOCK_STREAM, PORT),)

    def socket_buffer(self, config: Config, mtu: int) -> int:
        """Any: the kernel sizes TCP's."""
        return 0

    def prepare(self, store: Path, roots: Sequence[Root]) -> None:
        """Each gets a name in the folder that is served; new files in it count at once."""
        fill(store, roots)

    def services(self, instance: Instance, roots: Sequence[Root], runtime: Path) -> list[Service]:
        """One nbdkit serves all of them."""
        return [nbdkit(served_folder(roots[0].store), instance.config.server)] if roots else []

    def service(self, root: Root) -> str:
        """One service serves all of them."""
        return SERVICE

    def address(self, config: Config, root: Root) -> str:
        """HOST:PORT:NAME, where HOST may become a list that is separated by commas."""
        return f"{config.server}:{PORT}:{served_name(root)}"

    def facts(self, root: Root) -> dict[str, str | int]:
        """None: the name is the image's."""
        return {}

    def serves(self, pid: int, root: Root) -> bool:
        """It opens a file for each client that connects: what counts is what is there."""
        return is_served(root)

    def ask(self, instance: Instance, pid: int, root: Root) -> str:
        """As a node would: find the root by its name, and read the beginning."""
        found = look(instance.config.server, PORT, served_name(root), ASK_SECONDS)
        size = root.file.stat().st_size
        if not found.read_only:
            raise OSError(f"{root.file} can be written to over the network")
        if found.size != size:
            raise OSError(f"serves {found.size} bytes under the name of {root.file}, which has {size}")
        with root.file.open("rb") as file:
            if file.read(len(found.beginning)) != found.beginning:
                raise OSError(f"serves another file than {root.file}")
        return f"serves {root.file}"


def nbdkit(folder: Path, address: str) -> Service:
    """The export of the files in a folder, read-only."""
    options = ["--foreground", "--readonly", f"--ipaddr={address}", f"--port={PORT}", f"--threads={THREADS}"]
    return Service(
        SERVICE,
        ["sh", "-c", WITH_MANY_FILES, "sh", "nbdkit", *options, "file", f"dir={folder}"],
        capabilities=[],
        order=30,
        # At SIGTERM it waits until no client is connected, which nodes are as long as they run.
        stop_signal="KILL",
    )
