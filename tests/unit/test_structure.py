"""script/structure: the table of layers is that of the import contract, and a name stands for one thing."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).parents[2]
SCRIPT = TOP / "script" / "structure"
PAGE = TOP / "docs" / "architecture.md"


@pytest.fixture
def structure() -> ModuleType:
    loader = SourceFileLoader("structure", str(SCRIPT))
    spec = spec_from_loader("structure", loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_table_of_layers_is_that_of_the_contract(structure: ModuleType) -> None:
    page = PAGE.read_text()
    assert structure.replaced(page, TOP) == page, "write it again: script/structure --layers docs/architecture.md"


def test_every_room_of_the_farm_is_in_a_layer() -> None:
    rooms = {path.stem for path in (TOP / "farm").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    told = re.findall(r"^\| \d* ?\| `([\w.]+)`", PAGE.read_text(), re.MULTILINE)
    table = {room.removeprefix("farm.") for room in told}
    assert rooms - {"__init__", "__main__"} == table - {"tui"}


def test_it_counts() -> None:
    counted = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^\d+ layers in the import contract$", counted, re.MULTILINE)
    assert re.search(r"^\d+ files that name iceccd$", counted, re.MULTILINE)


@pytest.mark.parametrize("kind", ["modules", "classes"])
def test_a_name_stands_for_one_thing(structure: ModuleType, kind: str) -> None:
    assert {} == structure.shared(list(structure.sources(TOP)), kind), "rename one, or say in CONVENTIONS why not"


@pytest.mark.parametrize("kind", ["modules", "classes", "constants"])
def test_each_convention_is_in_use(structure: ModuleType, kind: str) -> None:
    found = structure.names(list(structure.sources(TOP)))[kind]
    assert [] == [name for name in structure.CONVENTIONS[kind] if len(found[name]) < 2]


def test_a_name_used_twice_is_found(structure: ModuleType, tmp_path: Path) -> None:
    one, other = tmp_path / "one" / "word.py", tmp_path / "other" / "word.py"
    for path in (one, other):
        path.parent.mkdir()
        path.write_text("class Thing: ...\nclass _Own: ...\nLIMIT: int = 3\nCHECKS = ()\nFULL = Cause('It is full.')\n")

    assert {"word": [str(one), str(other)]} == structure.shared([one, other], "modules")
    assert ["Thing"] == list(structure.shared([one, other], "classes"))
    assert ["LIMIT"] == list(structure.shared([one, other], "constants"))


def test_no_program_of_ours_is_looked_for_in_the_folder_where_a_command_was_typed() -> None:
    started = [path for path in [*Path("farm").rglob("*.py"), *Path("tui").rglob("*.py")] if path.is_file()]

    careless = {str(path) for path in started if 'sys.executable, "-m"' in path.read_text()}

    assert {"farm/supervisor.py"} == careless, "-P is missing"  # which sets PYTHONSAFEPATH instead
