"""`farm run` between two namespaces: a submitter here, a real node on the other end of a cable."""

import json
import os
import pwd
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farm.config import FIRST_KIND, Config
from farm.home import Home
from farm.instance import Instance
from farm.virtual.user_commands import find_builds
from tests.lab import PATIENCE, until
from tests.run_lab import Farm, add_node, farm_of_two

SERVER = "10.99.2.1"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with farm_of_two(SERVER, "10.99.2.2") as found:
        yield found


@pytest.fixture(scope="module")
def farm_with_node(farm: Farm) -> Farm:
    add_node(farm)
    return farm


def test_without_a_node_it_says_so_and_runs_here(farm: Farm) -> None:
    done = farm.run("--", "sh", "-c", "echo $ICECC; gcc -c part0.c -o alone.o")
    assert (done.returncode, done.stdout) == (0, "disable\n")
    assert "No node is ready. Compiling on this machine alone." in done.stderr
    assert (farm.sources / "alone.o").exists()


def test_without_a_node_it_refuses_where_one_is_required(farm: Farm) -> None:
    done = farm.run("--require-remote", "--", "touch", "started")
    assert done.returncode == 1
    assert "the command was not started" in done.stderr
    assert not (farm.sources / "started").exists()


def test_objects_are_compiled_on_the_node(farm_with_node: Farm, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = farm_with_node.run("-j", "3", "--json", str(record), "--", "make", ICECC_PREFERRED_HOST="pc01")
    assert done.returncode == 0, done.stderr
    found = json.loads(record.read_text())
    assert (found["schema"], found["exit"], found["failed"], found["complete"]) == (1, 0, 0, True)
    assert (found["nodes"]["pc01"]["jobs"], found["local"]) == (4, 0)
    assert "4 jobs on 1 node, 0 here" in done.stderr
    (path,) = (farm_with_node.state / "farm").glob("run-*.json")
    kept = json.loads(path.read_text())
    assert kept["name"] == "sources/make"
    assert kept["nodes"] == {farm_with_node.node.address: "pc01"}  # farm explain --last may come when it is gone
    assert farm_with_node.node.log("pc01").count("Remote compilation completed with exit code 0") == 4


def test_what_fails_counts_and_the_exit_code_is_passed_on(farm_with_node: Farm, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = ("gcc", "-c", "broken.c")
    done = farm_with_node.run("--json", str(record), "--", *command, ICECC_PREFERRED_HOST="pc01")
    assert done.returncode == 1
    assert "nothing" in done.stderr
    assert "1 job on 1 node, 1 here, 1 of them after a node had tried" in done.stderr
    found = json.loads(record.read_text())
    assert (found["exit"], found["failed"], found["nodes"]["pc01"]["failed"], found["local"]) == (1, 1, 1, 1)
    assert [(each["code"], each["count"]) for each in found["reasons"]] == [("compiler-output", 1)]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM), ("kill -KILL $$", -signal.SIGKILL)]
)
def test_exit_codes(farm_with_node: Farm, script: str, code: int) -> None:
    assert farm_with_node.run("--", "sh", "-c", script).returncode == code


def test_an_unknown_command(farm_with_node: Farm) -> None:
    done = farm_with_node.run("--", "no-such-command")
    assert done.returncode == 127
    assert "There is no command no-such-command." in done.stderr


def test_sudo_runs_the_command_as_the_caller(farm_with_node: Farm) -> None:
    nobody = pwd.getpwnam("nobody")
    state = farm_with_node.state / "nobody"
    done = farm_with_node.run(
        "--",
        "sh",
        "-c",
        "echo $USER $(id -u) $SUDO_UID; gcc -c part1.c -o mine.o",
        SUDO_UID=str(nobody.pw_uid),
        XDG_STATE_HOME=str(state),
        ICECC_PREFERRED_HOST="pc01",
    )
    assert (done.returncode, done.stdout) == (0, f"nobody {nobody.pw_uid}\n")
    assert (farm_with_node.sources / "mine.o").stat().st_uid == nobody.pw_uid
    assert "1 job on 1 node, 0 here" in done.stderr
    kept = [state / "farm", *(state / "farm").iterdir()]
    assert len(kept) == 4
    assert {(path.stat().st_uid, path.stat().st_mode & 0o077) for path in kept} == {(nobody.pw_uid, 0)}


def test_a_user_without_a_home_gets_none(farm_with_node: Farm, tmp_path: Path) -> None:
    record, home = tmp_path / "record.json", tmp_path / "gone"
    done = farm_with_node.run(
        "--json", str(record), "--", "gcc", "-c", "part0.c", "-o", "homeless.o", HOME=str(home), XDG_STATE_HOME=""
    )
    assert (done.returncode, home.exists()) == (0, False)
    assert json.loads(record.read_text())["failed_over"] is None


def test_interrupt_goes_to_the_command(farm_with_node: Farm) -> None:
    """As from a terminal: the whole process group gets the signal, the command decides."""
    script = "trap 'echo interrupted; exit 3' INT; touch waiting; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        farm_with_node.argv("--", "sh", "-c", script),
        cwd=farm_with_node.sources,
        env=farm_with_node.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until((farm_with_node.sources / "waiting").exists, "the command does not start")
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (3, "interrupted\n")


def test_a_setting_that_keeps_everything_here_is_named(farm_with_node: Farm) -> None:
    done = farm_with_node.run("--", "gcc", "-c", "part0.c", "-o", "kept.o", ICECC="no")
    assert (done.returncode, "ICECC=no is set. Compiling on this machine alone." in done.stderr) == (0, True)
    done = farm_with_node.run("--require-remote", "--", "touch", "kept", ICECC="disable")
    assert (done.returncode, "Unset it: unset ICECC" in done.stderr) == (1, True)
    assert not (farm_with_node.sources / "kept").exists()


@pytest.mark.parametrize("name", ["folder", "part0.c"])
def test_what_cannot_be_executed(farm_with_node: Farm, name: str) -> None:
    (farm_with_node.sources / "folder").mkdir(exist_ok=True)
    done = farm_with_node.run("--", f"./{name}")
    assert (done.returncode, f"./{name} cannot be run." in done.stderr) == (126, True)


def test_any_bytes_in_names_and_settings(farm_with_node: Farm, tmp_path: Path) -> None:
    record, trace = tmp_path / "record.json", tmp_path / "trace.json"
    name = os.fsdecode(b"\xffodd.c")
    (farm_with_node.sources / name).write_text("int odd(void) { return 1; }\n")
    files = ("--json", str(record), "--trace", str(trace), "--tag", name)
    done = farm_with_node.run(
        *files, "--", "gcc", "-c", name, "-o", "odd.o", ICECC_PREFERRED_HOST="pc01", ICECC_EXTRAFILES=name
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    shown = name.replace("\udcff", "\N{REPLACEMENT CHARACTER}")
    found = json.loads(record.read_text())
    assert (found["command"][2], found["tag"]) == (shown, shown)
    assert shown in trace.read_text()


def test_a_folder_that_is_gone_and_output_that_is_closed(farm_with_node: Farm) -> None:
    farm = shlex.join(farm_with_node.argv("--", "sh", "-c", "kill -TERM $$"))
    script = f"mkdir gone; cd gone; rmdir ../gone; {farm} >&-"
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=farm_with_node.sources,
        env=farm_with_node.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (128 + signal.SIGTERM, False), done.stderr


def test_signals_that_were_ignored_stay_so(farm_with_node: Farm) -> None:
    """As for a job that a script puts into the background."""
    farm = shlex.join(farm_with_node.argv("--", "sh", "-c", "kill -INT $$; kill -QUIT $$; echo goes on"))
    done = subprocess.run(
        ["sh", "-c", f"trap '' INT QUIT; {farm}"],
        cwd=farm_with_node.sources,
        env=farm_with_node.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "goes on\n"), done.stderr


def test_what_runs_in_the_lab_is_known_by_its_command(farm_with_node: Farm) -> None:
    """And by its user and folder, not by those of `farm run`."""
    nobody = pwd.getpwnam("nobody")
    (farm_with_node.sources / "known").unlink(missing_ok=True)
    argv = farm_with_node.argv("--", "sh", "-c", "touch known; read line")
    environment = farm_with_node.environment(SUDO_UID=str(nobody.pw_uid), XDG_STATE_HOME="/nonexistent")
    process = subprocess.Popen(argv, cwd=farm_with_node.sources, env=environment, stdin=subprocess.PIPE)
    until((farm_with_node.sources / "known").exists, "the command does not start")
    (build,) = (each for each in find_builds(farm_with_node.server.name) if "touch known" in each.command)
    process.communicate(b"\n", timeout=PATIENCE)
    assert (build.user, build.folder) == ("nobody", str(farm_with_node.sources))
    assert build.command == "sh -c 'touch known; read line'"


def test_sudo_writes_with_the_rights_of_its_caller(farm_with_node: Farm, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    roots, theirs = tmp_path / "record.json", farm_with_node.state / "record.json"
    roots.write_text("root's")
    asked = {"SUDO_UID": str(nobody.pw_uid), "XDG_STATE_HOME": str(tmp_path)}
    done = farm_with_node.run("--json", str(roots), "--", "true", **asked)
    assert (done.returncode, f"{roots} cannot be written." in " ".join(done.stderr.split())) == (1, True), done.stderr
    assert [roots] == list(tmp_path.iterdir())
    assert roots.read_text() == "root's"
    assert farm_with_node.run("--json", str(theirs), "--", "true", **asked).returncode == 0
    assert theirs.stat().st_uid == nobody.pw_uid


def test_a_lost_scheduler_does_not_stop_the_command(farm_with_node: Farm) -> None:
    script = "touch going; until [ -e gone ]; do sleep 0.1; done; gcc -c part2.c -o late.o && echo built"
    process = subprocess.Popen(
        farm_with_node.argv("--", "sh", "-c", script),
        cwd=farm_with_node.sources,
        env=farm_with_node.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until((farm_with_node.sources / "going").exists, "the command does not start")
    farm_with_node.server.stop(farm_with_node.scheduler)
    (farm_with_node.sources / "gone").touch()
    out, told = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "built\n")
    assert "The connection to the scheduler was interrupted" in told


def test_a_lost_lab_is_named(farm: Farm, tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    config = Config(name="test", address=f"{SERVER}/24")
    Instance(config=config, interface="lab0", images={FIRST_KIND: "test"}, started=0.0, namespace="ft-no-such").save(
        home
    )
    done = replace(farm, home=home, nodes=[]).run("--", "true")
    assert done.returncode == 1
    assert "There is no network namespace ft-no-such." in done.stderr
