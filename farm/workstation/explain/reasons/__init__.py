"""Why a compiler call did not go to a node: stable codes, a sentence each, and what to change.

`farm explain`, `farm run` and `farm doctor` speak in these; docs/explain.md has them as a table. Read from the sources
of icecc 1.4 (client/arg.cpp, main.cpp, remote.cpp); git master says the same of each.
"""

from __future__ import annotations

from farm.workstation.explain.reasons.compiler_call import COMMAND
from farm.workstation.explain.reasons.farm_side import NODE_REASONS, SCHEDULER_REASONS
from farm.workstation.explain.reasons.machine import MACHINE
from farm.workstation.explain.reasons.record import Reason, Recogniser

__all__ = ["GROUPS", "REASONS", "Reason", "as_markdown", "find", "recognise"]

GROUPS = {
    "The command itself": COMMAND,
    "This machine": MACHINE,
    "The scheduler": SCHEDULER_REASONS,
    "The node, after which it was compiled here": NODE_REASONS,
}
REASONS = {reason.code: reason for group in GROUPS.values() for reason in group}

_recogniser = Recogniser(REASONS.values())


def recognise(text: str) -> Reason | None:
    """The reason that a line of icecc's log gives (without its prefix), if it gives one."""
    return _recogniser.find(text)


def find(code: str) -> Reason:
    """The reason with that code; one that is not known here stands for itself."""
    return REASONS.get(code) or Reason(code, "")


def as_markdown() -> str:
    """All of them as tables, for the documentation."""
    lines = []
    for title, group in GROUPS.items():
        lines += [f"### {title}", "", "| code | why it was not compiled on a node | what to do |", "|---|---|---|"]
        lines += [f"| `{reason.code}` | {_cell(reason.sentence)} | {_cell(reason.mend)} |" for reason in group]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
