"""constraints.txt: what is installed here is what it says, and it says all that is wanted on each supported Python."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
OWN = {"icecream-farm"}
SHIPPED = {"pip", "setuptools"}
"""What each new virtual environment holds, in Debian's versions."""


def pins() -> dict[str, str]:
    lines = [line for line in (TOP / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def wanted() -> Iterator[str]:
    """The names of all that the package, its tests and its build want, on any Python that is supported."""
    tables = tomllib.loads((TOP / "pyproject.toml").read_text())
    extras = tables["project"]["optional-dependencies"]
    todo = [*tables["project"]["dependencies"], *tables["build-system"]["requires"]]
    requirements = [Requirement(each) for each in (*todo, *extras["server"], *extras["dev"], *extras["web"])]
    seen: set[tuple[str, frozenset[str]]] = set()
    while requirements:
        requirement = requirements.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        yield name
        for line in distribution(name).requires or []:
            further = Requirement(line)
            if any(holds(further, python, extra) for python in PYTHONS for extra in ("", *requirement.extras)):
                requirements.append(further)


def holds(requirement: Requirement, python: str, extra: str) -> bool:
    """Whether a requirement is one of that Python's, for whoever asked for that extra."""
    told = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(told)


def test_what_is_installed_is_what_the_lock_says() -> None:
    installed = {canonicalize_name(each.name): each.version for each in distributions()}
    others = {name: version for name, version in installed.items() if name not in OWN | SHIPPED}

    unlike = {name: (version, pins().get(name)) for name, version in others.items() if pins().get(name) != version}

    assert {} == unlike, "installed and pinned; after a change: script/bootstrap --dev"


def test_the_lock_holds_what_is_wanted_on_each_python_and_nothing_else() -> None:
    try:
        names = set(wanted())
    except PackageNotFoundError as error:
        raise AssertionError(f"{error.name} is not installed: script/bootstrap --dev") from error

    assert names == pins().keys(), "write it again: script/lock"
