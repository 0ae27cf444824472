"""The boot view: which machine is at which stage, how long each stage took, and where one hangs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from farm.attach import Attachment
from farm.view.boot import Hang, Span, booting, hanging, spans, usual
from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.view.wording import count, duration, size
from farm.watch.events import Stage
from tui.base_view import NARROW_SCREEN, View
from tui.node_detail import NodeDetail
from tui.state_words import STAGES, natural
from tui.widgets.columns import Column, layout
from tui.widgets.lines import Cell, Paint, Tone
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable

NARROW = ("node", "stage", "for", "bar")
WIDE = ("node", "stage", "for", "total", "bar")
SEGMENT_TONES: tuple[Tone | None, ...] = ("accent", None)
NONE_YET = "no machine has asked for an address yet"


class BootRow(Struct, frozen=True):
    """A machine and its boot."""

    node: NodeStatus
    spans: list[Span]
    total: float
    """Seconds from power-on until it was ready, or until now."""
    hang: Hang | None


def rows(machines: Iterable[NodeStatus], now: float) -> list[BootRow]:
    """The machines: those that hang first, then those that boot, are lost, run, are off."""
    boots = [(node, spans(node, now)) for node in machines]
    usually = usual(boot for _, boot in boots)
    found = [
        BootRow(node, boot, sum(span.seconds for span in boot), hanging(node, boot, usually)) for node, boot in boots
    ]
    return sorted(found, key=_order)


def _order(row: BootRow) -> tuple[int, int, tuple[str | int, ...]]:
    node = row.node
    if row.hang:
        return 0, node.stage.rank, natural(node.name)
    if booting(node):
        return 1, node.stage.rank, natural(node.name)
    return {Stage.LOST: 2, Stage.READY: 3}.get(node.stage, 4), 0, natural(node.name)


def scale(found: Sequence[BootRow]) -> float:
    """Seconds that the longest bar stands for: what hangs is cut off at twice the longest boot that ended."""
    ended = max((row.total for row in found if row.node.stage is Stage.READY), default=0.0)
    longest = max((row.total for row in found), default=0.0)
    return max(1.0, min(longest, 2 * ended) if ended else longest)


def bar(boot: Sequence[Span], across: float, width: int) -> list[tuple[str, Tone | None]]:
    """The stages as pieces of text, together at most ``width`` cells for ``across`` seconds.

    A stage begins with ``┃`` and has its name where that fits whole, so that no colour is needed; ``▸`` ends what goes
    on, ``»`` what is longer than the place.
    """
    pieces: list[tuple[str, Tone | None]] = []
    done = 0.0
    at = 0
    for index, span in enumerate(boot):
        done += span.seconds
        end = max(at + 1 if span.seconds else at, round(done / across * width))
        cut = end > width
        length = min(end, width) - at
        if length > 0:
            last = "»" if cut else "▸" if span.open else ""
            name = span.stage if 1 + len(span.stage) + len(last) <= length else ""
            text = f"┃{name}".ljust(length, "━")[: length - len(last)] + last
            pieces.append((text, SEGMENT_TONES[index % 2]))
            at += length
        if cut:
            break
    return pieces


def summary(found: Sequence[BootRow]) -> str:
    """How many machines are at which stage."""
    at = Counter(row.node.stage for row in found)
    parts = [f"{STAGES[stage][0]} {number} {stage}" for stage in Stage if (number := at[stage])]
    if hangs := sum(row.hang is not None for row in found):
        parts.insert(0, f"▲ {count(hangs, 'hangs', 'hang')}")
    return " · ".join(parts)


def about(row: BootRow) -> str:
    """A machine's boot in words."""
    node = row.node
    if row.hang:
        return f"▲ {node.name} hangs: {row.hang.sentence}"
    if not row.spans:
        return f"{node.name} has not been seen yet" if node.stage is Stage.OFF else f"{node.name}: boot not seen"
    parts = [f"{span.stage} {_seconds(span.seconds)}{' so far' * span.open}" for span in row.spans]
    fetched = f"; {size(node.fetched)} fetched" if node.fetched else ""
    return f"{node.name}: {' · '.join(parts)}; {_seconds(row.total)} in all{fetched}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 10 else duration(seconds)


class BootView(View):
    """Boots, stage by stage."""

    TITLE = "Boot"
    NEEDS_FARM = True
    ABOUT = (
        "Each machine's boot from power-on until it takes jobs. The stage is the last one reached: powered (asked "
        "for an address), loader, kernel (fetched), root (mounted), agent (heard), registered at the scheduler, "
        "ready. A machine hangs if a stage takes longer than 20 s and three times as long as for the others, or a "
        "minute if there are no others."
    )
    DEFAULT_CSS = """
    BootView {
        & > #boot-line { height: 1; color: $foreground-muted; padding: 0 1; }
        & > LiveTable { height: 1fr; }
        & > #boot-about { height: auto; max-height: 3; padding: 0 1; background: $panel; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._now = 0.0
        self._across = 1.0
        self._width = 1
        self._said = ("", "")
        self._table: LiveTable[BootRow] = LiveTable(
            [
                Column[BootRow](
                    name="node",
                    title="Node",
                    width=16,
                    min_width=8,
                    cell=lambda r: r.node.name,
                    value=lambda r: natural(r.node.name),
                ),
                Column[BootRow](
                    name="stage", title="Stage", width=12, cell=_stage_cell, value=lambda r: r.node.stage.rank
                ),
                Column[BootRow](
                    name="for",
                    title="For",
                    width=6,
                    align="right",
                    descending=True,
                    cell=self._since,
                    value=self._seconds,
                ),
                Column[BootRow](
                    name="total",
                    title="Boot",
                    width=6,
                    align="right",
                    descending=True,
                    cell=lambda r: _seconds(r.total) if r.spans else "",
                    value=lambda r: r.total if r.spans else None,
                ),
                Column[BootRow](name="bar", title="Stages", width=20, min_width=6, elastic=True, cell=self._bar),
            ],
            key=lambda row: row.node.key,
            tone=_tone,
            empty=NONE_YET,
        )

    def compose(self) -> ComposeResult:
        """How many are where, the machines, and the one under the cursor in words."""
        yield Static("", id="boot-line", markup=False)
        yield self._table
        yield Static("", id="boot-about", markup=False)

    @property
    def chosen(self) -> NodeStatus | None:
        """The machine under the cursor."""
        row = self._table.cursor_row
        return row.node if row else None

    def show(self, now: float) -> None:
        """Draw the boots as they are now."""
        self._now = now
        found = rows((node for node in self.live.nodes.values() if node.mac), now)
        self._across = scale(found)
        self._width = layout(self._table.columns, self._table.size.width)[-1]
        self._table.set_rows(found)
        self._tell()

    def on_resize(self) -> None:
        """Where there is little room, the bar is what can be spared least."""
        self._table.show_columns(NARROW if self.size.width < NARROW_SCREEN else WIDE)
        self.show(self._now or self.live.time)

    @on(LiveTable.Opened)
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        self.app.push_screen(NodeDetail(self.attachment, self.live, str(message.key)))

    def _tell(self) -> None:
        row = self._table.cursor_row
        found = [each for _, each in self._table.shown]
        said = (summary(found), clean(about(row)) if row and self.size.height >= 8 else "")
        if said[0] != self._said[0]:
            self.query_one("#boot-line", Static).update(said[0], layout=False)
        if said[1] != self._said[1]:
            panel = self.query_one("#boot-about", Static)
            panel.display = bool(said[1])
            panel.update(said[1])
        self._said = said

    @on(LiveTable.Moved)
    def _moved(self) -> None:
        self._tell()

    def _seconds(self, row: BootRow) -> float | None:
        return self._now - row.node.since if row.node.since else None

    def _since(self, row: BootRow) -> Cell:
        seconds = self._seconds(row)
        return "" if seconds is None else duration(seconds)

    def _bar(self, row: BootRow) -> Cell:
        text = Text(no_wrap=True, end="")
        for piece, tone in bar(row.spans, self._across, self._width):
            text.append(piece, style=self._table.paint(tone) if tone else "")
        return text


def _stage_cell(row: BootRow) -> Cell:
    glyph, tone = STAGES[row.node.stage]
    return (f"▲ {row.node.stage}", "bad") if row.hang else (f"{glyph} {row.node.stage}", tone)


def _tone(row: BootRow) -> Paint:
    return "muted" if row.node.stage is Stage.OFF else None
