"""farmd's API without farmd: its description, who may do what, metrics."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from immutables import Map
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from farm.api.answers import PrometheusTarget
from farm.config import FIRST_KIND, Config
from farm.daemon import access, farm_metrics, openapi
from farm.daemon.access import ApiError
from farm.daemon.api_server import application
from farm.daemon.hub import Hub
from farm.daemon.routes import ROUTES, WATCHING, find
from farm.errors import FarmError
from farm.history.build_history import BuildHistory
from farm.home import Home
from farm.instance import Instance
from farm.node.metrics import render as render_node
from farm.nodes.blocking import name_for_scheduler, names
from farm.view.from_state import build
from farm.view.status import CompileStatus, NodeStatus, Status
from farm.watch.activity import Activity, Host, Totals
from farm.watch.events import Stage
from farm.watch.state import Farm, Node, fold, initial
from tests.scheduler_says import login

DOCS = Path(__file__).parents[2] / "docs"
MAC = "52:54:00:00:00:01"
RUNNING = Instance(config=Config(name="lab"), interface="farm0", images={FIRST_KIND: "v2"}, started=50.0)


def farm() -> Farm:
    """Two machines, of which one is logged in, and two other daemons of one name."""
    hosts = [
        Host(name="pc01", address="10.77.0.57", slots=4, running=2, done=7, failed=1, busy_ms=2500, load=250),
        Host(name="dev", address="10.77.0.1", pending=3),
        Host(name="dev", address="10.77.0.2"),
    ]
    nodes = {
        MAC: Node(
            mac=MAC, name="pc01", known=True, address="10.77.0.57", stage=Stage.READY, heard=True, image="v1",
            host=("pc01", "10.77.0.57"),
        ),
        "52:54:00:00:00:02": Node(mac="52:54:00:00:00:02", name="pc02", known=True),
        "52:54:00:00:00:03": Node(mac="52:54:00:00:00:03", name="stranger", address="10.77.0.99", stage=Stage.POWERED),
    }  # fmt: skip
    totals = Totals(requested=10, begun=9, done=7, failed=1, busy_ms=2500)
    return Farm(name="lab", nodes=Map(nodes), activity=Activity(hosts=Map({h.key: h for h in hosts}), totals=totals))


class Watched:
    """What the API asks, of a farm that stands still."""

    def __init__(self, home: Home) -> None:
        self.home, self.farm, self.history = home, farm(), BuildHistory(None)
        self.hub = Hub(lambda: (self.farm, self.status()))

    def instance(self) -> Instance:
        return RUNNING

    def status(self) -> Status:
        return build(self.farm, RUNNING)


# -- the description


def test_the_description_is_current() -> None:
    assert openapi.render() == (DOCS / "openapi.yaml").read_text(), "python -m farm.daemon.openapi > docs/openapi.yaml"


def test_every_route_is_described_and_nothing_else(tmp_path: Path) -> None:
    app = application(Watched(Home.at(tmp_path)))
    served = {
        (route.method.lower(), route.resource.canonical) for route in app.router.routes() if route.resource is not None
    }
    described = yaml.safe_load((DOCS / "openapi.yaml").read_text())["paths"]

    assert isinstance(app[WATCHING], Watched)
    assert served == {(method, path) for path, methods in described.items() for method in methods}
    assert len(served) == len(ROUTES)


def test_every_reference_of_the_description_leads_somewhere() -> None:
    text = (DOCS / "openapi.yaml").read_text()
    described = yaml.safe_load(text)
    for kind, name in re.findall(r"#/components/(\w+)/(\w+)", text):
        assert name in described["components"][kind]


def test_every_route_is_in_the_page() -> None:
    page = (DOCS / "api.md").read_text()

    assert [] == [route.path for route in ROUTES if f"{openapi.plain_path(route.path)}" not in page]


# -- nodes by what they are called


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (MAC, "pc01"),
        (MAC.replace(":", "-").upper(), "pc01"),
        ("pc01", "pc01"),
        ("10.77.0.57", "pc01"),
        ("pc01@10.77.0.57", "pc01"),
        ("dev@10.77.0.2", "dev"),
        ("10.77.0.1", "dev"),
    ],
)
def test_a_node_is_found(key: str, name: str) -> None:
    assert find(farm(), {}, key).name == name


@pytest.mark.parametrize(
    ("key", "status"), [("dev", 409), ("pc99", 404), ("@", 404), ("", 404), ("dev@10.77.0.3", 404)]
)
def test_a_node_that_is_not_there_or_not_the_only_one(key: str, status: int) -> None:
    with pytest.raises(ApiError) as raised:
        find(farm(), {}, key)
    assert raised.value.status == status


def test_a_machine_that_is_logged_in_no_more_is_found_by_its_name() -> None:
    before = farm()
    gone = replace(before, nodes=before.nodes.set(MAC, replace(before.nodes[MAC], host=None)))
    for key in ("pc01", "10.77.0.57", "pc01@10.77.0.57"):
        assert find(gone, {}, key).mac == MAC


def test_the_scheduler_is_told_a_word_that_it_understands() -> None:
    node = find(farm(), {}, MAC)
    assert node.host is not None
    odd = replace(node, compile=CompileStatus(replace(node.host, name="a name")))

    assert name_for_scheduler(node) == "pc01"
    assert name_for_scheduler(odd) == "10.77.0.57"
    assert name_for_scheduler(node, [], ["10.77.0.57"]) == "10.77.0.57"
    assert name_for_scheduler(replace(node, compile=None)) == "pc01"


@pytest.mark.parametrize("name", ["esc\ufffd[31m", "a name", "10.77.0.58", "pc01", "x" * 127 + "…", "jürgen", ""])
def test_whoever_hides_behind_a_name_is_named_by_address(name: str) -> None:
    rogue = NodeStatus(key="x", name=name, address="10.77.0.66", stage=Stage.READY, since=0.0)
    assert name_for_scheduler(rogue, ["pc01", "pc02", name]) == "10.77.0.66"


def test_a_name_that_two_have_means_neither() -> None:
    farm_with_rogue = fold(farm(), login(200.0, 77, "pc01", "10.77.0.66"))
    genuine, rogue = (find(farm_with_rogue, {}, key) for key in (MAC, "pc01@10.77.0.66"))
    known = names(farm_with_rogue)
    assert (name_for_scheduler(genuine, known), name_for_scheduler(rogue, known)) == ("10.77.0.57", "10.77.0.66")
    off = fold(initial("lab", {MAC: "pc01"}), login(200.0, 77, "pc01", "10.77.0.66"))
    assert name_for_scheduler(find(off, {}, "pc01@10.77.0.66"), names(off)) == "10.77.0.66", (
        "the genuine one may come back"
    )


# -- who may do what


def test_the_token_is_made_once_and_for_root_alone(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    first = access.token(home)

    assert len(first) >= 40
    assert first == access.token(home)
    assert stat.S_IMODE(access.token_path(home).stat().st_mode) == 0o600
    access.token_path(home).write_text("\n")
    assert access.token(home) not in ("", first)


def test_orders_are_taken_from_root_and_farmds_user_and_over_tcp_if_wanted() -> None:
    for uid in (0, os.getuid()):
        access.may_order(uid, orders=False)
    access.may_order(None, orders=True)
    for uid, orders in ((65534, True), (None, False)):
        with pytest.raises(ApiError) as raised:
            access.may_order(uid, orders=orders)
        assert raised.value.status == 403


def test_a_refusal_says_what_why_and_what_mends_it() -> None:
    answer = access.refusal(409, FarmError("What.", "Why.", "Mend."))
    assert isinstance(answer, web.Response)
    assert isinstance(answer.body, bytes)

    assert json.loads(answer.body) == {"error": {"what": "What.", "why": "Why.", "mend": "Mend."}}


# -- metrics


def samples(state: Farm) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, _ = farm_metrics.render(
        farm_metrics.Facts(farm=state, overview=build(state, RUNNING), watchers=1, dropped=0), ""
    )
    found = [each for family in text_string_to_metric_families(body.decode()) for each in family.samples]
    series = [(each.name, tuple(sorted(each.labels.items()))) for each in found]
    assert len(series) == len(set(series))
    return dict(zip(series, (each.value for each in found), strict=True))


def test_metrics_have_base_units_and_tell_of_known_nodes_alone() -> None:
    found = samples(farm())
    pc01, pc02 = (("mac", MAC), ("node", "pc01")), (("mac", "52:54:00:00:00:02"), ("node", "pc02"))

    assert found["farm_node_jobs_done_total", pc01] == 7
    assert found["farm_node_job_seconds_total", pc01] == 2.5
    assert found["farm_node_load_ratio", pc01] == 0.25
    assert found["farm_node_ready", pc02] == 0
    assert found["farm_jobs_ended_total", (("result", "failed"),)] == 1
    assert found["farm_slots_busy", ()] == 2
    assert found["farm_nodes", (("stage", "powered"),)] == 1
    assert not [labels for _, labels in found if ("node", "stranger") in labels]


def test_a_machine_that_does_not_compile_has_no_series_of_it() -> None:
    state = farm()
    desk = Node(mac="52:54:00:00:00:09", name="desk", stage=Stage.READY, known=True, roles=())
    found = {
        name
        for name, labels in samples(replace(state, nodes=state.nodes.set(desk.mac, desk)))
        if ("node", "desk") in labels
    }
    assert {"farm_node_boot_start_time_seconds"} == found


def test_counters_do_not_go_back_when_a_node_is_away() -> None:
    state = farm()
    node = state.nodes[MAC]
    away = replace(state, nodes=state.nodes.set(MAC, replace(node, host=None, stage=Stage.LOST)))
    before, after = samples(state), samples(away)
    counters = [key for key in before if key[0].startswith("farm_") and key[0].endswith("_total")]

    assert counters
    assert [key for key in counters if after[key] < before[key]] == []


def test_nodes_of_one_name_are_told_apart() -> None:
    state = farm()
    twin = replace(state.nodes["52:54:00:00:00:02"], name="pc01")
    samples(replace(state, nodes=state.nodes.set(twin.mac, twin)))


def test_prometheus_finds_the_nodes_that_have_run() -> None:
    assert farm_metrics.targets(farm()) == [
        PrometheusTarget(["10.77.0.57:9105"], {"farm": "lab", "node": "pc01", "mac": MAC})
    ]


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    dashboard = json.loads((DOCS / "grafana/farm.json").read_text())
    told = {
        "farm": "", "name": "", "mac": "", "image": "", "version": "", "uptime": 1.0,
        "boot": {"kernel": 0.0}, "load": [0.0] * 3, "memory": {"total": 1, "available": 1},
        "overlay": {"total": 1, "used": 1}, "network": {"nic": "eth0", "received": 1, "sent": 1},
        "temperatures": {"x": 1.0}, "roles": {"compile": {"ready": True, "slots": 1}},
    }  # fmt: skip
    of_nodes = set(re.findall(r"^(farm_node_\w+)", render_node(told, [{"user": 1.0}]), re.MULTILINE))
    known = {name for name, _ in samples(farm())} | of_nodes
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    named = {name for expression in asked for name in re.findall(r"\b(?:farm|process)_\w+", expression)}

    assert named
    assert named - known == set()


def test_every_metric_is_in_the_page() -> None:
    page = (DOCS / "metrics.md").read_text()

    assert [] == sorted({name for name, _ in samples(farm()) if name.startswith("farm_") and name not in page})
