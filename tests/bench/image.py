"""What an image costs: KIWI from nothing, Debian's plain tools for the same result, and a change to farm-node alone."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from farm.config import FIRST_KIND, Config
from farm.home import Home
from farm.image import build as image_build
from farm.image.apt_sources import host_sources, proxy_environment
from farm.image.build import SQUASHFS, build, compile_programs, node_package
from farm.image.kinds import DESCRIPTION, KINDS, layer_dirs
from farm.image.layers import parse, write_script
from farm.image.recipe import recipe
from farm.image.store import Manifest

LEVEL = "fast"


@dataclass(frozen=True)
class ImageCost:
    """Seconds, and what came out."""

    cold: float
    plain: float
    changed: float
    unchanged: float
    manifest: Manifest


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def measure(folder: Path) -> ImageCost:
    """Build all of it below ``folder``; takes many minutes."""
    home = Home(folder / "farm.yaml", folder / "state", folder / "run", folder / "log", folder / "images")
    home.create()
    wanted = recipe(Config(), FIRST_KIND, folder)
    cold = timed(lambda: build(home, wanted, lambda stage, doing: None))
    unchanged = timed(lambda: build(home, wanted, lambda stage, doing: None))
    node = folder / "node"
    shutil.copytree(node_package(), node)
    (node / "agent.py").write_text((node / "agent.py").read_text() + "\n# changed\n")
    with patch.object(image_build, "node_package", lambda: node):
        started = time.monotonic()
        manifest, _ = build(home, wanted, lambda stage, doing: None)
        changed = time.monotonic() - started
    plain = timed(lambda: build_plainly(folder / "plain"))
    return ImageCost(cold, plain, changed, unchanged, manifest)


def build_plainly(folder: Path) -> None:
    """The same packages, pruning, initrd and squashfs by mmdebstrap, mkinitramfs and mksquashfs."""
    folder.mkdir()
    root, layers = folder / "root", layer_dirs(KINDS[FIRST_KIND])
    listed = (package for layer in layers for package in parse(layer / DESCRIPTION).iter("package"))
    packages = ",".join(name for package in listed if (name := package.get("name")))
    options = [
        "force-unsafe-io",
        "force-confold",
        *(f"path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "info", "locale")),
    ]
    argv = [
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        f"--include={packages}",
        '--aptopt=APT::Install-Recommends "false"',
    ]
    argv += [f"--dpkgopt={option}" for option in options]
    # As in the farm's build: the kernel package does not make an initrd of its own.
    setting = "mkdir -p $1/etc/initramfs-tools; echo update_initramfs=no > $1/etc/initramfs-tools/update-initramfs.conf"
    argv += [f"--essential-hook={setting}", "bookworm", str(root), "-"]
    sources = "".join(f"deb [signed-by={s.keyring}] {s.uri} {s.suite} {s.component}\n" for s in host_sources())
    subprocess.run(argv, input=sources, text=True, check=True)
    for layer in layers:
        shutil.copytree(layer, root / "image", dirs_exist_ok=True)
    compile_programs(root / "image" / "initramfs" / "programs")
    environment = {**proxy_environment(), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    for script in ("config.sh", "images.sh"):
        write_script(layers, script, root / "image" / script)
        contained = ["unshare", "--mount", "chroot", str(root), "bash", f"/image/{script}"]
        subprocess.run(contained, check=True, env=environment, capture_output=True)
    pack = [
        "mksquashfs",
        str(root),
        str(folder / "root.squashfs"),
        "-noappend",
        "-quiet",
        "-no-progress",
    ]
    subprocess.run([*pack, *SQUASHFS[LEVEL].split()], check=True)
