"""Whether this server prints on the printers of its thin clients."""

from __future__ import annotations

from farm.doctor.check import Cause, Check, Outcome, fine, skip
from farm.doctor.server.serving import ServerFacts
from farm.serve import cups
from farm.serve.print_queues import client_printers, mark
from farm.view.wording import count, few

NO_CUPS = Cause(
    "This server has no CUPS, so sessions cannot print on: {printers}.",
    "Install it",
    "sudo apt install cups",
    warns=True,
)
SILENT = Cause("Sessions cannot print on: {printers}. {why}", "Start CUPS", "sudo systemctl start cups", warns=True)
TAKEN = Cause(
    "{queue} is somebody else's print queue, so the farm made none for the printer at {node}.",
    "If nobody needs that queue, remove it",
    "sudo lpadmin -x {queue}",
    warns=True,
)


def _print_queues(facts: ServerFacts) -> Outcome:
    nodes = facts.status.nodes if facts.status else []
    printers = [
        printer
        for node in nodes
        for printer in client_printers(node.name, node.mac, node.address, node.session.agent if node.session else None)
    ]
    titles = few([printer.title for printer in printers])
    if not printers:
        return fine("No thin client tells of a printer.")
    if facts.instance.namespace is not None:
        return skip(f"This computer's CUPS does not reach a virtual lab, which has: {titles}.")
    if not cups.installed():
        return NO_CUPS.found(printers=titles)
    if why := cups.why_absent():
        return SILENT.found(printers=titles, why=why)
    others = {each.name for each in cups.queues() if not each.location.endswith(mark(facts.instance.config.name))}
    for printer in printers:
        if printer.queue in others:
            return TAKEN.found(queue=printer.queue, node=printer.node)
    return fine(f"{count(len(printers), 'printer')} of thin clients: {titles}")


CHECKS: tuple[Check[ServerFacts], ...] = (
    Check(
        "print-queues", "Sessions can print at their thin clients", "A printer without a queue on the server is idle.",
        _print_queues, (NO_CUPS, SILENT, TAKEN), ("farm-status",),
    ),
)  # fmt: skip
