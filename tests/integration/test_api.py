"""farmd's API against a real scheduler and daemon, over its socket and over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from farm.api.client import fetch_status
from farm.attach import Lost
from farm.attach.farmd import Farmd
from farm.config import FIRST_KIND, ApiConfig, Config
from farm.daemon.access import token_path
from farm.daemon.openapi import plain_path
from farm.daemon.routes import MAX_BUILDS, ROUTES
from farm.errors import FarmError
from farm.history.build_history import BuildHistory
from farm.home import Home
from farm.instance import Instance, VirtualMachine
from farm.nodes import pending
from farm.view.live import Delta, Live, Snapshot, Update, decode
from farm.view.status import NodeStatus
from farm.watch.events import Ordered
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.unit.history_jobs import burst

SERVER = "10.99.41.1"
PORT = 8070
DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "docs/openapi.yaml").read_text())


class Lab:
    """A server with a scheduler, farmd, and a daemon that logs in."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.home = Home.at(namespace.folder / "home")
        self.home.create()
        self.save(ApiConfig(port=PORT))
        namespace.scheduler()

    def save(self, api: ApiConfig) -> None:
        config = Config(name="lab", address=f"{SERVER}/24", api=api)
        machines = [VirtualMachine("pc01", "52:54:00:00:00:01", "tap1")]
        instance = Instance(
            config=config, interface="lab0", images={FIRST_KIND: "v1"}, started=time.time() - 1, machines=machines
        )
        instance.save(self.home)

    def farmd(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "farm.daemon", "--home", str(self.home.directory)]
        process = self.namespace.start("farmd", *argv)
        until(lambda: self.up(), "farmd does not see the scheduler")
        return process

    def up(self) -> bool:
        with contextlib.suppress(FarmError):
            return fetch_status(self.home).scheduler.up
        return False

    def curl(self, path: str, *options: str, user: str | None = None) -> tuple[int, Any]:
        """Status and answer, as a user of this machine (root when none is named)."""
        who = ["setpriv", f"--reuid={user}", "--clear-groups", "--"] if user else []
        argv = [*who, "curl", "-sS", "-w", "\n%{http_code}", "--unix-socket", str(self.home.farmd_socket), *options]
        done = subprocess.run([*argv, f"http://localhost{path}"], capture_output=True, text=True, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body.startswith(("{", "[")) else body

    def over_tcp(self, path: str, token: str | None = None, method: str = "GET") -> tuple[int, Any]:
        """The same from the lab's network."""

        async def ask() -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with (
                aiohttp.ClientSession(f"http://{SERVER}:{PORT}", headers=headers) as session,
                session.request(method, path) as answer,
            ):
                return answer.status, await (answer.text() if answer.content_type == "text/plain" else answer.json())

        return self.namespace.gather(ask())

    def daemon(self, name: str) -> dict[str, Any] | None:
        _, found = self.curl("/nodes")
        return next((each for each in found["hosts"] if each["name"] == name), None)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("ICECC_TESTS", "1")  # iceccd comes back after 3 s, not 20 to 51
    with namespaces(f"{SERVER}/24") as (namespace,):
        yield Lab(namespace)


def check(path: str, method: str, status: int, body: Any) -> None:
    """What was answered is what docs/openapi.yaml says."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    answer = responses.get(str(status)) or DOCUMENT["components"]["responses"]["Refused"]
    (content,) = answer["content"].values()
    Draft202012Validator({**content["schema"], "components": DOCUMENT["components"]}).validate(body)


def test_every_answer_is_as_described(lab: Lab) -> None:
    lab.farmd()
    lab.namespace.iceccd("pc07", SERVER, "-m", "2")
    until(lambda: lab.daemon("pc07"), "the daemon is not known")
    until(lambda: lab.curl("/scheduler")[1]["now"]["slots"] == 2, "its slots are not known")
    keys = {"{key}": f"pc07@{SERVER}", "{id}": "1"}
    for route in ROUTES:
        plain = path = plain_path(route.path)
        if path == "/ws" or route.method != "GET":
            continue
        for name, value in keys.items():
            path = path.replace(name, value)
        status, body = lab.curl(path)
        assert status == (404 if plain == "/builds/{id}" else 200), (path, body)
        check(plain, "GET", status, body)
        if status == 200 and route.answer is not None:
            msgspec.json.decode(json.dumps(body), type=route.answer)
    families = {family.name for family in text_string_to_metric_families(lab.curl("/metrics")[1])}
    assert {"farm_scheduler_up", "farm_jobs_ended", "farm_node_ready"} <= families
    for path, expected in (
        ("/nothing", 404),
        ("/jobs?ended=-1", 400),
        ("/jobs?ended=9999999", 400),
        ("/builds?limit=x", 400),
        ("/builds?since=-1", 400),
        ("/builds/99999999999999999999", 404),
        ("/nodes/pc99/readings", 404),
    ):
        status, body = lab.curl(path)
        assert (status, set(body["error"])) == (expected, {"what", "why", "mend"}), path
    assert lab.curl("/nodes/pc07/kick")[0] == 405
    assert lab.curl("/status", "-X", "POST", "-d", "x" * 100_000)[0] == 405


def test_everyone_on_the_server_may_tag_a_build(lab: Lab) -> None:
    lab.farmd()
    tag = ("-X", "POST", "-d")
    status, body = lab.curl("/builds/tag", *tag, '{"submitter": "ws01", "text": "make all"}', user="nobody")
    assert (status, body["done"]) == (200, "The build of ws01 is called make all.")
    check("/builds/tag", "POST", status, body)
    no_utf8 = '{"submitter": "ws01", "text": "\udcff"}'  # sent as the byte FF
    wrongs = ("", "[]", '{"submitter": "ws01"}', '{"submitter": "", "text": "x"}', json.dumps({"text": "x" * 300}))
    for wrong in (*wrongs, no_utf8):
        status, body = lab.curl("/builds/tag", *tag, wrong)
        assert (status, body["error"]["what"]) == (400, "Invalid tag.")


def test_orders_are_for_root_and_reach_the_scheduler(lab: Lab) -> None:
    lab.farmd()
    lab.namespace.iceccd("pc07", SERVER, "-m", "2")
    until(lambda: lab.daemon("pc07"), "the daemon is not known")
    status, body = lab.curl("/nodes/pc07/block", "-X", "POST", user="nobody")
    assert (status, body["error"]["mend"]) == (403, "Try again with sudo.")
    assert lab.curl("/nodes/pc99/block", "-X", "POST")[0] == 404
    status, body = lab.curl(f"/nodes/pc07@{SERVER}/block", "-X", "POST")
    assert (status, body["done"].split(":")[0]) == (200, "pc07 is blocked")
    check("/nodes/{key}/block", "POST", status, body)
    until(lambda: lab.curl("/scheduler")[1]["scheduler"]["blocked"] == ["pc07"], "the block is not seen")
    until(lambda: lab.daemon("pc07") is None, "it is still logged in")
    status, body = lab.curl("/nodes/pc07/unblock", "-X", "POST")
    assert (status, body["done"].split(";")[0]) == (200, "pc07 can log in again")
    status, body = lab.curl("/nodes/pc07/unblock", "-X", "POST")
    assert (status, body["error"]["what"]) == (409, "pc07 is not blocked.")
    until(lambda: lab.curl("/scheduler")[1]["scheduler"]["blocked"] == [], "the block stays")
    until(lambda: lab.daemon("pc07"), "it does not come back")
    with pending.noted(lab.home, Ordered(f"pc07@{SERVER}", "drain", time.time(), os.getpid())) as struck:
        status, body = lab.curl("/nodes/pc07/unblock", "-X", "POST")
        assert (status, body["done"].split(":")[0]) == (200, "pc07 is no longer drained")
        assert struck()


def test_builds_are_chosen_among_all(lab: Lab) -> None:
    now = time.time()
    with contextlib.closing(BuildHistory(lab.home.state / "history.db")) as history:
        for number in range(MAX_BUILDS + 1):
            burst(history, now - 20_000 + 10 * number, submitter=2 if number == 0 else 1, jobs=1)
            history.flush()
        burst(history, now, submitter=1, jobs=1)
    lab.farmd()

    def chosen(*options: str) -> list[str]:
        argv = [sys.executable, "-m", "farm", "--home", str(lab.home.directory), "history", "--json", *options]
        said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
        return [each["submitter"] for each in json.loads(said)["builds"]]

    assert chosen("--submitter", "ws02") == ["ws02"]
    assert chosen("--submitter", "ws0&limit=1") == []
    assert chosen("--since", "1d", "--submitter", "ws02", "--limit", "5") == ["ws02"]
    assert chosen("--since", "1h") == ["ws01"]
    assert chosen("--limit", "3") == ["ws01"] * 3


def test_the_network_needs_the_token(lab: Lab) -> None:
    lab.farmd()
    lab.namespace.wait_for(PORT)
    path = token_path(lab.home)
    token = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert lab.over_tcp("/healthz")[0] == 200
    for wrong in (None, "", "x", token[:-1]):
        status, body = lab.over_tcp("/status", wrong)
        assert (status, body["error"]["what"]) == (401, "The token is missing or wrong.")
    assert lab.over_tcp(f"/status?token={token}")[0] == 401
    assert lab.over_tcp("/ws")[0] == 401
    assert lab.over_tcp("/status", token)[0] == 200
    assert lab.over_tcp("/nodes/pc01/kick", token, "POST")[0] == 403

    async def watch() -> Update:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.ws_connect(f"http://{SERVER}:{PORT}/ws", max_msg_size=0) as socket,
        ):
            return decode(await socket.receive_str())

    assert isinstance(lab.namespace.gather(watch()), Snapshot)
    path.unlink()
    assert lab.over_tcp("/status", token)[0] == 401
    assert lab.over_tcp("/status", path.read_text().strip())[0] == 200
    lab.save(ApiConfig(port=PORT, orders=True))
    assert lab.over_tcp("/nodes/pc01/kick", path.read_text().strip(), "POST")[0] == 409  # it is not logged in


def kicked(node: NodeStatus) -> bool:
    """It is away, or back already."""
    return node.host is not None and (not node.host.online or node.host.logins > 1)


async def until_true(updates: AsyncIterator[Update | Lost], live: Live, condition: Callable[[], bool]) -> None:
    """Follow until it holds; the limit is there to end a broken test."""
    async with asyncio.timeout(PATIENCE):
        async for update in updates:
            assert not isinstance(update, Lost), update
            live.apply(update)
            if condition():
                return


async def test_a_watcher_sees_what_happens_and_farmd_come_back(lab: Lab) -> None:
    process = await asyncio.to_thread(lab.farmd)
    attachment, live = Farmd(lab.home), Live()
    async with contextlib.aclosing(attachment.updates()) as updates:
        first = await anext(updates)
        assert isinstance(first, Snapshot)
        live.apply(first)
        assert attachment.title == "farm lab"
        starting = asyncio.create_task(asyncio.to_thread(lab.namespace.iceccd, "pc07", SERVER, "-m", "2"))
        key = f"pc07@{SERVER}"
        await until_true(updates, live, lambda: key in live.nodes)
        await starting
        assert (await attachment.act("kick", live.nodes[key])).startswith("pc07 was sent away")
        await until_true(updates, live, lambda: kicked(live.nodes[key]))
        assert (await attachment.status()).scheduler.up
        assert await attachment.readings("52:54:00:00:00:01") == []
        assert await attachment.builds() == []
        assert await attachment.node_hours() == []
        assert await attachment.images() == []
        with pytest.raises(FarmError, match="no build 7"):
            await attachment.build(7)
        with pytest.raises(FarmError, match="The order drain is not available"):
            await attachment.act("drain", live.nodes[key])

        await asyncio.to_thread(lab.namespace.stop, process)
        async with asyncio.timeout(PATIENCE):
            while not isinstance(await anext(updates), Lost):
                pass
        with pytest.raises(FarmError, match="farmd does not answer"):
            await attachment.status()
        await asyncio.to_thread(lab.farmd)
        async with asyncio.timeout(PATIENCE):
            while isinstance(update := await anext(updates), Lost):
                pass
        assert isinstance(update, Snapshot)
        assert isinstance(await anext(updates), Delta)


def test_a_taken_port_and_a_damaged_history_are_said_and_end_nothing(lab: Lab) -> None:
    (lab.home.state / "history.db").write_bytes(b"not a database, for sure" * 100)
    holder = lab.namespace.start("holder", sys.executable, "-m", "http.server", "--bind", SERVER, str(PORT))
    lab.namespace.wait_for(PORT)
    lab.farmd()

    def problems() -> str:
        return " ".join(fetch_status(lab.home).problems)

    until(lambda: "The API is not available on the network" in problems(), "the port's trouble is not said")
    until(lambda: "history was damaged" in problems(), "the history's trouble is not said")
    assert lab.curl("/builds") == (200, {"schema": 1, "builds": []})
    lab.namespace.stop(holder)
    until(lambda: "The API is not available on the network" not in problems(), "the port is not taken when it is free")
    assert lab.over_tcp("/healthz") == (200, "ok\n")
