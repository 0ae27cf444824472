"""Texts made from the declaration: the farm.yaml that `farm init` writes, docs/configuration.md, the JSON schema."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network
from itertools import islice
from typing import Any, get_args

import msgspec
import yaml

from farm.config import Config
from farm.config.rules import dhcp_range
from farm.config.shapes import Key, Shape, everything, keys

DEFAULT_SERVER = IPv4Interface("10.77.0.1/24")
SCHEMA_FILE = "farm.schema.json"
"""The schema's name beside farm.yaml, where the first line of a new farm.yaml points editors to it if it is there."""

EXAMPLE_NAMES = {"images": "cad", "groups": "room-b"}
"""Names of the example entries of mappings."""

_INTRODUCTION = """\
Configuration of this farm. All keys are listed with their defaults; a line that begins with # and no space is a key
that is not set: remove the # to set it. Check this file: farm config check
Put quotes around MAC addresses and around names like "no" or "12", which YAML would misread."""


def starting_values(interface: str, address: IPv4Interface) -> dict[str, str]:
    """What a new farm.yaml sets, by dotted name: a network for an interface whose address is ``address``.

    ``machines[].address`` is the example's, so that it fits the network.
    """
    network = address.network
    first, last = dhcp_range(address)
    hosts = [network[min(11, network.num_addresses // 2 - 1)], *islice(network.hosts(), 16)]
    spare = next(host for host in hosts if host != address.ip and not first <= host <= last)
    return {
        "name": "farm",
        "interface": interface,
        "address": str(address),
        "dhcp.first": str(first),
        "dhcp.last": str(last),
        "machines[].address": str(spare),
    }


def free_network(taken: list[IPv4Network]) -> IPv4Interface:
    """The default server address, or the next one like it whose network overlaps none of ``taken``."""
    candidates = [
        *(f"10.{number}.0.1/24" for number in range(77, 128)),
        *(f"192.168.{number}.1/24" for number in range(77, 128)),
        *(f"172.{number}.77.1/24" for number in range(16, 32)),
    ]
    for server in map(IPv4Interface, candidates):
        if not any(server.network.overlaps(network) for network in taken):
            return server
    return DEFAULT_SERVER


def commented(values: Mapping[str, Any], schema: bool = False) -> str:
    """A farm.yaml that explains every key: those in ``values`` are set, the others are comments with their defaults.

    ``values``: by dotted name; ``schema``: say that SCHEMA_FILE lies beside it.
    """
    lines = [f"# yaml-language-server: $schema={SCHEMA_FILE}"] if schema else []
    lines += [f"# {line}" for line in _INTRODUCTION.splitlines()]
    for key in keys(Config).values():
        lines += ["", *_comment(key.shape, "")]
        if key.shape.section:
            lines.append(f"{key.name}:")
            for inner in keys(key.shape.section).values():
                lines += _comment(inner.shape, "  ")
                if inner.shape.inner:
                    lines += [f"  #{inner.name}:", *(f"  {line}" for line in _example(inner, values))]
                else:
                    lines += _setting(inner, f"{key.name}.{inner.name}", values, "  ")
        elif key.shape.inner:
            lines += [f"{key.name}:", *_example(key, values)]
        else:
            lines += _setting(key, key.name, values, "")
    return "\n".join(lines) + "\n"


def _comment(shape: Shape, indent: str) -> list[str]:
    """What a key is for and what its value looks like, as comment lines."""
    plain = shape.inner is not None
    about = shape.about if shape.about.partition(":")[0] in get_args(shape.base) else _capital(shape.about)
    return textwrap.wrap(about if plain else f"{about} {_form(shape)}", 110, **_prefixes(f"{indent}# "))


def _prefixes(prefix: str) -> dict[str, Any]:
    return {"initial_indent": prefix, "subsequent_indent": prefix, "break_on_hyphens": False}


def _form(shape: Shape) -> str:
    """What a value looks like, without the example: the default behind it is one."""
    return f"[{shape.form.partition(' (')[0]}]"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _setting(key: Key, name: str, values: Mapping[str, Any], indent: str) -> Iterator[str]:
    mark = "" if name in values else "#"
    yield f"{indent}{mark}{_line(key.name, values.get(name, key.default))}"


def _line(name: str, value: Any) -> str:
    """One key and its value as YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, default_style='"' if value == "" else None, width=1000)
    return f"{name}: {text}".removesuffix("...\n").strip()


def _example(key: Key, values: Mapping[str, Any]) -> Iterator[str]:
    """An item of a list or an entry of a mapping, commented out, after a line on each of its keys."""
    assert key.shape.inner
    mark, section = key.shape.inner
    inner = keys(section)
    for name, part in inner.items():
        text = f"{name}{'' if part.required else ' (optional)'}: {part.shape.about} {_form(part.shape)}"
        yield from textwrap.wrap(text, 110, **_prefixes("  # "))
    if key.shape.entry:
        yield f"  #{EXAMPLE_NAMES[key.name]}:"
    first = "- " if key.shape.item else "  "
    for name, part in inner.items():
        example = values.get(f"{key.name}{mark}.{name}", part.shape.example)
        if example is None:
            example = part.default
        yield f"  #{first}{_line(name, example)}"
        first = "  "


def schema() -> dict[str, Any]:
    """The JSON schema of farm.yaml; sections may be empty, as they are when every key in them is commented out."""
    whole = msgspec.json.schema(Config)
    properties = whole["$defs"][Config.__name__]["properties"]
    for key in keys(Config).values():
        if key.shape.section or key.shape.item or key.shape.entry:
            stated = properties[key.name]
            if key.shape.entry:
                stated["additionalProperties"] = {"anyOf": [stated["additionalProperties"], {"type": "null"}]}
            properties[key.name] = {"description": stated.pop("description"), "anyOf": [stated, {"type": "null"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "farm.yaml", **whole}


def documentation() -> str:
    """The text of docs/configuration.md, which `farm config docs` prints."""
    lines = [_DOCS_HEAD.strip(), "", "## Keys", "", *_table("", keys(Config))]
    for name, key in everything():
        if key.shape.inner:
            mark, section = key.shape.inner
            title = f"{name}{mark}"
            lines += ["", f"## {title}", "", f"{_capital(key.shape.about)}.", "", *_table(f"{title}.", keys(section))]
    example = commented(starting_values("eno2", DEFAULT_SERVER))
    lines += ["", "## A whole file", "", "As `farm init --interface eno2` writes it.", "", f"```yaml\n{example}```"]
    return "\n".join([*lines, "", _DOCS_TAIL.strip()]) + "\n"


def _table(place: str, section: Mapping[str, Key]) -> Iterator[str]:
    yield "| key | meaning | value | default |"
    yield "|---|---|---|---|"
    for key in section.values():
        yield f"| `{place}{key.name}` | {key.shape.about} | {key.shape.form} | {_default(key)} |".replace("  ", " ")


def _default(key: Key) -> str:
    if key.required:
        return "must be given"
    if key.shape.section:
        return "see below"
    return "not set" if key.default in (None, "", [], {}) else f"`{key.default}`"


_DOCS_HEAD = """
# Configuration

A farm is configured in one file: `/etc/farm/farm.yaml`, or `DIR/farm.yaml` with `farm --home DIR`.
Every key has a default; an empty file is valid.
This page is generated from the declaration in `farm/config`.

| to | run |
|---|---|
| examine the machine and write a first file | `sudo farm init --interface eno2` |
| print such a file without writing it | `farm init --stdout --interface eno2` |
| check a file | `farm config check` |
| check a file for the virtual lab (no interface needed) | `farm config check --virtual` |
| show the effective configuration, including defaults | `farm config show` |
| get completion in an editor | `farm config schema > /etc/farm/farm.schema.json` |

An editor with a YAML language server finds the schema by the first line,
`# yaml-language-server: $schema=farm.schema.json`; `farm init` writes this line if the schema is beside the file.
"""

_DOCS_TAIL = """
## Errors in the file

`farm config check`, and every command that reads the file, names the line, the key, what was expected and the nearest
valid key.
A common trap is how YAML reads values:

| written | YAML reads | write instead |
|---|---|---|
| `mac: 52:54:00:12:34:56` | a number in base 60, when every pair is below 60 | `mac: "52:54:00:12:34:56"` |
| `name: no`, `name: on` | a truth value | `name: "no"` |
| `name: 12`, `netname: 1.10` | a number | `name: "12"`, `netname: "1.10"` |
| `name: 2024-01-01` | a date | `name: "2024-01-01"` |

MAC addresses can be written in upper case and with hyphens.
Anchors and aliases are not supported.

Besides the form of each value, these rules are checked:

- the server's address is a valid host address, in a subnet from /8 to /29;
- the DHCP range lies in that subnet, has at least two addresses and one for every listed machine without a fixed one,
  and does not contain the server's address;
- fixed addresses lie in the subnet, outside the DHCP range, and are not used twice;
- no two machines have the same name or MAC address;
- images that machines boot are built in or listed, and a machine is in one group at most;
- reserved names are not used: `localhost`, `default`, and `node-` with the last six digits of another
  machine's MAC address;
- ports do not collide;
- in a real lab, the interface exists on this machine and has no other first address, and the subnet does not overlap
  that of another interface or of a route.
"""
