"""A command that a message names means the farm that the message speaks of."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from farm.cli import COMMANDS, cli
from farm.config import Config
from farm.doctor.server.serving import NOT_RUNNING
from farm.errors import FarmError
from farm.errors.hints import FARM_COMMANDS, HOMELESS, LOOKS, at_home, at_scheduler, hint, speak_of
from farm.instance import Instance
from farm.view.boot import ADVICE
from farm.view.problems import problems
from farm.view.roles.compile import VIEW
from farm.watch.events import ServicesSeen
from farm.watch.state import fold, initial
from tests.lab import AS_NOBODY

TOP = Path(__file__).parents[2]
HOME = ["--home", "/srv/my farm"]
SOURCES = [*sorted((TOP / "farm").rglob("*.py")), *sorted((TOP / "tui").rglob("*.py"))]


@pytest.fixture
def elsewhere() -> Iterator[None]:
    speak_of(HOME)
    yield
    speak_of(())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Try: sudo farm down", "Try: sudo farm --home '/srv/my farm' down"),
        ("farm status", "farm --home '/srv/my farm' status"),
        ("Look: farm -v up", "Look: farm --home '/srv/my farm' -v up"),
        (
            "Look: farm logs nginx — then repeat: sudo farm up",
            "Look: farm --home '/srv/my farm' logs nginx — then repeat: sudo farm --home '/srv/my farm' up",
        ),
        ("use `farm run`, or what", "use `farm --home '/srv/my farm' run`, or what"),
        ("Bring the farm up again: sudo farm up", "Bring the farm up again: sudo farm --home '/srv/my farm' up"),
        ("sudo farm --home /x down", "sudo farm --home /x down"),
        ("/usr/local/bin/farm down --keep-nodes", "/usr/local/bin/farm down --keep-nodes"),
        ("the farm's history", "the farm's history"),
        ("Join it anew: farm join ADDRESS", "Join it anew: farm join ADDRESS"),
        ("or: farm top --scheduler HOST", "or: farm top --scheduler HOST"),
        ("or: farm node block NODE --scheduler HOST", "or: farm node block NODE --scheduler HOST"),
        ("On the farm's server: farm node drain pc01", "On the farm's server: farm node drain pc01"),
        ("farm upon", "farm upon"),
    ],
)
def test_a_command_gets_the_home_and_prose_does_not(text: str, said: str) -> None:
    assert said == at_home(text, HOME)
    assert said == at_home(said, HOME)
    assert text == at_home(text, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("List them: farm node list", "List them: farm node list --scheduler 10.0.0.1:8765"),
        ("Watch it: farm status --watch", "Watch it: farm status --scheduler 10.0.0.1:8765 --watch"),
        ("Block it: farm node block pc01", "Block it: farm node block --scheduler 10.0.0.1:8765 pc01"),
        ("or: farm node block NODE --scheduler HOST", "or: farm node block NODE --scheduler HOST"),
        ("farm top --netname lab", "farm top --netname lab"),
        ("Its log: farm logs scheduler", "Its log: farm logs scheduler"),
        ("the farm status", "the farm status"),
    ],
)
def test_a_command_gets_the_scheduler_that_was_named(text: str, said: str) -> None:
    options = ["--scheduler", "10.0.0.1:8765"]
    assert said == at_scheduler(text, options) == at_scheduler(said, options)
    assert text == at_scheduler(text, [])
    assert "--home" not in at_home(at_scheduler("See: farm node list", options), HOME)


def test_the_commands_that_look_at_any_scheduler_are_known() -> None:
    root = click.Context(cli)

    def taking(name: str, command: click.Command) -> Iterator[str]:
        if isinstance(command, click.Group):
            for each in command.list_commands(root):
                yield from taking(f"{name} {each}".strip(), command.get_command(root, each) or click.Command(each))
        elif {"scheduler", "netname"} <= {each.name for each in command.params}:
            yield name

    # drain has the options only to say that it needs a farm.
    assert {*taking("", cli)} - {"node drain"} == {*LOOKS}


def test_every_command_is_known() -> None:
    assert {*COMMANDS} == {*FARM_COMMANDS, *HOMELESS}


@pytest.mark.usefixtures("elsewhere")
def test_whatever_tells_what_to_do_names_the_home() -> None:
    farm = fold(initial("f", {}), ServicesSeen((), 1.0, "gone"))
    instance = Instance(config=Config(), interface="lab0", images={}, started=0.0)
    told = [
        FarmError("what", "why", "Start it: sudo farm up").fix,
        NOT_RUNNING.found().command,
        problems(farm, instance, "gone")[0].fix,
        *(hint(look) for _, look in [*ADVICE.values(), *VIEW.advice.values()] if "farm " in look),
    ]

    assert all("farm --home '/srv/my farm' " in text for text in told), told


def literals(tree: ast.AST) -> Iterator[tuple[ast.Constant, list[str]]]:
    """Texts with the names of the calls that they stand in, the innermost first."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            calls, at = [], node
            while at in parents and not isinstance(parents[at], ast.stmt):
                at = parents[at]  # type: ignore[assignment]
                if isinstance(at, ast.Call):
                    calls.append(ast.unparse(at.func).rpartition(".")[2])
            yield node, calls


PRINTS = {"print", "echo", "write", "_say", "say", "Text", "assemble", "add_row", "notify", "update"}
PROSE = {" does not have that address yet: `farm up` adds it.", "farm top is at "}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_no_command_is_printed_without_its_home(path: Path) -> None:
    """Errors, causes and `problems` see to it themselves; what is shown as it stands must pass through `hint`."""
    shows = PRINTS | (
        {"Finding"} if path.name == "watcher.py" else set()
    )  # farmd's own troubles, which it adds at last
    for node, calls in literals(ast.parse(path.read_text())):
        names_a_command = at_home(node.value, HOME) != node.value
        if names_a_command and shows & {*calls} and node.value not in PROSE:
            assert {"hint", "at_home"} & {*calls}, f"{path}:{node.lineno}: {node.value}"


@pytest.mark.parametrize("given", ["option", "environment"])
def test_who_is_not_root_is_told_the_command_for_the_same_farm(given: str) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        os.chmod(home, 0o755)
        argv = [sys.executable, "-m", "farm", *(["--home", home] if given == "option" else []), "down"]
        environment = {**os.environ, "FARM_HOME": home} if given == "environment" else None

        done = subprocess.run(
            [*AS_NOBODY, *argv], capture_output=True, text=True, env=environment, cwd=TOP, check=False
        )

    assert 1 == done.returncode
    assert f"Try: sudo farm --home {home} down" in done.stderr
