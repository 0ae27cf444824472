"""The unit that runs a farm under systemd; packages ship this text, and `farm service install` writes it."""

from __future__ import annotations

from collections.abc import Sequence

UNIT_NAME = "farm.service"
PROGRAM = "/usr/bin/farm"
"""Where the Debian package has the command."""
_TEXT = """\
[Unit]
Description=Compile farm
Documentation=man:farm(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={farm} up --foreground
# After a crash too, nothing is left behind and the nodes wait.
ExecStopPost={farm} down --keep-nodes --force
# farm itself stops supervisord, after running jobs have ended.
KillMode=mixed
TimeoutStopSec=180
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
"""


def unit_text(program: str = PROGRAM, options: Sequence[str] = ()) -> str:
    """The unit's file: ``program`` is the absolute path of ``farm``, ``options`` lead to the farm's home."""
    return _TEXT.format(farm=" ".join(_quoted(word) for word in (program, *options)))


def _quoted(word: str) -> str:
    """A word as systemd.service(5) reads it again: in quotes where it has others' signs, specifiers and all."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return plain if plain == word and not any(sign.isspace() or sign in "';" for sign in word) else f'"{plain}"'
