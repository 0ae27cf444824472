"""What lts.conf says of sound, and what PipeWire tells of itself: parsers and pure functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.session.extras.sound import mixer_words, wireplumber_conf
from farm.node.session.lts_values import LtsValues
from farm.node.session.pipewire_dump import MAX_NAME, heard

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda some: (
        st.lists(some)
        | st.dictionaries(
            st.sampled_from(["info", "props", "params", "Props", "metadata", "value", "channelVolumes", "media.class"])
            | st.text(),
            some,
        )
    ),
)


def node(kind: str, name: str, title: str = "", **props: Any) -> dict[str, Any]:
    """A device as pw-dump tells of it."""
    said = {"media.class": kind, "node.name": name, "node.description": title}
    return {"type": "PipeWire:Interface:Node", "info": {"props": said, "params": {"Props": [props]}}}


def defaults(**names: str) -> dict[str, Any]:
    """Which devices are in use."""
    entries = [{"key": f"default.audio.{key}", "value": {"name": name}} for key, name in names.items()]
    return {"type": "PipeWire:Interface:Metadata", "metadata": entries}


def test_the_output_that_is_in_use_is_told_with_the_volume_that_people_see() -> None:
    dump = [
        node("Audio/Sink", "hdmi", "HDMI", channelVolumes=[1.0], mute=False),
        node("Audio/Sink", "card", "Built-in\x1b[2J Audio", channelVolumes=[0.1, 0.729], mute=True),
        node("Audio/Source", "mic", "Microphone"),
        defaults(sink="card", source="mic"),
    ]
    told = {"output": "Built-in[2J Audio", "volume": 90, "muted": True, "microphone": "Microphone"}
    assert told == heard(json.dumps(dump))


def test_without_a_card_there_is_neither_output_nor_volume() -> None:
    dump = [node("Audio/Sink", "auto_null", "Dummy Output", channelVolumes=[1.0]), defaults(sink="auto_null")]
    assert {"output": "", "microphone": ""} == heard(json.dumps(dump))
    assert {} == heard("[")
    assert {} == heard("[" * 100_000)


@given(ANY_JSON | st.lists(ANY_JSON))
def test_whatever_is_told_is_read(dump: object) -> None:
    told = heard(json.dumps(dump))
    assert len(str(told.get("output", ""))) <= MAX_NAME and len(told) <= 4


@pytest.mark.parametrize(
    "said, output, microphone",
    [
        ({}, "0.729000", "1.000000"),
        ({"VOLUME": "50", "MIC_VOLUME": "0"}, "0.125000", "0.000000"),
        ({"VOLUME": "101", "MIC_VOLUME": "loud"}, "0.729000", "1.000000"),
    ],
)
def test_wireplumber_is_told_the_cube(said: dict[str, str], output: str, microphone: str) -> None:
    conf = wireplumber_conf(LtsValues(said)).splitlines()
    assert [output, microphone] == [line.rpartition(" = ")[2] for line in conf]


def test_channels_of_the_mixer() -> None:
    said = {
        "VOLUME": "80",
        "PCM_VOLUME": "70",
        "CD_VOLUME": "60",
        "FRONT_MIC_VOLUME": "50",
        "MIC_VOLUME": "40",
        "HEADPHONE_VOLUME": "200",
        "-D_VOLUME": "1",
    }
    assert [
        ["Master", "80%", "unmute"],
        ["CD", "60%", "unmute"],
        ["Front Mic", "capture", "50%", "cap"],
        ["Capture", "capture", "40%", "cap"],
        ["PCM", "70%", "unmute"],
    ] == mixer_words(LtsValues(said))
