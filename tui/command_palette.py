"""The command palette: every key's command that holds here, and what can be done to each node by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui.actions import NODE_ACTIONS, objection
from tui.help import keys_shown
from tui.state_words import natural
from tui.widgets.safe_text import clean

if TYPE_CHECKING:
    from tui.app import FarmTop

Command = tuple[str, str, Callable[[], Any]]
"""Title, help, what to call."""


class Commands(Provider):
    """Bindings with an id and a tooltip, each once, and a command for each node and action."""

    @property
    def top(self) -> FarmTop:
        """The application, by its own type."""
        return cast("FarmTop", self.app)

    def bound(self) -> Iterator[Command]:
        """What keys do here."""
        seen: set[str] = set()
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            if binding.id is None or not binding.tooltip or binding.id in seen or not enabled:
                continue
            seen.add(binding.id)
            keys = keys_shown(binding, self.top.remapped)
            yield (
                binding.description,
                f"{tooltip or binding.description}  ({keys})",
                partial(self.app.run_action, binding.action, node),
            )

    def nodes(self) -> Iterator[Command]:
        """What can be done to which node."""
        offered = [each for action, each in NODE_ACTIONS.items() if action in self.top.attachment.actions]
        for node in sorted(self.top.live.nodes.values(), key=lambda node: natural(node.name)):
            for each in offered:
                if objection(node, each.action):
                    continue
                effect = each.effect.format(name="The node")
                yield f"{each.title} {clean(node.name)}", effect, partial(self.top.ask_node, each.action, node)

    async def discover(self) -> Hits:
        """Before anything is typed: what keys do."""
        for title, help_text, call in self.bound():
            yield DiscoveryHit(title, call, help=help_text)

    async def search(self, query: str) -> Hits:
        """What matches. Names of nodes come from strangers, and highlighting would read markup in them."""
        matcher = self.matcher(query)
        for title, help_text, call in (*self.bound(), *self.nodes()):
            if (score := matcher.match(title)) > 0:
                yield Hit(score, Content(title), call, text=title, help=help_text)
