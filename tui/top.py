"""`farm top`: parse, attach, and run the dashboard in a terminal, in a browser, or for one picture."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from farm.cli.attach_options import Sought, attach_options
from farm.errors import FarmError, UsageError
from farm.home import Home
from farm.workstation.choice import AttachTarget

if TYPE_CHECKING:
    from farm.attach import Attachment
    from tui.app import FarmTop

WEB_PORT = 8000
ESCAPE_MILLISECONDS = "30"
"""What a terminal sends for one key comes together; ESCDELAY in the environment says so where a link is slower."""
SIZE = (120, 36)
DUMB = ("dumb", "unknown")
"""What TERM says of terminals on which the cursor cannot be moved."""


class Dimensions(click.ParamType[tuple[int, int]]):
    """A size as an option's value: ``COLUMNSxLINES``, such as ``120x40``."""

    name = "COLSxLINES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The columns and lines of a value. Fails with a usage error when it is none."""
        if isinstance(value, tuple):
            return value
        columns, _, lines = str(value).partition("x")
        if not (columns.isdecimal() and lines.isdecimal() and 10 <= int(columns) <= 1000 and 4 <= int(lines) <= 1000):
            self.fail("use columns and lines, like 120x36", param, ctx)
        return int(columns), int(lines)


@click.command()
@attach_options
@click.option(
    "--refresh", type=click.FloatRange(0.1, 60), default=0.5, show_default=True, help="Seconds between updates."
)
@click.option("--anonymize", is_flag=True, help="Show pseudonyms instead of names, addresses and files.")
@click.option("--theme", metavar="NAME", help="Colour theme: farm-light, farm-colour-blind, or one of Textual's.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Key bindings to use instead of ~/.config/farm/keys.toml.",
)
@click.option("--list-keys", is_flag=True, help="Print all keys as a file for --keys, and exit.")
@click.option("--view", metavar="NAME", default="", help="First tab to show, such as nodes.")
@click.option("--web", is_flag=True, help="Serve the dashboard to a browser on this machine.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=WEB_PORT, show_default=True, help="With --web: TCP port."
)
@click.option("--screenshot", type=click.Path(path_type=Path), metavar="FILE", help="Write a picture (SVG) and exit.")
@click.option(
    "--after", type=click.FloatRange(0), default=3.0, show_default=True, help="With --screenshot: seconds to wait."
)
@click.option("--press", metavar="KEYS", default="", help="With --screenshot: keys to press first, such as down,enter.")
@click.option("--size", type=Dimensions(), default=SIZE, help="With --screenshot: terminal size.  [default: 120x36]")
@click.pass_obj
def top(home: Home, /, sought: Sought, web: bool, port: int, list_keys: bool, **options: Any) -> None:
    """Show the dashboard of a farm or of any icecream scheduler."""
    if list_keys:
        from tui.keys import keys_text
        from tui.views import key_sections

        click.echo(keys_text(key_sections()))
        return
    screenshot: Path | None = options["screenshot"]
    if not web and screenshot is None and "TEXTUAL_DRIVER" not in os.environ:
        _require_terminal()
    os.environ.setdefault("ESCDELAY", ESCAPE_MILLISECONDS)  # Textual reads it when it is imported.
    settings = _settings(options)  # what is wrong is said here, not in the browser
    choice = sought.choice(home)
    if web:
        _serve(home, port, choice, options)
        return
    from tui.app import FarmTop

    app = FarmTop(choice.attach(home, _of_farm), **settings)
    if screenshot is None:
        app.collector.begin()
        app.run()
        if why := app.memory.write():
            from tui.remembered import remembered_file

            click.echo(f"What you chose is not kept: {remembered_file()}: {why}", err=True)
    else:
        _write(screenshot, asyncio.run(_picture(app, options["after"], options["press"], options["size"])))
    if app.failure is not None:
        raise app.failure
    if code := app.return_code:
        from farm.workstation.run.execution import leave

        leave(128 - code if code > 128 else code)


def _require_terminal() -> None:
    """Raises UsageError where nothing could be drawn. Textual draws on standard error, and reads standard input."""
    streams = {"input": sys.stdin, "output": sys.stdout, "error": sys.stderr}
    others = [name for name, stream in streams.items() if stream is None or not stream.isatty()]
    if others:
        why = f"Standard {others[0]} is not a terminal."
    elif (term := os.environ.get("TERM", "")) in DUMB:
        why = f"This terminal has no cursor control: TERM is {term}."
    else:
        return
    mend = "Try: farm status, farm status --watch, or for scripts: farm status --json"
    raise UsageError("farm top needs a terminal.", why, mend)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard is told besides its attachment. Raises FarmError for options that cannot be."""
    from tui.keys import read_keys
    from tui.remembered import remembered_file
    from tui.themes import theme_named
    from tui.views import VIEWS, key_sections

    titles = [view.TITLE.lower() for view in VIEWS]
    theme = theme_named(options["theme"]) if options["theme"] else ""
    keymap = read_keys(options["keys"], key_sections())
    if options["view"] and options["view"].lower() not in titles:
        raise UsageError(f"There is no view {options['view']!r}.", "", f"Take one of these: {', '.join(titles)}")
    return {
        "refresh": options["refresh"],
        "anonymize": options["anonymize"],
        "theme": theme,
        "keymap": keymap,
        "view": options["view"],
        "memory": None if options["screenshot"] else remembered_file(),
    }


def _of_farm(home: Home) -> Attachment:
    """The farm of a home, with what the dashboard itself does to its nodes and images."""
    from farm.attach.farmd import Farmd
    from tui.orders import orders, switch

    return Farmd(home, orders(home), lambda image: switch(home, image))


async def _picture(app: FarmTop, after: float, press: str, size: tuple[int, int]) -> str:
    """Run it without a terminal; what it shows after so many seconds, as SVG."""
    async with app.run_test(headless=True, size=size) as pilot:
        await asyncio.sleep(after)
        for key in filter(None, press.split(",")):
            await pilot.press(key)
        await pilot.pause()
        app.flush()
        await pilot.pause()
        return app.export_screenshot(title="farm top")


def _write(file: Path, picture: str) -> None:
    try:
        file.write_text(picture)
    except OSError as error:
        mend = "Name another file: --screenshot FILE"
        raise FarmError(f"{file} cannot be written.", f"{error.strerror}.", mend) from error


def _serve(home: Home, port: int, choice: AttachTarget, options: dict[str, Any]) -> None:
    """Serve it in a browser; each that opens it gets a process of its own, which has the same options."""
    try:
        from tui.web import serve
    except ModuleNotFoundError as error:
        raise FarmError(
            "The browser view is not installed.",
            f"The Python package {(error.name or 'textual-serve').replace('_', '-')} is missing.",
            "Install it: pipx install --force 'icecream-farm[web]' (Debian's packages have it)",
        ) from error
    words = [sys.executable, "-P", "-m", "farm", *home.options, "top", "--refresh", str(options["refresh"])]
    if choice.how != "home":
        words += ["--scheduler", choice.target]
    for name in ("theme", "keys", "view"):
        if options[name]:
            words += [f"--{name}", str(options[name])]
    words += ["--anonymize"] * options["anonymize"]
    serve(shlex.join(words), port, lambda address: click.echo(f"farm top is at {address} (Ctrl-C ends it)"))
