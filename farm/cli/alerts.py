"""`farm alerts`: try the receivers of alerts."""

from __future__ import annotations

import asyncio
import time

import rich_click as click

from farm.cli.lazy import SuggestingGroup
from farm.cli.output import out, show_json
from farm.config.file import load_or_default
from farm.errors import FarmError, PartialError
from farm.home import Home


@click.group(cls=SuggestingGroup)
def alerts() -> None:
    """Try the receivers of alerts that farm.yaml lists."""


@alerts.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def test(home: Home, as_json: bool) -> None:
    """Send each receiver an event named test, once, and say what came of it.

    Exits with 3 if a receiver did not get it.
    """
    from farm.daemon.alerting.alert_events import alert
    from farm.daemon.alerting.delivery import deliver, receiver_names
    from farm.serve import notices
    from farm.serve.preflight import require_root

    require_root("farm alerts test")
    config = load_or_default(home, virtual=True)
    if not config.alerts:
        raise FarmError(
            "farm.yaml lists no receiver of alerts.", "", f"Add one under `alerts` in {home.config}, then: sudo farm up"
        )

    async def send() -> list[str]:
        event = alert("test", config.name, time.time(), "This is a test of alerts.")
        return await asyncio.gather(*(deliver(each, event) for each in config.alerts))

    results = list(zip(receiver_names(config.alerts), asyncio.run(send()), strict=True))
    for name, why in results:
        if not why:
            notices.leave(home, "delivered", name)
    if as_json:
        show_json({"schema": 1, "receivers": [{"receiver": name, "ok": not why, "why": why} for name, why in results]})
    else:
        for name, why in results:
            out.print(f"{name}: {why or 'OK'}", style="red" if why else "green", markup=False, soft_wrap=True)
    if failed := [name for name, why in results if why]:
        raise PartialError(
            f"{len(failed)} of {len(results)} receivers did not get the alert.",
            "",
            f"Correct `alerts` in {home.config}, or what it names, then: sudo farm alerts test",
        )
