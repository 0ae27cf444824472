"""Running KIWI: the commands, a namespace that cleans up after it, and its log as progress."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from farm.command import find
from farm.errors import FarmError
from farm.image.apt_sources import AptSource

Progress = Callable[[str, str], None]
"""Called with the stage and what is being done in it."""

# setpriv: when this process dies, however it dies, the build dies. unshare: all that the build mounts and starts
# lives in namespaces of its own, so that nothing is left mounted or running.
CONTAINED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

_LOG_LINE = re.compile(r"^\[ *(?P<level>\w+) *\]: [\d:]+ \| (?P<text>.*)$")
_APT_LINE = re.compile(r"^(?P<text>(Get:\d+|Selecting|Unpacking|Setting up|Processing triggers) .*)$")
_UNFETCHED = re.compile(r"^[WE]: Failed to fetch (?P<url>\S+)\s+(?P<why>.+)$")
_ERROR = re.compile(r"^(\[ *ERROR|E: |W: GPG|dpkg: error|.*No space left on device)")
_INVALID = re.compile(r"^.*:ERROR:RELAXNGV:\w+: (?P<why>.+)$")
"""What libxml says of a description that KIWI's schema does not allow; KIWI's own error does not repeat it."""
_UNKNOWN = re.compile(
    r"^E: (Unable to locate package (?P<name>\S+)|Package '(?P<empty>[^']+)' has no installation candidate)$"
)
_LOG_STAMP = re.compile(r"^\[ *ERROR *\]: [\d:]+ \| ")
LINES = 8
"""Of an error's causes; the last are nearest to it."""
_STAGES = (
    ("Installing bootstrap", "essential packages"),
    ("Calling post_bootstrap", "packages"),
    ("Installing system", "packages"),
    ("Calling config.sh", "removing files that a node never uses"),
    ("Calling images.sh", "initrd"),
    ("Creating root filesystem", "root file system"),
    ("Creating squashfs", "root file system"),
    ("Creating boot image", "kernel"),
)


def prepare_argv(description: Path, root: Path, cache: Path, log: Path, sources: Sequence[AptSource]) -> list[str]:
    """The command that installs the packages into ``root``; signatures are checked with the sources' keyrings."""
    argv = [*_kiwi(root, log), "--shared-cache-dir", str(cache), "system", "prepare"]
    argv += ["--description", str(description), "--root", str(root), "--ignore-repos"]
    for source in sources:
        # source,type,alias,priority,imageinclude,package_gpgcheck,{signing_keys},components,distribution,repo_gpgcheck
        fields = (
            source.uri,
            "apt-deb",
            f"{source.suite}-{source.component}",
            "",
            "false",
            "",
            "",
            source.component,
            source.suite,
            "true",
        )
        argv += ["--add-repo", ",".join(fields)]
    for keyring in sorted({source.keyring for source in sources}):
        argv += ["--signing-key", str(keyring)]
    return argv


def create_argv(root: Path, target: Path, log: Path) -> list[str]:
    """The command that packs ``root`` into kernel and squashfs in ``target``."""
    return [*_kiwi(root, log), "system", "create", "--root", str(root), "--target-dir", str(target)]


def _kiwi(root: Path, log: Path) -> list[str]:
    program = Path(sys.executable).parent / "kiwi-ng"
    # Its temporary files go beside the root, and with it.
    options = ["--logfile", str(log), "--temp-dir", str(root.parent)]
    return [str(program) if program.exists() else find("kiwi-ng"), *options]


def parse_log_line(line: str) -> tuple[str | None, str] | None:
    """A line of KIWI's log as (new stage or None, what is being done); None when it says nothing to a person."""
    if match := _LOG_LINE.match(line):
        if match["level"] == "DEBUG":
            return None
        text = match["text"]
        stage = next((name for mark, name in _STAGES if text.startswith(mark)), None)
        return stage, text
    if match := _APT_LINE.match(line):
        return None, match["text"]
    return None


def run_contained(argv: Sequence[str], log: Path, progress: Progress, env: dict[str, str]) -> None:
    """Run a build command in its namespaces, report what its log says, and wait for its end.

    Raises FarmError that names the log when it fails. On any exception (Ctrl-C included) the build is killed first.
    """
    full = [find(CONTAINED[0]), *CONTAINED[1:], *argv]
    stop = threading.Event()
    with open(log, "a") as output:
        output.write(f"# {shlex.join(argv)}\n")
        output.flush()
        process = subprocess.Popen(
            full,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={**os.environ, **env},
            start_new_session=True,
            umask=0o022,
        )
        follower = threading.Thread(target=_follow, args=(log, output.tell(), progress, stop), daemon=True)
        follower.start()
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            stop.set()
            follower.join()
    if code:
        raise failure(log.read_text(errors="replace"), code, log)


def _follow(log: Path, start: int, progress: Progress, stop: threading.Event) -> None:
    stage = ""
    with open(log, errors="replace") as lines:
        lines.seek(start)
        while True:
            finished = stop.is_set()
            for line in lines:
                if said := parse_log_line(line.rstrip("\n")):
                    stage = said[0] or stage
                    progress(stage, said[1])
            if finished:
                return
            stop.wait(0.2)


def _unknown(names: Sequence[str], whole: str) -> FarmError:
    """That there are no such packages; Debian keeps firmware in a component that an installation may leave out."""
    fix = "Correct `packages` in farm.yaml, or the description of the image."
    if any(name.startswith("firmware-") for name in names):
        fix = "Add non-free-firmware to the sources of this computer, and run: sudo apt-get update."
    return FarmError(
        f"The sources of this computer have no package {', '.join(names)}.",
        "An image takes its packages from the sources in /etc/apt of the computer that builds it.",
        f"{fix} {whole}",
    )


def failure(text: str, code: int, log: Path) -> FarmError:
    """Why the last command in KIWI's log failed: what could not be fetched, what is invalid, or else each error once.

    Without an index apt goes on, and then KIWI's errors are about packages that it cannot find.
    """
    last = text.rpartition("\n# ")[2]
    lines = [line.strip() for line in last.splitlines()[1:]]
    whole = f"The whole log: {log}"
    unfetched = [match for line in lines if (match := _UNFETCHED.match(line))]
    if unfetched:
        why = dict.fromkeys(f"{urlsplit(match['url']).netloc or match['url']}: {match['why']}" for match in unfetched)
        fix = f"Check whether the mirror can be reached: sudo apt-get update. {whole}"
        return FarmError("The image's packages could not be fetched.", "\n".join([*why][-LINES:]), fix)
    if invalid := dict.fromkeys(match["why"] for line in lines if (match := _INVALID.match(line))):
        fix = f"Correct the description of the image, and compare it with the examples in docs/own-images.md. {whole}"
        return FarmError("KIWI does not understand the image's description.", "\n".join([*invalid][:LINES]), fix)
    if names := dict.fromkeys(match["name"] or match["empty"] for line in lines if (match := _UNKNOWN.match(line))):
        return _unknown(list(names), whole)
    errors = dict.fromkeys(_LOG_STAMP.sub("", line) for line in lines if _ERROR.match(line))
    why = errors or dict.fromkeys(line for line in lines if line)
    return FarmError(f"KIWI could not build the image (exit code {code}).", "\n".join([*why][-LINES:]), whole)
