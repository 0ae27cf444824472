"""`farm env`: what a shell or a build system is told so that its compiler calls go to the farm."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.errors import FarmError
from farm.view.wording import count
from farm.workstation.env.shell_undo import Changes
from farm.workstation.env.toolchains import (
    Compiler,
    environment_of,
    find_compiler,
    icecc_version,
    link_names,
)
from farm.workstation.env.variables import (
    ICECC_WRAPPERS,
    Slots,
    compile_environment,
    path_without_wrappers,
    socket_variable,
    uses_ccache,
)
from farm.workstation.membership import Membership

CCACHE_FOLDERS = ("/usr/lib/ccache", "/usr/lib64/ccache", "/usr/lib/ccache/bin")
"""Links to ccache by compilers' names: Debian's, Fedora's, Arch's and Gentoo's."""
LAUNCHER_PROGRAMS = ("env", "icecc", "ccache", "sccache", "distcc")
CALL_VARIABLES = ("CCACHE_PREFIX", "ICECC_TEST_SOCKET", "ICECC_VERSION")
"""What each compiler call needs, besides being one of icecc."""


@dataclass(frozen=True)
class Wish:
    """What was asked for; None: as it fits."""

    jobs: int | None = None
    ccache: bool | None = None
    compilers: Sequence[str] = ()
    """Names or paths of C compilers; the first is CC."""
    cross: Mapping[str, str] | None = None
    """Triplet → C compiler."""


@dataclass(frozen=True)
class Setup:
    """How compiler calls get to the farm from here."""

    farm: str
    changes: Changes
    """To the environment that a shell has without it."""
    added: tuple[str, ...]
    """Folders that PATH gets in front."""
    launcher: str
    """icecc, or the ccache that calls it."""
    cc: Sequence[str]
    """Path of the C compiler and its options, for build systems that put a launcher before it; empty: there is none."""
    cxx: Sequence[str]
    jobs: int
    slots: Slots
    why: tuple[str, ...]
    """A sentence for each choice."""

    @property
    def call(self) -> list[str]:
        """The argv before a compiler's: the launcher, and before that what else the call needs."""
        needed = [f"{name}={value}" for name in CALL_VARIABLES if (value := self.changes.get(name))]
        return ["env", *needed, self.launcher] if needed else [self.launcher]


def set_up(
    base: Mapping[str, str], membership: Membership, slots: Slots, wish: Wish, *, cpus: int, cache: Path
) -> Setup:
    """Find out what fits this machine and the wish. Makes environments and folders of links in ``cache``.

    Raises FarmError when a compiler does not exist, or icecc is not installed.
    """
    path = _real_path(base, cache)
    if shutil.which("icecc", path=path) is None:
        raise FarmError("icecc is not installed.", "There is no icecc in PATH.", "Install it: apt-get install icecc")
    ccache = _wants_ccache(path, wish)
    jobs = wish.jobs or slots.parallel_jobs(cpus)
    start = dict(base) if ccache else {**base, "PATH": path}
    environment = compile_environment(start, remote=True, jobs=jobs, ccache=ccache, make=wish.jobs is not None)
    why = [f"{count(jobs, 'job')}: " + ("set by -j." if wish.jobs else f"{slots.why_parallel_jobs(cpus)}.")]
    if ccache:
        why.append("ccache is used first, and calls icecc for files that it does not have (CCACHE_PREFIX).")
        if not uses_ccache(base):
            environment["PATH"] = os.pathsep.join([_ccache_folder(path, cache), path])
    else:
        environment.pop("CCACHE_PREFIX", None)
        why.append(f"Compiler names in {ICECC_WRAPPERS} are links to icecc.")
    daemon = socket_variable(membership, base)
    if daemon:
        environment.update(daemon)
        why.append(f"icecc would not find its daemon at {membership.socket} by itself (ICECC_TEST_SOCKET).")
    named = [find_compiler(word, path) for word in wish.compilers]
    crossing = [find_compiler(word, path, triplet) for triplet, word in (wish.cross or {}).items()]
    launcher = "ccache" if ccache else "icecc"
    if named:
        environment.update(CC=named[0].name)
        environment.update({"CXX": named[0].cxx_name} if named[0].cxx else {})
    called = named or _called_by(environment, path)
    environment["PATH"] = _path_with(environment["PATH"], [*called, *crossing], path, launcher, cache / "bin")
    kept = [*(compiler for compiler in named if not _is_plain(compiler, path)), *crossing]
    kept += [compiler for compiler in called if compiler.needs_help and compiler not in kept]
    if kept:
        environment["ICECC_VERSION"] = _version(kept, named, path, cache / "environments")
        names = ", ".join(compiler.name for compiler in kept)
        why.append(f"Stored environments are used for {names} (ICECC_VERSION).")
    changes: Changes = {name: value for name, value in environment.items() if base.get(name) != value}
    changes |= {name: None for name in base if name not in environment}
    before = base.get("PATH", os.defpath).split(os.pathsep)
    added = tuple(folder for folder in environment["PATH"].split(os.pathsep) if folder not in before)
    cc, cxx = _real_compilers(called, environment, path)
    return Setup(membership.farm, changes, added, launcher, cc, cxx, jobs, slots, tuple(why))


def _wants_ccache(path: str, wish: Wish) -> bool:
    if wish.ccache is False:
        return False
    there = shutil.which("ccache", path=path) is not None
    if wish.ccache and not there:
        raise FarmError("ccache is not installed.", "There is no ccache in PATH.", "Install it: apt-get install ccache")
    return there


def _ccache_folder(path: str, cache: Path) -> str:
    """A folder in which compilers' names are ccache."""
    for folder in CCACHE_FOLDERS:
        if Path(folder, "gcc").exists() or Path(folder, "clang").exists():
            return folder
    names = [name for name in ("cc", "c++", "gcc", "g++", "clang", "clang++") if shutil.which(name, path=path)]
    return str(link_names(dict.fromkeys(names, Path(shutil.which("ccache", path=path) or "ccache")), cache / "bin"))


def _called_by(environment: Mapping[str, str], path: str) -> list[Compiler]:
    """The compiler that CC names already, where icecc has no link of that name (gcc-12, a triplet's)."""
    words = _behind_launchers(environment.get("CC", ""))
    if not words or "/" in words[0] or Path(ICECC_WRAPPERS, words[0]).exists():
        return []
    try:
        return [find_compiler(words[0], path)]
    except FarmError:
        return []


def _path_with(given: str, compilers: Sequence[Compiler], path: str, launcher: str, links: Path) -> str:
    """PATH in which the compilers' names are the launcher, and behind that the compilers themselves."""
    programs = {name: program for compiler in compilers for name, program in compiler.names.items()}
    folders = given.split(os.pathsep)
    hidden = {name: program for name, program in programs.items() if shutil.which(name, path=path) != str(program)}
    if hidden:
        folders.insert(1, str(link_names(hidden, links)))
    if unknown := {name for name in programs if not Path(folders[0], name).exists()}:
        found = Path(shutil.which(launcher, path=path) or launcher)
        folders.insert(0, str(link_names(dict.fromkeys(unknown, found), links)))
    return os.pathsep.join(folders)


def _is_plain(compiler: Compiler, path: str) -> bool:
    """Whether iceccd's own environment does: this machine's gcc or clang."""
    return compiler.name in ("gcc", "clang") and shutil.which(compiler.name, path=path) == str(compiler.path)


def _version(kept: Sequence[Compiler], named: Sequence[Compiler], path: str, folder: Path) -> str:
    archives = {compiler: folder / environment_of(compiler, folder).archive for compiler in kept}
    plain = next((compiler for compiler in named if not compiler.prefixes), None)
    if plain is None:
        plain = find_compiler("gcc" if shutil.which("gcc", path=path) else "clang", path)
    native = archives.get(plain) or folder / environment_of(plain, folder).archive
    return icecc_version(native, [(compiler, archive) for compiler, archive in archives.items() if compiler != plain])


def _real_compilers(
    called: Sequence[Compiler], environment: Mapping[str, str], path: str
) -> tuple[Sequence[str], Sequence[str]]:
    """C and C++ compiler, with the options that CC and CXX have for them."""
    known = (called[0].path, called[0].cxx) if called else (None, None)
    found: list[Sequence[str]] = []
    for variable, usual, program in zip(("CC", "CXX"), (("gcc", "clang"), ("g++", "clang++")), known, strict=True):
        words = _behind_launchers(environment.get(variable, ""))
        own = str(program or "") if called else words and shutil.which(words[0], path=path)
        other = "" if called else next(filter(None, (shutil.which(name, path=path) for name in usual)), "")
        found.append((own, *words[1:]) if own else (other,) if other else ())
    return found[0], found[1]


def _behind_launchers(value: str) -> list[str]:
    """The compiler and its options, as CC names them, without the programs that are to call it."""
    words = value.split()
    while words and (Path(words[0]).name in LAUNCHER_PROGRAMS or "=" in words[0]):
        words.pop(0)
    return words


def _real_path(base: Mapping[str, str], cache: Path) -> str:
    """PATH with neither icecc's, nor ccache's, nor our folders of links."""
    folders = path_without_wrappers(base).split(os.pathsep)
    dropped = {*CCACHE_FOLDERS}
    return os.pathsep.join(
        folder
        for folder in folders
        if folder.rstrip("/") not in dropped and not Path(folder).is_relative_to(cache / "bin")
    )
