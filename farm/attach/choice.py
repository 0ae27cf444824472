"""Which farm or scheduler is meant: the farm of a home, or any scheduler that is named.

What asks farmd in a process of its own needs no aiohttp, which takes a tenth of a second to import: each kind of
attachment is imported when it is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.errors.hints import speak_of_scheduler
from farm.home import Home
from farm.instance import Instance

if TYPE_CHECKING:
    from farm.attach import Attachment


def instance_here(home: Home) -> Instance:
    """The farm that is up here. Raises FarmError, which tells how to look at another."""
    try:
        return Instance.load(home)
    except FarmError as error:
        other = "Or look at any icecream scheduler: farm status --scheduler HOST, farm top --scheduler HOST"
        raise FarmError(error.what, error.why, f"{error.fix.rstrip('.')}. {other}") from None


def _farmd(home: Home) -> Attachment:
    from farm.attach.farmd import Farmd

    return Farmd(home)


def attached(home: Home) -> Attachment:
    """The farm that is up here. Raises FarmError when none is."""
    Instance.load(home)
    return _farmd(home)


async def attachment(
    home: Home, scheduler: str | None, netname: str | None, of_farm: Callable[[Home], Attachment] = _farmd
) -> Attachment:
    """The scheduler that is named by HOST[:PORT] or netname, else the farm of ``home``. Raises FarmError, UsageError.

    ``of_farm`` makes the farm's attachment.
    """
    if scheduler is None and netname is None:
        instance_here(home)
        return of_farm(home)

    speak_of_scheduler(["--scheduler", scheduler] if scheduler is not None else ["--netname", str(netname)])
    from farm.attach.direct import Direct
    from farm.scheduler import discovery

    host, port = await discovery.resolve(scheduler, netname)
    return Direct(host, port, netname or "")
