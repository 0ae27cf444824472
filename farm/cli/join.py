"""`farm join` and `farm leave`: which farm this machine's compiler calls go to."""

from __future__ import annotations

import asyncio
import os
import sys

import msgspec
import rich_click as click
from rich.text import Text

from farm.cli.attach_options import ask_which, can_ask, candidates_table
from farm.cli.output import err, out, show_json
from farm.errors import FarmError, UsageError
from farm.errors.hints import hint
from farm.home import Home
from farm.instance import Instance
from farm.node.contract import WHEN_USED
from farm.printable import printable
from farm.scheduler.discovery import MAX_NAMED_NETNAMES
from farm.view.wording import count
from farm.virtual import namespace
from farm.workstation.join.candidates import Candidate, check_installed, check_netname, look_around, reach
from farm.workstation.join.join_leave import Joined
from farm.workstation.join.join_leave import join as join_farm
from farm.workstation.join.join_leave import leave as leave_farm
from farm.workstation.join.login import Offer, wait_for_login
from farm.workstation.join.shared_slots import Share, processors
from farm.workstation.membership import Membership, find

EXIT_NOT_LOGGED_IN = 3
STATUS_SECONDS = 3.0
ALL_PROCESSORS = "auto"
SHARED = "half"
"""Of the slots, while somebody uses the machine."""


@click.command()
@click.argument("server", required=False)
@click.option(
    "--netname",
    metavar="NAME",
    help="Netname of the farm or scheduler to join, found by broadcast; with SERVER: to use instead of the one that it "
    "reports.",
)
@click.option(
    "--accept-jobs",
    metavar="[=N]",
    is_flag=False,
    flag_value=ALL_PROCESSORS,
    help="Accept jobs from others, at most N at a time (default: the number of processors). Needs root.",
)
@click.option(
    "--share",
    type=click.Choice(WHEN_USED),
    is_flag=False,
    flag_value=SHARED,
    help="Accept jobs from others, on so many of its slots while somebody uses this machine (default: half), and on "
    "all otherwise. Needs root and systemd.",
)
@click.option("--list", "list_only", is_flag=True, help="List farms that can be joined, and change nothing.")
@click.option("--status", is_flag=True, help="Show the joined farm; exit code 3 if iceccd is not logged in.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON; without SERVER, the farms that can be joined."
)
@click.pass_obj
def join(
    home: Home,
    server: str | None,
    netname: str | None,
    accept_jobs: str | None,
    share: str | None,
    list_only: bool,
    status: bool,
    as_json: bool,
) -> None:
    """Join a farm or any icecream scheduler, so that this machine's compiler calls go there.

    SERVER is an address, a host name, HOST:PORT, or the name of a farm. As root, this sets up the distribution's
    icecream service for all users; otherwise it starts an iceccd of your own, which takes no jobs. Without SERVER, it
    lists the farms it finds and asks. To undo: farm leave
    """
    if status:
        _status(home, as_json)
        return
    jobs = _jobs(accept_jobs or (share and ALL_PROCESSORS))
    if server is None and (list_only or as_json):
        _list(asyncio.run(look_around()), as_json)
        return
    _refuse_on_server(home)
    check_installed()
    if netname is not None:
        check_netname(netname)
    target = asyncio.run(reach(server, netname) if server else reach(_choose(netname)))
    if target.rivals:
        others = ", ".join(target.rivals[:8])
        _say(f"Other schedulers use netname {target.netname} too: {others}. This machine uses only yours.")
    joined = join_farm(target, jobs, Share(share, jobs or processors()) if share else None)
    offer = asyncio.run(wait_for_login(joined.membership))
    if as_json:
        show_json(_json(joined.membership, offer) | {"already": joined.already, "notes": list(joined.notes)})
    else:
        _show_joined(joined, offer)
    if not offer.logged_in:
        raise _not_logged_in(joined.membership)


@click.command()
def leave() -> None:
    """Undo `farm join`: restore files and services to their earlier state, byte for byte."""
    for note in leave_farm():
        _say(note)
    _say("Left the farm. This machine's files and services are as they were before it joined.")


def _jobs(text: str | None) -> int | None:
    if text is None:
        return None
    if os.geteuid() != 0:
        raise UsageError(
            "Only root can accept jobs from others.",
            "iceccd compiles them in a chroot, which needs root.",
            "Try: sudo farm join …",
        )
    if text == ALL_PROCESSORS:
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1024):
        raise UsageError(
            f"{text!r} is not a valid number of jobs.",
            "The number must be from 1 to 1024.",
            "Try: farm join SERVER --accept-jobs=4, or --accept-jobs",
        )
    return int(text)


def _refuse_on_server(home: Home) -> None:
    if Instance.path(home).exists():
        name = Instance.load(home).config.name
        raise FarmError(
            "This machine serves a farm itself, and submits jobs to that farm.",
            f"Farm {name} is up here.",
            "Build on it: farm run -- make; or take it down first: sudo farm down",
        )


def _choose(netname: str | None) -> str:
    """The one that has this netname, or ask which one to join; without a terminal say how to name it.

    Raises FarmError.
    """
    found = asyncio.run(look_around())
    candidates = found if netname is None else [one for one in found if one.netname.lower() == netname.lower()]
    if not candidates:
        others = ", ".join(sorted({printable(one.netname) for one in found})[:MAX_NAMED_NETNAMES])
        raise FarmError(
            f"No farm and no scheduler of netname {netname} was found." if found else "No farm was found.",
            f"Netnames that answer: {others}."
            if found
            else "There was no answer by zeroconf or by icecream's own broadcast.",
            "If you know its address: farm join ADDRESS",
        )
    if netname is not None and len(candidates) == 1:
        return candidates[0].target
    if not can_ask():
        _list(candidates, as_json=False)
        raise FarmError(
            "Name the farm to join.",
            "There is no terminal to ask on, and farm join does not choose by itself.",
            f"Try: farm join {candidates[0].target}",
        )
    return ask_which(candidates, "Join number").target


def _list(candidates: list[Candidate], as_json: bool) -> None:
    if as_json:
        show_json({"schema": 1, "found": msgspec.to_builtins(candidates)})
    elif candidates:
        out.print(candidates_table(candidates))
    else:
        err.print("No farm was found.")


def _json(membership: Membership, offer: Offer) -> dict[str, object]:
    return {"schema": 1, "membership": msgspec.to_builtins(membership), **msgspec.to_builtins(offer)}


def _show_joined(joined: Joined, offer: Offer) -> None:
    head = "Already joined to" if joined.already else "Joined"
    _show(head, joined.membership, offer)
    for note in joined.notes:
        _say(note)
    if offer.logged_in:
        out.print(hint("Build on it: farm run -- make"), soft_wrap=True)


def _show(head: str, membership: Membership, offer: Offer) -> None:
    where = f"scheduler {membership.scheduler}:{membership.port}, netname {printable(membership.netname)}"
    out.print(Text.assemble(f"{head} ", (printable(membership.farm), "bold"), f" ({where})."), soft_wrap=True)
    if offer.logged_in:
        slots = f"{count(offer.slots, 'slot')} on {count(offer.nodes, 'node')}"
        offered = slots if offer.nodes else "there is no node"
        out.print(Text(f"This machine's iceccd is logged in as {printable(membership.submitter)}: {offered}."))


def _status(home: Home, as_json: bool) -> None:
    membership = find(home)
    if membership.how == "server":
        namespace.reenter(Instance.load(home), home)
    offer = asyncio.run(wait_for_login(membership, STATUS_SECONDS))
    if as_json:
        show_json(_json(membership, offer))
    else:
        _show("Submitting to", membership, offer)
        if not offer.logged_in:
            out.print(
                Text(f"This machine's iceccd ({printable(membership.submitter)}) is not logged in.", style="bold red")
            )
    if not offer.logged_in:
        sys.exit(EXIT_NOT_LOGGED_IN)


def _not_logged_in(membership: Membership) -> FarmError:
    return FarmError(
        "This machine's iceccd has not logged in to the scheduler yet.",
        f"iceccd runs, as {membership.submitter}, and keeps trying; the scheduler at "
        f"{membership.scheduler}:{membership.port} does not list it.",
        "Check again later: farm join --status. Check whether it is blocked: farm scheduler. To undo: farm leave",
    )


def _say(text: str) -> None:
    err.print(Text(printable(text, 400)), soft_wrap=True)
