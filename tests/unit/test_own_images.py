"""Images of one's own that stand alone: what is built from them, and what is said when something is missing."""

from __future__ import annotations

import subprocess
from glob import glob
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from farm.cli.config import check
from farm.config import Config
from farm.config.file import parse
from farm.errors import FarmError
from farm.home import Home
from farm.image.apt_sources import DEFAULT_KEYRING, AptSource
from farm.image.build import current_inputs
from farm.image.kinds import KINDS, layer_dirs
from farm.image.layers import write_base
from farm.image.needed_parts import PARTS, require_parts
from farm.image.recipe import Recipe, recipe
from tests import worked_example

SOURCES = [AptSource("http://mirror.example/debian", "bookworm", "main", DEFAULT_KEYRING)]
BENCH = "images: {bench: {description: ./bench, kind: icecream-node}}\n"
KIS = '<type image="kis" filesystem="squashfs"/>'


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """The folder of the example in the docs, beside farm.yaml."""
    worked_example.write(tmp_path, top=worked_example.ALONE)
    return tmp_path / "bench"


def wanted(bench: Path, config: Config | None = None) -> Recipe:
    return recipe(config or parse(BENCH), "bench", bench.parent)


def edit(bench: Path, old: str, new: str) -> None:
    page = bench / "appliance.kiwi"
    assert old in page.read_text()
    page.write_text(page.read_text().replace(old, new))


def refusal(bench: Path, config: str = BENCH) -> str:
    with pytest.raises(FarmError) as caught:
        wanted(bench, parse(config))
    return f"{caught.value.what} {caught.value.why} {caught.value.fix}"


def tree(root: Path, kind: str) -> Path:
    """One that has all that a kind needs."""
    (root / "etc").mkdir(parents=True)
    (root / "etc/debian_version").touch()
    (root / "usr/lib/modules/6.1.0-1-amd64").mkdir(parents=True)
    for part in (part for layer in KINDS[kind].layers for part in PARTS.get(layer, ())):
        path = root / part.path.replace("*", "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to("/etc/alternatives/elsewhere")
    return root


def test_kiwi_gets_its_packages_alone_and_a_result_that_boots_here(bench: Path, tmp_path: Path) -> None:
    found, into = wanted(bench), tmp_path / "into"
    into.mkdir()

    write_base(found.layers, found.own, ["gdb"], into)

    root = ElementTree.parse(into / "appliance.kiwi").getroot()
    names = [package.get("name") for package in root.iter("package")]
    assert ["appliance.kiwi"] == [path.name for path in into.iterdir()], "no script of ours removes what it has"
    assert (None, "gdb") == (root.find("include"), names[-1])
    assert {"linux-image-amd64", "icecc", "man-db"} <= set(names)
    (result,) = root.findall("preferences/type")
    assert {
        "image": "kis",
        "filesystem": "squashfs",
        "squashfscompression": "zstd",
        "initrd_system": "none",
    } == result.attrib


def test_it_gets_the_files_of_the_kind_as_which_it_is_used(bench: Path) -> None:
    found = wanted(bench)
    assert (*layer_dirs(KINDS["icecream-node"]), bench) == found.layers
    assert ("icecream-node", str(bench)) == (found.kind.name, found.source)


def test_a_change_of_it_or_of_ours_makes_it_outdated(bench: Path) -> None:
    seen = [current_inputs(wanted(bench), SOURCES)]
    (bench / "root/etc/motd").write_text("another\n")
    seen.append(current_inputs(wanted(bench), SOURCES))
    edit(bench, "man-db", "strace")
    seen.append(current_inputs(wanted(bench), SOURCES))

    assert seen[0].base == seen[1].base != seen[2].base
    assert 3 == len({each.all for each in seen})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            KIS,
            '<type image="oem"/>',
            'makes no image that boots from the network. The description has no <type image="kis">',
        ),
        ("<packagemanager>apt", "<packagemanager>dnf5", "does not describe a Debian system."),
        ('type="bootstrap"', 'type="image"', "lacks the packages with which an installation begins."),
        (
            '<packages type="image">',
            '<include from="this://icecream-node/appliance.kiwi"/><packages type="image">',
            "Remove `kind` in farm.yaml, or the <include>.",
        ),
    ],
)
def test_a_description_that_cannot_be_built_says_what_it_lacks(bench: Path, old: str, new: str, said: str) -> None:
    edit(bench, old, new)
    assert said in refusal(bench)


def test_without_a_kind_nothing_says_what_its_machines_do(bench: Path) -> None:
    said = refusal(bench, "images: {bench: {description: ./bench}}")
    assert "includes none of the built-in descriptions." in said
    assert "say in farm.yaml which of these it is used as: kind: icecream-node or thin-client or fat-client" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_with_all_parts_is_packed_and_each_that_is_missing_is_named(kind: str, tmp_path: Path) -> None:
    root = tree(tmp_path, kind)
    require_parts(root, KINDS[kind].layers, "/srv/images/bench")

    parts = [part for layer in KINDS[kind].layers for part in PARTS.get(layer, ())]
    for part in parts:
        (root / part.path.replace("*", "x")).unlink()
    with pytest.raises(FarmError) as caught:
        require_parts(root, KINDS[kind].layers, "/srv/images/bench")
    assert caught.value.what.startswith("The image made from /srv/images/bench lacks a kernel, the program that makes")
    assert [part.what in caught.value.what for part in parts] == [True] * len(parts)
    assert [f'<package name="{part.package}"/>' in caught.value.fix for part in parts] == [True] * len(parts)


@pytest.mark.parametrize("layer", sorted({layer for kind in KINDS.values() for layer in kind.layers} & PARTS.keys()))
def test_what_machines_need_is_in_the_built_in_descriptions(layer: str) -> None:
    listed = {
        package.get("name")
        for kind in KINDS.values()
        for folder in layer_dirs(kind, "xfce" if kind.desktops else "")
        for package in ElementTree.parse(folder / "appliance.kiwi").getroot().iter("package")
    }
    # Others bring them along.
    assert {"dmsetup"} >= {part.package for part in PARTS[layer]} - listed


def test_each_part_is_where_its_package_puts_it() -> None:
    form = "--showformat=${Package} ${db:Status-Status}\n"
    said = subprocess.run(["dpkg-query", "--show", form], capture_output=True, text=True, check=True).stdout
    installed = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    parts = [part for layer in PARTS.values() for part in layer if part.package in installed]
    assert {"libpam-python", "libnss-extrausers", "lightdm"} <= {part.package for part in parts}
    assert [] == [part for part in parts if not glob(part.path, root_dir="/")]


def test_another_system_and_a_second_kernel_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path, "icecream-node")
    (root / "usr/lib/modules/6.1.0-2-amd64").mkdir()
    with pytest.raises(FarmError, match=r"has the drivers of 2 kernels: 6\.1\.0-1-amd64, 6\.1\.0-2-amd64\."):
        require_parts(root, KINDS["icecream-node"].layers, "./bench")
    (root / "etc/debian_version").unlink()
    with pytest.raises(FarmError, match=r"\./bench does not describe a Debian system\."):
        require_parts(root, KINDS["icecream-node"].layers, "./bench")


def test_farm_config_check_reads_the_descriptions(bench: Path) -> None:
    page = bench.parent / "farm.yaml"
    page.write_text(BENCH)

    def said() -> str:
        done = CliRunner().invoke(check, [str(page), "--virtual"], obj=Home.at(bench.parent), catch_exceptions=True)
        return f"{done.output}{done.exception or ''}"

    assert "is valid" in said()
    edit(bench, "</image>", "</images>")
    assert (
        f"{bench / 'appliance.kiwi'}:{len((bench / 'appliance.kiwi').read_text().splitlines())}: this is not XML."
        in said()
    )
    page.write_text("images: {bench: {description: ./bench, pull: 'http://elsewhere/images'}}\n")
    assert "is valid" in said(), "it is built elsewhere"
