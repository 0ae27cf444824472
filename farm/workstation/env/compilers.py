"""Compilers in PATH, told apart from what stands before them there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def is_wrapper(path: str | None) -> bool:
    """A compiler's name that is icecc."""
    return path is not None and Path(path).resolve().name == "icecc"


def is_ccache(path: str | None) -> bool:
    """A compiler's name that is ccache."""
    return path is not None and Path(path).resolve().name == "ccache"


def in_path(program: str, environment: Mapping[str, str]) -> list[str]:
    """All that PATH has of a name, first first."""
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    found = (shutil.which(program, path=folder) for folder in dict.fromkeys(folders) if folder)
    return [path for path in found if path]


def real_compiler(name: str, environment: Mapping[str, str]) -> str:
    """The first of a name in PATH that is a compiler, neither icecc nor ccache; empty if none is."""
    found = (path for path in in_path(name, environment) if not is_wrapper(path) and not is_ccache(path))
    return next(found, "")
