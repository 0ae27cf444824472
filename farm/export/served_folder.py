"""One folder of a store with the root file of each version, for exports that serve the files of a folder by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import SOCK_STREAM, SocketKind

from farm.config import Config
from farm.export.description import Root
from farm.home import locked, place, same_file


def served_folder(store: Path) -> Path:
    """The folder. It lies in the store, on the same file system as the versions: its files are hard links."""
    return store / ".exports"


def served_name(root: Root) -> str:
    """What a version's root is called there: an image's name without the slash, which would be another folder."""
    return root.name.replace("/", ":")


def fill(store: Path, roots: Sequence[Root]) -> None:
    """Put the roots of these versions into the folder, and take out those of versions that the store has no more.

    What runs meanwhile sees a file old or new, never half.
    """
    folder = served_folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(store / ".exports.lock", "", wait=True):
        for root in roots:
            if root.file.is_file():
                place(root.file, folder / served_name(root))
        for path in folder.iterdir():
            # Another farm may have added versions to the store since these were listed.
            if not Root(store, path.name.replace(":", "/")).file.is_file():
                path.unlink()


def is_served(root: Root) -> bool:
    """Whether the folder holds this very file, not one that it has replaced."""
    path = served_folder(root.store) / served_name(root)
    return path.is_file() and root.file.is_file() and same_file(root.file, path)


class FolderExport:
    """What exports have in common that serve the folder by one service on one TCP port."""

    name: str
    port: int
    ingress_rules: Sequence[str] = ()
    most_versions = 0

    def ports(self, config: Config) -> Sequence[tuple[SocketKind, int]]:
        """One, on the lab's address."""
        return ((SOCK_STREAM, self.port),)

    def socket_buffer(self, config: Config, mtu: int) -> int:
        """Any: the kernel sizes TCP's."""
        return 0

    def prepare(self, store: Path, roots: Sequence[Root]) -> None:
        """Each gets a name in the folder that is served; new files in it count at once."""
        fill(store, roots)

    def adopt(self, store: Path, known: Mapping[str, Mapping[str, str | int]]) -> None:
        """Nothing is to be done: names are the same on all servers."""

    def service(self, root: Root) -> str:
        """One service serves all of them, and is called as the export."""
        return self.name

    def facts(self, root: Root) -> dict[str, str | int]:
        """None besides the name, which is the image's."""
        return {}

    def serves(self, pid: int, root: Root) -> bool:
        """A file is opened when a client asks for it: what counts is what is there."""
        return is_served(root)


def require_same(root: Root, size: int, beginning: bytes) -> str:
    """What a client found under a version's name, if it is the version's; raises OSError when it is not."""
    wanted = root.file.stat().st_size
    if size != wanted:
        raise OSError(f"serves {size} bytes under the name of {root.file}, which has {wanted}")
    with root.file.open("rb") as file:
        if file.read(len(beginning)) != beginning:
            raise OSError(f"serves another file than {root.file}")
    return f"serves {root.file}"
