"""Compilers that have changed under a running iceccd, which then never packs them again.

icecc 1.4 packs each compiler once. When that, or a file packed with it, has another time, or the archive is gone, its
``handle_get_native_env`` (daemon/main.cpp) calls ``remove_native_environment`` by the archive's path, where its table
goes by the compiler's: the archive is deleted, the entry stays. Each answer then names a file that is not there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from farm.errors import FarmError
from farm.workstation import local_iceccd
from farm.workstation.env.compilers import real_compiler

NATIVE_COMPILERS = ("gcc", "clang")
SOON = 3.0
"""Seconds; what iceccd has on record it names at once, and an answer that takes longer is not about an old archive."""
MARGIN = 60.0
"""Seconds by which the time of a process's start may be wrong, as after the clock was set."""
EXTRA_FILE = ("-fplugin=", "-fsanitize-blacklist=", "-fprofile-sample-use=")
"""Options whose files are packed with the compiler (client/arg.cpp)."""


def lost_archive(where: str, compiler: str, extra: Sequence[str] = (), compression: str = "") -> str:
    """The archive that the iceccd at a socket names for a compiler and that is not there; empty when all is well."""
    try:
        archive = local_iceccd.native_environment(where, compiler, compression, extra, SOON)
    except FarmError:  # it has to pack first, or does not answer
        return ""
    return archive if archive and is_gone(archive) else ""


def is_gone(path: str) -> bool:
    """Whether nothing is there; a file that may not be looked at is."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def find_outdated(environment: Mapping[str, str], folder: str) -> str:
    """A sentence about what keeps iceccd from giving out one of the compilers in PATH; empty when nothing does.

    ``folder``: where compilers are called. Only those are asked for that have changed since it started: a question
    about another would make it pack that.
    """
    found, _ = local_iceccd.find(environment)
    if found is None or not found.pid or environment.get("ICECC_VERSION"):
        return ""
    if found.options and found.options.folder and is_gone(found.options.folder):
        return f"{found.options.folder}, where iceccd stores packed compilers, no longer exists."
    try:
        started = psutil.Process(found.pid).create_time()
    except psutil.Error:
        return ""
    compression = environment.get("ICECC_ENV_COMPRESSION", "")
    extra = extra_files((), environment, folder)
    for path in filter(None, (real_compiler(name, environment) for name in NATIVE_COMPILERS)):
        changed = max(map(last_change, (path, *extra)))
        if changed > started - MARGIN and lost_archive(found.where, path, extra, compression):
            packed = f"{path}, or a file of ICECC_EXTRAFILES," if extra else path
            return f"{packed} has changed since iceccd started, and icecc 1.4 then never packs it again."
    return ""


def last_change(path: str) -> float:
    """When a file, or a link on the way to it, was put there or changed, whatever its own time says (Unix time)."""
    latest = 0.0
    for _ in range(40):  # as many links as the kernel follows
        with contextlib.suppress(OSError):  # nothing there
            latest = max(latest, os.lstat(path).st_ctime)
        link = next((place for place in (Path(path), *Path(path).parents) if place.is_symlink()), None)
        if link is None:
            break
        latest = max(latest, link.lstat().st_ctime)
        path = str(link.parent / link.readlink() / Path(path).relative_to(link))
    return latest


def extra_files(words: Iterable[str], settings: Mapping[str, str], folder: str) -> list[str]:
    """The files that icecc has packed with the compiler of a call, in its order; ``folder``: where it was called."""
    named = [word.removeprefix(option) for word in words for option in EXTRA_FILE if word.startswith(option)]
    listed = settings.get("ICECC_EXTRAFILES", "")
    return [str(Path(folder, name)) for name in [*named, *(listed.split(":") if listed else [])]]
