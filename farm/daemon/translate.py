"""The scheduler's monitor events, in the farm's words."""

from __future__ import annotations

from farm.events import Event, HostKey, JobEnded, JobStarted, RegisteredNode, SchedulerDown, SchedulerUp, Unregistered
from farm.scheduler import monitor, protocol

MAX_TEXT = 128


class Translator:
    """Knows which host id means which daemon: ids change with every login, name and address stay."""

    def __init__(self) -> None:
        self._hosts: dict[int, HostKey] = {}

    def translate(self, event: protocol.Event | monitor.Connected | monitor.Disconnected, time: float) -> list[Event]:
        """The farm's events for one of the monitor's, received at Unix time ``time``."""
        match event:
            case monitor.Connected():
                self._hosts.clear()
                return [SchedulerUp(f"{event.host}:{event.port}", time, event.protocol)]
            case monitor.Disconnected():
                self._hosts.clear()
                return [SchedulerDown(event.why, time)]
            case protocol.NodeStats():
                return [self._stats(event, time)]
            case protocol.NodeOffline():
                return self._offline(event.host, time)
            case protocol.JobBegun():
                return self._begun(event.job, event.host, time, local=False)
            case protocol.LocalBegun():
                return self._begun(event.job, event.host, time, local=True)
            case protocol.JobDone():
                return [JobEnded(event.job, time, event.exit == 0)]
            case protocol.LocalDone():
                return [JobEnded(event.job, time)]
        return []

    def _stats(self, stats: protocol.NodeStats, time: float) -> RegisteredNode:
        node = RegisteredNode(
            name=stats.name[:MAX_TEXT],
            address=stats.address[:MAX_TEXT],
            slots=0 if stats.no_remote else stats.max_jobs,
            time=time,
            load=stats.load,
            platform=stats.platform[:MAX_TEXT],
            speed=stats.speed,
            version=str(stats.protocol),
        )
        self._hosts[stats.host] = node.key
        return node

    def _offline(self, host: int, time: float) -> list[Event]:
        key = self._hosts.pop(host, None)
        # A daemon may be back, under another id, before its old login is found dead.
        return [] if key is None or key in self._hosts.values() else [Unregistered(*key, time)]

    def _begun(self, job: int, host: int, time: float, local: bool) -> list[Event]:
        key = self._hosts.get(host)
        return [] if key is None else [JobStarted(job, key, time, local)]
