"""A tone for tests of sound: made, and found again in what was recorded."""

from __future__ import annotations

import io
import math
import wave
from array import array
from collections.abc import Sequence
from itertools import pairwise

RATE = 48_000
"""Frames in a second."""
AMPLITUDE = 16_000


def wav(hertz: int, seconds: float) -> bytes:
    """A file with a sine, of one channel and 16 bits."""
    second = array("h", (round(AMPLITUDE * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(RATE)))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(second.tobytes() * math.ceil(seconds))
    return file.getvalue()


def has_tone(recorded: bytes, hertz: int, rate: int = RATE, channels: int = 1) -> bool:
    """Whether half a second of what was recorded is a tone of this frequency, within a hundredth, and loud enough."""
    samples = array("h", recorded[: len(recorded) // 2 * 2])[::channels]
    window = rate // 2
    starts = range(0, len(samples) - window + 1, window // 2)
    return any(_is_tone(samples[at : at + window], hertz, rate) for at in starts)


def _is_tone(samples: Sequence[int], hertz: int, rate: int) -> bool:
    rises = sum(1 for before, after in pairwise(samples) if before < 0 <= after)
    return max(samples) > AMPLITUDE // 20 and abs(rises * rate / len(samples) - hertz) <= hertz / 100 + 2
