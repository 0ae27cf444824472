"""Which views the dashboard has, which parts have keys of their own, and what keys there are by where they hold."""

from __future__ import annotations

from textual.binding import Binding
from textual.dom import DOMNode

from tui.actions import SHELL
from tui.base_view import Detail, View
from tui.boot import BootView
from tui.builds import BuildsView
from tui.dialogs import ChooseMany, ChooseOne, Confirm
from tui.help import HelpScreen, own_bindings
from tui.jobs import JobsView
from tui.links import LinkLine
from tui.node_detail import NodeDetail
from tui.nodes import NodesView
from tui.overview import OverviewView
from tui.page import Page
from tui.scheduler import SchedulerView
from tui.sessions import SessionsView
from tui.submitters_view import SubmittersView
from tui.timeline import TimelineView
from tui.widgets.gantt import Gantt
from tui.widgets.stream import LiveStream
from tui.widgets.table import LiveTable

VIEWS: tuple[type[View], ...] = (
    OverviewView,
    NodesView,
    JobsView,
    TimelineView,
    BuildsView,
    BootView,
    SchedulerView,
    SessionsView,
    SubmittersView,
)
"""The tabs, in their order."""
PARTS: dict[str, type[DOMNode]] = {
    "a table": LiveTable,
    "a stream": LiveStream,
    "the timeline": Gantt,
    "a page of text": Page,
    "a detail": Detail,
    "a node": NodeDetail,
    "links": LinkLine,
    "a question": Confirm,
    "a choice of one": ChooseOne,
    "a choice of many": ChooseMany,
    "this help": HelpScreen,
}
"""What else has keys of its own."""


def key_sections() -> dict[str, list[Binding]]:
    """All keys by where they hold; what can be remapped."""
    sections = {"everywhere": [*SHELL]}
    sections |= {kind.TITLE: own_bindings(kind) for kind in VIEWS}
    return sections | {f"in {name}": own_bindings(kind) for name, kind in PARTS.items()}


def keys_in(shown: View | Detail) -> dict[str, list[Binding]]:
    """The keys of a view or page and of its parts, by where they hold."""
    inside = list(shown.walk_children())
    parts = {
        f"in {name}": own_bindings(kind)
        for name, kind in PARTS.items()
        if (isinstance(shown, kind) and kind is not type(shown)) or any(isinstance(each, kind) for each in inside)
    }
    return {shown.TITLE: own_bindings(type(shown))} | parts
