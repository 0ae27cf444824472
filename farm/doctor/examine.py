"""Which checks this machine gets, and running them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from farm.doctor import node, server, workstation
from farm.doctor.check import Check, ChosenChecks, Examination, Report, Result, State, require_known
from farm.doctor.place import Here, Place
from farm.doctor.server.serving import ServerFacts
from farm.doctor.workstation.facts import WorkstationFacts
from farm.home import Home
from farm.instance import Instance
from farm.workstation.env.variables import socket_variable

Before = Callable[[Check[Any]], None]
After = Callable[[Result], None]


def examinations(
    here: Here, home: Home, environment: Mapping[str, str], folder: Path, selection: ChosenChecks
) -> list[Examination[Any]]:
    """The checks of the machine's kind; a server submits jobs too, so it gets a workstation's as well."""
    if here.place is Place.NODE:
        return [Examination(node.CHECKS, node.NodeFacts(), selection)]
    own = socket_variable(here.membership, environment) if here.membership else {}  # as farm run and farm env do
    facts = WorkstationFacts(environment={**environment, **own}, folder=folder, membership=here.membership, home=home)
    found: list[Examination[Any]] = [Examination(workstation.CHECKS, facts, selection)]
    if here.place is Place.SERVER:
        found.insert(0, Examination(server.CHECKS, ServerFacts(home, Instance.load(home)), selection))
    return found


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
