"""How the command line speaks: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.text import Text

from farm.errors import FarmError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def show_json(data: Any) -> None:
    """Print data for a script."""
    out.file.write(json.dumps(data, indent=2, sort_keys=True) + "\n")


def show_error(error: FarmError) -> None:
    """What, why, and the mend; nothing in it is taken for markup."""
    err.print(Text.assemble(("Error: ", "bold red"), error.what))
    if error.why:
        err.print(Text(error.why, style="dim"))
    if error.mend:
        err.print(Text.assemble(("→ ", "bold green"), error.mend))


def clean(text: str, longest: int = 64) -> str:
    """What came from the network, fit for a terminal: no control characters, no flood."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:longest])
    return shown + "…" if len(text) > longest else shown
