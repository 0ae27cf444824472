"""Which farm or scheduler a command looks at: named, of a home, joined, its iceccd's, or found by broadcast.

What asks farmd in a process of its own needs no aiohttp, which takes a tenth of a second to import: each kind of
attachment, and each way of finding one, is imported when it is chosen.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from farm.errors import FarmError
from farm.errors.hints import speak_of_scheduler
from farm.home import Home
from farm.instance import Instance
from farm.node.ports import SCHEDULER_PORT
from farm.printable import printable
from farm.workstation.membership import Membership, joined

if TYPE_CHECKING:
    from farm.attach import Attachment
    from farm.workstation.join.candidates import Candidate

How = Literal["home", "named", "joined", "iceccd", "broadcast"]
Ask = Callable[[Sequence["Candidate"]], "Candidate"]
MAX_NAMED = 8
"""Farms and schedulers that an error lists."""


class AttachTarget(Struct, frozen=True, kw_only=True):
    """What a command looks at: the farm of its home, which needs no address, or a scheduler."""

    how: How
    host: str = ""
    port: int = SCHEDULER_PORT
    netname: str = ""
    farm: str = ""
    """The farm that the scheduler says it belongs to, as far as known."""

    @property
    def target(self) -> str:
        """The scheduler as ``--scheduler`` names it."""
        return self.host if self.port == SCHEDULER_PORT else f"{self.host}:{self.port}"

    @property
    def words(self) -> str:
        """What it is, in words: a farm by its name, a scheduler by its address and netname."""
        if self.farm:
            return f"farm {printable(self.farm)} ({self.target})"
        network = f" (netname {printable(self.netname)})" if self.netname else ""
        return f"the scheduler at {self.target}{network}"

    @property
    def sentence(self) -> str:
        """Which was taken and why; empty for what the user or the machine itself has named."""
        why = {
            "joined": "which this machine has joined",
            "iceccd": "which this machine's iceccd uses",
            "broadcast": "which answered a broadcast",
        }.get(self.how, "")
        return f"Looking at {self.words}, {why}." if why else ""

    def attach(self, home: Home, of_farm: Callable[[Home], Attachment] | None = None) -> Attachment:
        """Attach to it; ``of_farm`` makes the attachment of the home's farm, where it is to be another than usual."""
        if self.how == "home":
            return (of_farm or _farmd)(home)
        from farm.attach.direct import Direct

        return Direct(self.host, self.port, self.netname)


def choose(home: Home, scheduler: str | None, netname: str | None, ask: Ask | None = None) -> AttachTarget:
    """What is meant by HOST[:PORT] or a netname, else the first that there is; hints then speak of that.

    In this order: the farm of ``home``, the one that was joined, the scheduler of this machine's iceccd, one that
    answers a broadcast. ``ask`` is called when several do. Raises FarmError, UsageError.
    """
    if scheduler is not None or netname is not None:
        from farm.scheduler import discovery

        speak_of_scheduler(["--scheduler", scheduler] if scheduler is not None else ["--netname", str(netname)])
        host, port = asyncio.run(discovery.resolve(scheduler, netname))
        return AttachTarget(how="named", host=host, port=port, netname=netname or "")
    found = _of_home(home) or _of_machine() or _by_broadcast(ask)
    if found.how != "home":
        speak_of_scheduler(["--scheduler", found.target])
    return found


def choose_for_orders(home: Home, scheduler: str | None, netname: str | None) -> AttachTarget:
    """The farm that is up here, or the scheduler that is named: what was merely found gets no orders.

    Raises FarmError, UsageError.
    """
    if scheduler is not None or netname is not None:
        return choose(home, scheduler, netname)
    up = Instance.path(home).exists()
    found = None if up or home.directory is not None else _of_machine()
    if found is not None:
        raise FarmError(
            "Orders about nodes need a farm that is up here, or a scheduler that is named.",
            f"This machine uses {found.words}.",
            f"Give the order on that farm's server; or if it is no farm's, name it: --scheduler {found.target}",
        )
    instance_here(home)
    return AttachTarget(how="home")


def remembering(home: Home, what: str, command: str) -> Attachment:
    """The farm that is up here, which remembers ``what``. Raises FarmError where only a scheduler could be asked.

    ``command``: the one that shows it on the server.
    """
    found = _of_home(home) or _of_machine()
    if found is None:
        raise FarmError(
            f"There is no record of {what} on this machine.",
            "No farm is up here, this machine has joined none, and no iceccd of it uses a scheduler.",
            f"On a farm's server: {command}. Your last farm run: farm explain --last",
        )
    if found.how != "home":
        where = f"on the server of farm {printable(found.farm)}" if found.farm else "on its server, if it is a farm's"
        raise FarmError(
            f"There is no record of {what} on this machine.",
            f"This machine uses {found.words}, and a scheduler remembers nothing that has ended.",
            f"Look {where}: {command}. What works here: farm explain --last (your last farm run), and farm top or "
            "farm jobs --follow (what happens from now on)",
        )
    return _farmd(home)


def _of_home(home: Home) -> AttachTarget | None:
    """The home's farm, where the home was named, or its farm is up, or is there and nothing else was joined."""
    up = Instance.path(home).exists()
    if not up and (home.directory is None and (joined() or not home.config.exists())):
        return None
    instance_here(home)
    return AttachTarget(how="home")


def _of_machine() -> AttachTarget | None:
    """Where this machine's jobs go."""
    if member := joined():
        return _of_member(member, "joined")
    from farm.workstation import plain_icecream

    member = plain_icecream.membership(os.environ)
    return _of_member(member, "iceccd") if member and member.scheduler else None


def _of_member(member: Membership, how: How) -> AttachTarget:
    farm = member.farm if how == "joined" and member.farm != member.netname else ""
    return AttachTarget(how=how, host=member.scheduler, port=member.port, netname=member.netname, farm=farm)


def _by_broadcast(ask: Ask | None) -> AttachTarget:
    """The only farm or scheduler that answers, else the one that ``ask`` chooses. Raises FarmError."""
    from farm.workstation.join.candidates import look_around

    found = asyncio.run(look_around())
    found = [one for one in found if one.protocol] or found
    if not found:
        raise FarmError(
            "No farm and no icecream scheduler was found.",
            "No farm is up here, this machine has joined none, no iceccd of it uses a scheduler, and none answers on "
            "its networks.",
            "Join a farm or a scheduler by its address: farm join ADDRESS. Or look at one without joining: "
            "farm status --scheduler HOST. On a farm's server: sudo farm up",
        )
    if len(found) > 1 and ask is None:
        named = ", ".join(f"{printable(one.farm or one.netname)} at {one.target}" for one in found[:MAX_NAMED])
        raise FarmError(
            "Several farms or schedulers answer, and none is chosen by guess.",
            f"They are: {named}.",
            f"Name one: --scheduler {found[0].target}. Or join one: farm join {found[0].target}",
        )
    taken = ask(found) if len(found) > 1 and ask else found[0]
    return AttachTarget(how="broadcast", host=taken.scheduler, port=taken.port, netname=taken.netname, farm=taken.farm)


def instance_here(home: Home) -> Instance:
    """The farm that is up here. Raises FarmError, which tells what does work on a machine that has none."""
    try:
        return Instance.load(home)
    except FarmError as error:
        member = joined() if home.directory is None and not Instance.path(home).exists() else None
        if member is not None:
            raise only_on_server(f"farm {printable(member.farm)}", member.scheduler) from None
        other = "Or look at any icecream scheduler: farm status --scheduler HOST, farm top --scheduler HOST"
        raise FarmError(error.what, error.why, f"{error.fix.rstrip('.')}. {other}") from None


def only_on_server(farm: str, server: str) -> FarmError:
    """That a command needs the server of a farm which this machine has joined."""
    return FarmError(
        "This command works only on a farm's server.",
        f"This machine has joined {farm}, whose server is {server}.",
        "Run it there. What works here: farm status, farm top, farm jobs --follow, farm run -- make",
    )


def _farmd(home: Home) -> Attachment:
    from farm.attach.farmd import Farmd

    return Farmd(home)
