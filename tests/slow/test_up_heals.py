"""`farm up` after each single thing that can be lost or broken, and again after two at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farm.supervisor import Supervisor
from tests.virtual_lab import FAULTS, Lab, made_lab


@pytest.fixture(scope="module")
def made() -> Iterator[Lab]:
    """Not up yet, and taken down at the end."""
    with made_lab("slow") as lab:
        yield lab


@pytest.fixture
def lab(made: Lab) -> Lab:
    """It is up, whatever the test before has done to it."""
    made.up()
    return made


@pytest.mark.parametrize("fault", FAULTS)
def test_up_heals(lab: Lab, fault: str) -> None:
    FAULTS[fault](lab)

    lab.up()

    assert [] == lab.sick()
    supervisor = Supervisor(lab.home)
    assert supervisor.pid == int(supervisor.pid_path.read_text())


@pytest.mark.parametrize("fault", FAULTS)
def test_down_leaves_nothing(lab: Lab, fault: str) -> None:
    FAULTS[fault](lab)

    lab.farm("down")

    assert [] == lab.leftovers()
