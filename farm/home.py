"""The folders of a farm: configuration, state, runtime files, logs, built images."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from farm.errors import FarmError

HOME_SPACE = 256 << 20
"""Bytes; with less, logs and leases would soon fill the disk of a home."""


@dataclass(frozen=True)
class Home:
    """The folders of one farm; farms with different homes can stand side by side.

    ``config``: farm.yaml. ``state``: what outlives a reboot (images, keys, leases). ``runtime``: sockets and rendered
    files of a running farm. ``logs``: one file per service. ``images``: the image store, which may be shared.
    """

    config: Path
    state: Path
    runtime: Path
    logs: Path
    images: Path
    directory: Path | None = None

    @classmethod
    def at(cls, directory: Path | None) -> Home:
        """The home in ``directory``, or the machine's own (FHS folders) when it is None.

        The environment variable FARM_IMAGES moves the image store alone: several farms, one set of images.
        However a folder is spelled, over links or not, it is the same home: processes and records are known by it.
        """
        images = os.environ.get("FARM_IMAGES")
        store = Path(images).resolve() if images else None
        if directory is None:
            state = Path("/var/lib/farm")
            return cls(
                config=Path("/etc/farm/farm.yaml"),
                state=state,
                runtime=Path("/run/farm"),
                logs=Path("/var/log/farm"),
                images=store or state / "images",
            )
        top = directory.resolve()
        return cls(
            config=top / "farm.yaml",
            state=top / "state",
            runtime=top / "run",
            logs=top / "log",
            images=store or top / "state" / "images",
            directory=top,
        )

    def create(self) -> None:
        """Make the folders that are missing."""
        for folder in (self.state, self.runtime, self.logs, self.images, self.http):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def http(self) -> Path:
        """What nginx (and dnsmasq, by TFTP) serves: boot scripts, node settings, images."""
        return self.runtime / "http"

    @property
    def published(self) -> Path:
        """Images for other servers, which nginx serves below /published/ (docs/prebuilt.md)."""
        return self.state / "published"

    @property
    def farmd_socket(self) -> Path:
        """The Unix socket of farmd's HTTP API."""
        return self.runtime / "farmd.sock"

    @property
    def supervisor_socket(self) -> Path:
        """The Unix socket of supervisord's XML-RPC interface."""
        return self.runtime / "supervisor.sock"

    @property
    def options(self) -> list[str]:
        """The ``farm`` options that lead to this home again, for the commands that messages name."""
        return ["--home", str(self.directory)] if self.directory else []


@contextlib.contextmanager
def locked(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, until the process ends at the latest.

    When another process holds it: ``wait`` for its end, or raise FarmError (``busy``).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FarmError(busy, f"That command holds {path}.", "Wait for it to end, then try again.") from None
        yield


def boot_id() -> str:
    """Names this boot of the machine: what a network or a kernel setting was before it holds no more (proc(5))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing happens when there is none. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            remove(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file so that a reader (or a power cut) sees the old content or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def place(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link, or a copy across file systems."""
    if target.exists() and same_file(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copy2(source, fresh)
    os.replace(fresh, target)


def same_file(source: Path, target: Path) -> bool:
    """Whether ``target`` is ``source`` as `place` has put it there, and not one that was there before."""
    if target.samefile(source):
        return True
    a, b = source.stat(), target.stat()
    return a.st_size == b.st_size and int(a.st_mtime) == int(b.st_mtime)
