"""farmd's HTTP API: every route with what it takes and answers, declared once for the server and its description."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from farm.api.answers import (
    MAX_BUILDS,
    MAX_HOURS,
    MAX_LOG_INS,
    Builds,
    Done,
    Images,
    ImageStatus,
    Jobs,
    LogIns,
    NodeHours,
    NodeList,
    PrometheusTarget,
    Readings,
    RunHeard,
    SchedulerNow,
    Tag,
)
from farm.daemon import farm_metrics
from farm.daemon.access import ApiError, caller, may_order
from farm.daemon.hub import Hub
from farm.errors import NOT_JSON, FarmError
from farm.history.build_history import BuildHistory
from farm.history.build_records import BuildDetail
from farm.history.log_in_history import LogInHistory
from farm.history.runs import RunNews
from farm.home import Home
from farm.image.store import Store
from farm.instance import Instance
from farm.nodes import blocking, pending
from farm.nodes.blocking import Order
from farm.view.from_state import node_status, other_status
from farm.view.live import Update
from farm.view.status import NodeStatus, Status
from farm.watch.activity import sample
from farm.watch.activity.jobs import MAX_ENDED
from farm.watch.state import Farm, own_keys

DIGITS = 10
RESUMES = "it gets jobs again within a minute, when the scheduler next tries to reach it"
Body = TypeVar("Body", bound=Struct)
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Watching(Protocol):
    """What the API asks of farmd."""

    home: Home
    farm: Farm
    hub: Hub
    history: BuildHistory
    log_ins: LogInHistory

    def instance(self) -> Instance:
        """The farm as it was brought up."""
        ...

    def status(self) -> Status:
        """All that is known but jobs."""
        ...


WATCHING: web.AppKey[Watching] = web.AppKey("watching", Watching)


class Parameter(Struct, frozen=True):
    """Something that a request says: part of the path (text), or of the query.

    There a whole number with a default, or, without one, text that may be left out.
    """

    name: str
    text: str
    default: int | None = None
    least: int = 0
    most: int = 0

    def text_of(self, request: web.Request) -> str | None:
        """The text in a request's query, if there is one."""
        return request.query.get(self.name)

    def read(self, request: web.Request) -> int:
        """The number in a request's query; raises ApiError."""
        given = request.query.get(self.name, str(self.default))
        if not (given.isascii() and given.isdigit() and len(given) <= DIGITS and self.least <= int(given) <= self.most):
            raise ApiError(
                400,
                f"Invalid value for {self.name}: {given[:32]!r}.",
                f"The value must be a number from {self.least} to {self.most}.",
            )
        return int(given)


class Route(Struct, frozen=True, kw_only=True):
    """A request that is answered, and with what: JSON of a type, or other content."""

    method: str = "GET"
    path: str
    name: str
    text: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    body: Any = None
    """What a request's JSON says; None: it has none."""
    answer: Any = None
    content: str = "application/json"
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()


NODE_KEY = Parameter("key", "A node's MAC, its `key` (NAME@ADDRESS), or a name or address that only one node has.")
BUILD = Parameter("id", "Number of a build.")
ENDED = Parameter("ended", "Number of ended jobs to include.", 0, 0, MAX_ENDED)
BUILDS_LIMIT = Parameter("limit", "Maximum number of builds.", 100, 1, MAX_BUILDS)
SUBMITTER = Parameter("submitter", "Only builds of the machine with this name.")
SINCE = Parameter("since", "Only builds that ended at or after this Unix time.", 0, 0, 10**DIGITS - 1)
LOG_INS_LIMIT = Parameter("limit", "Maximum number of log-ins.", 100, 1, MAX_LOG_INS)
SAT_SINCE = Parameter("since", "Only log-ins whose session lasted at or after this Unix time.", 0, 0, 10**DIGITS - 1)
HOURS = Parameter("hours", "Number of hours.", 24, 1, MAX_HOURS)


def find(farm: Farm, images: Mapping[str, str], key: str) -> NodeStatus:
    """The node or other daemon that a request's key means; raises ApiError. ``images``: see `node_status`."""
    ours = farm.nodes.get(key.lower().replace("-", ":"))
    if ours is not None:
        return node_status(farm, ours, images)
    by_host = {login: node for node in farm.nodes.values() for login in own_keys(node)}
    name, _, address = key.rpartition("@")
    nodes = [node for node in farm.nodes.values() if key and key in (node.name, node.address)]
    hosts = [
        host
        for login, host in farm.activity.hosts.items()
        if login not in by_host and (login == (name, address) or key in login)
    ]
    if (name, address) in by_host:
        nodes = [by_host[name, address]]
    if len(nodes) + len(hosts) > 1:
        keys = [*(node.mac for node in nodes), *(f"{host.name}@{host.address}" for host in hosts)]
        raise ApiError(409, "Several nodes have that name.", f"They are {', '.join(keys[:8])}.", "Use one of these.")
    if nodes:
        return node_status(farm, nodes[0], images)
    if hosts:
        return other_status(hosts[0], farm.activity.scheduler)
    raise ApiError(
        404,
        "There is no such node.",
        "The node has not booted from this farm, and is not known to its scheduler.",
        "List the nodes: farm node list",
    )


def answer(record: object) -> web.Response:
    """A record as JSON."""
    return web.Response(body=msgspec.json.encode(record), content_type="application/json")


async def _status(request: web.Request) -> web.Response:
    return answer(request.app[WATCHING].status())


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _jobs(request: web.Request) -> web.Response:
    activity, wanted = request.app[WATCHING].farm.activity, ENDED.read(request)
    numbers = range(max(1, activity.count - wanted + 1), activity.count + 1)
    ended = [job for number in numbers if (job := activity.ended.get(number)) is not None]
    return answer(Jobs(time=time.time(), jobs=list(activity.jobs.values()), ended=ended))


async def _nodes(request: web.Request) -> web.Response:
    status = request.app[WATCHING].status()
    return answer(NodeList(nodes=status.nodes, hosts=status.hosts))


async def _readings(request: web.Request) -> web.Response:
    farm, key = request.app[WATCHING].farm, request.match_info["key"]
    found = find(farm, {}, key)
    node = farm.nodes.get(found.mac)
    return answer(Readings(key=found.key, readings=list(node.readings) if node else []))


async def _hours(request: web.Request) -> web.Response:
    history = request.app[WATCHING].history
    return answer(NodeHours(hours=await asyncio.to_thread(history.node_hours, HOURS.read(request))))


async def _scheduler(request: web.Request) -> web.Response:
    watching = request.app[WATCHING]
    activity = watching.farm.activity
    return answer(
        SchedulerNow(scheduler=watching.status().scheduler, now=sample(activity, time.time()), totals=activity.totals)
    )


async def _builds(request: web.Request) -> web.Response:
    history = request.app[WATCHING].history
    asked = BUILDS_LIMIT.read(request), SUBMITTER.text_of(request), SINCE.read(request)
    return answer(Builds(builds=await asyncio.to_thread(history.builds, *asked)))


async def _build(request: web.Request) -> web.Response:
    history, id = request.app[WATCHING].history, request.match_info["id"]
    try:
        return answer(await asyncio.to_thread(history.build, int(id)))
    except FarmError as error:
        raise ApiError(404, error.what, error.why, error.fix) from None


async def _log_ins(request: web.Request) -> web.Response:
    asked = LOG_INS_LIMIT.read(request), SAT_SINCE.read(request)
    return answer(LogIns(log_ins=request.app[WATCHING].log_ins.newest(*asked)))


async def _told(request: web.Request, kind: type[Body], otherwise: str) -> Body:
    """The body of a request. Raises ApiError, ``otherwise`` what is wrong."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except NOT_JSON as error:
        raise ApiError(400, otherwise, str(error), "See docs/api.md.") from None


async def _tag(request: web.Request) -> web.Response:
    tag = await _told(request, Tag, "Invalid tag.")
    request.app[WATCHING].history.tag(tag.submitter, tag.text)
    return answer(Done(done=f"The build of {tag.submitter} is called {tag.text}."))


async def _run_told(request: web.Request) -> web.Response:
    news = await _told(request, RunNews, "Invalid news of a run.")
    return answer(RunHeard(taken=request.app[WATCHING].history.run_told(news)))


async def _images(request: web.Request) -> web.Response:
    watching = request.app[WATCHING]
    used = [node.image for node in watching.farm.nodes.values() if node.image and node.heard]

    def look() -> Images:
        store = Store(watching.home.images)
        selected = store.selections()
        found = [
            ImageStatus(
                image=each.image,
                name=each.name,
                kind=each.kind,
                version=each.version,
                built=each.built,
                size=sum(file.size for file in each.files.values()),
                selected=each.image == selected.get(each.name),
                nodes=used.count(each.image),
            )
            for each in reversed(store.list())
        ]
        return Images(selected=selected.get(watching.farm.kind), kinds=selected, images=found)

    return answer(await asyncio.to_thread(look))


async def _metrics(request: web.Request) -> web.Response:
    watching = request.app[WATCHING]
    facts = farm_metrics.Facts(
        farm=watching.farm, overview=watching.status(), watchers=watching.hub.count, dropped=watching.hub.dropped
    )
    body, kind = await asyncio.to_thread(farm_metrics.render, facts, request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": kind})


async def _targets(request: web.Request) -> web.Response:
    return answer(farm_metrics.targets(request.app[WATCHING].farm))


async def _ws(request: web.Request) -> web.StreamResponse:
    return await request.app[WATCHING].hub.serve(request)


async def _order(order: Order, request: web.Request) -> web.Response:
    watching, key = request.app[WATCHING], request.match_info["key"]
    instance = watching.instance()
    config = instance.config
    may_order(caller(request), orders=config.api.orders)
    blocked = watching.farm.activity.scheduler.blocked
    if order == "unblock" and key in blocked:
        name = key  # farmd may have been started after it was blocked, and never have seen it
    else:
        node = find(watching.farm, instance.images, key)
        name = blocking.name_for_scheduler(node, blocking.names(watching.farm), blocked)
        if order == "unblock" and name not in blocked and pending.drains(watching.home, node.mac or node.key):
            pending.strike(watching.home, node.mac or node.key)
            return answer(Done(done=f"{node.name} is no longer drained: {RESUMES}."))
    return answer(Done(done=await blocking.give(order, config.scheduler_host, config.scheduler.port, name)))


def _order_route(order: Order, text: str) -> Route:
    handler = functools.partial(_order, order)
    path = f"/nodes/{{key}}/{order}"
    errors = (403, 404, 409, 502)
    return Route(
        method="POST",
        path=path,
        name=order,
        text=text,
        handler=handler,
        answer=Done,
        parameters=(NODE_KEY,),
        errors=errors,
    )


ROUTES: tuple[Route, ...] = (
    Route(path="/status", name="status", text="The farm, without jobs.", handler=_status, answer=Status),
    Route(
        path="/healthz", name="healthz", text="Whether farmd runs; needs no token.", handler=_healthz,
        content="text/plain",
    ),
    Route(
        path="/jobs", name="jobs", text="Jobs in flight, and the last ended ones.", handler=_jobs, answer=Jobs,
        parameters=(ENDED,), errors=(400,),
    ),
    Route(path="/nodes", name="nodes", text="Machines and other daemons.", handler=_nodes, answer=NodeList),
    Route(
        path="/nodes/hours", name="hours", text="What each node did in each hour.", handler=_hours, answer=NodeHours,
        parameters=(HOURS,), errors=(400, 409),
    ),
    Route(
        path="/nodes/{key}/readings", name="readings", text="A node's measurements in the last 15 minutes.",
        handler=_readings, answer=Readings, parameters=(NODE_KEY,), errors=(404, 409),
    ),
    _order_route("block", "Send a node away, and refuse its log-in until it is unblocked or the scheduler ends."),
    _order_route("unblock", "Let a blocked node log in again, or cancel its drain."),
    _order_route("kick", "Send a node away; it logs in again by itself."),
    Route(
        path="/scheduler", name="scheduler", text="The scheduler, now and in total.", handler=_scheduler,
        answer=SchedulerNow,
    ),
    Route(
        path="/builds", name="builds", text="Builds, newest first.", handler=_builds, answer=Builds,
        parameters=(BUILDS_LIMIT, SUBMITTER, SINCE), errors=(400, 409),
    ),
    Route(
        path=r"/builds/{id:\d{1,15}}", name="build", text="One build with details.", handler=_build, answer=BuildDetail,
        parameters=(BUILD,), errors=(404,),
    ),
    Route(
        method="POST", path="/builds/tag", name="tag", text="Name a submitter's current build outside of farm run.",
        handler=_tag, body=Tag, answer=Done, errors=(400,),
    ),
    Route(
        method="POST", path="/runs", name="run", text="Tell of a farm run: its name, its jobs, its end.",
        handler=_run_told, body=RunNews, answer=RunHeard, errors=(400,),
    ),
    Route(
        path="/log-ins", name="log-ins", text="Log-ins at the machines' screens, newest first.", handler=_log_ins,
        answer=LogIns, parameters=(LOG_INS_LIMIT, SAT_SINCE), errors=(400,),
    ),
    Route(path="/images", name="images", text="The image store.", handler=_images, answer=Images, errors=(409,)),
    Route(path="/metrics", name="metrics", text="Metrics for Prometheus.", handler=_metrics, content=TEXT),
    Route(
        path="/sd", name="targets", text="The nodes' telemetry, for Prometheus' HTTP service discovery.",
        handler=_targets, answer=list[PrometheusTarget],
    ),
    Route(
        path="/ws", name="live", text="A WebSocket that sends a snapshot, then a delta every half second.", handler=_ws,
        answer=Update, errors=(503,),
    ),
)  # fmt: skip
