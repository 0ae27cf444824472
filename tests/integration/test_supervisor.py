"""The farm's supervisord with real programs under it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from farm.config import Config
from farm.errors import FarmError
from farm.home import Home
from farm.netboot.render import nginx_conf
from farm.supervisor import Service, Supervisor
from tests.lab import Namespace, namespaces, until

HOLD_PORT = "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(1000)"


def sleeper(name: str, seconds: int = 1000) -> Service:
    return Service(name, ["sleep", str(seconds)])


class Farm:
    """A supervisord in a namespace of its own, in a home whose path is not a plain word."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.home = Home.at(namespace.folder / "a home, 100% odd")
        self.home.create()
        self.supervisor = Supervisor(self.home)

    def converge(self, *services: Service) -> None:
        self.supervisor.converge(services, prefix=["ip", "netns", "exec", self.namespace.name])

    def pids(self) -> dict[str, int]:
        until(lambda: all(service.up for service in self.supervisor.status()), "a service does not start")
        return {service.name: service.pid for service in self.supervisor.status()}

    @property
    def supervisord(self) -> int:
        pid = self.supervisor.pid
        assert pid is not None
        return pid


@pytest.fixture
def farm() -> Iterator[Farm]:
    with namespaces("10.97.0.1/24") as (namespace,):
        farm = Farm(namespace)
        try:
            yield farm
        finally:
            farm.supervisor.shutdown()


def test_what_is_wanted_runs_and_is_left_alone_when_asked_again(farm: Farm) -> None:
    farm.converge(sleeper("one"), sleeper("two"))
    first = farm.pids()

    farm.converge(sleeper("one"), sleeper("two"))

    assert {"one", "two"} == first.keys()
    assert first == farm.pids()


def test_a_changed_service_starts_anew_and_one_no_longer_wanted_ends(farm: Farm) -> None:
    farm.converge(sleeper("kept"), sleeper("changed"), sleeper("dropped"))
    before = farm.pids()

    farm.converge(sleeper("kept"), sleeper("changed", 2000), sleeper("new"))
    after = farm.pids()

    assert {"kept", "changed", "new"} == after.keys()
    assert before["kept"] == after["kept"]
    assert before["changed"] != after["changed"]
    assert not psutil.pid_exists(before["dropped"])


def test_a_killed_service_comes_back(farm: Farm) -> None:
    farm.converge(sleeper("one"))
    before = farm.pids()["one"]

    os.kill(before, signal.SIGKILL)

    until(lambda: farm.pids()["one"] != before, "it is not started again")


def test_a_machine_that_powers_itself_off_stays_off_until_the_farm_is_brought_up_again(farm: Farm) -> None:
    off = farm.home.runtime / "off"
    machine = Service("machine", ["sh", "-c", 'until [ -e "$0" ]; do sleep 0.1; done', str(off)], restart=False)
    farm.converge(machine)
    before = farm.pids()["machine"]
    off.touch()
    until(lambda: farm.supervisor.status()[0].state == "EXITED", "it does not end")

    off.unlink()
    farm.converge(machine)

    assert before != farm.pids()["machine"]


def test_a_machine_that_is_off_stays_off_while_something_else_changes(farm: Farm) -> None:
    machine = Service("machine", ["sleep", "3"], restart=False)
    farm.supervisor.converge([machine, sleeper("one")], prefix=["ip", "netns", "exec", farm.namespace.name])
    until(lambda: states(farm)["machine"] == "EXITED", "it does not end")
    ended = farm.supervisor.status()

    farm.supervisor.converge([machine, sleeper("one"), sleeper("two")], power_on=False)

    assert "EXITED" == states(farm)["machine"]
    assert {state.since for state in ended if state.name == "machine"} == {
        state.since for state in farm.supervisor.status() if state.name == "machine"
    }
    until(lambda: states(farm)["two"] == "RUNNING", "what is new does not start")


def states(farm: Farm) -> dict[str, str]:
    return {state.name: state.state for state in farm.supervisor.status()}


def test_after_kill_9_of_supervisord_converging_takes_over_the_ports_of_what_was_left(farm: Farm) -> None:
    config = Config(address="10.97.0.1/24")
    (farm.home.runtime / "nginx.conf").write_text(nginx_conf(config, farm.home))
    nginx = Service("nginx", ["nginx", "-c", str(farm.home.runtime / "nginx.conf")])
    holder = Service("holder", [sys.executable, "-c", HOLD_PORT.format(port=7999)])
    farm.converge(nginx, holder)
    before = farm.pids()
    farm.namespace.wait_for(config.http_port)
    killed = psutil.Process(farm.supervisord)

    killed.kill()
    killed.wait()
    farm.converge(nginx, holder)

    after = farm.pids()
    assert {"nginx", "holder"} == after.keys()
    assert not set(before.values()) & set(after.values())
    assert set(after.values()) == {int(pid) for pid in pids_inside(farm)} - {farm.supervisord}


def test_kill_9_of_nginx_leaves_nobody_on_its_port(farm: Farm) -> None:
    config = Config(address="10.97.0.1/24")
    (farm.home.runtime / "nginx.conf").write_text(nginx_conf(config, farm.home))
    farm.converge(Service("nginx", ["nginx", "-c", str(farm.home.runtime / "nginx.conf")]))
    before = farm.pids()["nginx"]
    farm.namespace.wait_for(config.http_port)

    os.kill(before, signal.SIGKILL)

    until(lambda: farm.pids()["nginx"] != before, "it is not started again")
    farm.namespace.wait_for(config.http_port)
    assert {farm.pids()["nginx"], farm.supervisord} == {int(pid) for pid in pids_inside(farm)}


def test_shutdown_leaves_no_process(farm: Farm) -> None:
    farm.converge(sleeper("one"), Service("family", ["sh", "-c", "sleep 1000 & sleep 1000"]))
    farm.pids()

    farm.supervisor.shutdown()

    assert [] == pids_inside(farm)
    assert [] == farm.supervisor.orphans()
    assert farm.supervisor.pid is None


def test_shutdown_also_ends_what_a_killed_supervisord_left(farm: Farm) -> None:
    farm.converge(Service("family", ["sh", "-c", "sleep 1000 & sleep 1000"]))
    farm.pids()
    killed = psutil.Process(farm.supervisord)
    killed.kill()
    killed.wait()

    farm.supervisor.shutdown()

    assert [] == pids_inside(farm)


def test_a_folder_in_the_sockets_place_hinders_neither_up_nor_down(farm: Farm) -> None:
    farm.converge(sleeper("one"))
    before, socket = farm.pids()["one"], farm.home.supervisor_socket
    for again in (True, False):
        socket.unlink()
        (socket / "some").mkdir(parents=True)
        (socket / "some/file").touch()
        with pytest.raises(FarmError, match="not running"):
            farm.supervisor.status()
        farm.converge(sleeper("one")) if again else farm.supervisor.shutdown()
        assert socket.is_socket() == again
    assert not psutil.pid_exists(before)
    assert [] == pids_inside(farm)


def test_a_program_that_is_not_there_is_named(farm: Farm) -> None:
    farm.converge(sleeper("one"))

    farm.converge(sleeper("one"), Service("ghost", ["/no/such/program"]))

    (ghost,) = (service for service in farm.supervisor.status() if service.name == "ghost")
    assert not ghost.up
    assert "/no/such/program" in ghost.detail


def test_services_of_a_farm_that_is_down_are_said_not_to_run(tmp_path: Path) -> None:
    with pytest.raises(FarmError) as caught:
        Supervisor(Home.at(tmp_path)).status()

    assert "The farm's services are not running." == caught.value.what
    assert "Start them: sudo farm up" == caught.value.fix


def pids_inside(farm: Farm) -> list[str]:
    pids = farm.namespace.run("ip", "netns", "pids", farm.namespace.name).stdout.split()
    # `ip` lists itself, and a process that has ended but was not waited for.
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid for pid in pids if alive(int(pid))]
    return []


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.name() != "ip"
    return False
