"""The table of all codes in docs/troubleshooting.md, made from the checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from farm.doctor.catalogue import CHECKS_BY_PLACE
from farm.doctor.check import Cause, Check
from farm.node.ports import ICECCD_PORT

BEGIN = "<!-- farm doctor: made by `python -m farm.doctor docs/troubleshooting.md` -->"
END = "<!-- farm doctor: end -->"

EXAMPLES = {
    "start": "sudo systemctl start iceccd",
    "log": "journalctl -u iceccd",
    "anew": "unset ICECC_VERSION",
    "path": "PATH",
    "port": str(ICECCD_PORT),
    "command": "export PATH=PATH",
}


class _Names(dict[str, str]):
    """What stands for a value in a text: an example, or the name in capitals."""

    def __missing__(self, name: str) -> str:
        return EXAMPLES.get(name, name.upper())


def table(checks: Iterable[Check[Any]]) -> list[str]:
    """A row for each cause, the code where it begins."""
    lines = ["| code | expected state | possible cause | fix |", "|---|---|---|---|"]
    for check in checks:
        first = f"`{check.code}`", check.title
        for cause in check.causes or (Cause("see its evidence", ""),):
            lines.append(f"| {first[0]} | {first[1]} | {_cell(cause.text)} | {_mend(cause)} |".replace("  ", " "))
            first = "", ""
    return lines


def section(places: Mapping[str, Iterable[Check[Any]]] = CHECKS_BY_PLACE) -> str:
    """All between the markers, these included."""
    lines = [BEGIN]
    for place, checks in places.items():
        lines += ["", f"### {place}", "", *table(checks)]
    return "\n".join([*lines, "", END])


def replaced(page: str) -> str:
    """The page with the section anew. Raises ValueError without the markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("The page lacks the markers.")
    return before + section() + after


def _mend(cause: Cause) -> str:
    text = _cell(cause.mend)
    return f"{text}: `{cause.command.format_map(_Names())}`" if cause.command else text


def _cell(text: str) -> str:
    return re.sub(r"\|", r"\\|", text.format_map(_Names()))
