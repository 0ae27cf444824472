"""NBD (network block device): one nbdkit serves all versions, each under its own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from farm.config import Config
from farm.export.description import Root
from farm.export.nbd.handshake import look
from farm.export.served_folder import FolderExport, require_same, served_folder, served_name
from farm.instance import Instance
from farm.supervisor import Service

PORT = 10809
"""The TCP port that IANA gave NBD."""
SERVICE = "nbd"
THREADS = 1
"""For each client, so its reads are worked on one after the other. With more, nbdkit 1.32 aborts now and then when a
client goes away while it reads, and so all lose it: one thread answers on a socket that another has closed
(connections.c: raw_send_socket). Out of the page cache, one is as fast as four."""
ASK_SECONDS = 2.0
WITH_MANY_FILES = 'ulimit -Sn "$(ulimit -Hn)" && exec "$@"'
"""A client takes two descriptors, and most systems allow a program 1024 unless it asks for more."""


class Nbd(FolderExport):
    """The export by nbdkit."""

    name = "nbd"
    programs: Mapping[str, str] = {"nbdkit": "nbdkit"}
    port = PORT
    advice = f"check that TCP port {PORT} of the server reaches it: farm doctor, and farm logs {SERVICE}"

    def services(self, instance: Instance, roots: Sequence[Root], runtime: Path) -> list[Service]:
        """One nbdkit serves all of them."""
        return [nbdkit(served_folder(roots[0].store), instance.config.server)] if roots else []

    def address(self, config: Config, root: Root) -> str:
        """HOST:PORT:NAME; of two boot servers HOST,HOST2: nbd-keeper turns to the other one when it loses the first."""
        return f"{','.join(config.boot_servers)}:{PORT}:{served_name(root)}"

    def ask(self, instance: Instance, pid: int, root: Root) -> str:
        """As a node would: find the root by its name, and read the beginning."""
        found = look(instance.config.server, PORT, served_name(root), ASK_SECONDS)
        if not found.read_only:
            raise OSError(f"{root.file} can be written to over the network")
        return require_same(root, found.size, found.beginning)


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
