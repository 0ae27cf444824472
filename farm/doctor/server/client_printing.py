"""Whether this server prints on the printers of its thin clients, and fat clients print by it."""

from __future__ import annotations

import socket

from farm.doctor.check import Cause, Check, Outcome, fine, skip
from farm.doctor.server.serving import ServerFacts
from farm.serve import cups
from farm.serve.print_queues import client_printers, mark
from farm.view.desks import kind_of_session
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


CLOSED = Cause(
    "The fat clients' programs see no printers: CUPS of this server does not listen at {address}, port 631.",
    "Let the lab print, and say which queues are shared: lpadmin -p QUEUE -o printer-is-shared=true",
    "sudo cupsctl --share-printers",
    warns=True,
)
NOT_SHARED = Cause(
    "Fat clients can not print on these queues of this server, which are not shared: {queues}.",
    "Share those that are meant for the lab",
    "sudo lpadmin -p {first} -o printer-is-shared=true",
    warns=True,
)
IPP_PORT = 631
ANSWER_SECONDS = 5.0


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


def _desk_printing(facts: ServerFacts) -> Outcome:
    if not any(kind_of_session(node) == "fat" for node in (facts.status.nodes if facts.status else [])):
        return fine("No fat client is there.")
    if facts.instance.namespace is not None:
        return skip("A virtual lab's machines do not reach this computer's CUPS.")
    names = [queue.name for queue in cups.queues()] if cups.installed() and not cups.why_absent() else []
    if not names:
        return fine("This server has no print queue.")
    address = facts.instance.config.server
    try:
        socket.create_connection((address, IPP_PORT), ANSWER_SECONDS).close()
    except OSError:
        return CLOSED.found(address=address)
    if hidden := [name for name in names if not cups.is_shared(name)]:
        return NOT_SHARED.found(queues=few(hidden), first=hidden[0])
    return fine(f"Fat clients can print on {few(names)}.")


CHECKS: tuple[Check[ServerFacts], ...] = (
    Check(
        "print-queues", "Sessions can print at their thin clients", "A printer without a queue on the server is idle.",
        _print_queues, (NO_CUPS, SILENT, TAKEN), ("farm-status",),
    ),
    Check(
        "desk-printing", "Fat clients can print by this server", "Their programs ask this server's CUPS for printers.",
        _desk_printing, (CLOSED, NOT_SHARED), ("farm-status",),
    ),
)  # fmt: skip
