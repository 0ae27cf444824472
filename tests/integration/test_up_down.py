"""`farm up` and `farm down` of a virtual lab without machines, from whatever state it is in."""

from __future__ import annotations

import contextlib
import copy
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from farm.instance import Instance
from farm.supervisor import Supervisor
from tests.lab import PATIENCE, until
from tests.virtual_lab import FAULTS, Lab, made_lab


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with made_lab() as lab:
        lab.up()
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    """A lab that is up and well."""
    if not Instance.path(shared.home).exists() or not Supervisor(shared.home).alive or shared.sick():
        shared.up()
    return shared


def test_up_heals_what_was_lost_and_starts_again_only_what_does_not_answer(lab: Lab) -> None:
    before = lab.pids()
    for fault in (
        "farmd's socket", "iceccd's socket", "supervisord's pid", "the record", "the filter", "the addresses",
        "the public ssh key", "the exported file is another",
    ):  # fmt: skip
        FAULTS[fault](lab)

    lab.farm("up")

    after = lab.pids()
    assert {"farmd", "iceccd", "aoe-1"} == {name for name in before if before[name] != after[name]}
    assert [] == lab.sick()


def test_up_starts_what_runs_and_does_not_answer_again(lab: Lab) -> None:
    before = lab.pids()
    for fault in (
        "nginx is stopped", "scheduler is stopped", "aoe-1 is stopped", "iceccd's folder", "farmd's socket is a file",
    ):  # fmt: skip
        FAULTS[fault](lab)

    lab.farm("up")

    after = lab.pids()
    assert {"nginx", "scheduler", "aoe-1", "iceccd", "farmd"} == {
        name for name in before if before[name] != after[name]
    }
    assert [] == lab.sick()


def test_up_serves_lts_conf_as_it_is_now_and_tells_that_it_has_faults(lab: Lab) -> None:
    before, source = lab.pids(), lab.home.config.with_name("lts.conf")
    source.write_text("[default]\nSOUND=\nVOLUME=30\n")

    said = lab.farm("up").stderr

    assert source.read_bytes() == (lab.home.http / "ltsp" / "i386" / "lts.conf").read_bytes()
    assert f"1 warning, see: farm --home {lab.home.directory} lts check" in " ".join(said.split())
    assert before == lab.pids()
    source.unlink()
    lab.farm("up")
    assert not (lab.home.http / "lts.conf").exists()


def test_a_supervisord_that_was_stopped_goes_on(lab: Lab) -> None:
    before = lab.pids()
    FAULTS["supervisord is stopped"](lab)

    lab.farm("up")

    assert before == lab.pids()


@pytest.mark.parametrize(
    "faults", [("the runtime folder", "the bridge"), ("the namespace", "state is garbage"), ("the bridge is another",)]
)
def test_up_brings_back_what_was_torn_down(lab: Lab, faults: tuple[str, ...]) -> None:
    for fault in reversed(faults):
        FAULTS[fault](lab)

    lab.up()

    assert [] == lab.sick()


def test_up_without_a_number_says_so_where_all_records_are_lost(lab: Lab) -> None:
    FAULTS["all records are garbage"](lab)

    refused = lab.farm("up", check=False)

    assert refused.returncode == 1
    assert f"network namespace {lab.namespace}" in refused.stderr
    assert "up --virtual N" in refused.stderr


@pytest.mark.parametrize(
    "fault", ["the record", "all records are garbage", "the runtime folder", "supervisord is killed"]
)
def test_down_finds_what_is_left(lab: Lab, fault: str) -> None:
    FAULTS[fault](lab)

    assert "The farm is down." in lab.farm("down").stdout

    assert [] == lab.leftovers()


def test_a_farm_is_the_same_over_a_link_to_its_home(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(lab.home.runtime.parent)
    before = lab.pids()
    over = copy.copy(lab)
    over.home = replace(lab.home, directory=tmp_path / "link")

    over.farm("up")

    assert before == lab.pids()
    over.farm("down")
    assert [] == lab.leftovers()


def test_down_finds_a_lab_whose_records_and_name_are_lost() -> None:
    with made_lab("lost") as lab:
        lab.up()
        assert lab.home.directory is not None
        shutil.rmtree(lab.home.directory)

        assert "The farm is down." in lab.farm("down").stdout

        assert [] == lab.leftovers()


def test_down_leaves_another_farm_of_the_same_name_alone(lab: Lab) -> None:
    with made_lab() as other:
        assert other.name == lab.name
        before = lab.pids()

        refused = other.farm("up", "--virtual", "0", check=False)
        other.farm("down")

        assert refused.returncode == 1
        assert f"The network namespace {lab.namespace} belongs to another farm." in refused.stderr
        assert str(lab.home.runtime) in refused.stderr
        assert before == lab.pids()
        assert [] == lab.sick()


def command_lines(parent: int) -> list[list[str]]:
    found = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.Error):
            found.append(child.cmdline())
    return found


@contextlib.contextmanager
def building(lab: Lab, *command: str) -> Iterator[subprocess.Popen[str]]:
    """`farm run` of a command, which has begun."""
    with subprocess.Popen(lab.argv("run", "--", *command), stderr=subprocess.PIPE, text=True) as build:
        try:
            until(lambda: [*command] in command_lines(build.pid), "it does not begin")
            yield build
        finally:
            build.kill()


@pytest.mark.parametrize("fault", ["the bridge", "the bridge is another", "scheduler is stopped"])
def test_up_heals_under_a_build_what_is_lost_to_it_already(lab: Lab, fault: str) -> None:
    with building(lab, "sleep", "1234.5") as build:
        before = lab.pids()
        FAULTS[fault](lab)

        lab.up()

        assert [] == lab.sick()
        assert before["iceccd"] == lab.pids()["iceccd"], "a call that compiles here fails when it meets no iceccd"
        assert build.poll() is None


def test_down_names_a_build_and_does_nothing_unless_told_what_to_do(lab: Lab) -> None:
    before = lab.pids()
    with building(lab, "sleep", "1234.5") as build:
        refused = lab.farm("down", check=False)

        assert refused.returncode == 1
        assert "Builds are running in the virtual lab." in refused.stderr
        assert "root: sleep 1234.5 in " in refused.stderr
        assert f"(pid {build.pid})" in refused.stderr
        assert "down --wait" in refused.stderr and "down --force" in refused.stderr
        assert before == lab.pids()
        assert build.poll() is None


def test_down_waits_for_a_build_if_told_to(lab: Lab, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    waiting = ("sh", "-c", 'until test -e "$0"; do sleep 0.2; done', str(stop))
    down_argv = lab.argv("down", "--wait")
    with building(lab, *waiting) as build, subprocess.Popen(down_argv, stderr=subprocess.PIPE, text=True) as down:
        assert down.stderr is not None
        assert any("waiting for root: sh -c" in line for line in down.stderr)
        assert build.poll() is None
        stop.touch()
        assert 0 == build.wait(timeout=PATIENCE)
        assert 0 == down.wait(timeout=PATIENCE)

    assert [] == lab.leftovers()


def test_a_build_that_ends_with_the_lab_says_why(lab: Lab) -> None:
    with building(lab, "sleep", "1234.5") as build:
        assert "ending root: sleep 1234.5" in lab.farm("down", "--force").stderr

        _, said = build.communicate(timeout=PATIENCE)

        assert "farm: The virtual lab was taken down (farm down) while the command was running." in said
        assert -signal.SIGTERM == build.returncode
    assert [] == lab.leftovers()


def test_up_does_not_take_the_scheduler_from_under_a_build_unasked(lab: Lab) -> None:
    before = lab.pids()
    with building(lab, "sleep", "1234.5") as build:
        lab.home.config.write_text(f"name: {lab.name}\nscheduler: {{port: 8775}}\n")
        try:
            refused = lab.farm("up", check=False)
            assert refused.returncode == 1
            assert "root: sleep 1234.5 in " in refused.stderr
            assert before == lab.pids()

            lab.farm("up", "--force")
        finally:
            lab.home.config.write_text(f"name: {lab.name}\n")

        after = lab.pids()
        assert before["scheduler"] != after["scheduler"]
        assert build.poll() is None


def test_what_somebody_else_runs_on_the_machine_is_no_build(lab: Lab) -> None:
    with subprocess.Popen(["sleep", "1234.5"]) as other:
        try:
            lab.farm("down")
            assert other.poll() is None
        finally:
            other.kill()
