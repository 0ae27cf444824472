"""`farm history` asks a real farmd, which watches a real scheduler."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from click.testing import CliRunner

from farm.api.client import fetch_status
from farm.cli import cli
from farm.config import FIRST_KIND, Config
from farm.errors import FarmError
from farm.history.build_history import BuildHistory
from farm.home import Home
from farm.instance import Instance
from tests.lab import namespaces, until
from tests.unit.history_jobs import START, compiled, daemons, local

SERVER = "10.99.73.1"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A farm whose farmd finds three builds of the last hour, two of them of ws01."""
    with namespaces(f"{SERVER}/24") as (namespace,):
        home = Home.at(namespace.folder / "home")
        home.create()
        _remember(home)
        namespace.scheduler()
        config = Config(name="lab", address=f"{SERVER}/24")
        Instance(config=config, interface="lab0", images={FIRST_KIND: "v1"}, started=time.time(), machines=[]).save(
            home
        )
        namespace.start("farmd", sys.executable, "-m", "farm.daemon", "--home", str(home.directory))
        until(lambda: _answers(home), "farmd does not answer")
        yield home


def _remember(home: Home) -> None:
    began = time.time() - 3000
    with closing(BuildHistory(home.state / "history.db")) as history:
        for number, submitter in enumerate((1, 2, 1)):
            activity = daemons("ws01", "ws02", "pc01")
            for job in range(5):
                exit = 1 if (submitter, job) == (2, 4) else 0
                activity = compiled(activity, job, submitter, 3, began + 300 * number + job, exit)
            history.record(local(activity, 9, submitter, began + 300 * number + 6), 0)
            history.tick(activity, began + 300 * number + 100)


def _answers(home: Home) -> bool:
    with suppress(FarmError):
        return fetch_status(home).farmd
    return False


def farm(home: Home, *words: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["--home", str(home.directory), "history", *words])
    assert exit_code == done.exit_code, done.output
    return done.output


def as_json(home: Home, *words: str) -> Any:
    return json.loads(farm(home, *words, "--json"))


def test_builds_are_listed(home: Home) -> None:
    told = as_json(home)
    assert 1 == told["schema"]
    assert [(3, "ws01", 6), (2, "ws02", 6), (1, "ws01", 6)] == [
        (build["id"], build["submitter"], build["jobs"]) for build in told["builds"]
    ]
    assert [3] == [build["id"] for build in as_json(home, "--limit", "1")["builds"]]
    assert [3, 1] == [build["id"] for build in as_json(home, "--submitter", "ws01")["builds"]]
    assert [3, 2, 1] == [build["id"] for build in as_json(home, "--since", "1h")["builds"]]
    assert [] == as_json(home, "--since", "1s")["builds"]
    assert "ws02" in farm(home)
    assert "No such builds" in farm(home, "--submitter", "ws09")


def test_one_is_shown(home: Home) -> None:
    told = as_json(home, "show", "2")
    assert (1, 2, 1) == (told["schema"], told["build"]["id"], told["build"]["failed"])
    assert ["pc01", "ws02"] == [share["node"] for share in told["nodes"]]
    assert ["src/f4.cpp"] == [file["file"] for file in told["failures"]]
    assert 3 == as_json(home, "show")["build"]["id"]
    assert "src/f4.cpp" in farm(home, "show", "last-1")


def test_what_is_not_there(home: Home) -> None:
    for words in (["show", "77"], ["show", "999999999"], ["show", "last-9"]):
        done = CliRunner().invoke(cli, ["--home", str(home.directory), "history", *words])
        assert isinstance(done.exception, FarmError)
        assert "no " in done.exception.what


def test_two_are_compared(home: Home) -> None:
    told = as_json(home, "compare", "2", "last")
    assert (2, 3) == (told["a"]["build"]["id"], told["b"]["build"]["id"])
    lines = farm(home, "compare", "last-1", "last").splitlines()
    assert ["failed", "1", "0", "×0.00"] in [line.split() for line in lines]


def test_hours_of_nodes(home: Home) -> None:
    told = as_json(home, "nodes", "--hours", "2")
    assert 15 == sum(each["share"]["jobs"] for each in told["hours"])
    assert {"pc01"} == {each["share"]["node"] for each in told["hours"]}
    assert "pc01" in farm(home, "nodes")
    assert START < min(each["hour"] for each in told["hours"])
