"""The check of what nodes are sent, this machine's compilers: each is unpacked and used as a node would do it."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from farm import command
from farm.doctor.check import Cause, Check, Outcome, fine, together
from farm.doctor.workstation.facts import WorkstationFacts
from farm.errors import CommandError, FarmError
from farm.workstation import local_iceccd
from farm.workstation.env.outdated import extra_files, is_gone
from farm.workstation.join.restart import is_ours, restart

UNPACK_SECONDS = 300.0
RUN_SECONDS = 120.0
LEAST_SIZE = 500
"""Bytes; icecc takes no smaller file for an environment (client/main.cpp)."""
TRIAL_SOURCE = '# 1 "part.c"\nint part(int many) { double share = many * 0.1; return (int) share; }\n'
"""Preprocessed already, as what a node gets."""
TESTED_BY = "bin/true"
"""What a node runs to see whether an environment is of use (daemon/environment.cpp, verify_env)."""
ASSEMBLER = "usr/bin/as"
CLANG = "usr/bin/clang"
PACKED_COMPILERS = {"usr/bin/gcc": "cpp-output", "usr/bin/g++": "c++-cpp-output", CLANG: "cpp-output"}
"""What a node calls (daemon/workit.cpp), and the kind of source (-x) to try it with."""

NO_COMPILER = Cause("There is no C compiler in PATH.", "Install one", "sudo apt-get install gcc")
NOT_MADE = Cause(
    "iceccd cannot pack {compiler} into an environment for the nodes.",
    "See the error",
    "icecc --build-native {compiler}",
)
OUTDATED = Cause(
    "{compiler} has changed since iceccd started, or what was packed of it is gone, and icecc 1.4 then never packs it "
    "again.",
    "Restart iceccd",
    "{restart}",
)
NOT_READABLE = Cause(
    "iceccd has packed {compiler} into {path}, which you cannot read.",
    "Check the permissions of its folders",
    "namei -l {path}",
)
UNREADABLE = Cause(
    "ICECC_VERSION names {path}, which cannot be read: icecc compiles everything here.",
    "Make it again, or leave the choice to iceccd",
    "unset ICECC_VERSION",
)
DAMAGED = Cause(
    "The environment {path} cannot be unpacked.",
    "Make it again; without ICECC_VERSION, iceccd does so itself",
    "{anew}",
)
NOT_A_FILE = Cause(
    "ICECC_VERSION names {path}, which is a link or nearly empty; icecc takes neither and compiles everything here.",
    "Name the file itself, or leave the choice to iceccd",
    "unset ICECC_VERSION",
)
LACKS = Cause(
    "The environment {path} is broken: {what}.",
    "Make it again; without ICECC_VERSION, iceccd does so itself",
    "{anew}",
)


def _environment(facts: WorkstationFacts) -> Outcome:
    """What icecc would send: by ICECC_VERSION, else what iceccd has or makes of each compiler."""
    own = facts.environment.get("ICECC_VERSION", "")
    if own:
        return together(examine_named(own))
    compilers = _compilers(facts)
    if not compilers:
        return NO_COMPILER.found(f"PATH={facts.environment.get('PATH', '')}")
    return together([_made(facts, compiler) for compiler in compilers])


def _compilers(facts: WorkstationFacts) -> list[str]:
    """Each is packed by itself; cc is as a rule another name of one of the two."""
    found = [facts.compiler(name) for name in ("gcc", "clang")]
    return [path for path in found if path] or [path for path in [facts.compiler("cc")] if path]


def examine_named(setting: str) -> Iterator[Outcome]:
    """Examine those of ICECC_VERSION, which has [PLATFORM:]FILE[=PREFIX], with commas between several."""
    for part in filter(None, setting.split(",")):
        head, colon, rest = part.partition(":")
        foreign = head if colon and head != platform.machine() else ""
        path = Path((rest if colon else part).partition("=")[0])
        if not os.access(path, os.R_OK) or not path.is_file():
            yield UNREADABLE.found(f"ICECC_VERSION={setting}", path=path)
        elif path.is_symlink() or path.stat().st_size < LEAST_SIZE:
            yield NOT_A_FILE.found(f"ICECC_VERSION={setting}", path=path)
        else:
            yield examine(path, "unset ICECC_VERSION", foreign)


def _made(facts: WorkstationFacts, compiler: str) -> Outcome:
    assert facts.daemon is not None
    made = _ask(facts, facts.daemon.where, compiler)
    if not made:
        return NOT_MADE.found(*_why_not_made(facts, compiler), compiler=compiler)
    if is_gone(made):
        seen = f"iceccd names {made}, which is not there."
        return OUTDATED.found(seen, compiler=compiler, restart=facts.restart)
    if not os.access(made, os.R_OK):
        return NOT_READABLE.found(compiler=compiler, path=made)
    return examine(Path(made), facts.restart)


def _why_not_made(facts: WorkstationFacts, compiler: str) -> list[str]:
    """What the program says that iceccd runs for it."""
    with tempfile.TemporaryDirectory(prefix="farm-doctor-") as folder:
        argv = ["icecc", "--build-native", compiler]
        done = command.run(argv, check=False, timeout=UNPACK_SECONDS, cwd=Path(folder), env=facts.compiling())
        return [*done.stdout.strip().splitlines()[-6:], f"exit code {done.returncode}"]


def _restart(facts: WorkstationFacts) -> str:
    """Restart a daemon of ours that no longer packs; for any other fault there is nothing to do."""
    member = facts.membership
    if member is None or facts.home is None or not is_ours(member):
        return ""
    assert facts.daemon is not None
    if not any(is_gone(path) for path in _answers(facts, facts.daemon.where) if path):
        return ""
    restart(member, facts.home)
    return "Restarted iceccd while no compiler call used it."


def _answers(facts: WorkstationFacts, where: str) -> Iterator[str]:
    for compiler in _compilers(facts):
        yield _ask(facts, where, compiler)


def _ask(facts: WorkstationFacts, where: str, compiler: str) -> str:
    """The environment that a call would be given, with the files that ICECC_EXTRAFILES adds."""
    extra = [path for path in extra_files((), facts.environment, str(facts.folder)) if not is_gone(path)]
    return local_iceccd.native_environment(where, compiler, facts.environment.get("ICECC_ENV_COMPRESSION", ""), extra)


def examine(path: Path, anew: str, foreign: str = "") -> Outcome:
    """Unpack an environment and compile in it, as a node would; one for a ``foreign`` platform is unpacked only."""
    with tempfile.TemporaryDirectory(prefix="farm-doctor-") as folder:
        argv = ["tar", "--extract", "--no-same-owner", "--exclude=dev/*", f"--file={path}", f"--directory={folder}"]
        try:
            command.run(argv, timeout=UNPACK_SECONDS)
        except CommandError as error:
            return DAMAGED.found(*error.why.splitlines()[-3:], path=path, anew=anew)
        root = Path(folder)
        what = _missing(root)
        if what:
            return LACKS.found(f"Unpacked, {path} has: {_listing(root)}", path=path, what=what, anew=anew)
        if foreign:
            return fine(f"{path}: unpacks and is complete; only a machine that is {foreign} can run it.")
        return _try(path, root, anew)


def _compilers_in(root: Path) -> list[str]:
    """Beside clang, icecc-create-env puts wrappers in gcc's place, which call a gcc.bin that need not be there."""
    here = [name for name in PACKED_COMPILERS if _inside(root, name)]
    return [name for name in here if name == CLANG or CLANG not in here or _inside(root, f"{name}.bin")]


def _missing(root: Path) -> str:
    """What keeps an environment from being of use, as far as can be seen without running anything in it."""
    here = _compilers_in(root)
    if not {"usr/bin/gcc", CLANG} & set(here):
        return "there is no compiler (usr/bin/gcc or usr/bin/clang)"
    names = {ASSEMBLER: "assembler", TESTED_BY: "bin/true", **{name: Path(name).name for name in here}}
    for name, word in names.items():
        file = _inside(root, name)
        if file is None:
            link = root / name
            return f"its {name} is a broken link" if link.is_symlink() else f"{word} is missing"
        if not file.stat().st_mode & 0o111:
            return f"its {Path(name).name} is not executable"
    return ""


def _inside(root: Path, name: str, links: int = 20) -> Path | None:
    """A file as a program sees it for which ``root`` is /; None when it is not there, or a link leads nowhere."""
    place = root
    parts = Path(name).parts
    for number, part in enumerate(parts):
        place = root if place == root and part == ".." else place.parent if part == ".." else place / part
        if place.is_symlink():
            target = Path(os.readlink(place))
            rest = Path(*parts[number + 1 :])
            start = Path("/") if target.is_absolute() else Path("/", place.parent.relative_to(root))
            return _inside(root, str((start / target / rest).relative_to("/")), links - 1) if links else None
    return place if place.is_file() else None


def _listing(root: Path) -> str:
    return ", ".join(sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())[:12])


def _try(path: Path, root: Path, anew: str) -> Outcome:
    """Run in it what a node runs."""
    os.chmod(root, 0o755)
    (root / "tmp").mkdir(exist_ok=True)
    enter = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    try:
        if enter:
            command.run([*enter, "true"], timeout=RUN_SECONDS)
    except FarmError:
        return fine(
            str(path),
            "The environment has bin/true, an assembler and a compiler; only root can run them here.",
        )
    # A user's PATH may lack the sbin folder that chroot is in.
    prefix = [*enter, command.find("chroot"), str(root)]
    for what, argv in _trials(root):
        try:
            done = command.run([*prefix, *argv], stdin=TRIAL_SOURCE, timeout=RUN_SECONDS)
        except CommandError as error:
            return LACKS.found(*error.why.splitlines()[-3:], path=path, what=what, anew=anew)
        if argv[-1] == "--version":
            version = done.stdout.partition("\n")[0]
    tried = ", ".join(Path(name).name for name in _compilers_in(root))
    return fine(
        f"{path}, {path.stat().st_size / 1e6:.1f} MB",
        f"The unpacked environment compiles ({tried}); its assembler reports: {version}",
    )


def _trials(root: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """What is run, after what is wrong should it fail."""
    yield "its bin/true, with which nodes test it, does not run", [f"/{TESTED_BY}"]
    yield "its assembler does not run", [f"/{ASSEMBLER}", "--version"]
    for name in _compilers_in(root):
        what = f"its {Path(name).name} does not compile"
        yield (
            what,
            [f"/{name}", "-x", PACKED_COMPILERS[name], "-O1", "-c", "-", "-o", "/tmp/part.o", "-no-canonical-prefixes"],
        )


ENVIRONMENT_CHECK: Check[WorkstationFacts] = Check(
    "environment",
    "The compilers can be packed and run",
    "Nodes have no compiler of their own: each gets this machine's.",
    _environment,
    causes=(NO_COMPILER, NOT_MADE, OUTDATED, NOT_READABLE, UNREADABLE, NOT_A_FILE, DAMAGED, LACKS),
    needs=("iceccd",),
    fix=_restart,
)
