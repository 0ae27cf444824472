"""What farmd knows, as metrics for Prometheus (docs/metrics.md). What nodes measure themselves they tell themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from farm.api.answers import Target
from farm.view.status import Overview
from farm.watch.activity import Activity, Host, sample
from farm.watch.events import Stage
from farm.watch.state import Farm, Node, login_keys

Family = GaugeMetricFamily | CounterMetricFamily
NODE_LABELS = ("node", "mac")
"""Names alone may be given twice; a series may not."""


class Facts(Struct, frozen=True, kw_only=True):
    """All that is told in one answer; ``watchers`` and ``dropped``: of WebSockets."""

    farm: Farm
    overview: Overview
    watchers: int
    dropped: int


class _Known(Collector):
    """One answer's facts, as prometheus-client wants them."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterable[Family]:
        yield from _farm(self._facts)
        yield from _jobs(self._facts.farm.activity)
        yield from _nodes(self._facts.farm)


def render(facts: Facts, accept: str) -> tuple[bytes, str]:
    """The metrics and their content type, in the format that an Accept header wants."""
    registry = CollectorRegistry()
    registry.register(_Known(facts))
    ProcessCollector(registry=registry)
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def targets(farm: Farm) -> list[Target]:
    """Where Prometheus finds the telemetry of nodes: of all that have run, so that it notices those that are gone."""
    return [
        Target([f"{node.address}:{node.port}"], {"farm": farm.name, "node": node.name, "mac": node.mac})
        for node in told(farm)
        if node.address and node.heard
    ]


def told(farm: Farm) -> Iterator[Node]:
    """Nodes that metrics tell of: anyone can ask for an address, but that alone makes no series."""
    return (node for node in farm.nodes.values() if node.known or node.heard)


def _gauge(name: str, text: str, value: float) -> Family:
    return GaugeMetricFamily(f"farm_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Family:
    return CounterMetricFamily(f"farm_{name}", text, value=value)


def _farm(facts: Facts) -> Iterator[Family]:
    farm, overview = facts.farm, facts.overview
    info = GaugeMetricFamily("farm_info", "What this farm is.", labels=("farm", "image", "netname"))
    info.add_metric((overview.farm, overview.image, overview.scheduler.netname), 1)
    yield info
    yield _gauge("start_time_seconds", "Unix time at which the farm was brought up.", overview.started)
    yield _gauge("problems", "Problems that farm status names.", len(overview.problems))
    services = GaugeMetricFamily("farm_service_up", "Whether a service runs and answers.", labels=("service",))
    for service in overview.services:
        services.add_metric((service.name,), service.up and not service.silent)
    yield services
    yield _gauge("scheduler_up", "Whether the scheduler answers.", overview.scheduler.up)
    yield _gauge("scheduler_rivals", "Other schedulers of the same network name.", len(overview.scheduler.rivals))
    yield _gauge("scheduler_blocked", "Names and addresses that may not log in.", len(overview.scheduler.blocked))
    online = sum(host.online for host in farm.activity.hosts.values())
    yield _gauge("daemons", "Daemons that are logged in to the scheduler, submitters included.", online)
    stages = dict.fromkeys(Stage, 0)
    for node in farm.nodes.values():
        stages[node.stage] += 1
    by_stage = GaugeMetricFamily("farm_nodes", "Machines by how far they have come.", labels=("stage",))
    for stage, count in stages.items():
        by_stage.add_metric((stage,), count)
    yield by_stage
    yield _gauge("api_watchers", "WebSockets that are served.", facts.watchers)
    yield _counter("api_watchers_dropped", "WebSockets closed because their reader did not keep up.", facts.dropped)


def _jobs(activity: Activity) -> Iterator[Family]:
    now, totals = sample(activity, 0.0), activity.totals
    yield _gauge("slots", "Slots of nodes that are logged in.", now.slots)
    yield _gauge("slots_busy", "Slots in use.", now.busy)
    yield _gauge("jobs_pending", "Jobs asked for that no node has begun.", now.pending)
    yield _gauge("jobs_local_running", "Jobs that submitters compile themselves.", now.local)
    yield _counter("jobs_requested", "Jobs asked for.", totals.requested)
    yield _counter("jobs_begun", "Jobs begun by nodes.", totals.begun)
    ended = CounterMetricFamily("farm_jobs_ended", "Jobs of nodes that have ended.", labels=("result",))
    for result, count in (("done", totals.done), ("failed", totals.failed), ("lost", totals.lost)):
        ended.add_metric((result,), count)
    yield ended
    yield _counter("jobs_local_begun", "Jobs begun by submitters themselves, fallbacks included.", totals.local_begun)
    yield _counter("jobs_local_ended", "Jobs ended by submitters themselves.", totals.local)
    yield _counter("jobs_fallback", "Jobs that a submitter compiled after a node had failed.", totals.fallback)
    yield _counter("job_input_bytes", "Preprocessed source sent to nodes.", totals.in_bytes)
    yield _counter("job_output_bytes", "Object code sent back.", totals.out_bytes)
    yield _counter("job_seconds", "Time that jobs took on nodes, added up.", totals.busy_ms / 1000)
    yield _counter("job_wait_seconds", "Time that jobs waited for a node, added up.", totals.waited)


def _nodes(farm: Farm) -> Iterator[Family]:
    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"farm_node_{name}", text, labels=NODE_LABELS)

    def counter(name: str, text: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"farm_node_{name}", text, labels=NODE_LABELS)

    ready = gauge("ready", "Whether the scheduler gives it jobs.")
    slots = gauge("scheduler_slots", "Slots it has at the scheduler now.")
    running = gauge("jobs_running", "Jobs it compiles for the farm.")
    load = gauge("load_ratio", "Load as its daemon tells it, 1: takes no job.")
    speed = gauge("speed", "As the scheduler weighs it: output bytes per user millisecond.")
    boot = gauge("boot_start_time_seconds", "Unix time at which its boot began, 0: not known.")
    done = counter("jobs_done", "Jobs it has compiled.")
    failed = counter("jobs_failed", "Jobs that failed on it.")
    busy = counter("job_seconds", "Time that its jobs took, added up.")
    for node in told(farm):
        labels, host = (node.name, node.mac), farm.host(node)
        ready.add_metric(labels, node.stage is Stage.READY)
        slots.add_metric(labels, host.offered if host else 0)
        running.add_metric(labels, host.running if host else 0)
        boot.add_metric(labels, node.started)
        if host is not None:
            load.add_metric(labels, host.load / 1000)
            speed.add_metric(labels, host.speed)
        logins = list(_logins(farm, node))
        done.add_metric(labels, sum(each.done for each in logins))
        failed.add_metric(labels, sum(each.failed for each in logins))
        busy.add_metric(labels, sum(each.busy_ms for each in logins) / 1000)
    yield from (ready, slots, running, load, speed, boot, done, failed, busy)


def _logins(farm: Farm, node: Node) -> Iterator[Host]:
    """All that the scheduler knows a node by, also when it is away: what was counted once stays counted."""
    for key in login_keys(node):
        host = farm.activity.hosts.get(key)
        if host is not None:
            yield host
