"""Private parts of libraries that the farm relies on: a release that moves one fails here, by name and place of use.

pyproject.toml bounds these libraries to the minor versions that were tried.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from xmlrpc.client import Transport

import pytest
from textual.drivers.linux_driver import LinuxDriver
from textual.drivers.web_driver import WebDriver
from textual.events import Key
from textual_serve.app_service import AppService
from textual_serve.server import Server

TOP = Path(__file__).parents[2]

MODULES = {"textual._xterm_parser": "tui/driver.py"}
"""Private modules, and what imports them."""

METHODS = {
    (LinuxDriver, "_sigtstp_application"): ("tui/driver.py", ["self", "_"]),
    (LinuxDriver, "_sigcont_application"): ("tui/driver.py", ["self", "_"]),
    (Server, "_make_app"): ("tui/web.py", ["self"]),
    (Server, "_process_messages"): ("tui/web.py", ["self", "websocket", "app_service"]),
}
"""Private methods that are overridden: where, and their parameters."""

ATTRIBUTES = {
    (LinuxDriver, "_app"): "tui/driver.py",
    (LinuxDriver, "_debug"): "tui/driver.py",
    (LinuxDriver, "_file"): "tui/driver.py",
    (LinuxDriver, "_loop"): "tui/driver.py",
    (LinuxDriver, "_must_signal_resume"): "tui/driver.py",
    (WebDriver, "_app"): "tui/driver.py",
    (WebDriver, "_loop"): "tui/driver.py",
    (WebDriver, "_write"): "tui/driver.py",
    (AppService, "_process"): "tui/web.py",
    (Transport, "_connection"): "farm/supervisor.py",
}
"""Private attributes that a constructor sets, and where they are used."""


def library(module: str) -> str:
    """A module's library and its version, such as ``textual 8.2.8``."""
    name = module.partition(".")[0]
    if name in sys.stdlib_module_names:
        return f"Python {sys.version.split()[0]}"
    return f"{name} {version(name.replace('_', '-'))}"


@pytest.mark.parametrize("module", MODULES)
def test_a_private_module_is_where_it_was(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise AssertionError(f"{library(module)} has no {module}, which {MODULES[module]} imports") from error


def test_textuals_parser_turns_bytes_into_keys() -> None:
    from textual._xterm_parser import XTermParser

    parser = XTermParser(False)
    keys = [*parser.feed("a"), *parser.tick()]

    assert ["a"] == [each.key for each in keys if isinstance(each, Key)], "tui/driver.py feeds and ticks it like this"


@pytest.mark.parametrize(("owner", "name"), METHODS, ids=lambda each: getattr(each, "__name__", each))
def test_an_overridden_method_is_there_with_its_parameters(owner: type, name: str) -> None:
    place, parameters = METHODS[owner, name]
    there = f"{library(owner.__module__)}: {owner.__name__}.{name}, which {place} overrides,"

    method = getattr(owner, name, None)

    assert method is not None, f"{there} is gone"
    assert parameters == list(inspect.signature(method).parameters), f"{there} takes other parameters"


@pytest.mark.parametrize(("owner", "name"), ATTRIBUTES, ids=lambda each: getattr(each, "__name__", each))
def test_a_private_attribute_is_set_by_its_owner(owner: type, name: str) -> None:
    sources = [inspect.getsource(each) for each in owner.__mro__ if each is not object]

    there = f"{library(owner.__module__)}: {owner.__name__}.{name}, which {ATTRIBUTES[owner, name]} uses,"
    assert any(f"self.{name}" in source for source in sources), f"{there} is gone"


def test_no_other_private_module_of_a_library_is_imported() -> None:
    assert set(MODULES) == {module for path in sources() for module in private_imports(path)}


def sources() -> Iterator[Path]:
    for folder in ("farm", "tui"):
        yield from (TOP / folder).rglob("*.py")


def private_imports(path: Path) -> Iterator[str]:
    """Dotted names with an underscore in front of a part that a file imports from outside the farm's packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=str(module)):
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.Import():
                names = [alias.name for alias in node.names]
            case _:
                continue
        for parts in (name.split(".") for name in names):
            private = [n for n, part in enumerate(parts, 1) if part.startswith("_") and not part.startswith("__")]
            if private and parts[0] not in ("farm", "tui"):
                yield ".".join(parts[: private[0]])
