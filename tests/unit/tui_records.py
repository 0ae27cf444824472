"""What a farm that stands still has done and does: jobs, builds, samples of its load, log-ins."""

from __future__ import annotations

from farm.history.build_records import Build, BuildDetail, Curve, FileTime, NodeShare, Wait
from farm.history.log_in_records import LogInRecord
from farm.watch.activity import Job, JobPlace, JobState, Sample, Totals

NOW = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC."""
ALICE, BOB = ("alice-pc", "10.0.0.101"), ("bob-pc", "10.0.0.102")
DESK = ("desk-3", "10.0.0.45")
A1, A2, OLDBOX = ("node-a1", "10.0.0.11"), ("node-a2", "10.0.0.12"), ("oldbox", "10.0.0.90")


def jobs() -> list[Job]:
    """In flight: six run on nodes, one on its submitter, three wait."""
    running = [
        Job(
            5000 + number,
            JobState.RUNNING,
            JobPlace.REMOTE,
            f"src/core/part{number}.cpp",
            ALICE if number % 2 else BOB,
            A1 if number < 4 else OLDBOX,
            slot=number % 4,
            language=1,
            requested=NOW - 3.5 - number,
            begun=NOW - 3 - number,
        )
        for number in range(6)
    ]
    waiting = [
        Job(5010 + number, JobState.PENDING, JobPlace.REMOTE, f"src/net/sock{number}.c", who, requested=NOW - 1)
        for number, who in enumerate((ALICE, BOB, BOB))
    ]
    local = Job(5020, JobState.RUNNING, JobPlace.LOCAL, "libcore.so", ALICE, ALICE, requested=NOW - 8, begun=NOW - 8)
    return [*running, *waiting, local]


def desk_jobs() -> list[Job]:
    """Two that run on the fat client."""
    told = {"state": JobState.RUNNING, "place": JobPlace.REMOTE, "submitter": ALICE, "node": DESK, "language": 1}
    return [
        Job(5030 + slot, file=f"src/ui/pane{slot}.cpp", slot=slot, requested=NOW - 5, begun=NOW - 4 - slot, **told)
        for slot in range(2)
    ]


def ended() -> list[Job]:
    """The last sixty: every twentieth has failed, every tenth was local, one is a fallback."""
    return [_ended(number) for number in range(1, 61)]


def _ended(number: int) -> Job:
    at = NOW - 2 * (60 - number) - 1
    failed = number % 20 == 0
    place = JobPlace.FALLBACK if number == 41 else JobPlace.LOCAL if number % 10 == 5 else JobPlace.REMOTE
    who = ALICE if number % 3 else BOB
    return Job(
        4000 + number,
        JobState.FAILED if failed else JobState.DONE,
        place,
        f"src/core/file{number:03}.cpp",
        who,
        who if place is not JobPlace.REMOTE else (A1, A2, OLDBOX)[number % 3],
        slot=number % 4,
        language=1,
        requested=at - 2.6,
        begun=at - 2.4,
        ended=at,
        exit=(255 if number == 40 else 1) if failed else 0,
        real=2400,
        user=2000,
        system=150,
        page_faults=12,
        in_compressed=180_000,
        in_bytes=950_000,
        out_compressed=40_000,
        out_bytes=120_000,
        number=number,
    )


def samples(count: int = 120) -> list[Sample]:
    """One a second; load rises and falls."""
    found = []
    done = failed = 0
    for second in range(count):
        busy = 6 + (second * 7) % 15
        done += busy // 2
        failed += second % 30 == 0
        totals = Totals(
            requested=done + failed + 3,
            begun=done + failed,
            done=done,
            failed=failed,
            local=second // 4,
            in_bytes=done * 950_000,
            out_bytes=done * 120_000,
        )
        found.append(Sample(NOW - count + second + 1, 28, busy, second % 5, second % 2, totals))
    return found


def builds() -> list[Build]:
    """Three; the newest still runs."""
    return [
        Build(
            id=number,
            submitter=who[0],
            address=who[1],
            started=NOW - 4000 / number,
            ended=NOW - 3500 / number if number < 3 else NOW - 1,
            open=number == 3,
            tag="make" if number == 2 else "",
            remote=400 * number,
            own=number,
            local=20,
            fallback=number - 1,
            failed=2,
            real_ms=1_000_000 * number,
            user_ms=900_000 * number,
            waited_ms=40_000,
            in_bytes=380_000_000 * number,
            out_bytes=48_000_000 * number,
            most=24,
        )
        for number, who in ((3, ALICE), (2, BOB), (1, ALICE))
    ]


def build_detail(id: int) -> BuildDetail:
    """One of them. Raises KeyError."""
    build = {build.id: build for build in builds()}[id]
    return BuildDetail(
        build=build,
        nodes=[
            NodeShare("node-a1", 300, 1, 600_000, 36_000_000),
            NodeShare("node-a2", 90, 1, 300_000, 11_000_000),
            NodeShare("oldbox", 10, 0, 100_000, 1_000_000),
        ],
        slowest=[FileTime("src/core/huge.cpp", "node-a2", "remote", 48_000, 0, build.ended - 9)],
        failures=[FileTime("src/core/bad.cpp", "node-a1", "remote", 900, 1, build.ended - 20)],
        waits=[Wait("bob-pc", 12.5)],
        curve=curve(build),
    )


def curve(build: Build) -> Curve:
    """Rises, stands still once, and ends in a tail of one job, which is that of the slowest file."""
    steps = 100
    step = (build.ended - build.started) / steps
    begins = [min(build.most, 2.0 * i) * (0.8 + 0.2 * (i * build.id % 5 > 1)) for i in range(55)]
    return Curve(build.started, step, tuple([*begins, *[0.0] * 8, *[build.most * 0.7] * 22, *[1.0] * 15]))


def log_ins() -> list[LogInRecord]:
    """Two that last, one that failed, one that is over; the newest first."""
    desk, server = {"mac": "52:54:00:00:00:21", "node": "desk-1"}, "10.0.0.1"
    silent = f"The server {server} does not answer."
    return [
        LogInRecord(**desk, user="carol", server=server, began=NOW - 1200),
        LogInRecord(**desk, user="carol", server=server, began=NOW - 1260, ended=NOW - 1260, failed=silent),
        LogInRecord(mac="52:54:00:00:00:23", node="desk-3", user="erin", server=server, began=NOW - 3000),
        LogInRecord(
            mac="52:54:00:00:00:22", node="desk-2", user="dave", server=server, began=NOW - 9000, ended=NOW - 600
        ),
    ]
