"""A real project of more than fifty C and C++ files, built by make, by CMake with Ninja, and by Meson.

zstd comes with all three. Each build system has a folder of its own; `Build.commands` are what a developer would type,
and say nothing of a farm: that is up to the environment and the arguments that are handed over.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "libzstd"
FLAGS = {"CFLAGS": "-O1 -g0", "CXXFLAGS": "-O1 -g0"}
"""No debug information, which would hold paths; little optimisation, since three builds are waited for."""
LEAST_FILES = 50


@dataclass(frozen=True)
class Build:
    """A build system's way to build the project in ``folder``."""

    system: str
    folder: Path
    configure: Sequence[Sequence[str]]
    build: Sequence[Sequence[str]]

    @property
    def objects(self) -> dict[str, bytes]:
        """The object files that are there, by their place in the folder."""
        found = sorted(self.folder.rglob("*.o"))
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in found}

    def clean(self) -> None:
        """Remove the objects, so that a build makes all of them anew."""
        for file in [*self.folder.rglob("*.o"), *self.folder.rglob("*.a")]:
            file.unlink()


def fetch(folder: Path) -> Path:
    """The project's sources, from the host's Debian mirror."""
    script = Path(__file__).parents[1] / "script" / "fetch-source"
    subprocess.run([sys.executable, str(script), PACKAGE, str(folder)], check=True, timeout=120, capture_output=True)
    return folder / PACKAGE


def by_make(sources: Path, folder: Path, jobs: str = "$FARM_JOBS") -> Build:
    """In a copy of the sources, as make builds among them."""
    shutil.copytree(sources, folder, symlinks=True)
    build = [["make", f"-j{jobs}", "-C", f"{folder}/{part}", goal] for part, goal in MAKE_GOALS]
    return Build("make", folder, [], build)


MAKE_GOALS = (("programs", "zstd"), ("contrib/pzstd", "pzstd"))


def by_cmake(sources: Path, folder: Path, *arguments: str, jobs: str = "$FARM_JOBS") -> Build:
    """With Ninja; ``arguments`` go to the configuring cmake."""
    options = ["-DZSTD_BUILD_SHARED=OFF", "-DZSTD_BUILD_CONTRIB=ON", "-DCMAKE_BUILD_TYPE=None", *arguments]
    return Build(
        "CMake",
        folder,
        [["cmake", "-G", "Ninja", "-S", f"{sources}/build/cmake", "-B", str(folder), *options]],
        [["cmake", "--build", str(folder), "-j", jobs]],
    )


def by_meson(sources: Path, folder: Path, *arguments: str, jobs: str = "$FARM_JOBS") -> Build:
    """``arguments`` go to meson setup."""
    options = ["--default-library=static", "-Dbin_contrib=true", "--buildtype=plain", *arguments]
    return Build(
        "Meson",
        folder,
        [["meson", "setup", *options, str(folder), f"{sources}/build/meson"]],
        [["meson", "compile", "-C", str(folder), "-j", jobs]],
    )


def as_script(commands: Sequence[Sequence[str]]) -> str:
    """The commands for a shell that stops at the first which fails; FARM_JOBS in them is the shell's."""
    return "set -e\n" + "".join(" ".join(f'"{word}"' for word in command) + "\n" for command in commands)


def developer(home: Path, **more: str) -> Mapping[str, str]:
    """The environment of a developer who has set nothing but flags that make objects reproducible."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        **FLAGS,
        **more,
    }
