"""What farmd knows, as metrics for Prometheus (docs/metrics.md). What nodes measure themselves they tell themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from farm.api.answers import PrometheusTarget
from farm.view.status import Overview
from farm.watch.activity import Activity, Host, sample
from farm.watch.events import Stage
from farm.watch.state import Farm, Node, own_keys

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


def targets(farm: Farm) -> list[PrometheusTarget]:
    """Where Prometheus finds the telemetry of nodes: of all that have run, so that it notices those that are gone."""
    return [
        PrometheusTarget([f"{node.address}:{node.port}"], {"farm": farm.name, "node": node.name, "mac": node.mac})
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
    info = GaugeMetricFamily("farm_info", "Name, image and netname of the farm.", labels=("farm", "image", "netname"))
    info.add_metric((overview.farm, overview.image, overview.scheduler.netname), 1)
    yield info
    by_name = GaugeMetricFamily(
        "farm_image_info", "Version for next boots, by the name of the image.", labels=("kind", "image")
    )
    for name, image in overview.images.items():
        by_name.add_metric((name, image), 1)
    yield by_name
    yield _gauge("start_time_seconds", "Unix time when the farm was brought up.", overview.started)
    yield _gauge("problems", "Number of problems that farm status reports.", len(overview.problems))
    services = GaugeMetricFamily("farm_service_up", "Whether the service runs and answers.", labels=("service",))
    for service in overview.services:
        services.add_metric((service.name,), service.up and not service.silent)
    yield services
    yield _gauge("scheduler_up", "Whether the scheduler answers.", overview.scheduler.up)
    yield _gauge(
        "scheduler_rivals", "Number of other schedulers with the same netname.", len(overview.scheduler.rivals)
    )
    yield _gauge(
        "scheduler_blocked", "Number of names and addresses that are blocked.", len(overview.scheduler.blocked)
    )
    online = sum(host.online for host in farm.activity.hosts.values())
    yield _gauge("daemons", "Number of daemons logged in to the scheduler, including submitters.", online)
    stages = dict.fromkeys(Stage, 0)
    for node in farm.nodes.values():
        stages[node.stage] += 1
    by_stage = GaugeMetricFamily("farm_nodes", "Number of machines in each stage.", labels=("stage",))
    for stage, count in stages.items():
        by_stage.add_metric((stage,), count)
    yield by_stage
    yield _gauge("api_watchers", "Number of open WebSockets.", facts.watchers)
    yield _counter("api_watchers_dropped", "WebSockets closed because their reader did not keep up.", facts.dropped)


def _jobs(activity: Activity) -> Iterator[Family]:
    now, totals = sample(activity, 0.0), activity.totals
    yield _gauge("slots", "Number of slots of nodes that are logged in.", now.slots)
    yield _gauge("slots_busy", "Number of slots in use.", now.busy)
    yield _gauge("jobs_pending", "Number of requested jobs that no node has begun.", now.pending)
    yield _gauge("jobs_local_running", "Number of jobs that submitters are compiling themselves.", now.local)
    yield _counter("jobs_requested", "Jobs requested.", totals.requested)
    yield _counter("jobs_begun", "Jobs begun by nodes.", totals.begun)
    ended = CounterMetricFamily("farm_jobs_ended", "Jobs ended by nodes.", labels=("result",))
    for result, count in (("done", totals.done), ("failed", totals.failed), ("lost", totals.lost)):
        ended.add_metric((result,), count)
    yield ended
    yield _counter("jobs_local_begun", "Jobs begun by submitters themselves, including fallbacks.", totals.local_begun)
    yield _counter("jobs_local_ended", "Jobs ended by submitters themselves.", totals.local)
    yield _counter("jobs_fallback", "Jobs that a submitter compiled after a node had failed.", totals.fallback)
    yield _counter("job_input_bytes", "Preprocessed source sent to nodes.", totals.in_bytes)
    yield _counter("job_output_bytes", "Object code sent back.", totals.out_bytes)
    yield _counter("job_seconds", "Total time that jobs took on nodes.", totals.busy_ms / 1000)
    yield _counter("job_wait_seconds", "Total time that jobs waited for a node.", totals.waited)


def _nodes(farm: Farm) -> Iterator[Family]:
    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"farm_node_{name}", text, labels=NODE_LABELS)

    def counter(name: str, text: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"farm_node_{name}", text, labels=NODE_LABELS)

    ready = gauge("ready", "Whether the scheduler assigns jobs to the node.")
    slots = gauge("scheduler_slots", "Number of slots that the node has at the scheduler.")
    running = gauge("jobs_running", "Number of jobs running on the node.")
    load = gauge("load_ratio", "Load as the node's daemon reports it; at 1 the node takes no jobs.")
    speed = gauge("speed", "Speed as the scheduler computes it: output bytes per millisecond of user time.")
    boot = gauge("boot_start_time_seconds", "Unix time when the node's boot began; 0 if not known.")
    done = counter("jobs_done", "Jobs compiled by the node.")
    failed = counter("jobs_failed", "Jobs that failed on the node.")
    busy = counter("job_seconds", "Total time that jobs took on the node.")
    for node in told(farm):
        labels, host = (node.name, node.mac), farm.host(node)
        boot.add_metric(labels, node.started)
        logins = list(_logins(farm, node))
        if not logins and "compile" not in node.roles:
            continue
        ready.add_metric(labels, node.stage is Stage.READY)
        both = [each for each in (host, farm.spare(node)) if each is not None and each.online]
        slots.add_metric(labels, sum(each.offered for each in both))
        running.add_metric(labels, sum(each.running for each in both))
        if host is not None:
            load.add_metric(labels, host.load / 1000)
            speed.add_metric(labels, host.speed)
        done.add_metric(labels, sum(each.done for each in logins))
        failed.add_metric(labels, sum(each.failed for each in logins))
        busy.add_metric(labels, sum(each.busy_ms for each in logins) / 1000)
    yield from (ready, slots, running, load, speed, boot, done, failed, busy)


def _logins(farm: Farm, node: Node) -> Iterator[Host]:
    """All that the scheduler knows a node by, also when it is away: what was counted once stays counted."""
    for key in own_keys(node):
        host = farm.activity.hosts.get(key)
        if host is not None:
            yield host
