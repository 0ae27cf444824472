"""How a shell's compiler calls get to icecc, or past it: from the environment and CMake's caches alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from farm.workstation.env.compilers import in_path, is_ccache, is_wrapper
from farm.workstation.env.variables import CMAKE_LAUNCHERS, ICECC_WRAPPERS

WRAPPED_COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "clang++")
"""The names that icecc's folder of wrappers has."""
PREFIXES = ("icecc", "ccache", "sccache", "distcc", "icerun")
VARIABLES = {"CC": "gcc", "CXX": "g++"}
MAX_CACHES = 20


class Tool(Struct, frozen=True):
    """What a variable such as CC says: launchers before a compiler."""

    variable: str
    launchers: tuple[str, ...]
    compiler: str
    """As it was written; empty when there is none."""

    @property
    def by_path(self) -> bool:
        """It names a folder, so that PATH has no say."""
        return "/" in self.compiler


class CMakeCache(Struct, frozen=True):
    """What a CMakeCache.txt has of one language."""

    path: str
    language: str
    compiler: str
    launchers: tuple[str, ...]


def tool(variable: str, value: str) -> Tool:
    """Take the value of CC or CXX apart."""
    words = value.split()
    launchers = []
    while words and Path(words[0]).name in PREFIXES:
        launchers.append(Path(words.pop(0)).name)
    return Tool(variable, tuple(launchers), words[0] if words else "")


def tools(environment: Mapping[str, str]) -> list[Tool]:
    """CC and CXX, or gcc and g++ where they are not set."""
    return [tool(name, environment.get(name, "") or usual) for name, usual in VARIABLES.items()]


def prefix_launchers(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The programs of CCACHE_PREFIX."""
    return tuple(Path(word).name for word in environment.get("CCACHE_PREFIX", "").split())


def doubled(environment: Mapping[str, str]) -> list[str]:
    """In which ways compiler calls meet icecc twice; icecc refuses to call itself."""
    found = []
    first = in_path("gcc", environment)
    behind = "icecc" in prefix_launchers(environment)
    wrapped = any(is_wrapper(path) for path in first)
    if behind and wrapped:
        found.append(f"CCACHE_PREFIX={environment['CCACHE_PREFIX']} and {ICECC_WRAPPERS} in PATH")
    for each in tools(environment):
        value = environment.get(each.variable, "")
        if behind and "icecc" in each.launchers:
            found.append(f"CCACHE_PREFIX={environment['CCACHE_PREFIX']} and {each.variable}={value}")
        elif each.launchers.count("icecc") > 1 or (each.launchers and each.by_path and is_wrapper(each.compiler)):
            found.append(f"{each.variable}={value}")
    for name in CMAKE_LAUNCHERS:
        launcher = environment.get(name, "")
        if "icecc" in (Path(word).name for word in launcher.replace(";", " ").split()):
            if behind:
                found.append(f"CCACHE_PREFIX={environment['CCACHE_PREFIX']} and {name}={launcher}")
            elif wrapped:
                found.append(f"{name}={launcher} and {ICECC_WRAPPERS} in PATH")
    return found


def misplaced_ccache(environment: Mapping[str, str]) -> str:
    """The ccache that icecc would take for the compiler, since it comes behind icecc in PATH; else empty."""
    found = in_path("gcc", environment)
    wrappers = [number for number, path in enumerate(found) if is_wrapper(path)]
    behind = [path for path in found[wrappers[0] + 1 :] if not is_wrapper(path)] if wrappers else []
    return behind[0] if behind and is_ccache(behind[0]) else ""


def bypasses(environment: Mapping[str, str]) -> list[Tool]:
    """Those of CC and CXX that pass icecc by although it comes first in PATH, or that name a compiler by its path."""
    found = []
    behind = "icecc" in prefix_launchers(environment)
    for each in tools(environment):
        if each.variable not in environment or not each.compiler or "icecc" in each.launchers:
            continue
        if behind and "ccache" in each.launchers:
            continue
        resolved = each.compiler if each.by_path else shutil.which(each.compiler, path=environment.get("PATH"))
        through_ccache = behind and is_ccache(resolved)
        wrapped_elsewhere = any(is_wrapper(path) for path in in_path("gcc", environment))
        if is_wrapper(resolved) or through_ccache:
            continue
        if each.by_path or wrapped_elsewhere:
            found.append(each)
    return found


def goes_to_icecc(environment: Mapping[str, str]) -> bool:
    """Whether a plain compiler call in this environment meets icecc."""
    if "icecc" in prefix_launchers(environment):
        return True
    launchers = [environment.get(name, "") for name in CMAKE_LAUNCHERS]
    if any("icecc" in value for value in launchers):
        return True
    return any(
        "icecc" in each.launchers or is_wrapper(shutil.which(each.compiler, path=environment.get("PATH")))
        for each in tools(environment)
    )


def parse_cmake_cache(path: str, text: str) -> list[CMakeCache]:
    """The compilers and launchers of a CMakeCache.txt (lines ``NAME:TYPE=VALUE``)."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "//")):
            values[name.partition(":")[0]] = value
    return [
        CMakeCache(
            path,
            language,
            compiler,
            tuple(Path(word).name for word in values.get(f"CMAKE_{language}_COMPILER_LAUNCHER", "").split(";") if word),
        )
        for language in ("C", "CXX")
        if (compiler := values.get(f"CMAKE_{language}_COMPILER", ""))
    ]


def cmake_caches(folder: Path) -> list[CMakeCache]:
    """Those of this folder and of the folders in it."""
    found: list[CMakeCache] = []
    try:
        paths = [folder / "CMakeCache.txt", *sorted(folder.glob("*/CMakeCache.txt"))]
    except OSError:
        return []
    for path in paths[:MAX_CACHES]:
        try:
            found += parse_cmake_cache(str(path), path.read_text(errors="replace"))
        except OSError:
            continue
    return found
