"""KIWI descriptions: a built-in one, or a user's own that includes one and says only what differs, or stands alone.

A description is a stack of layers, folders of which those of a built-in kind are the first. The XML of the last is what
KIWI gets, and the others are written into it as KIWI's own ``<include from=…/>``: all of the kind's where a user's own
includes the kind's last. Scripts and files of all layers are used, in this order.

Of one that stands alone the packages are its own affair: the kind's layers give only files, units and initrd, without
which no machine boots here.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from farm.errors import FarmError
from farm.image import kinds
from farm.image.kinds import DESCRIPTION, ImageKind, layer_dirs

BASE_FILES = (DESCRIPTION, "post_bootstrap.sh", "config.sh")
"""Files of a layer that decide the packages, first of all: whatever lies beside them can, too, but these cannot."""
LATE_FILES = frozenset({"images.sh"})
"""Run when the packages are installed: cheap to change."""
SCRIPTS = ("post_bootstrap.sh", "config.sh")

NETWORK_TYPE = "type[@image='kis']"
"""What the description's result must be, as ElementTree finds it."""
NETWORK_RESULT = {"filesystem": "squashfs", "squashfscompression": "zstd", "initrd_system": "none"}
"""Of this type, what the farm can boot; the initrd is made by images/common/images.sh."""
HERE = "this://"
"""In KIWI, what stands behind it is relative to the description's folder."""


@dataclass(frozen=True)
class Description:
    """What a user's own folder says: its XML file, the files that this includes, and the kind that is among them."""

    file: Path
    kind: ImageKind
    included: dict[str, Path]
    """By what the XML calls them, the built-in one's too."""
    alone: bool
    """No built-in one is among them: the kind is what farm.yaml says."""


def read(folder: Path, kind: ImageKind | None) -> Description:
    """A user's own description; ``kind``: the one as which it is used, of which it then includes nothing.

    Raises FarmError when it is none, or without a ``kind`` does not include a built-in one.
    """
    file = _description_file(folder)
    root = parse(file)
    included = {each.get("from", ""): _included(file, each.get("from", "")) for each in root.findall("include")}
    for path in included.values():
        if parse(path).find("include") is not None:
            raise FarmError(
                f"{path} includes another file.",
                f"{file} includes it, and KIWI follows no further than that.",
                f"Include the other file in {file} itself.",
            )
    built_in = [each for each in kinds.KINDS.values() if _file_of(each) in included.values()]
    if kind is not None:
        _require_alone(file, [parse(path) for path in (file, *included.values())], built_in)
        return Description(file, kind, included, alone=True)
    if len(built_in) != 1:
        names = " or ".join(f'<include from="{reference(kind)}"/>' for kind in kinds.KINDS.values())
        raise FarmError(
            f"{file} includes {'none' if not built_in else 'more than one'} of the built-in descriptions.",
            "The built-in one brings the kernel, the initrd, farm-node and what these need.",
            f"Write as the first line in <image>: {names}\n"
            "Or, if it brings all packages itself, say in farm.yaml which of these it is used as: "
            f"kind: {' or '.join(kinds.KINDS)} (docs/own-images.md)",
        )
    return Description(file, built_in[0], included, alone=False)


def _require_alone(file: Path, roots: Sequence[Element], built_in: Sequence[ImageKind]) -> None:
    """Raise FarmError unless a description can be built that includes nothing of ours."""
    if built_in:
        raise FarmError(
            f"{file} includes {reference(built_in[0])}, and farm.yaml says its `kind`.",
            "The key is for descriptions that include no built-in one.",
            "Remove `kind` in farm.yaml, or the <include>.",
        )
    if not any(root.findtext("preferences/packagemanager", "").strip() == "apt" for root in roots):
        raise FarmError(
            f"{file} does not describe a Debian system.",
            "Images are installed from the Debian sources of this computer, by apt.",
            "Write in its <preferences>: <packagemanager>apt</packagemanager>",
        )
    if roots[0].find(f"preferences/{NETWORK_TYPE}") is None:
        raise FarmError(
            f"{file} makes no image that boots from the network.",
            'The description has no <type image="kis">: kernel, initrd and root file system as files of their own.',
            'Write in its <preferences>: <type image="kis" filesystem="squashfs"/>',
        )
    if not any(root.find("packages[@type='bootstrap']") is not None for root in roots):
        raise FarmError(
            f"{file} lacks the packages with which an installation begins.",
            'The description has no <packages type="bootstrap">.',
            'Write: <packages type="bootstrap"><package name="ca-certificates"/></packages>',
        )


def reference(kind: ImageKind) -> str:
    """How a user's description calls a built-in one, wherever that lies."""
    return f"{HERE}{kind.layers[-1]}/{DESCRIPTION}"


def parse(file: Path) -> Element:
    """The root of an XML file of KIWI's; raises FarmError that names file and line."""
    try:
        root = ElementTree.fromstring(file.read_bytes())
    except OSError as error:
        raise FarmError(f"{file} cannot be read.", f"{error.strerror}.", f"Look: ls -l {file}") from None
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise FarmError(f"{file}:{line}: this is not XML.", f"The parser says: {error}.", f"Edit {file}") from None
    if root.tag != "image":
        raise FarmError(
            f"{file} is not a KIWI description.",
            f"Its root element is <{root.tag}>, not <image>.",
            "For an example see docs/own-images.md.",
        )
    return root


def base_files(layer: Path) -> list[Path]:
    """Files of a layer that can decide the packages; `hash_inputs` depends on the order."""
    others = (
        path
        for path in sorted(layer.iterdir())
        if path.is_file() and path.name not in {*BASE_FILES, *LATE_FILES} and not path.name.startswith(".")
    )
    return [*(layer / name for name in BASE_FILES if (layer / name).is_file()), *others]


def write_base(layers: Sequence[Path], own: Description | None, packages: Sequence[str], into: Path) -> None:
    """Write what KIWI needs to install packages: not root/, or the kept tree would hold on to files gone from there.

    ``own``: what the last layer says, if it is a user's.
    """
    alone = own is not None and own.alone
    if alone:
        layers = layers[-1:]
    for path in base_files(layers[-1]):
        shutil.copy(path, into)
    file = own.file if own else layers[-1] / DESCRIPTION
    (into / file.name).unlink()
    root = parse(file)
    _include(root, [(layer / DESCRIPTION).resolve() for layer in layers[:-1]], own)
    _add_packages(root, packages)
    for result in root.findall(f"preferences/{NETWORK_TYPE}") if alone else ():
        result.attrib.update(NETWORK_RESULT)
    ElementTree.ElementTree(root).write(into / DESCRIPTION, encoding="utf-8", xml_declaration=True)
    for name in SCRIPTS:
        write_script(layers, name, into / name)


def write_script(layers: Sequence[Path], name: str, target: Path) -> None:
    """The script of this name of each layer, one after the other; the first that fails ends them all."""
    found = [layer / name for layer in layers if (layer / name).is_file()]
    if len(found) == 1:
        shutil.copy(found[0], target)
    elif found:
        # As an argument: a program in a script that reads its input must not read the rest of the script, and without
        # /proc, as images.sh runs, there is no /dev/fd.
        parts = [
            f"IFS= read -r -d '' layer <<'FARM-LAYER-{number}' || true\n{path.read_text()}\nFARM-LAYER-{number}\n"
            'bash -c "$layer"\n'
            for number, path in enumerate(found)
        ]
        target.write_text("\n".join(["#!/bin/bash", "set -eu", *parts]))
        target.chmod(0o755)


def _include(root: Element, built_in: Sequence[Path], own: Description | None) -> None:
    """Let the XML include the built-in layers' first, then what a user's own includes besides."""
    written = root.findall("include")
    for each in written:
        root.remove(each)
    further = [own.included[each.get("from", "")] for each in written] if own else []
    files = dict.fromkeys([*built_in, *further])
    for place, path in enumerate(files):
        root.insert(place, Element("include", {"from": str(path)}))


def _add_packages(root: Element, packages: Sequence[str]) -> None:
    if packages:
        section = ElementTree.SubElement(root, "packages", type="image")
        for name in packages:
            ElementTree.SubElement(section, "package", name=name)


def _description_file(folder: Path) -> Path:
    """The one that KIWI would take: config.xml, or the only NAME.kiwi."""
    if not folder.is_dir():
        raise FarmError(
            f"There is no folder {folder}.",
            "farm.yaml names it as the description of an image.",
            f"Make it, or correct `description` in farm.yaml: ls -d {folder}",
        )
    found = [folder / "config.xml"] if (folder / "config.xml").is_file() else sorted(folder.glob("*.kiwi"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found)
        raise FarmError(
            f"{folder} is not the folder of a KIWI description.",
            f"The folder has {f'several files *.kiwi: {names}' if found else 'neither config.xml nor a file *.kiwi'}.",
            f"Give it one XML file, {DESCRIPTION}; for an example see docs/own-images.md.",
        )
    return found[0]


def _included(file: Path, wanted: str) -> Path:
    """The file that an include means, as KIWI finds it, and what ships with the farm wherever that lies."""
    built_in = {reference(kind): _file_of(kind) for kind in kinds.KINDS.values()}
    path = Path(wanted.removeprefix("dir://").removeprefix("file://"))
    if wanted.startswith(HERE):
        path = file.parent / wanted.removeprefix(HERE)
    if path.is_absolute() and path.is_file():
        return path.resolve()
    if wanted in built_in:
        return built_in[wanted]
    raise FarmError(
        f"{file} includes {wanted or 'nothing'}, which does not exist.",
        f"Built-in: {', '.join(built_in)}. Files of your own: {HERE}NAME.kiwi, from the folder {file.parent}.",
        f"Correct the <include> in {file}.",
    )


def _file_of(kind: ImageKind) -> Path:
    """What stands for a kind where a user's own includes it: the file of its last layer."""
    return (layer_dirs(kind)[-1] / DESCRIPTION).resolve()
