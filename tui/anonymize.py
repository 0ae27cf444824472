"""Names, addresses and files replaced by pseudonyms on their way to the screen, so that pictures can be shown around.

`Anonymous` stands between the dashboard and an attachment: what comes is masked, what is asked for is unmasked.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from farm.attach import Action, Attachment, Lost
from farm.errors import FarmError
from farm.history.build_records import Build, BuildDetail, FileTime, NodeHour, NodeShare, Wait
from farm.history.log_in_records import LogInRecord
from farm.view.live import Delta, Snapshot, Update
from farm.view.status import HostStatus, NodeStatus, Overview, SchedulerStatus, SessionStatus, Status
from farm.watch.activity import NOBODY, HostKey, Job, stem
from farm.watch.node_telemetry import LogInTold
from farm.watch.state import Reading

Message = TypeVar("Message", bound=Struct)
MAX_PSEUDONYMS = 100_000
"""Files that keep their pseudonym; after so many they are counted anew."""
OWNERS = ("label", "serial", "uuid", "queue")
"""What extras say of things that belong to people, or with a machine's name in it."""
ANY_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}\b")


class Pseudonyms:
    """The same name has the same pseudonym as long as the program runs."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._nodes: set[str] = set()
        """Names of those who compile for others."""
        self._people: dict[str, str] = {}
        """Who logs in at machines."""
        self._long: re.Pattern[str] | None = None

    def learn(self, nodes: Iterable[NodeStatus]) -> None:
        """Take note of who is a node and who is a user, before anything is named."""
        for node in nodes:
            if node.mac or (node.host is not None and node.host.slots):
                self._nodes.add(node.name)
            self.name(node.name)
            if node.session is not None and node.session.agent is not None:
                for each in node.session.agent.log_ins:
                    self.server(each.server)

    def name(self, name: str) -> str:
        """Of a node or a submitter."""
        if not name:
            return name
        if name not in self._names:
            self._names[name] = self._next("node" if name in self._nodes else "user")
            self._long = None
        return self._names[name]

    def address(self, address: str) -> str:
        """IPv4 or MAC, whatever stands behind a colon as well; from the networks that are kept for documentation."""
        if not address:
            return address
        if address not in self._addresses:
            mac = address.count(":") == 5
            kind = "mac" if mac else "address"
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            high, low = divmod(number, 256)
            self._addresses[address] = f"00:00:5e:00:{high % 256:02x}:{low:02x}" if mac else f"198.18.{high}.{low}"
        return self._addresses[address]

    def server(self, host: str) -> str:
        """To which people log in: a name or an address."""
        return self.blocked(host) if host else ""

    def blocked(self, who: str) -> str:
        """A name or an address."""
        return self.address(who) if ANY_ADDRESS.fullmatch(who) else self.name(who)

    def host(self, key: HostKey) -> HostKey:
        """A daemon's name and address, both replaced."""
        return key if key == NOBODY else (self.name(key[0]), self.address(key[1]))

    def file(self, file: str) -> str:
        """Its ending stays, which tells the language; a source and its object stay together."""
        if not file:
            return file
        trunk = stem(file)
        if trunk not in self._files:
            if len(self._files) >= MAX_PSEUDONYMS:
                self._files.clear()
            self._files[trunk] = self._next("file")
        ending = re.search(r"\.[A-Za-z+]{1,5}$", file)
        return self._files[trunk] + (ending[0] if ending else "")

    def text(self, text: str) -> str:
        """A sentence: names and addresses in it."""
        text = ANY_ADDRESS.sub(lambda found: self.address(found[0]), text)
        if self._names:
            if self._long is None:
                names = sorted(self._names, key=len, reverse=True)
                self._long = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in names))
            text = self._long.sub(lambda found: self._names[found[0]], text)
        return text

    def _next(self, kind: str) -> str:
        number = self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}-{number}"


class Mask(Pseudonyms):
    """Records with their names replaced."""

    def job(self, job: Job) -> Job:
        """A job with its file, submitter and node replaced."""
        return replace(job, file=self.file(job.file), submitter=self.host(job.submitter), node=self.host(job.node))

    def login(self, host: HostStatus) -> HostStatus:
        """A daemon's login with its name and address replaced."""
        return replace(host, name=self.name(host.name), address=self.address(host.address))

    def key(self, key: str) -> str:
        """A node's key: its MAC, or name and address."""
        name, at, address = key.rpartition("@")
        return f"{self.name(name)}@{self.address(address)}" if at else self.address(key)

    def node(self, node: NodeStatus) -> NodeStatus:
        """A node, what its agent says of itself included."""
        name, mac = self.name(node.name), self.address(node.mac)
        return replace(
            node,
            key=self.key(node.key),
            name=name,
            mac=mac,
            address=self.address(node.address),
            compile=replace(node.compile, host=self.login(node.host)) if node.compile and node.host else node.compile,
            session=self._session(node.session),
            telemetry=replace(node.telemetry, name=name, mac=mac, farm="farm") if node.telemetry else None,
        )

    def _session(self, session: SessionStatus | None) -> SessionStatus | None:
        if session is None or session.agent is None:
            return session
        told = session.agent
        told = replace(
            told,
            users=[replace(user, name=self.person(user.name)) for user in told.users],
            server=self.server(told.server),
            log_ins=[
                replace(each, user=self.person(each.user), server=self.server(each.server), failed=self.failed(each))
                for each in told.log_ins
            ],
            unsaved=told.unsaved and replace(told.unsaved, user=self.person(told.unsaved.user), said="hidden"),
            extras={name: self._hardware(value) for name, value in told.extras.items()},
        )
        return replace(session, agent=told)

    def _hardware(self, value: Any) -> Any:
        """A stick's label is its owner's, and a device may have its address in it: figures and states stay."""
        match value:
            case dict():
                return {key: "hidden" if key in OWNERS else self._hardware(each) for key, each in value.items()}
            case list():
                return [self._hardware(each) for each in value]
            case str():
                return self.text(value)
        return value

    def log_in(self, log_in: LogInRecord) -> LogInRecord:
        """A log-in with its user, machine and server replaced."""
        return replace(
            log_in,
            mac=self.address(log_in.mac),
            node=self.name(log_in.node),
            user=self.person(log_in.user),
            server=self.server(log_in.server),
            failed=self.failed(log_in),
        )

    def person(self, name: str) -> str:
        """Of somebody who sits at a machine."""
        return self._people.setdefault(name, f"user{len(self._people) + 1}") if name else ""

    def failed(self, log_in: LogInRecord | LogInTold) -> str:
        """Why a log-in failed; a server's own words, after a colon, may name anybody."""
        sentence, colon, _ = log_in.failed.partition(": ")
        said = self.text(f"{sentence}." if colon else sentence)
        return said.replace(log_in.server, self.server(log_in.server)) if log_in.server else said

    def overview(self, overview: Overview) -> Overview:
        """The farm's overview with all names and addresses replaced."""
        return replace(
            overview,
            farm="farm" if overview.farm else "",
            server=self.text(overview.server),
            scheduler=self.scheduler(overview.scheduler),
            strangers=[
                replace(
                    each, instance="stranger", farm="", mac=self.address(each.mac), address=self.address(each.address)
                )
                for each in overview.strangers
            ],
            problems=[self.text(problem) for problem in overview.problems],
            findings=[
                replace(each, what=self.text(each.what), fix=self.text(each.fix), about=self.text(each.about))
                for each in overview.findings
            ],
            services=[
                replace(service, detail=self.text(service.detail), silent=self.text(service.silent))
                for service in overview.services
            ],
        )

    def scheduler(self, scheduler: SchedulerStatus) -> SchedulerStatus:
        """The scheduler and its rivals."""
        return replace(
            scheduler,
            address=self.text(scheduler.address),
            netname="net" if scheduler.netname else "",
            why=self.text(scheduler.why),
            rivals=tuple(replace(each, address=self.address(each.address), netname="net") for each in scheduler.rivals),
            blocked=tuple(map(self.blocked, scheduler.blocked)),
        )

    def update(self, update: Update) -> Update:
        """A snapshot or a delta."""
        self.learn(update.nodes)
        masked = replace(
            update,
            overview=self.overview(update.overview) if update.overview else None,
            nodes=[self.node(node) for node in update.nodes],
            jobs=[self.job(job) for job in update.jobs],
            ended=[self.job(job) for job in update.ended],
        )
        return masked if isinstance(masked, Snapshot) else replace(masked, gone=[self.key(key) for key in masked.gone])

    def build(self, build: Build) -> Build:
        """A build with its submitter and its names replaced."""
        return replace(
            build,
            submitter=self.name(build.submitter),
            address=self.address(build.address),
            tag="build" if build.tag else "",
            name="build" if build.name else "",
        )

    def share(self, share: NodeShare) -> NodeShare:
        """What a node did."""
        return replace(share, node=self.name(share.node))

    def time(self, time: FileTime) -> FileTime:
        """A compilation with its file and node replaced."""
        return replace(time, file=self.file(time.file), node=self.name(time.node))

    def detail(self, detail: BuildDetail) -> BuildDetail:
        """A build's details with all names in them replaced."""
        return replace(
            detail,
            build=self.build(detail.build),
            nodes=[self.share(share) for share in detail.nodes],
            slowest=[self.time(each) for each in detail.slowest],
            failures=[self.time(each) for each in detail.failures],
            waits=[Wait(self.name(each.holder), each.seconds) for each in detail.waits],
        )


class Anonymous:
    """An attachment whose names are pseudonyms; actions reach the nodes that are meant."""

    def __init__(self, attachment: Attachment) -> None:
        self._real = attachment
        self._mask = Mask()
        self._nodes: dict[str, NodeStatus] = {}
        """Masked key → the real node, for orders that name it."""

    @property
    def title(self) -> str:
        """It names the farm, or a host."""
        return "anonymous farm"

    @property
    def is_farm(self) -> bool:
        """What the real attachment is."""
        return self._real.is_farm

    @property
    def actions(self) -> frozenset[Action]:
        """What the real attachment allows."""
        return self._real.actions

    async def updates(self) -> AsyncGenerator[Update | Lost, None]:
        """The real attachment's updates with all names replaced."""
        async with aclosing(self._real.updates()) as updates:
            async for update in updates:
                if isinstance(update, Lost):
                    yield replace(update, why=self._mask.text(update.why))
                    continue
                masked = self._mask.update(update)
                if isinstance(update, Snapshot):
                    self._nodes.clear()
                elif isinstance(masked, Delta):
                    for key in masked.gone:
                        self._nodes.pop(key, None)
                self._nodes |= {mask.key: node for mask, node in zip(masked.nodes, update.nodes, strict=True)}
                yield masked

    async def status(self) -> Status:
        """The real status with all names replaced."""
        status = await self._real.status()
        self._mask.learn(status.nodes)
        overview = self._mask.overview(status)
        assert isinstance(overview, Status)
        nodes = [self._mask.node(node) for node in status.nodes]
        return replace(overview, nodes=nodes, hosts=[self._mask.login(host) for host in status.hosts])

    async def readings(self, key: str) -> list[Reading]:
        """Figures have no names."""
        return await self._real.readings(self._node(key).key)

    async def builds(self, limit: int = 100, submitter: str | None = None, since: float | None = None) -> list[Build]:
        """The real builds with all names replaced."""
        return [self._mask.build(build) for build in await self._real.builds(limit, submitter, since)]

    async def build(self, id: int) -> BuildDetail:
        """The real build with all names replaced."""
        return self._mask.detail(await self._real.build(id))

    async def node_hours(self, hours: int = 24) -> list[NodeHour]:
        """The real hours with the nodes' names replaced."""
        return [NodeHour(each.hour, self._mask.share(each.share)) for each in await self._real.node_hours(hours)]

    async def log_ins(self, limit: int = 100, since: float = 0.0) -> list[LogInRecord]:
        """The real log-ins with all names replaced."""
        return [self._mask.log_in(each) for each in await self._real.log_ins(limit, since)]

    async def act(self, action: Action, node: NodeStatus) -> str:
        """Done to the node that is meant."""
        try:
            return self._mask.text(await self._real.act(action, self._node(node.key)))
        except FarmError as error:
            raise FarmError(*map(self._mask.text, (error.what, error.why, error.fix))) from error

    async def switch_image(self, image: str) -> str:
        """Versions are no secret."""
        return await self._real.switch_image(image)

    async def images(self) -> list[str]:
        """The image versions, which name nobody and stay as they are."""
        return await self._real.images()

    def _node(self, key: str) -> NodeStatus:
        if key not in self._nodes:
            raise FarmError("This node is no longer known.", "The node was forgotten meanwhile.", "")
        return self._nodes[key]
