"""Checks of a workstation's place in the network: its iceccd, the scheduler, the nodes."""

from __future__ import annotations

import asyncio
import os
import time

from farm.doctor.check import Cause, Check, Outcome, fine, skip, together
from farm.doctor.workstation.facts import WorkstationFacts
from farm.doctor.workstation.farm_nodes import ask_until
from farm.doctor.workstation.peers import round_trips
from farm.errors import FarmError
from farm.node.ports import SCHEDULER_PORT
from farm.scheduler import discovery
from farm.scheduler.channel import OLDEST_PROTOCOL
from farm.scheduler.discovery import FoundScheduler
from farm.workstation import local_iceccd
from farm.workstation.join import iceccd
from farm.workstation.join.candidates import Target
from farm.workstation.join.icecc_conf import layout

LOGIN_PATIENCE = 5.0
"""iceccd looks for its scheduler every 3 s."""
NEWEST_COMPRESSION = 42
"""From this protocol on (icecc 1.3) environments can be sent by xz and zstd."""

DOWN = Cause("No iceccd answers where icecc looks for it, so icecc compiles everything here.", "Start it", "{start}")
FORBIDDEN = Cause(
    "This user cannot connect to the iceccd at {where}.",
    "Make its folder accessible to all",
    "sudo chmod 755 {folder}",
)
SILENT = Cause(
    "The scheduler at {host}:{port} does not answer.",
    "Start it, and allow TCP and UDP {port} there",
    "farm status",
)
NOBODY = Cause(
    "No scheduler of netname {netname} answers a broadcast.",
    "Join a scheduler by its address, or start one",
    "farm join SERVER",
)
HALF = Cause(
    "The scheduler at {host} answers by UDP, but not at TCP port {port}: {why}.",
    "Allow TCP {port} to it: a firewall between here and there blocks it",
)
NO_UDP = Cause(
    "The scheduler at {host} answers at TCP {port}, but not by UDP: discovery does not work, and the scheduler "
    "may react late.",
    "Allow UDP {port} to it, and its answers back",
    warns=True,
)
OTHER_NETNAME = Cause(
    "This machine's iceccd looks for netname {ours}, but the scheduler's netname is {theirs}.",
    'Join the farm again, or set ICECC_NETNAME="{theirs}" in /etc/icecc/icecc.conf and restart iceccd',
    "farm join {host}",
)
OTHER_SCHEDULER = Cause(
    "This machine's iceccd uses the scheduler {ours}, but the farm's is {theirs}.",
    "Join the farm again",
    "farm join {host}",
)
RENAMED = Cause(
    "The scheduler now has netname {theirs}; this machine joined {ours}.",
    "Join the farm again",
    "farm join {host}",
)
RIVALS = Cause(
    "Other schedulers answer for netname {netname}: {rivals}. Daemons without a fixed scheduler may use them.",
    "Stop them, or give the farm its own netname (scheduler: netname in farm.yaml)",
    "ssh {host} systemctl stop icecc-scheduler",
)
TOO_OLD = Cause(
    "This machine's iceccd has protocol {ours}, the scheduler {theirs}: they are not compatible.",
    "Install the same version of icecream on both",
    "apt-get install icecc",
)
OLDER = Cause(
    "Versions differ: {who}. Daemons below protocol 42 (icecc 1.3) do not accept environments packed with xz or zstd.",
    "Install the same version of icecream everywhere",
    "apt-get install icecc",
    warns=True,
)
NOT_LOGGED_IN = Cause(
    "This machine's iceccd ({name}) is not logged in at the scheduler.",
    "If the connection was lost, wait a minute; otherwise look at iceccd's log",
    "{log}",
)
BLOCKED = Cause(
    "The scheduler refuses this machine's iceccd ({name}): it was blocked.",
    "Unblock it",
    "farm node unblock {name}",
)


def _iceccd(facts: WorkstationFacts) -> Outcome:
    facts.daemon, tried = local_iceccd.find(facts.environment)
    if facts.daemon is None:
        refused = [line for line in tried if "Permission denied" in line]
        if refused:
            where = refused[0].partition(":")[0]
            return FORBIDDEN.found(*tried, where=where, folder=os.path.dirname(where))
        return DOWN.found(*tried, start=_start_command(facts))
    found = facts.daemon
    seen = [f"iceccd answers at {found.where}, protocol {found.protocol}, pid {found.pid or 'unknown'}."]
    if found.options is not None:
        seen.append(
            f"netname {found.options.netname or '(none given)'}, scheduler "
            f"{found.options.scheduler or '(found by broadcast)'}, logs in as {found.login}"
        )
    return fine(*seen)


def _start_command(facts: WorkstationFacts) -> str:
    how = facts.membership.how if facts.membership else "system"
    if how == "server":
        return "sudo farm up"
    return f"farm join {facts.membership.scheduler}" if facts.membership and how == "user" else SYSTEMD_START


SYSTEMD_START = "sudo systemctl start iceccd"


def _start_iceccd(facts: WorkstationFacts) -> str:
    """Start the iceccd that this machine is meant to have; what is none of this user's is left to others."""
    member = facts.membership
    if facts.daemon is not None or (member is not None and member.how == "server"):
        return ""
    if member is not None and member.how == "user":
        own = iceccd.user_daemon()
        target = Target(
            farm=member.farm, netname=member.netname, scheduler=member.scheduler, port=member.port, protocol=0
        )
        own.start(own.argv(target, member.submitter))
        return f"Started iceccd, listening at {own.socket}."
    if os.geteuid() != 0:
        return ""
    service = iceccd.service(layout())
    service.restart()
    return f"Started the service {service.name}."


def _meant(facts: WorkstationFacts) -> tuple[str, int, str]:
    """Host, port and netname that this machine ought to use; an empty host where a broadcast decides."""
    member, running = facts.membership, facts.daemon
    if member is not None:
        return member.scheduler, member.port, member.netname
    options = running.options if running else None
    if options is None:
        return "", SCHEDULER_PORT, ""
    host, port = options.address
    return host, port, options.effective_netname


def _scheduler(facts: WorkstationFacts) -> Outcome:
    host, port, netname = _meant(facts)
    facts.found = asyncio.run(discovery.discover(port))
    if not host:
        if not any(found.netname.lower() == netname.lower() for found in facts.found) and netname:
            others = [f"{each.netname} at {each.address}" for each in facts.found]
            return NOBODY.found(*others or ["Nobody answers at all."], netname=netname)
        if not facts.found:
            return NOBODY.found("Nobody answers at all.", netname="whatever")
        chosen = discovery.choose(facts.found, netname or None)
        host, port = chosen.address, chosen.port
    answers = asyncio.run(discovery.discover(port, host=host))
    refusal = _tcp(host, port)
    if not answers and refusal:
        return SILENT.found(f"UDP: no answer; TCP: {refusal}.", host=host, port=port)
    if refusal:
        return HALF.found(f"TCP: {refusal}.", host=host, port=port, why=refusal)
    if not answers:
        facts.scheduler = FoundScheduler(host, port, 0, 0, netname)
        return NO_UDP.found("TCP: connected; UDP: no answer.", host=host, port=port)
    facts.scheduler = found = answers[0]
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.started)) if found.started else "unknown"
    return fine(
        f"{found.address}:{found.port}, netname {found.netname}, protocol {found.protocol}, started {since}",
        "TCP and UDP work in both directions.",
    )


def _tcp(host: str, port: int) -> str:
    """Why there is no TCP connection, or nothing."""
    answer = asyncio.run(round_trips([(host, port)]))[host, port]
    return answer if isinstance(answer, str) else ""


def _netname(facts: WorkstationFacts) -> Outcome:
    assert facts.scheduler is not None
    theirs, host = facts.scheduler.netname, facts.scheduler.address
    found = [fine(f"The scheduler's netname is {theirs}.")]
    member, options = facts.membership, facts.daemon.options if facts.daemon else None
    if member is not None and theirs.lower() != member.netname.lower() and facts.scheduler.protocol:
        found.append(RENAMED.found(theirs=theirs, ours=member.netname, host=host))
    if options is None:
        found.append(fine("iceccd's options are not visible (it belongs to another user's namespace)."))
        return together(found)
    given, _ = options.address
    if not given and options.effective_netname.lower() != theirs.lower():
        seen = f"iceccd was started with -n {options.effective_netname} and no -s."
        found.append(OTHER_NETNAME.found(seen, ours=options.effective_netname, theirs=theirs, host=host))
    elif given and given != host and not _same_host(given, host):
        found.append(OTHER_SCHEDULER.found(f"iceccd -s {given}", ours=given, theirs=host, host=host))
    return together(found)


def _same_host(one: str, other: str) -> bool:
    try:
        return asyncio.run(discovery.address_of(one)) == other
    except FarmError:
        return False


def _rivals(facts: WorkstationFacts) -> Outcome:
    assert facts.scheduler is not None
    ours = facts.scheduler
    found = discovery.rivals([*facts.found, ours], ours.address, ours.netname)
    seen = [f"{each.address}:{each.port}: {each.netname}" for each in facts.found]
    if found:
        shown = ", ".join(f"{each.address}:{each.port}" for each in found[:8])
        return RIVALS.found(*seen, netname=ours.netname, rivals=shown, host=found[0].address)
    return fine(*seen or ["No scheduler answered a broadcast; this one was asked directly."])


def _version(facts: WorkstationFacts) -> Outcome:
    assert facts.scheduler is not None
    if facts.daemon is None:
        return skip("No iceccd answers.")
    ours, theirs = facts.daemon.protocol, facts.scheduler.protocol
    seen = f"iceccd {ours}, scheduler {theirs or 'unknown'}; icecc 1.3 is 42, 1.4 is 43"
    if ours < OLDEST_PROTOCOL or (theirs and theirs < OLDEST_PROTOCOL):
        return TOO_OLD.found(seen, ours=ours, theirs=theirs)
    if theirs and ours != theirs and min(ours, theirs) < NEWEST_COMPRESSION:
        return OLDER.found(seen, who=seen)
    return fine(seen)


def _login(facts: WorkstationFacts) -> Outcome:
    name = facts.login
    ask_until(facts, lambda: any(peer.name == name for peer in facts.peers), LOGIN_PATIENCE)
    found = [peer for peer in facts.peers if peer.name == name]
    if found:
        return fine(f"{name}, as {found[0].address}" + (", takes no jobs from others" if not found[0].offered else ""))
    seen = f"Logged in are: {', '.join(peer.name for peer in facts.peers[:16]) or 'none'}."
    if name in facts.blocked:
        return BLOCKED.found(seen, name=name)
    return NOT_LOGGED_IN.found(seen, name=name, log=facts.home_of_log)


CHECKS: tuple[Check[WorkstationFacts], ...] = (
    Check(
        "iceccd",
        "iceccd answers where icecc looks for it",
        "icecc needs this machine's iceccd; without it, everything is compiled here.",
        _iceccd,
        causes=(DOWN, FORBIDDEN),
        needs=("icecc-installed",),
        fix=_start_iceccd,
    ),
    Check(
        "scheduler",
        "The scheduler answers by TCP and UDP",
        "The scheduler assigns jobs to nodes.",
        _scheduler,
        causes=(SILENT, NOBODY, HALF, NO_UDP),
    ),
    Check(
        "netname",
        "iceccd and the scheduler use the same netname",
        "A daemon uses only a scheduler with its own netname, unless it has the scheduler's address.",
        _netname,
        causes=(OTHER_NETNAME, OTHER_SCHEDULER, RENAMED),
        needs=("iceccd", "scheduler"),
    ),
    Check(
        "rival-scheduler",
        "Only one scheduler answers for the netname",
        "Of several schedulers, daemons use the one with the highest version that has run longest.",
        _rivals,
        causes=(RIVALS,),
        needs=("scheduler",),
    ),
    Check(
        "icecc-version",
        "iceccd and the scheduler have compatible versions",
        "Functions that an older version does not have are refused or not used.",
        _version,
        causes=(TOO_OLD, OLDER),
        needs=("iceccd", "scheduler"),
    ),
    Check(
        "iceccd-login",
        "This machine's iceccd is logged in",
        "A machine must be logged in to request a node.",
        _login,
        causes=(NOT_LOGGED_IN, BLOCKED),
        needs=("iceccd", "scheduler", "netname"),
    ),
)
