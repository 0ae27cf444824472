"""`farm disk`: where the farm's disk space goes."""

from __future__ import annotations

import msgspec
import rich_click as click
from rich.text import Text

from farm.cli.output import out, show_json
from farm.home import Home
from farm.view.wording import size


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def disk(home: Home, as_json: bool) -> None:
    """Show where disk space goes: images, caches, history, logs; and which command frees it."""
    from farm.serve.disk_use import disk_use
    from farm.serve.preflight import require_farm

    require_farm(home)
    use = disk_use(home)
    if as_json:
        show_json({"schema": 1, **msgspec.to_builtins(use)})
        return
    for part in use.parts:
        why = f"  {part.why}" if part.why else ""
        out.print(Text.assemble(f"{size(part.bytes):>10}  ", (part.name, "bold"), (why, "dim")), soft_wrap=True)
        if part.free:
            out.print(Text(f"{'':>12}{part.free}", style="green" if part.removable else "dim"), soft_wrap=True)
    for each in use.disks:
        out.print(f"{size(each.free)} of {size(each.size)} free: {each.path}", markup=False, soft_wrap=True)
