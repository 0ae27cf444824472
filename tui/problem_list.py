"""The problems, first thing in the overview: one line each, enter opens one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment

from farm.view.wording import count
from tui.problem_texts import FarmProblem
from tui.widgets.columns import Column
from tui.widgets.safe_text import fit
from tui.widgets.table import LiveTable

ADVICE_WIDTH = 110
"""Cells; a narrower list leaves what to do to the problem's page."""


class ProblemList(LiveTable[FarmProblem]):
    """As many lines as there are problems, up to ``most``; the others scroll. Without problems it is not shown."""

    DEFAULT_CSS = """
    ProblemList {
        display: none; height: 2;
        & > .rows--header { background: $surface; color: $text-warning; }
    }
    """

    def __init__(self, id: str) -> None:
        super().__init__(
            [
                Column[FarmProblem](
                    name="what",
                    title="",
                    width=64,
                    min_width=10,
                    cell=lambda problem: [("▲ ", "warn"), (problem.what, None)],
                    elastic=True,
                ),
                Column[FarmProblem](
                    name="advice",
                    title="",
                    width=20,
                    min_width=10,
                    cell=lambda problem: (problem.advice, "muted"),
                    elastic=True,
                ),
            ],
            key=lambda problem: problem.key,
            stays=True,
            id=id,
        )
        self.most = 3

    def show(self, problems: Sequence[FarmProblem]) -> None:
        """Replace the lines, and take the place that they need."""
        self.display = bool(problems)
        self.styles.height = min(len(problems), self.most) + 1
        self.set_rows(problems)

    def draw_header(self) -> list[Segment]:
        """How many there are, and what enter does."""
        title = f"{count(len(self.rows), 'problem')}, enter opens one"
        return [Segment(fit(title, self.size.width), self.get_component_rich_style("rows--header"))]

    def on_resize(self) -> None:
        """Advice stands beside where there is room."""
        self.show_columns(["what", "advice"] if self.size.width >= ADVICE_WIDTH else ["what"])
