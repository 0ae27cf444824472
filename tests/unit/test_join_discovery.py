"""Advertisements of farms, as they come from strangers, and as a server makes them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import ApiConfig, Config, SchedulerConfig
from farm.watch.mdns import MAX_ADVERTISED, FoundFarm, farm_advertisement, parse_farm

GOOD: dict[bytes, bytes | None] = {b"farm": b"lab", b"netname": b"icecream-lab", b"scheduler": b"10.77.0.1:8765"}
FARM = FoundFarm("lab", "icecream-lab", "10.77.0.1", 8765, "")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(name="lab"), FARM),
        (
            Config(name="lab", scheduler=SchedulerConfig(netname="mine", port=9000), api=ApiConfig(port=8070)),
            FoundFarm("lab", "mine", "10.77.0.1", 9000, "http://10.77.0.1:8070"),
        ),
        (
            Config(name="lab", scheduler=SchedulerConfig(port=65534), api=ApiConfig(port=65535)),
            FoundFarm("lab", "icecream-lab", "10.77.0.1", 65534, "http://10.77.0.1:65535"),
        ),
    ],
)
def test_what_a_server_says_is_understood(config: Config, expected: FoundFarm) -> None:
    info = farm_advertisement(config)
    assert expected == parse_farm(info.properties)
    assert (config.scheduler.port, ["10.77.0.1"]) == (info.port, info.parsed_addresses())


@pytest.mark.parametrize(
    "wrong",
    [
        {b"farm": b""},
        {b"farm": None},
        {b"farm": b"x" * 200},
        {b"farm": b"a\x1b[2Jb"},
        {b"netname": b""},
        {b"scheduler": b"10.77.0.1"},
        {b"scheduler": b"10.77.0.999:8765"},
        {b"scheduler": b"0.0.0.0:8765"},
        {b"scheduler": b"224.0.0.1:8765"},
        {b"scheduler": b"10.77.0.1:65535"},
        {b"scheduler": b"10.77.0.1:8765 "},
        {b"api": b"https://10.77.0.1:1"},
        {b"api": b"http://10.77.0.2:8070"},
        {b"api": b"http://10.77.0.1:8070/path"},
        {b"api": b"http://10.77.0.1:80@evil:1"},
    ],
)
def test_what_cannot_be_a_farm_is_left_out(wrong: dict[bytes, bytes | None]) -> None:
    assert FARM == parse_farm(GOOD)
    assert parse_farm({**GOOD, **wrong}) is None


keys = st.sampled_from([b"farm", b"netname", b"scheduler", b"api"])
values = st.none() | st.binary(max_size=300) | st.from_regex(rb"(http://)?[0-9.]{1,15}:[0-9]{1,6}", fullmatch=True)


@given(st.dictionaries(keys, values))
def test_whatever_comes_is_bounded(properties: dict[bytes, bytes | None]) -> None:
    farm = parse_farm({**GOOD, **properties})
    if farm is not None:
        assert all(text.isprintable() and len(text) <= MAX_ADVERTISED for text in (farm.name, farm.netname, farm.api))
        assert ipaddress.IPv4Address(farm.scheduler)
        assert 0 < farm.port < 65535
        assert farm.api == "" or farm.api.startswith(f"http://{farm.scheduler}:")
