"""Check of the servers that thin clients log in to, besides this one."""

from __future__ import annotations

from farm.config.named_servers import look_at_servers
from farm.doctor.check import Cause, Check, Outcome, fine
from farm.doctor.server.serving import ServerFacts

MAX_LINES = 12

WITHOUT_KEY = Cause(
    "lts.conf names {hosts}, and machines are not told the host key: nobody can log in there.",
    "Add the key, compare its fingerprint with what that server itself shows (ssh-keygen -l), and run farm up again",
    "ssh-keyscan {first} >> {file}",
    warns=True,
)
FLAWS = Cause("Some lines about the servers of log-ins are not used.", "Correct them, then", "sudo farm up", warns=True)


def _servers(facts: ServerFacts) -> Outcome:
    folder = facts.home.config.parent
    servers = look_at_servers(folder, facts.instance.config.server)
    if servers.without_key:
        hosts = ", ".join(servers.without_key)
        file = folder / "ssh_known_hosts"
        return WITHOUT_KEY.found(*servers.lines[:MAX_LINES], hosts=hosts, first=servers.without_key[0], file=file)
    if servers.lines:
        return FLAWS.found(*servers.lines[:MAX_LINES])
    return fine("Machines are told the host keys of all servers that lts.conf names.")


CHECKS: tuple[Check[ServerFacts], ...] = (
    Check(
        "log-in-servers",
        "The servers of log-ins have known host keys",
        "A thin client sends no password to a server whose host key it was not told.",
        _servers,
        (WITHOUT_KEY, FLAWS),
    ),
)
