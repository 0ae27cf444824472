"""icecc's log (ICECC_LOGFILE with ICECC_DEBUG=debug): what became of each compiler call, and why.

Many processes write to one file at a time. Each line has the process in its prefix; but a text of 1 KiB or more is
written apart from its line's end, so that another's line may follow it at once. What cannot be understood is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field

from farm.node.ports import SPARE_ICECCD_PORT
from farm.printable import printable
from farm.workstation.explain.call_words import lost_dependencies, overlooks, side_file
from farm.workstation.explain.call_words import parse as parse_words
from farm.workstation.explain.reasons import Reason, recognise
from farm.workstation.explain.reasons.compiler_call import (
    COMMAND,
    DEPENDENCIES_LOST,
    LINKING,
    NO_OUTPUT,
    OVERLOOKED,
    SIDE_FILE_LOST,
    without_dash_c,
)
from farm.workstation.explain.reasons.farm_side import (
    ASSIGNED_HERE,
    FILE_MISSING,
    HEADER_USED,
    LOOK_AT_STATUS,
    LOST,
    LOST_SENDING,
    NODE_REFUSED,
    WITHDRAWN,
)
from farm.workstation.explain.reasons.machine import DAEMON_LOST, DISABLED, NO_DAEMON, PREPROCESSING

PREFIX = re.compile(rb"ICECC\[(\d{1,10})\] (\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d): ")
SPLIT_BEYOND = 1024
"""Bytes; in a shorter line whatever looks like a prefix is part of the text."""
MAX_LOGGED = 4096
MAX_EVIDENCE = 60
"""Lines kept of a call."""

HOST_LINE = re.compile(
    r"Have to use host (?P<host>[^ ]+):(?P<port>\d{1,5}) - Job ID: (?P<job>\d{1,10}) - env: (?P<platform>.*?)"
    r" - has env: (?P<had>true|false).*"
)
BYTES = re.compile(r"(?P<way>sent|got) (?P<bytes>\d{1,15}) bytes \(\d+%\)")
BLOCK = re.compile(r"<(?P<label>[^/>][^>]*)>")
BLOCK_END = re.compile(r"</(?P<label>[^:>]+): (?P<ms>\d{1,9})ms>")
PHASES = {
    "Transfer Environment": "environment",
    "send compile_file": "send",
    "write_fd_to_server from cpp": "preprocess",
    "wait for cpp": "preprocess",
    "wait for cs": "node",
    "building_local": "here",
}
"""icecc's names for what it measures, and ours."""
PACKING, PACKED = "asking for native environment for ", "native "
"""icecc's words before and after iceccd packs a compiler, which it does once."""
NOTED = ("connected to ", "connect failed on ")
CLANG_HEADER = "-include-pch"
KEPT_BY_COMMAND = frozenset(reason.code for reason in COMMAND)
"""With one of these, icecc hands the command on as it is."""
OF_CHILD = "preparing source to send: "
"""Said by the process that becomes the preprocessor; its number may have been that of an earlier call."""


class CallOutcome(StrEnum):
    """What became of a call."""

    NODE = "node"
    """Compiled on a node."""
    HERE = "here"
    AGAIN = "again"
    """A node had it, then it was compiled here."""
    NOWHERE = "nowhere"
    """Not compiled at all: icecc gave up."""
    UNFINISHED = "unfinished"
    """The log ends before that is known: killed, or still running."""


class LoggedCause(Struct, frozen=True):
    """A reason that icecc gave, by its code, and the line in which it did."""

    code: str
    line: str = ""


class Call(Struct, frozen=True, kw_only=True):
    """One call of icecc; times are Unix times in seconds (icecc's clock has whole ones), sizes as they were sent."""

    pid: int
    time: float
    command: str
    """As icecc was called: words with blanks between, cut after 4 KiB."""
    file: str
    """The source, or else the output, where the command names one."""
    outcome: CallOutcome
    causes: tuple[LoggedCause, ...] = ()
    """Why it was not compiled on a node, or not as it was told to; the first is the true one. Empty where it was."""
    host: str = ""
    """Address of the node that had it."""
    port: int = 0
    job: int = 0
    environment_sent: int = 0
    """Bytes; 0: the node had the environment."""
    sent: int = 0
    got: int = 0
    milliseconds: dict[str, int] = {}
    """pack, environment, send, preprocess, node, here: how long each took."""
    evidence: tuple[str, ...] = ()


class _Open(Struct):
    """A call whose lines are still coming."""

    pid: int
    time: float
    command: str
    expanded: str = ""
    """The command with what its response files say; empty where it has none."""
    input: str = ""
    host: str = ""
    port: int = 0
    job: int = 0
    packing: float = 0.0
    """Unix time since which iceccd packs the compiler; 0: it does not."""
    asked: bool = False
    """It looked for the daemon."""
    local: bool = False
    """The compiler was called here."""
    answered: bool = False
    """The node's answer was waited for to the end."""
    environment_sent: int = 0
    sent: int = 0
    got: int = 0
    blocks: list[str] = field(default_factory=list)
    """What icecc is at, innermost last."""
    milliseconds: dict[str, int] = field(default_factory=dict)
    causes: dict[str, LoggedCause] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        """The command, response files looked into."""
        return self.expanded or self.command


def read(path: Path) -> list[Call]:
    """All calls in a log, in the order in which they began. Raises OSError."""
    with path.open("rb") as file:
        return parse(file)


def parse(lines: Iterable[bytes]) -> list[Call]:
    """All calls in the lines of a log, in the order in which they began."""
    begun: list[_Open] = []
    by_pid: dict[int, _Open] = {}
    for pid, time, text in _records(lines):
        if text.startswith("invoked as: "):
            call = _Open(pid, _unix(time), text.removeprefix("invoked as: "))
            begun.append(call)
            by_pid[pid] = call
        known = by_pid.get(pid)
        if known is not None and not text.startswith(OF_CHILD):
            _take(known, text)
            _time_packing(known, text, time)
    return [_close(call) for call in begun]


Clock = tuple[bytes, ...]


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, Clock, str]]:
    """Process, clock and text of each entry."""
    for line in lines:
        for match, text in _entries(line.rstrip(b"\n")):
            decoded = text[:MAX_LOGGED].decode(errors="replace").strip()
            yield int(match[1]), match.groups()[1:], printable(decoded, MAX_LOGGED)


def _entries(line: bytes) -> Iterator[tuple[re.Match[bytes], bytes]]:
    """The entries in a line: as a rule one, after a prefix that is repeated for each level of nesting."""
    match = PREFIX.match(line)
    while match:
        rest = match.end()
        following = PREFIX.search(line, rest)
        while following and following.start() - rest < SPLIT_BEYOND and line[rest : following.start()].strip(b" "):
            following = PREFIX.search(line, following.end())
        text = line[rest : following.start() if following else None]
        if text.strip(b" "):
            yield match, text
        match = following


def _unix(clock: Clock) -> float:
    year, month, day, hour, minute, second = map(int, clock)
    try:
        return datetime(year, month, day, hour, minute, second).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _take(call: _Open, text: str) -> None:
    """Take one entry into account."""
    if len(call.evidence) < MAX_EVIDENCE:
        call.evidence.append(text)
    if text.startswith(NOTED):
        call.asked = True
    elif text.startswith("invoking: "):
        call.local = True
    elif text.startswith("expanded as: "):
        call.expanded = text.removeprefix("expanded as: ")
    elif text.startswith("preparing ") and " to be compiled " in text:
        call.input = text.removeprefix("preparing ").rpartition(" to be compiled ")[0]
    elif text.startswith("Compiled on "):
        call.answered = True
    elif text.startswith(("<", "Have to use host ", "sent ", "got ")) and _measure(call, text):
        pass
    elif (reason := recognise(text)) is not None:
        _add(call, reason, text)


def _time_packing(call: _Open, text: str, time: Clock) -> None:
    """Take in how long the compiler was packed, as far as whole seconds tell."""
    if text.startswith(PACKING):
        call.packing = _unix(time)
    elif text.startswith(PACKED) and call.packing:
        if took := round(_unix(time) - call.packing):
            call.milliseconds["pack"] = max(0, took) * 1000
        call.packing = 0.0


def _measure(call: _Open, text: str) -> bool:
    """Take in what tells where the job went, how much was sent, and how long it took; False when it does not."""
    if match := HOST_LINE.fullmatch(text):
        call.host, call.port, call.job = match["host"], int(match["port"]), int(match["job"])
    elif match := BYTES.fullmatch(text):
        number = int(match["bytes"])
        if match["way"] == "got":
            call.got += number
        elif "Transfer Environment" in call.blocks:
            call.environment_sent += number
        else:
            call.sent += number
    elif match := BLOCK_END.fullmatch(text):
        if match["label"] in call.blocks:
            call.blocks.remove(match["label"])
        phase = PHASES.get(match["label"])
        if phase:
            call.milliseconds[phase] = call.milliseconds.get(phase, 0) + int(match["ms"])
        call.answered |= match["label"] == "wait for cs"
    elif match := BLOCK.fullmatch(text):
        call.blocks = [*call.blocks[-8:], match["label"]]
    else:
        return False
    return True


def _add(call: _Open, reason: Reason, text: str) -> None:
    code = without_dash_c(call.words) if reason.code == LINKING else reason.code
    if code in (NO_OUTPUT, PREPROCESSING) and overlooks(call.words):
        code = OVERLOOKED
    if code == NODE_REFUSED and any(re.match(LOOK_AT_STATUS, cause.line) for cause in call.causes.values()):
        return  # the node's own words have told already
    if code == FILE_MISSING and CLANG_HEADER in call.words.split(" "):
        code = HEADER_USED
    if code in (LOST, LOST_SENDING) and call.port == SPARE_ICECCD_PORT:
        code = WITHDRAWN  # its jobs that had begun go on to their end
    call.causes.setdefault(code, LoggedCause(code, text))


def _close(call: _Open) -> Call:
    outcome = _outcome(call)
    causes = tuple(call.causes.values())
    if call.causes.keys() >= {ASSIGNED_HERE, NO_DAEMON}:
        outcome, causes = CallOutcome.HERE, (LoggedCause(DAEMON_LOST, call.causes[NO_DAEMON].line),)
    elif outcome is CallOutcome.NODE:
        option = side_file(call.words)
        causes = (LoggedCause(SIDE_FILE_LOST, option),) if option else ()
    elif outcome is CallOutcome.NOWHERE:
        causes = causes[::-1]  # what came last made icecc give up
    elif outcome is CallOutcome.UNFINISHED and overlooks(call.words.rpartition(" ")[2]):
        causes = (*causes, LoggedCause(OVERLOOKED))  # it crashed before it could say anything
    elif outcome is CallOutcome.HERE and (not call.asked or not causes):
        # ICECC=disable does not look for the daemon, and neither value of ICECC is logged.
        causes = (*causes, LoggedCause(DISABLED))
    if (lost := lost_dependencies(call.words)) and not call.causes.keys() & KEPT_BY_COMMAND:
        causes = (*causes, LoggedCause(DEPENDENCIES_LOST, lost))
    return Call(
        pid=call.pid,
        time=call.time,
        command=call.command,
        file=call.input or parse_words(call.words).file,
        outcome=outcome,
        causes=causes,
        host=call.host,
        port=call.port,
        job=call.job,
        environment_sent=call.environment_sent,
        sent=call.sent,
        got=call.got,
        milliseconds=call.milliseconds,
        evidence=tuple(call.evidence),
    )


def _outcome(call: _Open) -> CallOutcome:
    if call.local:
        return CallOutcome.AGAIN if call.host else CallOutcome.HERE
    if call.host and call.answered:
        return CallOutcome.NODE
    return CallOutcome.NOWHERE if call.causes else CallOutcome.UNFINISHED
