"""The built wheel, installed somewhere else, holds all that the farm needs besides its dependencies."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.image.build import hash_inputs

CHECKOUT = Path(__file__).parents[2]
WHERE = """
import farm
from farm.config import Config
from farm.home import Home
from farm.image.build import hash_inputs, node_package
from farm.image.kinds import KINDS, layer_dirs
from farm.netboot.render import dnsmasq_conf
print(farm.__file__)
layers = layer_dirs(KINDS["icecream-node"])
print(*layers)
print(hash_inputs(layers, node_package(), [], "fast").all)
assert "dhcp-range" in dnsmasq_conf(Config(), Home.at(None), "eth0")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout as it is, without asking a registry."""
    target = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(CHECKOUT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    (built,) = target.glob("icecream_farm-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Path]:
    """A folder that pip has installed the wheel into; the checkout is out of reach."""
    folder = wheel.parent / "site"
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(folder)]
    subprocess.run([*argv, str(wheel)], check=True)
    yield folder


def run(installed: Path, *argv: str) -> str:
    """Python with the installed wheel before the editable checkout, started elsewhere."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *argv], env=environment, cwd=installed.parent, capture_output=True, text=True, check=True
    ).stdout


def test_it_holds_image_templates_and_dashboard(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    in_checkout = (CHECKOUT / "images").rglob("*")
    images = {f"farm/_images/{path.relative_to(CHECKOUT / 'images')}" for path in in_checkout if path.is_file()}
    templates = {f"farm/netboot/templates/{path.name}" for path in (CHECKOUT / "farm/netboot/templates").iterdir()}

    assert "farm/_images/icecream-node/appliance.kiwi" in names
    assert set() == (images | templates | {"tui/__init__.py", "farm/node/agent.py"}) - names


def test_type_checkers_may_read_its_annotations(wheel: Path) -> None:
    assert {"farm/py.typed", "tui/py.typed"} <= set(zipfile.ZipFile(wheel).namelist())


def test_elsewhere_it_finds_its_description_and_templates(installed: Path) -> None:
    package, *layers, inputs = run(installed, "-c", WHERE).split()

    assert str(installed / "farm/__init__.py") == package
    kind = ("common", "compile", "icecream-node")
    assert [str(installed / "farm/_images" / layer) for layer in kind] == layers
    there = [CHECKOUT / "images" / layer for layer in kind]
    assert hash_inputs(there, CHECKOUT / "farm/node", [], "fast").all == inputs, "it builds the same image"


def test_elsewhere_its_command_line_answers(installed: Path) -> None:
    program = "import sys; from farm.cli import main; sys.argv[0] = 'farm'; main()"

    assert "farm, version 0.1.0\n" == run(installed, "-c", program, "--version")
    assert "compile cluster" in run(installed, "-c", program, "--help")
    assert "VERSION" in run(installed, "-c", program, "image", "use", "--help")
