"""What machines tell of the people at their screens, in words: log-ins that fail, sound, sticks, printers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from farm.node.session.pam.login_failure import FailureKind, LoginFailure
from farm.view.wording import few, milliseconds, size
from farm.watch.events import Finding
from farm.watch.node_telemetry import LogInTold, SessionTold
from farm.watch.state import Farm

RECENT_SECONDS = 600.0
"""A log-in that failed is shown beside its machine for so long."""
PROBLEM_SECONDS = 3600.0
"""Log-ins that fail are a problem for so long after the last of them."""
LEAST_FAILURES = 2
"""Failures for one reason that are more than an accident."""
_OWN = (
    FailureKind.PASSWORD,
    FailureKind.EXPIRED,
    FailureKind.UNCHANGED,
    FailureKind.SHELL,
    FailureKind.TURNED_AWAY,
    FailureKind.LOGGED_IN,
    FailureKind.NOT_ENDED,
    FailureKind.NOT_ALONE,
    FailureKind.SOMEBODY_HERE,
)
"""What is the user's own matter, or that of the account."""
_KEYS = (
    "If the server's keys were changed on purpose, give its machines the new ones: sudo farm up. "
    "Then: sudo farm node reboot {first}"
)
_FIXES = {
    FailureKind.SILENT: "Check that {server} is up and its sshd runs: systemctl status ssh",
    FailureKind.BUSY: "Raise MaxStartups in the sshd_config of {server}.",
    FailureKind.CHANGED_KEY: _KEYS,
    FailureKind.UNKNOWN_KEY: _KEYS,
    FailureKind.CLOSED: "Look for /etc/nologin on {server}, and in the log of its sshd: journalctl -u ssh",
}
_LOOK = "Look at them: farm node show {first}"


class Failing(Struct, frozen=True):
    """A reason for which the last log-ins at a machine have all failed."""

    kind: FailureKind
    server: str
    sentence: str
    """Without a server's own words."""
    times: int

    def fix(self, first: str) -> str:
        """What to do about it, at a machine of that name."""
        return _FIXES.get(self.kind, _LOOK).format(server=self.server or "the server", first=first)


def failing(log_ins: Sequence[LogInTold], now: float) -> Failing | None:
    """Why the last log-ins have failed at a machine, when that is not the users' own matter; ``now``: Unix time."""
    if not log_ins or not log_ins[-1].failed or now - log_ins[-1].at > PROBLEM_SECONDS:
        return None
    last = log_ins[-1]
    kind = kind_of(last)
    if kind in _OWN:
        return None
    times = 0
    for each in reversed(log_ins):
        if not each.failed or (kind_of(each), each.server) != (kind, last.server):
            break
        times += 1
    sentence = last.failed.partition(": ")[0].rstrip(".")
    return Failing(kind, last.server, f"{sentence}.", times)


def kind_of(log_in: LogInTold) -> FailureKind:
    """What kind of failure a machine's sentence tells of; OTHER when it is none that is known here."""
    said = {kind: LoginFailure(kind, log_in.server).sentence.rstrip(".") for kind in FailureKind}
    fits = [kind for kind, sentence in said.items() if log_in.failed.startswith(sentence)]
    return max(fits, key=lambda kind: len(said[kind]), default=FailureKind.OTHER)


def log_in_problems(farm: Farm) -> Iterator[Finding]:
    """Reasons for which nobody can log in at some machines."""
    found: dict[tuple[FailureKind, str], list[tuple[str, Failing]]] = {}
    for node in farm.nodes.values():
        told = node.told.session if node.told and node.telemetry and node.answers else None
        if told and (why := failing(told.log_ins, node.telemetry_time)):
            found.setdefault((why.kind, why.server), []).append((node.name, why))
    for each in found.values():
        names = [name for name, _ in each]
        if sum(why.times for _, why in each) >= LEAST_FAILURES:
            why = each[0][1]
            yield Finding("log-ins-fail", f"Log-ins at {few(names)} fail: {why.sentence}", why.fix(names[0]), names[0])


def unsaved_problems(farm: Farm) -> Iterator[Finding]:
    """Log-outs in the last hour at which something may not have been written: its user may not have seen that."""
    for node in farm.nodes.values():
        told = node.told.session if node.told and node.telemetry else None
        if told and (lost := told.unsaved) and node.telemetry_time - lost.at < PROBLEM_SECONDS:
            what = f"Something may not have been written when {lost.user or 'somebody'} logged out at {node.name}."
            fix = f"See what the greeter said, and tell the user: farm node show {node.name}"
            yield Finding("log-out-unsaved", what, fix, node.name)


def failed_lately(told: SessionTold, now: float) -> LogInTold | None:
    """The last log-in, if it failed a short time ago and nobody is logged in."""
    last = told.log_ins[-1] if told.log_ins and not told.users else None
    return last if last and last.failed and now - last.at < RECENT_SECONDS else None


def round_trip_words(seconds: float) -> str:
    """The time to a server and back: 0.4 ms, 12 ms."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else milliseconds(seconds * 1000)


def extra_lines(extras: Mapping[str, object]) -> list[tuple[str, str]]:
    """What each extra tells, a line for each thing: its name, and all that is said of it.

    Their modules on the machine decide what that is; what is not known here is shown as well.
    """
    return [(name, words) for name, value in extras.items() for words in _things(value) if words]


def _things(value: object) -> Iterable[str]:
    """A line for each of several; a record that holds nothing but a list is that list."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), list):
        value = only
    return [_words("", each) for each in value] if isinstance(value, list) else [_words("", value)]


def _words(key: str, value: object) -> str:
    key = key.replace("_", " ")
    match value:
        case None | "":
            return ""
        case bool():
            return key if value else f"{key}: no"
        case int() | float() if key == "size":
            return size(value)
        case int() | float() if key == "volume":
            return f"{key} {value:g} %"
        case dict():
            return ", ".join(filter(None, (_words(name, each) for name, each in value.items())))
        case list():
            return f"{key} {' '.join(filter(None, (_words('', each) for each in value)))}".strip()
        case float():
            return f"{key} {value:g}".strip()
    return f"{key} {value}".strip()
