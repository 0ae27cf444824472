"""The one registry of what keys do: bindings feed the keys themselves, the footer, the command palette and the help."""

from __future__ import annotations

from textual.binding import Binding

SHELL: tuple[Binding, ...] = (
    *(
        Binding(str(number), f"view({number - 1})", f"View {number}", show=False, tooltip=tip, id=f"top.view{number}")
        for number, tip in enumerate(("Overview", "Nodes", "Jobs", "Timeline", "Builds", "Boot", "Scheduler"), 1)
    ),
    Binding(
        "left,left_square_bracket", "turn(-1)", "Tab before", show=False, tooltip="The tab before", id="top.before"
    ),
    Binding("right,right_square_bracket", "turn(1)", "Next tab", show=False, tooltip="The next tab", id="top.next"),
    Binding("p", "pause", "Pause", tooltip="Hold the picture, or go on", id="top.pause"),
    Binding("q", "quit", "Quit", tooltip="Leave; the farm goes on", id="top.quit"),
)
"""What works everywhere."""
