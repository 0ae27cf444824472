"""A set-up written as what shells and build systems read."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from typing import Any

from farm.errors import FarmError
from farm.workstation.env.setup import Setup
from farm.workstation.env.shell_undo import Changes
from farm.workstation.env.variables import ICECC_WRAPPERS

WRITTEN_MARK = "Written by `farm env`"
PRESET = "farm"
PRESETS_VERSION = 3
"""The first that knows a build's jobs and leaves the generator to CMake (3.21)."""
CMAKE_LANGUAGES = ("C", "CXX")
OURS = {f"CMAKE_{language}_{what}" for language in CMAKE_LANGUAGES for what in ("COMPILER_LAUNCHER", "COMPILER")}


def to_sh(changes: Changes) -> str:
    """Commands for sh, bash, zsh."""
    return "".join(
        f"unset {name}\n" if value is None else f"export {name}={shlex.quote(value)}\n"
        for name, value in changes.items()
    )


def to_fish(changes: Changes) -> str:
    """Commands that set and unset the variables in a fish shell."""
    lines = []
    for name, value in changes.items():
        if value is None:
            lines.append(f"set -e {name}\n")
        else:
            words = value.split(os.pathsep) if name == "PATH" else [value]
            lines.append(f"set -gx {name} {' '.join(map(_quote_fish, words))}\n")
    return "".join(lines)


def _quote_fish(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def sh_way_back(farm: str) -> str:
    """The shell function ``farm_off``; ``farm`` is the command line that runs us."""
    return f'farm_off() {{ eval "$({farm} env --off)" && unset -f farm_off; }}\n'


def fish_way_back(farm: str) -> str:
    """The same for fish."""
    return f"function farm_off; {farm} env --off --format fish | source; and functions -e farm_off; end\n"


def to_envrc(setup: Setup) -> str:
    """A file for direnv, which itself takes back what it set."""
    folders = [f"PATH_rm {shlex.quote(ICECC_WRAPPERS)}\n"]
    folders += [f"PATH_add {shlex.quote(folder)}\n" for folder in reversed(setup.added)]
    rest = {name: value for name, value in setup.changes.items() if name != "PATH"}
    return (
        f"# {WRITTEN_MARK} for the farm {setup.farm}; write it again when the farm changes.\n"
        + "".join(folders)
        + to_sh(rest)
    )


def to_json(setup: Setup) -> str:
    """The variables (null: unset), and what decided them."""
    return _json(
        {
            **setup.changes,
            "schema": 1,
            "farm": setup.farm,
            "jobs": setup.jobs,
            "slots": setup.slots.total,
            "free": setup.slots.free,
            "nodes": setup.slots.nodes,
            "obstacle": setup.slots.obstacle,
            "advice": list(setup.why),
        }
    )


def to_meson(setup: Setup) -> str:
    """A native file: meson setup --native-file FILE."""
    lines = [f"# {WRITTEN_MARK} for the farm {setup.farm}: meson setup --native-file THIS FOLDER\n[binaries]\n"]
    for language, compiler in (("c", setup.cc), ("cpp", setup.cxx)):
        if compiler:
            words = ", ".join(_quote_meson(word) for word in [*setup.call, *compiler])
            lines.append(f"{language} = [{words}]\n")
    return "".join(lines)


def _quote_meson(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def to_presets(setup: Setup, existing: str | None = None) -> str:
    """A CMakeUserPresets.json with presets of our name, all else in ``existing`` as it was.

    Raises FarmError when that cannot be understood.
    """
    document = _understood(existing) if existing is not None else {}
    version = document.get("version", PRESETS_VERSION)
    document = {**document, "version": max(version, PRESETS_VERSION)}
    launcher = ";".join(setup.call)
    cache = {f"CMAKE_{language}_COMPILER_LAUNCHER": launcher for language in CMAKE_LANGUAGES}
    compilers = {"C": setup.cc, "CXX": setup.cxx}
    cache |= {f"CMAKE_{language}_COMPILER": ";".join(words) for language, words in compilers.items() if words}

    def configure(old: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in _object(old, "cacheVariables").items() if name not in OURS}
        return {
            "name": PRESET,
            "displayName": f"Compile on the farm {setup.farm}",
            "binaryDir": "${sourceDir}/build/farm",
            **{name: value for name, value in old.items() if name not in ("displayName", "cacheVariables")},
            "cacheVariables": {**kept, **cache},
        }

    def build(old: dict[str, Any]) -> dict[str, Any]:
        return {"name": PRESET, "configurePreset": PRESET, **old, "jobs": setup.jobs}

    for section, renew in (("configurePresets", configure), ("buildPresets", build)):
        document[section] = _renewed(document.get(section, []), section, renew)
    return _json(document)


def _renewed(presets: object, section: str, renew: Callable[[dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    if not isinstance(presets, list) or not all(isinstance(preset, dict) for preset in presets):
        raise _not_understood(f"{section} is not a list of objects.")
    if all(preset.get("name") != PRESET for preset in presets):
        return [*presets, renew({})]
    return [renew(preset) if preset.get("name") == PRESET else preset for preset in presets]


def _understood(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_understood(str(error)) from error
    if not isinstance(document, dict):
        raise _not_understood("The file is not a JSON object.")
    if not isinstance(document.get("version", 1), int):
        raise _not_understood("The version is not a number.")
    return document


def _object(preset: dict[str, Any], key: str) -> dict[str, Any]:
    value = preset.get(key, {})
    if not isinstance(value, dict):
        raise _not_understood(f"{key} of the preset {PRESET} is not an object.")
    return value


def _not_understood(why: str) -> FarmError:
    return FarmError(
        "The existing presets cannot be parsed, so they were not changed.",
        why,
        "Fix the file, or name another one and include it.",
    )


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
