"""`farm service`: the farm under systemd."""

from __future__ import annotations

import msgspec
import rich_click as click

from farm.cli.lazy import SuggestingGroup
from farm.cli.output import out, show_json
from farm.errors.hints import hint
from farm.home import Home

_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(cls=SuggestingGroup)
def service() -> None:
    """Have systemd start the farm when this server boots."""


@service.command()
@_JSON
@click.pass_obj
def install(home: Home, as_json: bool) -> None:
    """Install and enable the unit; a farm that is up stays up, and nothing is started."""
    from farm.serve.preflight import require_root
    from farm.serve.systemd_service import Systemd, require_systemd
    from farm.serve.systemd_service import install as install_unit

    require_root("farm service install")
    require_systemd()
    state = install_unit(home, Systemd())
    if as_json:
        show_json({"schema": 1, **msgspec.to_builtins(state)})
        return
    out.print(f"systemd starts the farm when this server boots ({state.file}).", markup=False, soft_wrap=True)
    if not state.active:
        out.print(
            f"To have systemd run it from now on, also if it is up: sudo systemctl start {state.unit}", soft_wrap=True
        )


@service.command()
@_JSON
@click.pass_obj
def remove(home: Home, as_json: bool) -> None:
    """Disable and remove the unit; a farm that is up stays up."""
    from farm.serve.preflight import require_root
    from farm.serve.systemd_service import Systemd, require_systemd, uninstall

    require_root("farm service remove")
    require_systemd()
    state = uninstall(home, Systemd())
    if as_json:
        show_json({"schema": 1, **msgspec.to_builtins(state)})
    else:
        out.print(f"systemd no longer starts the farm ({state.unit}).", markup=False)


@service.command()
@_JSON
@click.pass_obj
def show(home: Home, as_json: bool) -> None:
    """Show whether there is a unit, whether it is enabled, and whether systemd runs the farm."""
    from farm.serve.systemd_service import Systemd, require_systemd, unit_state

    require_systemd()
    state = unit_state(home, Systemd())
    if as_json:
        show_json({"schema": 1, **msgspec.to_builtins(state)})
        return
    if not state.file:
        out.print(hint(f"There is no unit {state.unit}. Install it: sudo farm service install"), soft_wrap=True)
        return
    out.print(f"{state.unit}: {'enabled' if state.enabled else 'disabled'}, {'active' if state.active else 'inactive'}")
    out.print(f"{state.file}{', from the Debian package' if state.packaged else ''}", markup=False, soft_wrap=True)
