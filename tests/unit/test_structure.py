"""script/structure: the table of layers in the documentation is that of the import contract."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

TOP = Path(__file__).parents[2]
SCRIPT = TOP / "script" / "structure"
PAGE = TOP / "docs" / "architecture.md"


def test_the_table_of_layers_is_that_of_the_contract() -> None:
    loader = SourceFileLoader("structure", str(SCRIPT))
    spec = spec_from_loader("structure", loader)
    assert spec
    structure = module_from_spec(spec)
    loader.exec_module(structure)
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
