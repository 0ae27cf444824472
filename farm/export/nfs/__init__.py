"""NFS: one nfs-ganesha serves the root of each version as a file, which nodes mount by a loop device.

As a file and not as a tree: a program's files are then found and read in few requests, and an overlay over NFS has
failed to rename links in some kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from farm.config import Config
from farm.export.description import Root
from farm.export.nfs.question import ask_for
from farm.export.served_folder import FolderExport, require_same, served_folder, served_name
from farm.instance import Instance
from farm.supervisor import Service

PORT = 2049
SERVICE = "nfs"
SHOWN = "images"
"""The folder that nodes see at the server's root."""
TREES = "trees"
"""The folder beside it with a folder for each image that is one (`tree` in farm.yaml)."""
ASK_SECONDS = 2.0

SETTINGS = (
    "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Bind_addr = {address}; Enable_NLM = false; "
    "Enable_RQUOTA = false; Enable_UDP = false; }} "
    "NFSV4 {{ Graceless = true; Minor_Versions = 0,1,2; RecoveryBackend = fs; RecoveryRoot = {runtime}; "
    "Only_Numeric_Owners = true; Allow_Numeric_Owners = true; }} "
    "NFS_KRB5 {{ Active_krb5 = false; }} "
    "LOG {{ Default_Log_Level = WARN; }} "
    "EXPORT_DEFAULTS {{ Access_Type = RO; Squash = No_Root_Squash; SecType = sys; Transports = TCP; Protocols = 4; "
    "Attr_Expiration_Time = 0; }} "
    "EXPORT {{ Export_Id = 2; Path = {folder}; Pseudo = /{shown}; FSAL {{ Name = VFS; }} }}"
)
"""ganesha's (ganesha-core-config(8), ganesha-export-config(8)), on one line. Without NFSv3 it needs no rpcbind. Nothing
that a client holds is to be reclaimed after a restart, so clients need not wait for a grace period. A file that is gone
or has been replaced would be served for a minute more if its attributes were kept."""

TREE = "EXPORT {{ Export_Id = {id}; Path = {folder}; Pseudo = /{trees}/{name}; FSAL {{ Name = VFS; }} }}"
NONE: Mapping[str, str] = {}

WITH_SETTINGS = (
    'mkdir -p "$1" && printf "%s\\n" "$2" > "$1/ganesha.conf" && '
    'exec ganesha.nfsd -F -f "$1/ganesha.conf" -L STDERR -p "$1/ganesha.pid"'
)


class Nfs(FolderExport):
    """The export by nfs-ganesha."""

    name = "nfs"
    programs: Mapping[str, str] = {"ganesha.nfsd": "nfs-ganesha nfs-ganesha-vfs"}
    port = PORT
    advice = f"check that TCP port {PORT} of the server reaches it: farm doctor, and farm logs {SERVICE}"

    def services(self, instance: Instance, roots: Sequence[Root], runtime: Path) -> list[Service]:
        """One ganesha serves all of them."""
        trees = {name: image.tree for name, image in instance.config.images.items() if image.tree}
        server = instance.config.server
        return [ganesha(served_folder(roots[0].store), server, runtime / SERVICE, trees)] if roots else []

    def address(self, config: Config, root: Root) -> str:
        """HOST:/images/NAME, as the image's initrd takes it apart."""
        return f"{config.server}:/{SHOWN}/{served_name(root)}"

    def ask(self, instance: Instance, pid: int, root: Root) -> str:
        """As a node would: find the root by its name, and read the beginning."""
        found = ask_for(instance.config.server, PORT, [SHOWN, served_name(root)], ASK_SECONDS)
        return require_same(root, found.size, found.beginning)


def tree_address(config: Config, name: str) -> str:
    """HOST:/trees/NAME/ of an image that is a folder, which the initrd knows by the slash at the end."""
    return f"{config.server}:/{TREES}/{name}/"


def ganesha(folder: Path, address: str, runtime: Path, trees: Mapping[str, str] = NONE) -> Service:
    """The export of the files in a folder, read-only; ``runtime``: where it keeps what it needs while it runs.

    ``trees``: folders of this machine that are exported as they are, by the names of their images.
    """
    settings = SETTINGS.format(port=PORT, address=address, runtime=runtime, folder=folder, shown=SHOWN)
    for id, (name, tree) in enumerate(sorted(trees.items()), 3):
        settings += f" {TREE.format(id=id, folder=tree, trees=TREES, name=name)}"
    return Service(
        SERVICE,
        ["sh", "-c", WITH_SETTINGS, "sh", str(runtime), settings],
        # Files are opened by handles (open_by_handle_at(2)), as whoever asks for them.
        capabilities=["dac_read_search", "setuid", "setgid"],
        order=30,
        # Clients hold nothing that it would have to put in order first.
        stop_signal="KILL",
    )
