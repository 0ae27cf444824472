"""The table of lts.conf's variables in docs/lts-conf.md."""

from __future__ import annotations

from farm.node.lts.known import TOPICS

BEGIN = "<!-- variables: made by `farm lts docs docs/lts-conf.md` -->"
END = "<!-- variables: end -->"


def lts_table() -> str:
    """All between the markers, these included: a heading for each topic, a row for each variable."""
    lines = [BEGIN]
    for topic, variables in TOPICS.items():
        lines += [
            "",
            f"### {topic}",
            "",
            "| variable | type | in LTSP | here | instead, or why |",
            "|---|---|---|---|---|",
        ]
        for each in variables:
            lines.append(f"| `{each.shown}` | {each.kind} | {each.does} | {each.state} | {each.instead} |")
    return "\n".join([*lines, "", END]).replace("|  |", "| |")


def with_lts_table(page: str) -> str:
    """The page with the table written again. Raises ValueError without the markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("The page lacks the markers.")
    return before + lts_table() + after
