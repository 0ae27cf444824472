"""`farm backup` and `farm restore`: what a farm needs, in one file."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import rich_click as click

from farm.cli.output import err, out, show_json, step_display
from farm.errors.hints import hint
from farm.home import Home
from farm.view.wording import count, size

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=FILE)
@click.option("--images", is_flag=True, help="Include the files of all image versions, not only their names.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def backup(home: Home, file: Path, images: bool, as_json: bool) -> None:
    """Write configuration, keys, leases and history to FILE; the farm can be up.

    FILE holds private keys: root alone can read it.
    """
    from farm.serve.backup.backup_writer import write_backup
    from farm.serve.preflight import require_root

    require_root("farm backup")
    with step_display() as report:
        index = write_backup(home, file, report, images=images)
    if as_json:
        facts = msgspec.to_builtins(index)
        show_json({**facts, "schema": 1, "file": str(file), "images": index.versions})
        return
    for line in index.left_out:
        err.print(f"Left out: {line}", markup=False, soft_wrap=True)
    what = count(len(index.entries), "file")
    kept = f", {count(len(index.versions), 'image version')}" if images else ""
    out.print(f"{file}: {what}{kept}, {size(index.size)}.", markup=False, soft_wrap=True)
    if not images and index.selected:
        text = "Images are not included; farm up builds them again, or include them: sudo farm backup --images FILE"
        err.print(hint(text), style="dim", markup=False, soft_wrap=True)


@click.command()
@click.argument("file", type=FILE)
@click.option("--interface", default="", metavar="NAME", help="Interface of the lab, if its name differs here.")
@click.option("--host-keys", is_flag=True, help="Give this computer's sshd the keys of the one that was backed up.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def restore(home: Home, file: Path, interface: str, host_keys: bool, as_json: bool) -> None:
    """Restore what `farm backup` has written to FILE; the farm must be down.

    If FILE is damaged or does not fit, nothing is changed. The files from before are kept in before-restore.
    """
    from farm.serve.backup.restoring import restore as restore_files
    from farm.serve.preflight import require_root

    require_root("farm restore")
    with step_display() as report:
        done = restore_files(home, file, report, interface=interface, host_keys=host_keys)
    if as_json:
        show_json({"schema": 1, "file": str(file), **msgspec.to_builtins(done)})
        return
    index = done.index
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(index.made))
    farm = f"the farm {index.farm} of {index.host}, backed up on {made}"
    out.print(f"Restored {count(len(index.entries), 'file')} of {farm}.", markup=False, soft_wrap=True)
    out.print(f"The files from before are in {' and '.join(done.before)}.", markup=False, soft_wrap=True)
    for line in _notes(home, done.images_missing, done.interface_missing, done.interfaces):
        err.print(hint(line), style="yellow", markup=False, soft_wrap=True)
    if host_keys and done.other_host_keys:
        err.print("Clients know this computer by the keys that were restored.", style="dim")
    elif host_keys:
        err.print("sshd has the keys that were backed up. Restart it: sudo systemctl restart ssh", style="yellow")
    elif done.other_host_keys:
        text = (
            "This computer's sshd has other keys than the old server's. Thin clients that are on refuse it until they "
            "boot again. To keep the old keys, restore again with --host-keys."
        )
        err.print(text, style="yellow", markup=False, soft_wrap=True)
    out.print(hint("Bring it up: sudo farm up"), markup=False)


def _notes(home: Home, missing: list[str], interface: str, interfaces: list[str]) -> list[str]:
    notes = []
    if interface:
        there = ", ".join(interfaces) or "none"
        notes.append(
            f"farm.yaml names the interface {interface}, which this computer does not have. Its interfaces: {there}. "
            f"Write the right one: sudoedit {home.config}"
        )
    notes += [
        f"The image {image}, which machines booted, is not in this backup or store: farm up builds a new version, and "
        "nodes that are still on must boot again."
        for image in missing
    ]
    return notes
