"""Compilers other than this machine's gcc: environments made once, kept by what they were made of, told to icecc.

An environment is the archive in which a node receives a compiler. Left alone, iceccd makes one for each compiler it
meets and forgets them all when it starts; ICECC_VERSION names kept ones instead (client/remote.cpp,
parse_icecc_version): ``ARCHIVE`` for compilers without a prefix, ``ARCHIVE=PREFIX`` for those with one, where the
prefix is what stands before the last hyphen of the name.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from farm import command
from farm.errors import NOT_JSON, FarmError
from farm.home import write_atomic
from farm.workstation.local_iceccd import PACKING_SECONDS
from farm.workstation.membership import user_folder

COMPILER_NAME = re.compile(r"(?P<prefix>.+-)?(?P<family>gcc|clang)(?P<version>-[\d.]+)?")
"""The compilers that icecc knows, by their file's name (services/util.cpp, is_c_compiler)."""
PLUS_PLUS = {"gcc": "g++", "clang": "clang++"}


@dataclass(frozen=True)
class Compiler:
    """A C compiler, its C++ sibling if there is one, and the names by which builds call them."""

    path: Path
    name: str
    cxx: Path | None = None
    cxx_name: str = ""

    @property
    def needs_help(self) -> bool:
        """iceccd cannot pack it: icecc-create-env wants a g++ as well, which a cross compiler often lacks."""
        return self.cxx is None and "clang" not in self.path.name

    @property
    def names(self) -> dict[str, Path]:
        """Name → path, for icecc-create-env: the C compiler and, where it needs one, the C++ compiler."""
        return {self.name: self.path} | ({self.cxx_name: self.cxx} if self.cxx else {})

    @property
    def prefixes(self) -> list[str]:
        """Those by which ICECC_VERSION tells its calls from others; none for plain gcc and clang."""
        return [prefix for name in self.names if (prefix := name.rpartition("-")[0])]


class KeptEnvironment(Struct, frozen=True, kw_only=True):
    """An environment and what it was made of."""

    compiler: str
    """Path of the compiler."""
    version: str
    """What the compiler says of itself."""
    digest: str
    """Of path, version, size and time of change of the compiler."""
    archive: str
    """File name: icecc-create-env's digest of all that is inside."""
    bytes: int
    made: float
    """Unix time at which the environment was made."""


def cache() -> Path:
    """What is kept between builds: this user's, or for root the machine's."""
    if os.geteuid() == 0 and not os.environ.get("XDG_CACHE_HOME"):
        return Path("/var/cache/farm")
    return user_folder("XDG_CACHE_HOME", ".cache") / "farm"


def find_compiler(word: str, path: str, triplet: str = "") -> Compiler:
    """The compiler of that name (sought in ``path``) or path; with a triplet its calls have that for a prefix.

    Raises FarmError.
    """
    found = shutil.which(word, path=path)
    if found is None:
        raise FarmError(
            f"There is no compiler {word}.", "The compiler is not in PATH, or is not a program.", "Check its spelling."
        )
    file = Path(found).absolute()
    named = COMPILER_NAME.fullmatch(file.name)
    if named is None:
        raise FarmError(
            f"icecc does not recognise {file.name} as a compiler.",
            "icecc recognises the names gcc and clang, with TRIPLET- before them or -VERSION after them.",
            "Name the compiler itself, not a wrapper.",
        )
    prefix, family, version = named["prefix"] or "", named["family"], named["version"] or ""
    sibling = file.with_name(f"{prefix}{PLUS_PLUS[family]}{version}")
    cxx = sibling if os.access(sibling, os.X_OK) else None
    if triplet and file.name.rpartition("-")[0] != triplet:
        return Compiler(file, f"{triplet}-{family}", cxx, f"{triplet}-{PLUS_PLUS[family]}")
    return Compiler(file, file.name, cxx, sibling.name)


def environment_of(compiler: Compiler, folder: Path) -> KeptEnvironment:
    """The environment of a compiler, made if it is not kept in ``folder`` yet (some 10 s). Raises FarmError."""
    version, digest = _identify(compiler.path)
    record = folder / f"{digest}.json"
    kept = _read(record)
    if kept is None or not (folder / kept.archive).is_file():
        kept = _make(compiler, version, digest, folder)
        write_atomic(record, msgspec.json.encode(kept))
    return kept


def _identify(compiler: Path) -> tuple[str, str]:
    said = command.run([str(compiler), "--version"], timeout=30, env={"LC_ALL": "C"}).stdout
    version = next(iter(said.splitlines()), "")
    file = compiler.resolve().stat()
    parts = (str(compiler), version, str(file.st_size), str(file.st_mtime_ns))
    return version, hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _make(compiler: Compiler, version: str, digest: str, folder: Path) -> KeptEnvironment:
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["icecc-create-env", str(compiler.path)]
    if compiler.needs_help:
        argv.append(str(compiler.path))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as workplace:
        command.run(
            argv,
            cwd=Path(workplace),
            timeout=PACKING_SECONDS,
            fix="Install the programs file and objcopy: apt-get install file binutils",
        )
        (made,) = Path(workplace).glob("*.tar*")
        size = made.stat().st_size
        os.replace(made, folder / made.name)
    return KeptEnvironment(
        compiler=str(compiler.path), version=version, digest=digest, archive=made.name, bytes=size, made=time.time()
    )


def _read(record: Path) -> KeptEnvironment | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=KeptEnvironment)
    except (OSError, *NOT_JSON):
        return None


def icecc_version(native: Path, others: Iterable[tuple[Compiler, Path]]) -> str:
    """ICECC_VERSION: the archive of compilers without a prefix, and those of others.

    Raises FarmError when icecc cannot tell two of them apart.
    """
    archives: dict[str, Path] = {}
    for compiler, archive in others:
        for prefix in compiler.prefixes:
            if archives.setdefault(prefix, archive) != archive:
                raise FarmError(
                    f"icecc cannot distinguish {compiler.name} from the other {prefix}-….",
                    "ICECC_VERSION identifies compilers by the part before the last hyphen.",
                    "Name only one of them; iceccd then makes the other's environment for each session.",
                )
    for archive in (native, *archives.values()):
        if set(",:=") & set(str(archive)):
            raise FarmError(
                f"The path {archive} cannot be used in ICECC_VERSION.",
                "Commas, colons and equals signs are separators there.",
                "Set XDG_CACHE_HOME to another folder.",
            )
    return ",".join([str(native), *(f"{archive}={prefix}" for prefix, archive in archives.items())])


def link_names(names: dict[str, Path], folder: Path) -> Path:
    """A folder of links for PATH, name → program, the same one each time for the same links."""
    digest = hashlib.sha256("\0".join(f"{name}={path}" for name, path in sorted(names.items())).encode()).hexdigest()
    place = folder / digest[:16]
    if not place.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as workplace:
            made = Path(workplace, "links")
            made.mkdir(mode=0o755)
            for name, path in names.items():
                (made / name).symlink_to(path)
            if not place.is_dir():
                made.rename(place)
    return place


def kept_environments(folder: Path) -> list[KeptEnvironment]:
    """What is kept, by compiler."""
    found = (_read(record) for record in folder.glob("*.json"))
    return sorted((kept for kept in found if kept), key=lambda kept: (kept.compiler, kept.made))


def is_current(kept: KeptEnvironment) -> bool:
    """Whether the compiler is still the one that the environment was made of."""
    try:
        return _identify(Path(kept.compiler))[1] == kept.digest
    except (FarmError, OSError):
        return False


def prune(folder: Path) -> Sequence[str]:
    """Remove the environments whose compiler is gone or another one now; returns the names of the archives."""
    stay = set()
    for kept in kept_environments(folder):
        if is_current(kept):
            stay.add(kept.archive)
        else:
            (folder / f"{kept.digest}.json").unlink(missing_ok=True)
    gone = [file for file in sorted(folder.glob("*.tar*")) if file.name not in stay]
    for file in gone:
        file.unlink(missing_ok=True)
    return [file.name for file in gone]
