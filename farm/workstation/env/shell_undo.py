"""What `farm env` has changed in a shell, kept in the shell itself, so that it can be taken back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct

VARIABLE = "FARM_ENV"
Changes = dict[str, str | None]
"""Variable → its value; None: it is not set."""


class Record(Struct, frozen=True):
    """The value of ``FARM_ENV``."""

    before: Changes
    after: Changes


def with_record(base: Mapping[str, str], changes: Changes) -> Changes:
    """The changes, and FARM_ENV to take them back by."""
    record = Record({name: base.get(name) for name in changes}, changes)
    # Not msgspec's encoder: variables may hold any bytes, which are surrogates here, and \u-escapes there.
    return {**changes, VARIABLE: json.dumps(msgspec.to_builtins(record))}


def changes_back(environment: Mapping[str, str]) -> Changes:
    """What takes the shell back to how it was; nothing where `farm env` has not been.

    A variable that was changed again since stays, but PATH loses the folders that came in.
    """
    try:
        record = msgspec.convert(json.loads(environment.get(VARIABLE, "")), Record)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return {VARIABLE: None} if VARIABLE in environment else {}
    back: Changes = {VARIABLE: None}
    for name, after in record.after.items():
        before, now = record.before.get(name), environment.get(name)
        if now == after:
            back[name] = before
        elif name == "PATH" and now is not None and after is not None:
            came = set(_folders(after)) - set(_folders(before or ""))
            back[name] = os.pathsep.join(folder for folder in _folders(now) if folder not in came)
    return back


def applied(environment: Mapping[str, str], changes: Changes) -> dict[str, str]:
    """An environment with changes made to it."""
    result = {**environment, **changes}
    return {name: value for name, value in result.items() if value is not None}


def _folders(path: str) -> list[str]:
    return path.split(os.pathsep)
