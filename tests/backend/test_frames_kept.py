"""Frames that a connection keeps take no more memory than they are long: there may be ten thousand connections."""

from __future__ import annotations

import tracemalloc

import pytest

from crosstalk.backend.agui_frames import AguiVoice
from crosstalk.backend.events import Event
from crosstalk.backend.netra_frames import NetraVoice
from crosstalk.backend.per_run_frames import PerRunVoice
from crosstalk.backend.plan import CHUNK

COUNT = 200
#: of a bytes object, beside its bytes
HEADER_BYTES = 64


@pytest.mark.parametrize("voice", [NetraVoice(), AguiVoice(), PerRunVoice()], ids=lambda voice: type(voice).__name__)
def test_a_frame_takes_no_more_memory_than_it_is_long(voice):
    event = Event(CHUNK, "run-1", "k3f00017", "thread-1", "supervisor", {"chunk": "some words ", "chunk_index": 3})
    voice.render(event)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        frames = [frame for _ in range(COUNT) for frame in voice.render(event)]
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(frames) >= COUNT
    assert taken < sum(len(frame) + 2 * HEADER_BYTES for frame in frames)
