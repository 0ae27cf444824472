"""Keys as the user wants them: a TOML file of binding ids, ``nodes.search = "ctrl+f"``."""

from __future__ import annotations

import difflib
import json
import string
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from textual.binding import Binding
from textual.keys import KEY_ALIASES, REPLACED_KEYS, Keys, key_to_character

from farm.errors import ConfigError
from farm.workstation.membership import user_folder

MODIFIERS = ("ctrl", "shift", "alt", "super", "meta", "hyper")
KEY_NAMES = sorted(
    {key.value.rpartition("+")[2] for key in Keys if not key.value.startswith("<")}
    | {*KEY_ALIASES, *REPLACED_KEYS, "space"}
)
KEY_SIGNS = frozenset(string.punctuation)
"""Whose names are names of keys: slash. Each character of Unicode has a name, BANANA is one."""
MAX_KEYS_FILE = 64 << 10


def keys_file() -> Path:
    """Where keys are read from unless said otherwise."""
    return user_folder("XDG_CONFIG_HOME", ".config") / "farm" / "keys.toml"


def read_keys(path: Path | None, sections: Mapping[str, Iterable[Binding]]) -> dict[str, str]:
    """The keymap in a file: binding id → keys, separated by commas. Without ``path`` the usual file, if there is one.

    ``sections``: all bindings by where they hold. Raises ConfigError for what cannot be.
    """
    file = path or keys_file()
    if path is None and not file.exists():
        return {}
    try:
        data = file.read_bytes()[:MAX_KEYS_FILE].decode()
        found = tomllib.loads(data)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        mend = "Each line assigns keys to a command: top.pause = 'space'"
        raise ConfigError(f"{file} cannot be read.", f"{error}.", mend) from error
    keymap = {}
    for name, keys in _flat(found):
        keymap[name] = _checked(file, name, keys, sections)
    _refuse_clashes(file, keymap, sections)
    return keymap


def keys_text(sections: Mapping[str, Iterable[Binding]]) -> str:
    """A file of keys that changes nothing, with what each command does; for people to begin with."""
    lines = []
    for place, bindings in sections.items():
        lines.append(f"\n# {place[0].upper()}{place[1:]}")
        lines += [
            f"{binding.id} = {json.dumps(binding.key)}  # {binding.tooltip or binding.description}"
            for binding in bindings
        ]
    return "\n".join(lines).strip()


def _flat(table: Mapping[str, Any], place: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _checked(file: Path, name: str, keys: object, sections: Mapping[str, Iterable[Binding]]) -> str:
    ids = sorted({binding.id for bindings in sections.values() for binding in bindings if binding.id})
    if name not in ids:
        raise ConfigError(
            f"{file}: there is no command {name!r}.",
            _near(name, ids),
            "To see the names of all commands: farm top --list-keys",
        )
    if not isinstance(keys, str) or not keys.strip():
        raise ConfigError(f"{file}: {name} needs a key.", f"The value is {keys!r}.", f"For example: {name} = 'ctrl+x'")
    return ",".join(_key(file, name, key.strip()) for key in keys.split(","))


def _key(file: Path, name: str, key: str) -> str:
    *modifiers, base = ["+"] if key == "+" else key.split("+")
    known = len(base) == 1 and base.isprintable() and base != " "
    known = known or base in KEY_NAMES or (base.islower() and (key_to_character(base) or base) in KEY_SIGNS)
    if known and all(modifier in MODIFIERS for modifier in modifiers):
        return "+".join([*sorted(set(modifiers)), base])  # as the terminal's input is written
    wrong = next((modifier for modifier in modifiers if modifier not in MODIFIERS), base)
    choices = MODIFIERS if wrong in modifiers else KEY_NAMES
    raise ConfigError(
        f"{file}: {name}: there is no key {key!r}.",
        _near(wrong, choices),
        "A key is one character or a name such as f5, home, space; ctrl+, shift+ and alt+ can precede it.",
    )


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"The nearest is {near[0]!r}." if near else ""


def _refuse_clashes(file: Path, keymap: Mapping[str, str], sections: Mapping[str, Iterable[Binding]]) -> None:
    """Within one section a key can do but one thing; a view's own key goes before one that holds everywhere."""
    for place, bindings in sections.items():
        owner: dict[str, str] = {}
        for binding in bindings:
            if binding.id is None:
                continue
            for key in keymap.get(binding.id, binding.key).split(","):
                other = owner.setdefault(_plain(key), binding.id)
                if other != binding.id:
                    raise ConfigError(
                        f"{file}: the key {key!r} is assigned twice: {other} and {binding.id}.",
                        f"Both apply in the same place ({place}).",
                        f"Assign another key to one of them: {other} = '…'",
                    )


def _plain(key: str) -> str:
    """A key by its character, where it has a name too: ``slash`` is ``/``."""
    return key_to_character(key) or key
