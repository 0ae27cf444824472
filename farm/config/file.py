"""Read farm.yaml: every mistake in it becomes a clear error that names file, line, key and what was expected."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml
from yaml.nodes import Node

from farm.config import VIRTUAL_MTU, VIRTUAL_NAME, Config, Place
from farm.config.kiwi_clients import FOLDER, KiwiLine, read_clients, with_clients
from farm.config.reader import Reader, is_null
from farm.config.rules import Problem, check, dotted
from farm.errors import ConfigError
from farm.home import Home

_SYNTAX_FIXES = {
    "'\\t'": "Indent with spaces: YAML does not take tabs.",
    "mapping values are not allowed": "Compare the indentation with the lines above; "
    "a value that contains a colon and a space must be put in quotes.",
    "another document": "Remove the line `---` and everything after it: farm.yaml is one document.",
    "while scanning a quoted scalar": "A quotation mark that is opened must be closed.",
}
_SYNTAX_FIX = "Each line is `key: value`, with a space after the colon; sections are indented by two spaces."


def load(path: Path, options: Sequence[str] = ()) -> Config:
    """Read and check a farm.yaml; raises ConfigError, which names every mistake with its line and key.

    ``options``: the ``farm`` options that lead to its home (Home.options), for the commands that errors name.
    """
    text = _read(path)
    if text is None:
        command = " ".join(["farm", *options, "init", "--interface", "NAME"])
        why = "The file names the interface on which the farm serves."
        raise ConfigError(f"There is no {path}.", why, f"Write it: sudo {command}")
    config, given = _parse(text, str(path))
    return with_clients(config, read_clients(path.parent / FOLDER), given)[0]


def load_or_default(home: Home, virtual: bool, name: str = VIRTUAL_NAME) -> Config:
    """The home's configuration; a virtual lab without a farm.yaml gets the defaults and this name.

    The virtual lab's mtu is VIRTUAL_MTU unless the file sets it. Raises ConfigError.
    """
    if not virtual:
        return load(home.config, home.options)
    text = _read(home.config)
    config, given = _parse(f"name: {name}" if text is None else text, str(home.config))
    config = with_clients(config, read_clients(home.config.parent / FOLDER), given)[0]
    return config if "mtu" in given else msgspec.structs.replace(config, mtu=VIRTUAL_MTU)


def kiwi_warnings(path: Path) -> list[KiwiLine]:
    """What of KIWI's client files beside a farm.yaml does not count; the file need not be there. Raises ConfigError."""
    config, given = _parse(_read(path) or "", str(path))
    return with_clients(config, read_clients(path.parent / FOLDER), given)[1]


def parse(text: str, file: str = "farm.yaml") -> Config:
    """The configuration that ``text`` holds; ``file`` is what errors call it."""
    return _parse(text, file)[0]


def read_text(path: Path) -> str:
    """The text of a farm.yaml, without a byte order mark. Raises ConfigError when it can not be read."""
    return _read(path) or ""


def where(path: Path | None, place: Place) -> str:
    """FILE:LINE of a key in a farm.yaml that loads, or as much of it as there is."""
    line = None if path is None else line_of(path, place)
    return f"{path}:{line}" if line else str(path or "farm.yaml")


def line_of(path: Path, place: Place) -> int | None:
    """The line of a key in a farm.yaml that loads; None when the key is not in it, so that its default holds."""
    return lines_of(path).get(place)


def lines_of(path: Path) -> Mapping[Place, int]:
    """The line of every key in a farm.yaml that loads."""
    text = _read(path)
    root = None if text is None else _compose(text, str(path))
    return {} if root is None else Reader(root).lines


def _read(path: Path) -> str | None:
    """The file's text, None when there is no such file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is not a file.", "farm.yaml must be a regular file.", f"Look: ls -ld {path}")
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigError(f"{path} cannot be read.", "Permission denied.", "Try again with sudo.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read.", f"{error.strerror}.", f"Look: ls -l {path}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: this is not UTF-8 text.",
            f"Byte 0x{data[error.start]:02x}: {error.reason}.",
            "Save it as UTF-8.",
        ) from None


def _parse(text: str, file: str) -> tuple[Config, dict[str, Any]]:
    """The configuration, and what was given."""
    root = _compose(text, file)
    if root is None:
        return Config(), {}
    reader = Reader(root)
    if reader.problems:
        raise _error(file, reader, reader.problems)
    config = msgspec.convert(reader.plain, Config)
    problems = [(reader.line(problem), problem) for problem in check(config)]
    if problems:
        raise _error(file, reader, problems)
    return config, reader.plain


def _compose(text: str, file: str) -> Node | None:
    """YAML to nodes, which remember their lines; None for a file without content."""
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ConfigError(
                    f"{file}:{_line(event.start_mark)}: the alias *{event.anchor} is not supported.",
                    "farm.yaml is plain YAML, without anchors and aliases.",
                    "Write the value out.",
                )
        root = yaml.compose(text, yaml.SafeLoader)
        return None if root is None or is_null(root) else root
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(file, text, error) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise ConfigError(
            f"{file}:{line}: there is a character that YAML does not allow.",
            f"The character is U+{code:04X}.",
            "Remove it.",
        ) from None
    except RecursionError:
        fix = "Compare with: farm init --stdout"
        raise ConfigError(f"{file} is nested too deeply.", "A farm.yaml has four levels.", fix) from None


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 1


def _syntax_error(file: str, text: str, error: yaml.MarkedYAMLError) -> ConfigError:
    number = _line(error.problem_mark or error.context_mark)
    lines = text.splitlines()
    line = lines[number - 1].strip() if number <= len(lines) else ""
    told = "; ".join(part for part in (error.problem, error.context) if part)
    fix = next((fix for sign, fix in _SYNTAX_FIXES.items() if sign in told), _SYNTAX_FIX)
    why = f"YAML's parser says: {told}." + (f"\nThe line: {line[:100]!r}" if line else "")
    return ConfigError(f"{file}:{number}: this is not YAML.", why, fix)


def _error(file: str, reader: Reader, problems: list[tuple[int, Problem]]) -> ConfigError:
    """One mistake as what, why and fix; several as a list in the order of their lines."""
    told = []
    for line, problem in sorted(problems, key=lambda numbered: numbered[0]):
        unset = " (not set, so the default)" if problem.related and problem.place not in reader.lines else ""
        key = f"{dotted(problem.place)}{unset}: " if problem.place else ""
        told.append((f"{file}:{line}: {key}{problem.text}", problem.why, problem.fix))
    if len(told) == 1:
        return ConfigError(*told[0])
    blocks = ["\n  ".join(part for part in parts if part) for parts in told]
    fix = f"Fix them, then: farm config check {file}"
    return ConfigError(f"{file} has {len(told)} mistakes.", "\n".join(blocks), fix)
