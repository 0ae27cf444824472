"""`farm node message|logout`: a word to who sits at a machine, and the end of a session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import rich_click as click
from msgspec import Struct
from rich.text import Text

from farm.cli.node import find_node, require_nodes
from farm.cli.output import error_json, out, show_error, show_json
from farm.cli.server_only import server_instance
from farm.cli.status import load
from farm.errors import FarmError, PartialError
from farm.home import Home
from farm.nodes.screens import ScreenOrder, check_text, order, require_screen
from farm.view.status import NodeStatus

AT_ONCE = 16
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON (docs/status-json.md).")


class ScreenOutcome(Struct, frozen=True):
    """What became of an order at one machine."""

    node: str
    users: list[str] = []
    """Who is logged in there, or was."""
    error: FarmError | None = None


@click.command()
@click.argument("words", metavar="[NODE...] TEXT", nargs=-1, required=True)
@click.option("--all", "everyone", is_flag=True, help="All machines at which people log in and that are on.")
@json_option
@click.pass_obj
def message(home: Home, words: tuple[str, ...], everyone: bool, as_json: bool) -> None:
    """Show TEXT on the screens of nodes, above whatever runs there, until it is closed there.

    It appears in a session and at the log-in alike, for eight hours at most.
    """
    names, text = words[:-1], words[-1]
    if everyone == bool(names):
        raise click.UsageError("Name nodes and then the text, or give --all and the text alone.")
    check_text(text)
    instance = server_instance(home, "farm node message")
    nodes = _chosen(home, names, everyone)
    outcomes = _each(nodes, lambda node: order(home, instance, node, "message", text))
    for outcome in outcomes:
        if not as_json and outcome.error is None:
            seen = f"to {', '.join(outcome.users)}" if outcome.users else "at the log-in"
            out.print(Text(f"{outcome.node}: shown {seen}."), soft_wrap=True)
    _conclude("message", outcomes, as_json)


@click.command()
@click.argument("names", metavar="NODE...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def logout(home: Home, names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """End the sessions at nodes, there and on their server; what is not saved there is lost."""
    instance = server_instance(home, "farm node logout")
    nodes = _chosen(home, names, everyone=False)
    if not yes:
        _ask(nodes)
    outcomes = _each(nodes, lambda node: order(home, instance, node, "logout"))
    for outcome in outcomes:
        if not as_json and outcome.error is None:
            out.print(Text(f"{outcome.node}: {', '.join(outcome.users)} logged out."), soft_wrap=True)
    _conclude("logout", outcomes, as_json)


def _chosen(home: Home, names: Sequence[str], everyone: bool) -> list[NodeStatus]:
    """The nodes that are meant; raises FarmError when one is not known, or there are none."""
    status = load(home)
    require_nodes(status)
    if not everyone:
        return list({node.key: node for node in (find_node(status, name) for name in names)}.values())
    nodes = [node for node in status.nodes if node.session and node.verified and node.telemetry]
    if not nodes:
        raise FarmError("No machine at which people log in is on.", "", "List them: farm session list")
    return nodes


def _ask(nodes: Sequence[NodeStatus]) -> None:
    """Raises FarmError when the answer is not yes, or there is nobody to ask about."""
    for node in nodes:
        require_screen(node)
    people = [f"{user.name} at {node.name}" for node in nodes for user in node.users]
    if not people:
        where = ", ".join(node.name for node in nodes)
        raise FarmError(f"Nobody is logged in at {where}.", "", "Who is logged in where: farm session list")
    if not sys.stdin.isatty():
        raise FarmError("The question whether it is meant cannot be asked.", "There is no terminal.", "Add: --yes")
    if not click.confirm(f"Log out {', '.join(people)}? What is not saved is lost.", default=False, err=True):
        raise FarmError("Nobody was logged out.", "You did not say yes.", "")


def _each(nodes: Sequence[NodeStatus], act: Callable[[NodeStatus], list[str]]) -> list[ScreenOutcome]:
    """Do something at each of them, side by side."""

    def one(node: NodeStatus) -> ScreenOutcome:
        try:
            return ScreenOutcome(node.name, act(node))
        except FarmError as error:
            return ScreenOutcome(node.name, error=error)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, nodes))


def _conclude(what: ScreenOrder, outcomes: Sequence[ScreenOutcome], as_json: bool) -> None:
    """Say what failed, and leave with 1 (nothing was done), 3 (not all) or 0."""
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if as_json:
        show_json({"schema": 1, "order": what, "nodes": [_plain(outcome) for outcome in outcomes]})
    for error in failed:
        show_error(error)
    if failed:
        sys.exit(FarmError.exit_code if len(failed) == len(outcomes) else PartialError.exit_code)


def _plain(outcome: ScreenOutcome) -> dict[str, object]:
    told = error_json(outcome.error)
    return {"node": outcome.node, "done": told is None, "users": outcome.users, "error": told}
