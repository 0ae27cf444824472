import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.scheduler.channel import NEWEST_PROTOCOL, ProtocolError, encode, encode_text, encode_version
from farm.scheduler.protocol import (
    Event,
    JobBegun,
    JobDone,
    JobRequested,
    LocalBegun,
    LocalDone,
    MonitorMessage,
    MonitorSession,
    NodeForged,
    NodeOffline,
    NodeStats,
    SchedulerEnd,
)

STATS = (
    "Name:pc01\nIP:10.77.0.51\nMaxJobs:4\nNoRemote:false\nPlatform:x86_64\nVersion:43\n"
    "Features:env_xz env_zstd\nSpeed:587.370000\nLoad:120\n"
)


def integers(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}I", *values)


def connected(protocol: int = 43) -> MonitorSession:
    session = MonitorSession()
    assert session.receive(encode_version(protocol)) == ([], encode_version(min(protocol, NEWEST_PROTOCOL)))
    assert session.receive(encode_version(min(protocol, NEWEST_PROTOCOL))) == ([], b"\0\0\0\4\0\0\0\x52")
    return session


def decoded(kind: int, body: bytes, protocol: int = 43) -> list[Event]:
    return connected(protocol).receive(encode(kind, body))[0]


@pytest.mark.parametrize(("offer", "agreed"), [(21, 21), (43, 43), (44, 44), (60, 44)])
def test_the_lower_version_is_agreed(offer: int, agreed: int) -> None:
    assert MonitorSession().greeting() == b"\x2c\0\0\0"
    session = connected(offer)
    assert agreed == session.protocol
    assert not session.unfinished


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (encode_version(20), "Its protocol is 20; 21 or later is needed."),
        (encode_version((1 << 20) + 1), "The program that answers is not icecream."),
        (b"HTTP/1.1 400", "The program that answers is not icecream."),
    ],
)
def test_what_is_no_scheduler_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        MonitorSession().receive(data)
    assert why == caught.value.why


def test_versions_that_differ_are_refused() -> None:
    with pytest.raises(ProtocolError):
        MonitorSession().receive(encode_version(43) + encode_version(42))


@pytest.mark.parametrize("kind", [MonitorMessage.MON_GET_CS, MonitorMessage.GET_CS])
def test_job_requested(kind: int) -> None:
    body = encode_text("src/a.c") + integers(1, 7, 3)
    assert [JobRequested(job=7, submitter=3, file="src/a.c", language=1)] == decoded(kind, body)


def test_job_requested_before_protocol_29() -> None:
    environments = integers(1) + encode_text("x86_64") + encode_text("abc")
    head = environments + encode_text("a.c") + integers(0, 1) + encode_text("x86_64") + integers(0, 9)
    expected = [JobRequested(job=7, submitter=3, file="a.c", language=0)]
    assert expected == decoded(MonitorMessage.MON_GET_CS, head + encode_text("") + integers(7, 3), protocol=28)
    assert expected == decoded(MonitorMessage.MON_GET_CS, head + integers(7, 3), protocol=21)


def test_job_begun() -> None:
    assert [JobBegun(job=7, host=2, started=1000)] == decoded(MonitorMessage.MON_JOB_BEGIN, integers(7, 1000, 2))


@pytest.mark.parametrize("kind", [MonitorMessage.MON_JOB_DONE, MonitorMessage.JOB_DONE])
@pytest.mark.parametrize(("protocol", "tail"), [(38, b""), (39, integers(5)), (44, integers(5))])
def test_job_done(kind: int, protocol: int, tail: bytes) -> None:
    body = integers(7, 0xFFFFFFFF, 10, 20, 30, 40, 50, 60, 70, 80, 1) + tail
    expected = JobDone(7, -1, 10, 20, 30, 40, 50, 60, 70, 80, from_submitter=True)
    assert [expected] == decoded(kind, body, protocol)


@pytest.mark.parametrize("requested", [MonitorMessage.MON_GET_CS, MonitorMessage.GET_CS])
@pytest.mark.parametrize("done", [MonitorMessage.MON_JOB_DONE, MonitorMessage.JOB_DONE])
@pytest.mark.parametrize("protocol", range(21, 45))
def test_a_job_in_every_protocol_and_by_both_labels(protocol: int, requested: int, done: int) -> None:
    if protocol >= 29:
        request = encode_text("a.c") + integers(0, 7, 3)
    else:
        request = integers(0) + encode_text("a.c") + integers(0, 1) + encode_text("x86_64") + integers(0, 9)
        request += (encode_text("pc01") if protocol >= 22 else b"") + integers(7, 3)
    end = integers(7, 0, 10, 20, 30, 40, 50, 60, 70, 80, 0) + (integers(5) if protocol >= 39 else b"")
    events, _ = connected(protocol).receive(
        encode(requested, request) + encode(MonitorMessage.MON_JOB_BEGIN, integers(7, 1000, 2)) + encode(done, end)
    )
    expected = [
        JobRequested(7, 3, "a.c", 0),
        JobBegun(7, 2, 1000),
        JobDone(7, 0, 10, 20, 30, 40, 50, 60, 70, 80, from_submitter=False),
    ]
    assert expected == events


def test_local_jobs() -> None:
    body = integers(3, 8, 1000) + encode_text("a.out")
    assert [LocalBegun(job=8, host=3, started=1000, file="a.out")] == decoded(MonitorMessage.MON_LOCAL_JOB_BEGIN, body)
    assert [LocalDone(8)] == decoded(MonitorMessage.JOB_LOCAL_DONE, integers(8))


def test_stats() -> None:
    expected = NodeStats(
        host=5,
        name="pc01",
        address="10.77.0.51",
        max_jobs=4,
        no_remote=False,
        platform="x86_64",
        protocol=43,
        features=("env_xz", "env_zstd"),
        speed=587.37,
        load=120,
    )
    assert [expected] == decoded(MonitorMessage.MON_STATS, integers(5) + encode_text(STATS))


def test_stats_after_a_report() -> None:
    text = STATS + "LoadAvg1:500\nLoadAvg5:1500\nLoadAvg10:2500\nFreeMem:812\n"
    (event,) = decoded(MonitorMessage.MON_STATS, integers(5) + encode_text(text))
    assert isinstance(event, NodeStats)
    assert (event.load_averages, event.free_memory) == ((0.5, 1.5, 2.5), 812)


def test_a_node_keeps_its_slots_while_the_scheduler_waits_for_its_pong() -> None:
    """prune_servers in scheduler.cpp makes their number negative for that time."""
    body = integers(5) + encode_text(STATS.replace("MaxJobs:4", "MaxJobs:-4"))
    (event,) = decoded(MonitorMessage.MON_STATS, body)
    assert isinstance(event, NodeStats)
    assert event.max_jobs == 4


def test_digits_of_other_scripts_are_no_number() -> None:
    (event,) = decoded(MonitorMessage.MON_STATS, integers(5) + encode_text(STATS.replace("MaxJobs:4", "MaxJobs:٤")))
    assert isinstance(event, NodeStats)
    assert event.max_jobs == 0


def test_offline() -> None:
    assert [NodeOffline(5)] == decoded(MonitorMessage.MON_STATS, integers(5) + encode_text("State:Offline\n"))


@pytest.mark.parametrize(
    ("genuine", "forged"),
    [
        ("pc01", "pc01\nState:Offline"),
        ("pc01", "virtual-1\nIP:10.77.0.50\nMaxJobs:0"),
        ("pc01", "pc01\nX:y"),
        ("pc01", "pc01\nline"),
        ("x86_64", "x86_64\nName:virtual-1\nIP:10.77.0.50\nMaxJobs:0"),
        ("x86_64", "x86_64\nLoad:1000"),
    ],
)
def test_a_text_with_lines_of_the_daemons_own_is_not_believed(genuine: str, forged: str) -> None:
    body = integers(5) + encode_text(STATS.replace(genuine, forged))
    assert [NodeForged(5)] == decoded(MonitorMessage.MON_STATS, body)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(NAMES, NAMES)
def test_no_name_or_platform_speaks_for_another_daemon(name: str, platform: str) -> None:
    text = STATS.replace("pc01", name).replace("x86_64", platform)
    (event,) = decoded(MonitorMessage.MON_STATS, integers(5) + encode_text(text))
    assert isinstance(event, NodeForged) or (isinstance(event, NodeStats) and event.address == "10.77.0.51")


def test_impossible_values_do_not_break_the_connection() -> None:
    text = STATS.replace("587.370000", "nan").replace("120", "²")
    (event,) = decoded(MonitorMessage.MON_STATS, integers(5) + encode_text(text))
    assert isinstance(event, NodeStats)
    assert (event.name, event.speed, event.load) == ("pc01", 0.0, 0)


def test_what_came_before_a_fault_is_kept() -> None:
    session = connected()
    with pytest.raises(ProtocolError):
        session.receive(encode(MonitorMessage.JOB_LOCAL_DONE, integers(8)) + encode(97))
    assert [LocalDone(8)] == session.events


def test_end_and_messages_for_others() -> None:
    assert [SchedulerEnd()] == decoded(MonitorMessage.END, b"")
    assert decoded(66, b"") == []


@pytest.mark.parametrize(
    "data",
    [
        integers(3),  # shorter than a type
        integers((1 << 20) + 1),
        encode(64),
        encode(97),
        encode(MonitorMessage.MON_JOB_BEGIN, integers(1, 2)),
        encode(MonitorMessage.MON_JOB_BEGIN, integers(1, 2, 3, 4)),
        encode(MonitorMessage.MON_GET_CS, integers(100) + b"a"),
        encode(MonitorMessage.MON_GET_CS, integers(1) + b"a" + integers(1, 2, 3)),
    ],
)
def test_malformed_messages(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        connected().receive(data)


@given(st.binary(max_size=400), st.integers(21, 44))
def test_any_bytes_give_events_or_a_protocol_error(data: bytes, protocol: int) -> None:
    with contextlib.suppress(ProtocolError):
        connected(protocol).receive(data)


@given(st.sampled_from(list(MonitorMessage)), st.binary(max_size=200), st.integers(21, 44))
def test_any_body_gives_events_or_a_protocol_error(kind: int, body: bytes, protocol: int) -> None:
    try:
        events, answer = connected(protocol).receive(encode(kind, body))
    except ProtocolError:
        return
    assert (len(events) <= 1, answer) == (True, b"")


@given(st.text(), st.integers(21, 44))
def test_any_stats_text_gives_one_event(text: str, protocol: int) -> None:
    raw = text.encode(errors="replace")
    (event,) = decoded(MonitorMessage.MON_STATS, integers(5, len(raw) + 1) + raw + b"\0", protocol)
    assert isinstance(event, NodeStats | NodeOffline)


def test_an_oversized_message_is_refused_even_when_it_is_there() -> None:
    assert decoded(66, b"\0" * ((1 << 20) - 4)) == []
    with pytest.raises(ProtocolError, match="announced"):
        connected().receive(encode(66, b"\0" * ((1 << 20) - 3)))


def test_a_message_does_not_read_on_into_the_next() -> None:
    """Each is a word too short, and the next one would lend it."""
    for kind, body in [
        (MonitorMessage.MON_JOB_BEGIN, integers(1, 2)),
        (MonitorMessage.MON_JOB_DONE, integers(*range(11))),
        (MonitorMessage.MON_GET_CS, encode_text("a.c") + integers(1, 2)),
        (MonitorMessage.MON_GET_CS, integers(5) + b"a"),
        (MonitorMessage.MON_LOCAL_JOB_BEGIN, integers(1, 2, 3)),
        (MonitorMessage.MON_STATS, integers(1)),
        (MonitorMessage.JOB_LOCAL_DONE, b""),
    ]:
        with pytest.raises(ProtocolError):
            connected().receive(encode(kind, body) + encode(MonitorMessage.JOB_LOCAL_DONE, integers(8)) * 9)


def test_a_name_of_300_characters_and_escape_sequences_comes_through() -> None:
    name = "\x1b]0;x\x07[bold]" * 20
    (event,) = decoded(MonitorMessage.MON_STATS, integers(5) + encode_text(STATS.replace("pc01", name)))
    assert isinstance(event, NodeStats)
    assert (event.name, event.load) == (name, 120)


@given(st.lists(st.integers(1, 9), max_size=60))
def test_pieces_make_no_difference(sizes: list[int]) -> None:
    stream = encode_version(43) * 2 + b"".join(
        [
            encode(MonitorMessage.MON_STATS, integers(5) + encode_text(STATS)),
            encode(MonitorMessage.MON_JOB_BEGIN, integers(7, 1000, 2)),
            encode(MonitorMessage.JOB_LOCAL_DONE, integers(8)),
        ]
    )
    whole = MonitorSession().receive(stream)[0]
    session, events = MonitorSession(), []
    for size in [*sizes, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        events += session.receive(piece)[0]
    assert (3, whole, False) == (len(events), events, session.unfinished)
