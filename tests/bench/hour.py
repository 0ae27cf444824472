"""`python -m tests.bench.hour FOLDER`: an hour of 1,000 jobs a second, told to farmd's state and history in one go."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from random import Random

import psutil

from farm.config import Config
from farm.history.build_history import BuildHistory
from farm.instance import Instance
from farm.scheduler import protocol
from farm.scheduler.monitor import Connected
from farm.view.from_state import overview
from farm.view.live import encode, snapshot
from farm.watch.activity import Tick
from farm.watch.events import SchedulerSaid
from farm.watch.state import Farm, fold, initial

NODES, SUBMITTERS, RATE, SECONDS = 500, 6, 1000, 3600
IN_FLIGHT = 1300


def main(folder: Path) -> dict[str, float]:
    """Jobs seen, megabytes of memory in the end, seconds of processor time."""
    random = Random(1)
    history = BuildHistory(folder / "history.db")
    began = 1_800_000_000.0
    farm = _say(initial("bench", {}), Connected("10.78.0.1", 8765, 43), began)
    for host in range(NODES + SUBMITTERS):
        slots = 4 if host < NODES else 0
        name, address = f"host{host:03}", f"10.78.{host // 250}.{host % 250}"
        stats = protocol.NodeStats(host, name, address, slots, not slots, "x86_64", 43, (), 100.0, 100)
        farm = _say(farm, stats, began)
    running: deque[int] = deque()
    job = 0
    for second in range(SECONDS):
        now = began + second
        before = farm.activity.count
        for _ in range(RATE):
            job += 1
            file = f"project/{random.randrange(200)}/file{random.randrange(5000)}.cpp"
            farm = _say(farm, protocol.JobRequested(job, NODES + job % SUBMITTERS, file, 1), now)
            farm = _say(farm, protocol.JobBegun(job, random.randrange(NODES), int(now)), now)
            running.append(job)
            if len(running) > IN_FLIGHT:
                sizes = (10_000, 40_000, 20_000, 20_000)
                exit_code = int(random.random() < 0.01)
                done = protocol.JobDone(running.popleft(), exit_code, 1300, 1200, 50, 0, *sizes, False)
                farm = _say(farm, done, now)
        farm = _say(farm, Tick(), now)
        history.record(farm.activity, before)
        history.tick(farm.activity, now)
        history.flush()
    running_record = Instance(config=Config(name="bench"), interface="lab0", images={}, started=began)
    told = len(encode(snapshot(farm, overview(farm, running_record), began + SECONDS)))
    process = psutil.Process()
    totals = farm.activity.totals
    history.close()
    return {
        "requested": totals.requested,
        "ended": totals.done + totals.failed,
        "remembered": sum(build.jobs for build in BuildHistory(folder / "history.db").builds(1000)),
        "megabytes": process.memory_info().rss / 1e6,
        "cpu": time.process_time(),
        "snapshot_bytes": told,
        "database_bytes": (folder / "history.db").stat().st_size,
    }


def _say(farm: Farm, event: protocol.Event | Connected | Tick, now: float) -> Farm:
    return fold(farm, SchedulerSaid(event, now))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
