"""What pw-dump(1) says of PipeWire, read with distrust: a session's programs can add to it. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

NO_CARD = "auto_null"
"""The output that WirePlumber makes where there is none."""
SINKS, SOURCES = ("Audio/Sink",), ("Audio/Source", "Audio/Source/Virtual")
"""PipeWire's classes of devices."""
MAX_NAME = 64


def heard(dump: str) -> dict[str, object]:
    """``output`` and ``microphone``, by the names that people see; the output's ``volume`` (percent) and ``muted``.

    Empty names: there is none. Without an output there is no volume.
    """
    try:
        said = json.loads(dump)
    except (ValueError, RecursionError):
        return {}
    objects = [each for each in said if isinstance(each, dict)] if isinstance(said, list) else []
    defaults = dict(_defaults(objects))
    output = _node(objects, SINKS, defaults.get("default.audio.sink"))
    return {
        "output": _name(output),
        "microphone": _name(_node(objects, SOURCES, defaults.get("default.audio.source"))),
        **(_volume(output) if _name(output) else {}),
    }


def _defaults(objects: list[dict[str, Any]]) -> Iterator[tuple[str, object]]:
    """Which devices are in use where a program chooses none: key → node.name."""
    for each in objects:
        entries = each.get("metadata")
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and isinstance(value := entry.get("value"), dict):
                yield str(entry.get("key")), value.get("name")


def _node(objects: list[dict[str, Any]], kinds: tuple[str, ...], name: object) -> dict[str, Any]:
    """The device of a class that has a name; without a default the first one, and empty when there is none."""
    told = [info for each in objects if isinstance(info := each.get("info"), dict)]
    found = [info for info in told if _said(info, "media.class") in kinds]
    return next((info for info in found if _said(info, "node.name") == name), found[0] if found else {})


def _said(info: dict[str, Any], key: str) -> object:
    said = info.get("props")
    return said.get(key) if isinstance(said, dict) else None


def _name(info: dict[str, Any]) -> str:
    """As people see it, without what could disturb a terminal."""
    if _said(info, "node.name") == NO_CARD:
        return ""
    name = str(_said(info, "node.description") or _said(info, "node.name") or "")
    return "".join(each for each in name if each.isprintable())[:MAX_NAME]


def _volume(info: dict[str, Any]) -> dict[str, object]:
    """That of the loudest channel; PipeWire keeps the cube of what people see."""
    params = info.get("params")
    told = params.get("Props") if isinstance(params, dict) else None
    for each in told if isinstance(told, list) else []:
        volumes = each.get("channelVolumes") if isinstance(each, dict) else None
        listed = volumes if isinstance(volumes, list) else []
        loud = [value for value in listed if isinstance(value, int | float) and 0 <= value <= 1000]
        if loud:
            return {"volume": round(100 * max(loud) ** (1 / 3)), "muted": each.get("mute") is True}
    return {}
