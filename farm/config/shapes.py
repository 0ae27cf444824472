"""What farm/config declares about each key, for errors, comments and docs: its shape, meaning and default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from farm.config import Config


@dataclass(frozen=True)
class Shape:
    """A type as a person meets it: ``form`` says what a value looks like, ``about`` what it is for.

    ``base`` is str, int, bool, list, dict, Literal or a Struct; ``item`` the shape of a list's items; ``entry`` that of
    what a mapping has for each name, and ``name`` that of its names; ``hint`` what msgspec takes.
    """

    hint: Any
    base: Any
    form: str
    about: str
    example: Any
    optional: bool
    item: Shape | None = None
    name: Shape | None = None
    entry: Shape | None = None

    @property
    def inner(self) -> tuple[str, type[Struct]] | None:
        """How the keys of a section, of each item or of each entry are written behind this key, and their struct."""
        for mark, shape in (("", self), ("[]", self.item), (".NAME", self.entry)):
            if shape and shape.section:
                return mark, shape.section
        return None

    @property
    def section(self) -> type[Struct] | None:
        """The struct, if this is one."""
        return self.base if isinstance(self.base, type) and issubclass(self.base, Struct) else None


@dataclass(frozen=True)
class Key:
    """One key of a section; ``default`` is msgspec.NODEFAULT where the key must be given."""

    name: str
    shape: Shape
    default: Any

    @property
    def required(self) -> bool:
        """It must be given."""
        return self.default is NODEFAULT


@cache
def keys(struct: type[Struct]) -> dict[str, Key]:
    """The keys of a section, in the order they are declared."""
    hints = get_type_hints(struct, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(struct):
        default = field.default if field.default_factory is NODEFAULT else field.default_factory()
        found[field.name] = Key(field.name, shape(hints[field.name]), default)
    return found


def everything(struct: type[Struct] = Config, place: str = "") -> Iterator[tuple[str, Key]]:
    """All keys of all sections, sections before what is in them, with their names: ``machines[].mac``."""
    for key in keys(struct).values():
        yield f"{place}{key.name}", key
        if key.shape.inner:
            mark, section = key.shape.inner
            yield from everything(section, f"{place}{key.name}{mark}.")


def shape(hint: Any) -> Shape:
    """Take a type hint apart."""
    base, metas, optional = _peel(hint)
    item = shape(get_args(base)[0]) if get_origin(base) is list else None
    name, entry = map(shape, get_args(base)) if get_origin(base) is dict else (None, None)
    descriptions = [meta.description for meta in metas if meta.description]
    examples = [example for meta in metas for example in meta.examples or []]
    return Shape(
        hint=hint,
        base=list if item else dict if entry else base,
        form=descriptions[0] if len(descriptions) > 1 or base is str else _form(base, metas, item, entry),
        about=descriptions[-1] if descriptions else "",
        example=examples[-1] if examples else None,
        optional=optional,
        item=item,
        name=name,
        entry=entry,
    )


def _peel(hint: Any) -> tuple[Any, list[Meta], bool]:
    """The bare type, its Meta from the inside out, and whether None is allowed."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        base, metas, optional = _peel(inner)
        return base, [*metas, *extras], optional
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not NoneType)
        base, metas, _ = _peel(inner)
        return base, metas, True
    return hint, [], False


def _form(base: Any, metas: list[Meta], item: Shape | None, entry: Shape | None) -> str:
    if get_origin(base) is Literal:
        return " or ".join(get_args(base))
    if item:
        return "a list of sections, each begun by a hyphen" if item.section else f"a list, each item {item.form}"
    if entry:
        return "sections, each under its name"
    if base is bool:
        return "true or false"
    if base is int:
        low = next((meta.ge for meta in metas if meta.ge is not None), None)
        high = next((meta.le for meta in metas if meta.le is not None), None)
        return f"a whole number from {low} to {high}"
    return "lines of `key: value`"
