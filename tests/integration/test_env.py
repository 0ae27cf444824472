"""`farm env` on a workstation: a real project built by each build system, on a node at the other end of a cable."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farm.scheduler.control import list_jobs, list_nodes
from farm.virtual.namespace import exec_prefix
from farm.workstation.membership import Membership, save
from tests import projects
from tests.lab import NETNAME, Namespace, namespaces, until

SERVER = "10.99.31.1"
ENV = f"{sys.executable} -P -m farm env"
EVAL = f'eval "$({ENV})"\n'


@dataclass(frozen=True)
class Lab:
    """A scheduler and a node in one namespace; a developer in the other, whose daemon is where icecc never looks."""

    server: Namespace
    here: Namespace
    folder: Path
    sources: Path

    @property
    def fixed(self) -> dict[str, str]:
        """No farm runs here, and no job shall be given back to the machine that it comes from."""
        return {
            "FARM_HOME": str(self.folder / "nothing"),
            "ICECC_PREFERRED_HOST": "pc01",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def sh(self, script: str, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What the developer types."""
        return subprocess.run(
            [*exec_prefix(self.here.name), *(argv or ("sh", "-c")), script],
            cwd=self.folder,
            env=projects.developer(self.folder, **{**self.fixed, **environment}),
            text=True,
            capture_output=True,
            timeout=900,
            check=False,
        )

    def build(self, build: projects.Build, first: str = EVAL, **environment: str) -> str:
        """Build it after ``first``; returns what was said."""
        done = self.sh(first + projects.as_script([*build.configure, *build.build]), **environment)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def jobs(self) -> int:
        """How many the scheduler's own log says the node has begun, when it has heard of all of them."""
        until(lambda: not self.server.gather(list_jobs(SERVER, 8765)), "a job does not end")
        return len(re.findall(r"BEGIN: .* server=pc01\(", self.server.log("scheduler-8765")))

    def during(self, action: Callable[[], object]) -> int:
        """How many more there are after it."""
        before = self.jobs()
        action()
        return self.jobs() - before


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with (
        tempfile.TemporaryDirectory(prefix="farm-env-", dir="/var/tmp") as folder,
        namespaces(f"{SERVER}/24", "10.99.31.2/24") as (server, here),
    ):
        home = Path(folder)
        server.scheduler()
        server.iceccd("pc01", SERVER, "-m", "2")
        here.iceccd("alice", SERVER, "--no-remote", "-m", "2", icecc_folder=home / "iceccd")
        until(
            lambda: len([node for node in server.gather(list_nodes(SERVER, 8765)) if node.load < 1000]) == 2, "no node"
        )
        member = Membership(
            farm="test",
            netname=NETNAME,
            scheduler=SERVER,
            port=8765,
            submitter="alice",
            socket=str(home / "iceccd/iceccd.socket"),
            how="user",
        )
        save(home / ".config/farm/workstation.json", member)
        yield Lab(server, here, home, projects.fetch(home / "package"))


def on_the_node_and_the_same_as_here(lab: Lab, build: projects.Build, first: str) -> None:
    """Build on the farm, then with the same arguments on this machine alone, and compare all objects."""
    ran = lab.during(lambda: lab.build(build, first))
    objects = build.objects
    assert len(objects) >= projects.LEAST_FILES
    assert ran >= projects.LEAST_FILES
    build.clean()
    alone = lab.during(lambda: lab.sh(f"{first} export ICECC=disable\n{projects.as_script(build.build)}"))
    assert alone == 0
    assert [name for name, content in build.objects.items() if objects.get(name) != content] == []
    assert set(build.objects) == set(objects)


def test_make(lab: Lab) -> None:
    build = projects.by_make(lab.sources, lab.folder / "make")
    on_the_node_and_the_same_as_here(lab, build, f'eval "$({ENV} --no-ccache)"\n')


def test_cmake_by_a_preset(lab: Lab) -> None:
    """Ninja is called from another shell later on, as editors do: what calls need is in the build folder."""
    presets = lab.sources / "build/cmake/CMakeUserPresets.json"
    presets.write_text('{"version": 4, "include": [], "configurePresets": [{"name": "mine", "hidden": true}]}')
    done = lab.sh(f"{ENV} --no-ccache --format cmake-preset -o {presets}")
    assert done.returncode == 0, done.stderr
    written = json.loads(presets.read_text())
    assert written["version"] == 4
    assert [preset["name"] for preset in written["configurePresets"]] == ["mine", "farm"]
    build = projects.by_cmake(lab.sources, lab.folder / "cmake", "--preset", "farm", jobs="4")
    on_the_node_and_the_same_as_here(lab, build, "")


def test_meson_by_a_native_file(lab: Lab) -> None:
    done = lab.sh(f"{ENV} --no-ccache --format meson -o farm.ini")
    assert done.returncode == 0, done.stderr
    build = projects.by_meson(lab.sources, lab.folder / "meson", "--native-file", "farm.ini", jobs="4")
    on_the_node_and_the_same_as_here(lab, build, "")


def test_what_ccache_has_does_not_go_to_the_farm(lab: Lab) -> None:
    build = projects.by_make(lab.sources, lab.folder / "cached")
    assert lab.during(lambda: lab.build(build)) >= projects.LEAST_FILES
    objects = build.objects
    build.clean()
    assert lab.sh("ccache --zero-stats").returncode == 0
    assert lab.during(lambda: lab.build(build)) == 0
    assert build.objects == objects
    counted = dict(line.split() for line in lab.sh("ccache --print-stats").stdout.splitlines())
    assert int(counted["cache_miss"]) == 0
    assert int(counted["direct_cache_hit"]) + int(counted["preprocessed_cache_hit"]) >= projects.LEAST_FILES


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("sh", f"env > before; {ENV} -o farm.sh && . ./farm.sh; {EVAL} command -v gcc; farm_off; env > after"),
        ("bash", f"set -euo pipefail; env > before; {EVAL} {EVAL} command -v gcc; farm_off; env > after"),
        (
            "fish",
            f"env > before; {ENV} --format fish | source; {ENV} --format fish | source; command -v gcc; "
            "farm_off; env > after",
        ),
    ],
)
def test_a_shell_and_back(lab: Lab, shell: str, script: str) -> None:
    done = lab.sh(script, shell, "-c", CC="clang -m64")
    assert done.stdout == "/usr/lib/ccache/gcc\n", done.stderr
    before, after = (set((lab.folder / name).read_text().splitlines()) for name in ("before", "after"))
    assert {line for line in before ^ after if not line.startswith("_=")} == set()


def test_direnv(lab: Lab) -> None:
    place = lab.folder / "direnv"
    place.mkdir()
    script = (
        f"{ENV} --no-ccache --format envrc -o .envrc && direnv allow && direnv exec . sh -c 'command -v g++; echo $CC'"
    )
    done = lab.sh(f"cd direnv; {script}")
    assert done.stdout == "/usr/lib/icecc/bin/g++\ngcc\n", done.stderr


def test_other_compilers_and_their_kept_environments(lab: Lab) -> None:
    """No cross compiler is small enough for this, so the machine's own plays one: gcc-12, by a triplet."""
    (lab.folder / "x.c").write_text("int x(void) { return 1; }\n")
    (lab.folder / "y.cc").write_text("int y() { return 2; }\n")
    options = "--no-ccache --compiler gcc-12 --cross x86_64-farm-linux-gnu=/usr/bin/gcc-12"
    calls = (
        "$CC -c x.c; $CXX -c y.cc; x86_64-farm-linux-gnu-gcc -c x.c -o x2.o; x86_64-farm-linux-gnu-g++ -c y.cc -o y2.o"
    )
    script = f'eval "$({ENV} {options})"; echo $CC $CXX $ICECC_VERSION; {calls}; gcc -c x.c -o x3.o'
    made: list[str] = []
    assert lab.during(lambda: made.append(lab.sh(script).stdout)) == 5
    names, _, version = made[0].rpartition(" ")
    assert names == "gcc-12 g++-12"
    parts = version.strip().split(",")
    assert [part.partition("=")[2] for part in parts] == ["", "gcc", "g++", "x86_64-farm-linux-gnu"]
    archive = Path(parts[0])
    changed = archive.stat().st_mtime_ns
    assert lab.sh(script).stdout == made[0]
    assert archive.stat().st_mtime_ns == changed
    listed = json.loads(lab.sh(f"{ENV} --toolchains --prune --format json").stdout)
    assert (listed["removed"], {kept["current"] for kept in listed["environments"]}) == ([], {True})


@pytest.mark.parametrize(
    ("before", "options"), [("", "--cross arm-farm-eabi=arm-farm-eabi-gcc"), ("CC=arm-farm-eabi-gcc ", "")]
)
def test_a_cross_compiler_for_c_alone(lab: Lab, before: str, options: str) -> None:
    """iceccd cannot pack one, and says so; Debian has them without their g++."""
    folder = lab.folder / "cross"
    folder.mkdir(exist_ok=True)
    if not (folder / "arm-farm-eabi-gcc").exists():
        (folder / "arm-farm-eabi-gcc").symlink_to("/usr/bin/gcc-12")
    (lab.folder / "z.c").write_text("int z(void) { return 3; }\n")
    script = f'PATH=$PATH:{folder}\neval "$({before}{ENV} --no-ccache {options})"\n'
    script += "arm-farm-eabi-gcc -c z.c && echo $ICECC_VERSION"
    made: list[str] = []
    assert lab.during(lambda: made.append(lab.sh(script).stdout)) == 1
    assert [part.partition("=")[2] for part in made[0].strip().split(",")] == ["", "arm-farm-eabi"]


def test_nobody_is_joined(lab: Lab) -> None:
    done = lab.sh(ENV, XDG_CONFIG_HOME="/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "belongs to no farm" in done.stderr
