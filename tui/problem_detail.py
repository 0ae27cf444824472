"""One problem, whole: what is wrong, what to do, and the nodes and jobs that it is about, each of which opens."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.view.wording import exit_words
from farm.watch.activity import Job
from tui import state_words
from tui.base_view import Detail, open_page
from tui.job_detail import JobDetail
from tui.links import Follow, TabTarget
from tui.node_detail import NodeDetail
from tui.problem_texts import FarmProblem, wrong
from tui.widgets.columns import Column
from tui.widgets.lines import Cell
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable


class Concerned(Struct, frozen=True):
    """A node, a job or a tab that a problem is about."""

    key: str
    name: str
    state: Cell
    more: str
    opens: NodeStatus | Job | str
    """A string: the title of a tab."""


def concerned(problem: FarmProblem, live: Live, now: float) -> list[Concerned]:
    """All that can be opened, in the order in which it helps."""
    reasons = state_words.Reasons(live, now)
    nodes = (live.nodes[key] for key in problem.nodes if key in live.nodes)
    found = [_node(node, reasons) for node in nodes] + [_job(job) for job in problem.jobs]
    if problem.tab:
        found.append(Concerned(problem.tab, f"the tab {problem.tab}", "", "", problem.tab))
    return found


def _node(node: NodeStatus, reasons: state_words.Reasons) -> Concerned:
    reason = reasons.of(node)
    return Concerned(node.key, node.name, state_words.stage_words(node), reason.why if reason else "", node)


def _job(job: Job) -> Concerned:
    where = f"{job.submitter[0]} → {job.node[0]}" if job.node != job.submitter else job.node[0]
    return Concerned(f"{job.id} {job.requested}", job.file, exit_words(job.exit), where, job)


class ProblemDetail(Detail):
    """What is wrong and what to do; enter opens what it is about."""

    TITLE = "Problem"
    ABOUT = (
        "What is wrong, what to do about it, and the nodes and jobs that it is about; enter opens one. A problem that "
        "is over says so."
    )
    DEFAULT_CSS = """
    ProblemDetail {
        & > #problem-text { height: auto; max-height: 40%; padding: 1 1; background: $surface; }
        & > LiveTable { height: 1fr; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live, problem: FarmProblem) -> None:
        super().__init__(attachment, live)
        self._problem = problem
        self.subject = "problem", problem.key
        self._text: Content | None = None
        self._table: LiveTable[Concerned] = LiveTable(
            [
                Column[Concerned](name="name", title="About", width=24, min_width=10, cell=lambda each: each.name),
                Column[Concerned](name="state", title="State", width=16, min_width=8, cell=lambda each: each.state),
                Column[Concerned](
                    name="more", title="Why", width=14, min_width=8, cell=lambda each: each.more, elastic=True
                ),
            ],
            key=lambda each: each.key,
            empty="about no node or job that is known",
            id="problem-table",
        )

    def body(self) -> ComposeResult:
        """The text, and what it is about."""
        yield Static("", id="problem-text", markup=False)
        yield self._table

    def on_mount(self) -> None:
        """What can be opened has the focus."""
        self._table.focus(scroll_visible=False)

    def show(self, now: float) -> None:
        """Look whether it lasts, and how those are that it is about."""
        present = next((each for each in wrong(self.live, now) if each.key == self._problem.key), None)
        self._problem = present or self._problem
        text = Content("\n").join(_text(self._problem, over=present is None))
        if text != self._text:
            self._text = text
            self.query_one("#problem-text", Static).update(text)
        self._table.set_rows(concerned(self._problem, self.live, now))

    @property
    def chosen(self) -> NodeStatus | None:
        """The node under the cursor."""
        row = self._table.cursor_row
        return row.opens if row and isinstance(row.opens, NodeStatus) else None

    @on(LiveTable.Opened)
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        row = self._table.cursor_row
        if row is None:
            return
        if isinstance(row.opens, NodeStatus):
            open_page(self.app, NodeDetail(self.attachment, self.live, row.opens.key))
        elif isinstance(row.opens, Job):
            open_page(self.app, JobDetail(self.attachment, self.live, row.opens))
        else:
            self.post_message(Follow(TabTarget(row.opens)))


def _text(problem: FarmProblem, *, over: bool) -> Iterable[Content]:
    if over:
        yield Content.styled("● This is over.", "$text-success")
        yield Content.styled(clean(problem.what), "$foreground-muted")
        return
    yield Content.styled(f"▲ {clean(problem.what)}", "bold $text-warning")
    if problem.advice:
        yield Content(f"→ {clean(problem.advice)}")
