"""Build an image: packages with KIWI into a base tree that is kept; our files, initrd, squashfs on a copy."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from farm import command
from farm.errors import FarmError
from farm.home import Home
from farm.image import kiwi
from farm.image.apt_sources import AptSource, host_sources, proxy_environment
from farm.image.kinds import ImageKind
from farm.image.layers import NETWORK_TYPE, base_files, parse, write_base, write_script
from farm.image.needed_parts import require_parts
from farm.image.recipe import Recipe
from farm.image.store import FILES, FileEntry, Manifest, Store, sha256
from farm.image.verity import append_tree

BUILD_PROGRAMS = ("rsync", "mksquashfs", "veritysetup", "xz")
"""What a build runs of this machine's: better missed at its start than at its end."""

_LEFT_OUT = "-wildcards -e boot/initrd boot/vmlinuz-*"
"""Kernel and initrd are files of their own. What KIWI adds behind this is a list of more to leave out."""
SQUASHFS = {
    "fast": f"-comp zstd -b 128K -Xcompression-level 3 -no-fragments {_LEFT_OUT}",
    "small": f"-comp zstd -b 256K -Xcompression-level 19 -no-fragments {_LEFT_OUT}",
}
"""Options of mksquashfs. Small files would share blocks (fragments), each read with all that is in it, and a kernel
keeps three: for 475 files that a boot reads, 22 MB were read, and 8 without. The image is 4 % larger for it."""

COMPILE = ("gcc", "-std=gnu11", "-Os", "-fno-strict-aliasing", "-static", "-s")


@dataclass(frozen=True)
class Inputs:
    """Hashes of what goes into an image."""

    base: str
    all: str


def node_package() -> Path:
    """The Python package that runs on nodes."""
    return Path(__file__).parents[1] / "node"


def hash_inputs(
    layers: Sequence[Path],
    node: Path,
    sources: Iterable[AptSource],
    compression: str,
    packages: Sequence[str] = (),
    included: Iterable[Path] = (),
) -> Inputs:
    """Hash everything that decides the result, but not which mirror or which day's packages: an update is asked for.

    ``layers``: the folders of the description; ``included``: files elsewhere that it includes.
    """
    base = hashlib.sha256()
    for source in sorted({(source.suite, source.component) for source in sources}):
        base.update(repr(source).encode())
    for layer in layers:
        for path in base_files(layer):
            _hash_file(base, layer, path)
    for path in included:
        _hash_file(base, path.parent, path)
    if packages:
        base.update(repr(list(packages)).encode())
    everything = base.copy()
    everything.update(SQUASHFS[compression].encode())
    for folder in (*layers, node):
        for path in sorted(folder.rglob("*")):
            if "__pycache__" not in path.parts:
                _hash_file(everything, folder, path)
    return Inputs(base.hexdigest(), everything.hexdigest())


def _hash_file(into: hashlib._Hash, top: Path, path: Path) -> None:
    kind, content = ("link", str(path.readlink()).encode()) if path.is_symlink() else ("file", b"")
    if kind == "file":
        if not path.is_file():
            return
        content = path.read_bytes()
    into.update(repr((str(path.relative_to(top)), kind, path.lstat().st_mode & 0o100, len(content))).encode() + content)


def current_inputs(recipe: Recipe, sources: Iterable[AptSource]) -> Inputs:
    """What a build would be made from now."""
    included = recipe.own.included.values() if recipe.own else ()
    return hash_inputs(recipe.layers, node_package(), sources, recipe.compression, recipe.packages, included)


def build(
    home: Home,
    recipe: Recipe,
    progress: kiwi.Progress,
    *,
    in_use: Callable[[], Collection[str]] = tuple,
    require_room: Callable[[Store], None] = lambda store: None,
    force: bool = False,
    refresh: bool = False,
) -> tuple[Manifest, bool]:
    """Build an image unless its inputs were built before; returns its manifest and whether anything was built.

    ``force`` packs again, ``refresh`` also installs the packages anew (security updates). The new version becomes what
    next boots get; the oldest versions go, but none that is ``in_use`` by a node then. ``require_room`` raises
    FarmError when the store cannot take another version. Raises FarmError; whatever happens, nothing is left mounted
    and no half version in the store.
    """
    store = Store(home.images)
    with store.lock():
        sources = host_sources()
        inputs = current_inputs(recipe, sources)
        known = store.with_inputs(recipe.name, inputs.all)
        if known is not None and not force and not refresh:
            store.use(known.image)
            return known, False
        require_room(store)
        manifest = _Build(home, store, recipe, sources, inputs, progress).run(refresh)
        store.use(manifest.image)
        store.prune(recipe.name, recipe.keep, in_use())
        return manifest, True


class _Build:
    def __init__(
        self,
        home: Home,
        store: Store,
        recipe: Recipe,
        sources: list[AptSource],
        inputs: Inputs,
        progress: kiwi.Progress,
    ) -> None:
        self.store = store
        self.recipe = recipe
        self.sources = sources
        self.inputs = inputs
        self.progress = progress
        folder = store.folder(recipe.name)
        self.scratch = folder / ".build"
        self.base = folder / ".base" / inputs.base
        self.log = home.logs / "image-build.log"
        self.environment = {**proxy_environment(), "SOURCE_DATE_EPOCH": str(int(time.time()))}

    def run(self, refresh: bool) -> Manifest:
        started = time.time()
        for program in BUILD_PROGRAMS:
            command.find(program)
        self._check_space()
        # Whatever an earlier build left behind is of no use: it held the lock, so it has ended.
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        try:
            if refresh or not self.base.is_dir():
                self._install_packages()
            result = self._pack()
            return self._register(result, started)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.store.directory).free
        wanted = self.recipe.kind.build_space
        if free < wanted:
            raise FarmError(
                f"Too little room to build an image: {free >> 20} MiB free, {wanted >> 20} MiB needed.",
                f"The image store is {self.store.directory}.",
                "Free some space, or remove old versions: farm image remove VERSION",
            )

    def _install_packages(self) -> None:
        root = self.scratch / "base"
        self.progress("essential packages", "starting KIWI")
        packages_only = self.scratch / "description"
        packages_only.mkdir()
        write_base(self.recipe.layers, self.recipe.own, self.recipe.packages, packages_only)
        argv = kiwi.prepare_argv(packages_only, root, self.scratch / "cache", self.log, self.sources)
        kiwi.run_contained(argv, self.log, self.progress, self.environment)
        # One base is kept of an image: an older one would serve only inputs that nobody has any more.
        shutil.rmtree(self.base.parent, ignore_errors=True)
        self.base.parent.mkdir(parents=True)
        root.rename(self.base)

    def _pack(self) -> Path:
        require_parts(self.base, self.recipe.kind.layers, self.recipe.source)
        root, result = self.scratch / "root", self.scratch / "result"
        self.progress("node files", "copying the base tree")
        command.run(["cp", "-a", str(self.base), str(root)])
        self._copy_layers("root", root)
        packages = root / "usr/lib/python3/dist-packages/farm"
        packages.mkdir()
        _copy(node_package(), packages)
        (packages / "__init__.py").touch(0o644)
        write_script(self.recipe.layers, "images.sh", root / "image/images.sh")
        self._copy_layers("initramfs", root / "image/initramfs")
        compile_programs(root / "image/initramfs/programs")
        set_squashfs_options(root / "image" / "config.xml", SQUASHFS[self.recipe.compression])
        kiwi.run_contained(kiwi.create_argv(root, result, self.log), self.log, self.progress, self.environment)
        return result

    def _copy_layers(self, name: str, target: Path) -> None:
        """A folder of every layer; of two files of one path the later layer's counts."""
        for layer in self.recipe.layers:
            if (layer / name).is_dir():
                _copy(f"{layer / name}/", target)

    def _register(self, result: Path, started: float) -> Manifest:
        self.progress("checksums", "hashing the result")
        folder = self.scratch / "version"
        folder.mkdir()
        kernel, packages = _only(result, "*.kernel"), _only(result, "*.packages")
        root = next(path for path in result.iterdir() if _is_squashfs(path))
        shutil.move(kernel, folder / "kernel")
        shutil.move(root, folder / "root.squashfs")
        shutil.move(self.scratch / "root/boot/initrd", folder / "initrd")
        verity = append_tree(folder / "root.squashfs", self.inputs.all)
        for name in FILES:
            (folder / name).chmod(0o644)
        require_limits(self.recipe.kind, folder)
        manifest = Manifest(
            name=self.recipe.name,
            kind=self.recipe.kind.name,
            description=self.recipe.source,
            extra_packages=list(self.recipe.packages),
            version=self._version(started),
            built=started,
            seconds=round(time.time() - started, 1),
            inputs=self.inputs.all,
            base=self.inputs.base,
            kernel=next((self.base / "usr/lib/modules").iterdir()).name,
            packages=parse_packages(packages.read_text()),
            files={name: FileEntry((folder / name).stat().st_size, sha256(folder / name)) for name in FILES},
            verity=verity,
        )
        self.store.add(folder, manifest)
        return manifest

    def _version(self, started: float) -> str:
        day = time.strftime("%Y%m%d", time.gmtime(started))
        folder = self.store.folder(self.recipe.name)
        return next(name for n in range(1, 10_000) if not (folder / (name := f"{day}.{n}")).exists())


def compile_programs(folder: Path) -> None:
    """Compile the C programs of a folder, each in its place; nothing happens when there is no such folder.

    They are static: the image has libraries of its own. Raises FarmError.
    """
    for source in folder.glob("*.c"):
        argv = [*COMPILE, "-o", str(source.with_suffix("")), str(source)]
        command.run(argv, fix="Install what it needs: sudo apt-get install gcc libc6-dev")
        source.unlink()


def set_squashfs_options(description: Path, options: str) -> None:
    """Say in a KIWI description how mksquashfs packs the root. Raises FarmError when it makes no network boot image."""
    root = parse(description)
    made = root.find(f"preferences/{NETWORK_TYPE}")
    if made is None:
        raise FarmError(
            "The description makes no image that boots from the network.",
            f'{description} has no <type image="kis">: kernel, initrd and root file system as files of their own.',
            "Give its <preferences> that type.",
        )
    made.set("fscreateoptions", options)
    ElementTree.ElementTree(root).write(description, encoding="utf-8", xml_declaration=True)


def require_limits(kind: ImageKind, folder: Path) -> None:
    """Raise FarmError when a file of a version is larger than its kind allows."""
    for name, limit in kind.limits.items():
        size = (folder / name).stat().st_size
        if size > limit:
            raise FarmError(
                f"The image that was built is too large: {name} has {size >> 20} MiB.",
                f"Its kind, {kind.name}, allows {limit >> 20} MiB: machines read it over the network when they boot.",
                "Take out what need not be in it. The list of its packages: farm logs image-build",
            )


def parse_packages(text: str) -> dict[str, str]:
    """KIWI's package list (name|epoch|version|release|arch|…) as name → version."""
    rows = [line.split("|") for line in text.splitlines() if line.count("|") >= 3]
    return {row[0]: "-".join(part for part in row[2:4] if part not in ("", "None")) for row in rows}


def _copy(source: Path | str, target: Path) -> None:
    """Copy as root's and readable by all, whatever the umask was under which the checkout was made."""
    argv = ["rsync", "--recursive", "--links", "--perms", "--chmod=Du=rwx,Dgo=rx,Fu+rw,Fgo=rX", "--exclude=__pycache__"]
    command.run([*argv, str(source), str(target)])


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(sorted(path.name for path in folder.iterdir()))
        raise FarmError(
            f"KIWI made {len(found)} files {pattern} instead of one.",
            f"Files: {names}",
            "Look at its log: farm logs image-build",
        )
    return found[0]


def _is_squashfs(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"hsqs"
