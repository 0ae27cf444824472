"""A bounded stream of records, the newest in sight until the reader pauses it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from tui.widgets.columns import Column, Row
from tui.widgets.lines import Paint
from tui.widgets.table import LiveTable

MAX_RECORDS = 5000
"""Records kept unless said otherwise."""


class LiveStream(LiveTable[Row]):
    """A table that is appended to and keeps the newest records.

    While it follows, the cursor is on the newest record: the last, or the first when the order is reversed. Leaving
    it pauses: what is shown stays as it is while records go on being collected. ``f``, space, and ``end`` follow
    again::

        stream = LiveStream(columns, key=lambda job: job.id, limit=5000, empty="no jobs yet")
        stream.append(new_jobs)  # a key that is known replaces its record, in its place
        stream.following, stream.missed

    Args:
        columns: as for a table, as are the others.
        key: what a record is known by.
        limit: how many are kept.
    """

    class Followed(Message):
        """The reader paused the stream, or follows it again."""

        def __init__(self, stream: LiveStream[Any], following: bool) -> None:
            super().__init__()
            self.stream = stream
            self.following = following

        @property
        def control(self) -> LiveStream[Any]:
            """The stream, for ``@on(LiveStream.Followed, "#id")``."""
            return self.stream

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", tooltip="Follow the newest, or stop", id="stream.follow")
    ]

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        key: Callable[[Row], Hashable],
        limit: int = MAX_RECORDS,
        sort: str | None = None,
        reverse: bool | None = None,
        tone: Callable[[Row], Paint] | None = None,
        empty: str = "nothing yet",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(
            columns,
            key=key,
            sort=sort,
            reverse=reverse,
            tone=tone,
            empty=empty,
            name=name,
            id=id,
            classes=classes,
            disabled=disabled,
        )
        self._limit = limit
        self._records: OrderedDict[Hashable, Row] = OrderedDict()
        self._following = True
        self._missed = 0

    def append(self, records: Iterable[Row]) -> None:
        """Add these records; the oldest leave when there are too many."""
        kept = self._records
        for record in records:
            key = self._key(record)
            self._missed += key not in kept
            kept[key] = record
        while len(kept) > self._limit:
            kept.popitem(last=False)
        if self._following:
            self._missed = 0
            self.rows = kept

    def knows(self, key: Hashable) -> bool:
        """Whether a record with this key is kept, be it shown or, while paused, not yet."""
        return key in self._records

    def clear_records(self) -> None:
        """Forget all records, and that some were missed."""
        self._records.clear()
        self._missed = 0
        self.rows = self._records

    @property
    def following(self) -> bool:
        """Whether new records are shown as they come. Set it to pause or to follow again."""
        return self._following

    @following.setter
    def following(self, follow: bool) -> None:
        if follow == self._following:
            return
        self._following = follow
        self._missed = 0
        self.rows = self._records if follow else dict(self._records)
        if follow:
            self._reveal()
        self.post_message(self.Followed(self, follow))

    @property
    def missed(self) -> int:
        """New records since the pause."""
        return self._missed

    def action_follow(self) -> None:
        """Pause, or follow again."""
        self.following = not self._following

    def action_last(self) -> None:
        """Go to the newest record and stay with the newest, or to the last row when it is sorted otherwise."""
        if self.sorting == (None, False):
            self.following = True
        super().action_last()

    def on_mouse_scroll_up(self) -> None:
        """Who scrolls back wants to read."""
        if self.sorting == (None, False):
            self.following = False

    @property
    def _newest(self) -> int | None:
        """Where the newest record stands; None when the order is not theirs."""
        column, reverse = self.sorting
        if column is not None:
            return None
        return 0 if reverse else len(self.shown) - 1

    def _go(self, index: int) -> None:
        newest = self._newest
        if newest is not None and max(0, min(index, len(self.shown) - 1)) != newest:
            self.following = False
        super()._go(index)

    def _follow(self) -> None:
        if self._following and self.shown and (newest := self._newest) is not None:
            self._place(newest)
            self._reveal()
        else:
            super()._follow()
