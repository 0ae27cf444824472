"""Which checks this machine gets, and running them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from farm.doctor import workstation
from farm.doctor.check import Check, Examination, Report, Result, Selection, State, require_known
from farm.doctor.facts import Workstation
from farm.doctor.place import Here
from farm.home import Home

Before = Callable[[Check[Any]], None]
After = Callable[[Result], None]


def examinations(
    here: Here, home: Home, environment: Mapping[str, str], folder: Path, selection: Selection
) -> list[Examination[Any]]:
    """The checks of the machine's kind; a server submits jobs too, so it gets a workstation's as well."""
    facts = Workstation(environment=environment, folder=folder, membership=here.membership)
    return [Examination(workstation.CHECKS, facts, selection)]


def examine(here: Here, examinations: list[Examination[Any]], before: Before, after: After) -> Report:
    """Run them all. Raises UsageError for a code that none of them has."""
    codes = [check.code for each in examinations for check in each.checks]
    if examinations:
        require_known(examinations[0].selection.only, codes)
    results = [result for each in examinations for result in each.run(before, after)]
    return Report(
        place=here.place,
        about=here.about,
        ok=all(result.state is not State.FAIL for result in results),
        results=results,
    )
