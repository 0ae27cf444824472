"""A dashboard of one view, for tests: as `farm top` draws it, without tabs."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from textual.app import App, ComposeResult

from farm.attach import Attachment
from farm.view.live import Live
from tui.base_view import Detail, View
from tui.links import Follow
from tui.open_pages import open_target


class Stage(App[None]):
    """Shows one view of a `Live`; `flush` draws as the refresh timer would."""

    AUTO_FOCUS = None
    CSS = "View { height: 1fr; }"

    def __init__(self, kind: Callable[[Attachment, Live], View], attachment: Attachment, live: Live) -> None:
        super().__init__()
        self.live = live
        self.shown = kind(attachment, live)
        self.now = live.time

    def compose(self) -> ComposeResult:
        yield self.shown

    def on_mount(self) -> None:
        self.flush()
        self.shown.enter()

    def flush(self) -> None:
        if isinstance(self.screen, Detail):
            self.screen.show(self.now)
        else:
            self.shown.show(self.now)

    async def on_follow(self, event: Follow) -> None:
        await open_target(self, self.shown.attachment, self.live, event.target)

    def text(self) -> str:
        """What a reader sees, line by line."""
        height = self.size.height
        lines = self.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in _plain(strip)) for strip in lines[:height])


def _plain(strip: object) -> list[Segment]:
    return list(strip)  # type: ignore[call-overload]
