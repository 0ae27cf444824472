"""`farm node block|unblock|kick|drain`: orders about nodes, given and seen to be carried out."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast, get_args

import rich_click as click
from msgspec import Struct
from rich.text import Text

from farm.attach import Action, Attachment
from farm.cli.attach_options import Sought, attach_options
from farm.cli.node import pick
from farm.cli.output import Drawing, draws, err, error_json, out, show_error, show_json
from farm.cli.server_only import server_instance
from farm.cli.watching import Watch, watching
from farm.errors import FarmError, PartialError
from farm.home import Home
from farm.instance import Instance
from farm.nodes.drain import DRAIN_SECONDS, Then, drain_node
from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.virtual import namespace
from farm.watch.events import Stage
from farm.workstation.choice import AttachTarget

ORDER_SEEN_SECONDS = 15.0
"""So long is waited until what was ordered shows in what the scheduler tells."""

Act = Callable[[NodeStatus], Awaitable[str]]

names_argument = click.argument("names", metavar="NODE...", nargs=-1, required=True)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON (docs/status-json.md).")


class OrderOutcome(Struct, frozen=True, kw_only=True):
    """What became of an order about one node."""

    node: str
    """As it was named."""
    done: str = ""
    """What was done, in a sentence; empty: nothing."""
    seen: bool = False
    """The scheduler has shown it."""
    error: FarmError | None = None


def carried_out(action: Action, before: NodeStatus, live: Live) -> bool:
    """Whether what is known now shows that an order about a node was carried out."""
    overview, now = live.overview, live.nodes.get(before.key)
    words = {before.name, before.address} | ({before.host.name} if before.host else set())
    blocked = bool(overview and words & {*overview.scheduler.blocked})
    host = now.host if now else None
    gone = host is None or not host.online
    match action:
        case "block" | "drain":
            return blocked and gone
        case "unblock":
            return not blocked and not (now and now.order == "drain")
        case "kick":
            return gone or bool(before.host and host and host.logins > before.host.logins)
    return gone


@click.command()
@names_argument
@attach_options
@json_option
@click.pass_obj
def block(home: Home, names: tuple[str, ...], sought: Sought, as_json: bool) -> None:
    """Send nodes away from the scheduler and refuse their log-in, until they are unblocked or the scheduler ends.

    Their running jobs are lost to the farm, and the submitters compile them. To let jobs end first, drain the nodes.
    """
    _order(home, "block", names, sought, as_json)


@click.command()
@names_argument
@attach_options
@json_option
@click.pass_obj
def unblock(home: Home, names: tuple[str, ...], sought: Sought, as_json: bool) -> None:
    """Let blocked or drained nodes log in again, which they try within a minute. Cancels a running drain."""
    _order(home, "unblock", names, sought, as_json)


@click.command()
@names_argument
@attach_options
@json_option
@click.pass_obj
def kick(home: Home, names: tuple[str, ...], sought: Sought, as_json: bool) -> None:
    """Cut the nodes' connections to the scheduler; they log in again within a minute."""
    _order(home, "kick", names, sought, as_json)


@click.command()
@names_argument
@attach_options
@json_option
@click.option(
    "--timeout",
    "patience",
    type=click.FloatRange(min=1),
    default=DRAIN_SECONDS,
    show_default=True,
    help="Seconds to wait for running jobs.",
)
@click.option(
    "--then",
    type=click.Choice(get_args(Then)),
    default="block",
    show_default=True,
    help="Action after the last job.",
)
@click.pass_obj
def drain(
    home: Home,
    names: tuple[str, ...],
    sought: Sought,
    as_json: bool,
    patience: float,
    then: str,
) -> None:
    """Let nodes finish their jobs without getting new ones, then block, reboot or power them off.

    The scheduler takes up to 70 seconds to stop assigning jobs. Ctrl-C cancels the drain; `farm node unblock` removes
    the block.
    """
    if sought.scheduler is not None or sought.netname is not None:
        raise FarmError(
            "A node can be drained only in a farm, not at any scheduler.",
            "icecream has no command for this; a farm keeps its scheduler from connecting to the node.",
            "On the farm's server: farm node drain NODE. Or end its jobs, which the submitters then compile: "
            "farm node block NODE --scheduler HOST",
        )
    instance = server_instance(home, "farm node drain")
    namespace.reenter(instance, home)
    asyncio.run(_drain(home, instance, names, as_json, patience, cast(Then, then)))


def _order(home: Home, action: Action, names: Sequence[str], sought: Sought, as_json: bool) -> None:
    asyncio.run(_give(sought.choice_for_orders(home).attach(home), action, names, as_json))


async def _give(attached: Attachment, action: Action, names: Sequence[str], as_json: bool) -> None:
    async with watching(attached) as watch:
        outcomes = await _all(watch, action, names, lambda found: attached.act(action, found), as_json)
    _conclude(action, outcomes, as_json)


async def _drain(
    home: Home, instance: Instance, names: Sequence[str], as_json: bool, patience: float, then: Then
) -> None:
    with _progress() as report:
        async with watching(AttachTarget(how="home").attach(home)) as watch:
            action: Action = "drain" if then == "block" else then
            outcomes = await _all(
                watch,
                action,
                names,
                lambda found: drain_node(home, instance, found, report, patience, then),
                as_json,
            )
    _conclude(action, outcomes, as_json)


async def _all(watch: Watch, action: Action, names: Sequence[str], act: Act, as_json: bool) -> list[OrderOutcome]:
    """Give the order for each of them, side by side; what is done is said at once."""

    async def one(name: str) -> OrderOutcome:
        try:
            found = _find(watch.live, action, name)
            done = await act(found)
            seen = await watch.until(lambda: carried_out(action, found, watch.live), ORDER_SEEN_SECONDS)
        except FarmError as error:
            return OrderOutcome(node=name, error=error)
        if not as_json:
            out.print(Text(done), soft_wrap=True)
        return OrderOutcome(node=found.name, done=done, seen=seen)

    return list(await asyncio.gather(*(one(name) for name in dict.fromkeys(names))))


def _find(live: Live, action: Action, name: str) -> NodeStatus:
    """The node, or for taking a block back whatever it is called: a scheduler does not list whom it sent away."""
    try:
        return pick(live.nodes.values(), name)
    except FarmError:
        if action != "unblock" or (live.overview and live.overview.farm):
            raise
    return NodeStatus(key=name, name=name, address=name, stage=Stage.LOST, since=0.0)


def _conclude(action: Action, outcomes: list[OrderOutcome], as_json: bool) -> None:
    """Say what failed or did not show, and leave with 1 (nothing was done), 3 (not all, or not seen) or 0."""
    failed = [outcome.error for outcome in outcomes if outcome.error]
    unseen = [outcome.node for outcome in outcomes if outcome.done and not outcome.seen]
    if as_json:
        show_json({"schema": 1, "order": action, "nodes": [_as_json(outcome) for outcome in outcomes]})
    for error in failed:
        show_error(error)
    for name in unseen:
        err.print(
            Text(f"{name}: the scheduler took the order, but has not shown it within {ORDER_SEEN_SECONDS:.0f} s."),
            soft_wrap=True,
        )
    if failed or unseen:
        sys.exit(FarmError.exit_code if len(failed) == len(outcomes) else PartialError.exit_code)


def _as_json(outcome: OrderOutcome) -> dict[str, object]:
    told = error_json(outcome.error)
    return {"node": outcome.node, "done": outcome.done, "seen": outcome.seen, "error": told}


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, str], None]]:
    """Shows what each node is at; without a terminal a line when that changes."""
    doing: dict[str, str] = {}
    with Drawing(console=err, auto_refresh=False, transient=True) if draws(err) else contextlib.nullcontext() as live:

        def report(name: str, text: str) -> None:
            if doing.get(name) == text:
                return
            doing[name] = text
            if live is None:
                err.print(Text(f"{name}: {text}"), soft_wrap=True)
            else:
                live.update(Text("\n".join(f"  {each}: {at}" for each, at in doing.items())), refresh=True)

        yield report
