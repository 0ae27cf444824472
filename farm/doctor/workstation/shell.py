"""Checks of a shell: icecc is there, and compiler calls meet it exactly once."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from farm.doctor.check import Cause, Check, Outcome, fine, together
from farm.doctor.workstation.chain import (
    WRAPPED_COMPILERS,
    bypasses,
    cmake_caches,
    doubled,
    goes_to_icecc,
    misplaced_ccache,
    prefix_launchers,
    tools,
)
from farm.doctor.workstation.facts import WorkstationFacts
from farm.workstation.env.compilers import in_path, is_wrapper
from farm.workstation.env.variables import CMAKE_LAUNCHERS, ICECC_WRAPPERS

NOT_INSTALLED = Cause(
    "icecream is not installed: there is no icecc in PATH.", "Install it", "sudo apt-get install icecc"
)
NO_WRAPPERS = Cause(
    "icecc is installed, but its folder of compiler links, {folder}, is missing.",
    "Install icecream from the distribution",
    "sudo apt-get install --reinstall icecc",
)
DISABLED = Cause(
    "ICECC={value} is set: icecc compiles everything here.", "Remove it from the environment", "unset ICECC"
)
ONE_HOST = Cause(
    "ICECC_PREFERRED_HOST={value} is set: every job waits for that one node.",
    "Remove it from the environment",
    "unset ICECC_PREFERRED_HOST",
    warns=True,
)
NOT_HERE = Cause(
    "Compiler calls in this shell do not use icecc.",
    "Start builds with `farm run`, or set up the shell",
    'eval "$(farm env)"',
    warns=True,
)
BY_PATH = Cause(
    "{variable}={value} names a compiler by its full path, which bypasses icecc.",
    "Leave out the folder",
    "export {variable}={name}",
)
UNKNOWN_NAME = Cause(
    "{variable}={value} is a name that {folder} does not have, which bypasses icecc.",
    "Put icecc in front of it",
    "export {variable}={quoted}",
)
DOUBLED = Cause(
    "Compiler calls reach icecc twice ({ways}), and icecc refuses to call itself.",
    "Remove one of the two; with ccache, remove the folder from PATH",
    "{command}",
)
BEHIND = Cause(
    "ccache comes behind icecc in PATH ({ccache}): icecc takes it for the compiler and sends it to the nodes.",
    "Let ccache call icecc, and keep only ccache's folder in PATH",
    'export CCACHE_PREFIX=icecc PATH="{path}"',
)
CACHE_BYPASS = Cause(
    "The build folder of {cache} calls {compiler} by its full path, without icecc.",
    "Add a launcher",
    "cmake -DCMAKE_C_COMPILER_LAUNCHER=icecc -DCMAKE_CXX_COMPILER_LAUNCHER=icecc {folder}",
)
CACHE_DOUBLED = Cause(
    "The build folder of {cache} has a launcher for a compiler that is already icecc ({compiler}).",
    "Remove the launcher",
    "cmake -DCMAKE_C_COMPILER_LAUNCHER= -DCMAKE_CXX_COMPILER_LAUNCHER= {folder}",
)


def _installed(facts: WorkstationFacts) -> Outcome:
    path = facts.environment.get("PATH", os.defpath)
    facts.icecc = shutil.which("icecc", path=path) or ""
    if not facts.icecc:
        return NOT_INSTALLED.found(f"PATH={path}")
    if not Path(ICECC_WRAPPERS).is_dir():
        return NO_WRAPPERS.found(facts.icecc, folder=ICECC_WRAPPERS)
    return fine(facts.icecc, ICECC_WRAPPERS)


def _settings(facts: WorkstationFacts) -> Outcome:
    environment = facts.environment
    found = [fine(f"{name}={environment[name]}") for name in sorted(environment) if name.startswith("ICECC")]
    value = environment.get("ICECC", "")
    if value.lower() in ("no", "disable"):
        found.append(DISABLED.found(value=value))
    if host := environment.get("ICECC_PREFERRED_HOST", ""):
        found.append(ONE_HOST.found(value=host))
    return together(found or [fine("None of icecc's variables is set.")])


def _path(facts: WorkstationFacts) -> Outcome:
    """Which compilers a build takes by CC, CXX, CMake's launchers and PATH."""
    environment = facts.environment
    seen = [f"{name}={environment[name]}" for name in ("CC", "CXX", *CMAKE_LAUNCHERS) if environment.get(name)]
    seen += [f"gcc is {path}" for path in in_path("gcc", environment)[:4]]
    found = [fine(*seen)]
    for each in bypasses(environment):
        value = environment[each.variable]
        name = Path(each.compiler).name
        if each.by_path and name in WRAPPED_COMPILERS:
            found.append(BY_PATH.found(variable=each.variable, value=value, name=name))
        else:
            quoted = shlex.quote(f"icecc {each.compiler}")
            found.append(
                UNKNOWN_NAME.found(variable=each.variable, value=value, folder=ICECC_WRAPPERS, quoted=quoted)
                if not each.by_path
                else BY_PATH.found(variable=each.variable, value=value, name=quoted)
            )
    if len(found) == 1 and not goes_to_icecc(environment):
        found.append(NOT_HERE.found())
    return together(found)


def _ccache(facts: WorkstationFacts) -> Outcome:
    environment = facts.environment
    ways = doubled(environment)
    if ways:
        return DOUBLED.found(*ways, ways="; ".join(ways), command=_parted(environment))
    ccache = misplaced_ccache(environment)
    if ccache:
        folders = _without(environment.get("PATH", ""), ICECC_WRAPPERS)
        return BEHIND.found(f"gcc is {', then '.join(in_path('gcc', environment))}", ccache=ccache, path=folders)
    launchers = prefix_launchers(environment)
    return fine(
        f"CCACHE_PREFIX={environment['CCACHE_PREFIX']}" if launchers else "ccache is not used in front of icecc."
    )


def _parted(environment: Mapping[str, str]) -> str:
    """What is to be typed for calls to meet icecc once: its folder leaves PATH, or what CC and others add goes."""
    path = _without(environment.get("PATH", ""), ICECC_WRAPPERS)
    bare = {**environment, "PATH": path}
    if not doubled(bare) and goes_to_icecc(bare):
        return f'export PATH="{path}"'
    commands = []
    for each in tools(environment):
        if "icecc" in each.launchers or (each.launchers and is_wrapper(each.compiler)):
            kept = [name for name in each.launchers if name != "icecc"]
            behind = "icecc" in prefix_launchers(environment) and kept
            name = Path(each.compiler).name if is_wrapper(each.compiler) else each.compiler
            words = [*kept, name] if behind else ["icecc", name]
            commands.append(f"{each.variable}={shlex.quote(' '.join(words))}")
    unset = [name for name in CMAKE_LAUNCHERS if "icecc" in environment.get(name, "")]
    parts = [f"export {' '.join(commands)}"] if commands else []
    return "; ".join([*parts, f"unset {' '.join(unset)}"] if unset else parts)


def _without(path: str, folder: str) -> str:
    return os.pathsep.join(part for part in path.split(os.pathsep) if part.rstrip("/") != folder)


def _cmake(facts: WorkstationFacts) -> Outcome:
    found = []
    behind = "icecc" in prefix_launchers(facts.environment)
    for cache in cmake_caches(facts.folder):
        launched, folder = "icecc" in cache.launchers, shlex.quote(os.path.dirname(cache.path))
        seen = f"{cache.path}: {' '.join([*cache.launchers, cache.compiler])} ({cache.language})"
        if is_wrapper(cache.compiler):
            doubles = launched or (behind and "ccache" in cache.launchers)
            names = {"cache": cache.path, "compiler": cache.compiler, "folder": folder}
            found.append(CACHE_DOUBLED.found(seen, **names) if doubles else fine(seen))
        elif launched or (behind and "ccache" in cache.launchers):
            found.append(fine(seen))
        else:
            found.append(CACHE_BYPASS.found(seen, cache=cache.path, compiler=cache.compiler, folder=folder))
    return together(found or [fine(f"There is no CMakeCache.txt in {facts.folder} or its folders.")])


CHECKS: tuple[Check[WorkstationFacts], ...] = (
    Check(
        "icecc-installed",
        "icecream's client is installed",
        "Without icecc, everything is compiled on this machine.",
        _installed,
        causes=(NOT_INSTALLED, NO_WRAPPERS),
    ),
    Check(
        "icecc-settings",
        "No setting keeps jobs on this machine",
        "A forgotten variable of icecc can keep all jobs here.",
        _settings,
        causes=(DISABLED, ONE_HOST),
    ),
    Check(
        "compiler-path",
        "Compiler calls in this shell use icecc",
        "A compiler that is named by its path silently bypasses icecc.",
        _path,
        causes=(BY_PATH, UNKNOWN_NAME, NOT_HERE),
        needs=("icecc-installed",),
    ),
    Check(
        "ccache-order",
        "ccache calls icecc exactly once",
        "Called twice, icecc fails; in front of ccache, it sends ccache instead of the compiler.",
        _ccache,
        causes=(DOUBLED, BEHIND),
        needs=("icecc-installed",),
    ),
    Check(
        "cmake-cache",
        "CMake's build folders use icecc",
        "CMake keeps the full path of the compiler from the first configuration.",
        _cmake,
        causes=(CACHE_BYPASS, CACHE_DOUBLED),
        needs=("icecc-installed",),
    ),
)
