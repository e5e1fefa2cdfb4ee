"""Faults of the events of runs as they reach a client: envelopes, labels, retries, and the text as it streams.

`judged_as` names the step of a journey that fails by it, where there is one: "step FAMILY/STEP".
"""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_ENVELOPES = {"agui": "no: it has one envelope", "per_run": "no: it has one envelope"}
_NETRA = {"agui": "no: its frames are labelled otherwise", "per_run": "no: its frames are labelled otherwise"}
_THOUGHT = "a run: its first thought"
_CHUNKS = "a run: its chunks"
_METADATA = "step five_events/metadata and ids"
_BATCHED = "step five_events/envelope batched"
_RETRIES = "a run: on a flattened socket with retries"

EVENTS: tuple[Fault, ...] = (
    Fault(
        "envelope_ignored",
        "the welcome names the envelope that was asked for, the events come in the main one",
        "a socket: with another envelope than the main one",
        "step five_events/envelope flattened",
        _ENVELOPES,
    ),
    Fault(
        "envelope_wrong_name",
        "a wrapper comes without the real name in it",
        "a run: on a wrapped socket",
        "step five_events/envelope wrapped",
        _ENVELOPES,
    ),
    Fault("batch_reordered", "a batch is sent back to front", "a batch: of several events", _BATCHED, _ENVELOPES),
    Fault(
        "batch_over_limit",
        "batches of up to 40 events and 400 ms",
        "a socket: with batches",
        _BATCHED,
        _ENVELOPES,
    ),
    Fault("metadata_missing", "an event without agent and time", _THOUGHT, _METADATA, _NETRA),
    Fault("ids_missing", "an event without the ids of its run and its user", _THOUGHT, _METADATA, _NETRA),
    Fault("timestamp_backwards", "an event that says it is 5 s older", _THOUGHT, _METADATA, _NETRA),
    Fault(
        "tool_pair_broken",
        "a tool's result bears the id of a call that nobody made",
        "a run: with a tool",
        "step five_events/tools paired",
    ),
    Fault(
        "retry_unmarked",
        "an event that is sent again says that it is sent for the first time",
        _RETRIES,
        "step five_events/retries",
        _ENVELOPES,
    ),
    Fault(
        "retry_after_end",
        "an event is sent again after the end of its run",
        _RETRIES,
        "step five_events/one end",
        _ENVELOPES,
    ),
    Fault(
        "nothing_streamed",
        "the whole answer comes with the end, no chunk before",
        _CHUNKS,
        "step streaming/first chunk",
    ),
    Fault("chunks_held_back", "all chunks come at once", _CHUNKS, "step streaming/gaps"),
    Fault("chunk_swapped", "two neighbouring chunks change places", _CHUNKS, "step streaming/whole text"),
    Fault(
        "final_text_differs",
        "the text of the end lacks its last sentence",
        "a run: its end",
        "step streaming/whole text",
    ),
    Fault(
        "slow_reader_drops",
        "chunks for which there is no room are dropped",
        "a socket: whose client does not read",
        "step streaming/slow reader",
        {"agui": "no: its frames are not told apart", "per_run": "no: its frames are not told apart"},
    ),
    Fault(
        "slow_reader_stalls_all",
        "while one client does not read, nobody is sent anything",
        "a socket: whose client does not read",
        "step streaming/others unhurt",
    ),
    Fault(
        "interrupt_ignored",
        "a cancel changes nothing: the run goes on to its end",
        "a run: its cancel",
        "step streaming/interruption",
    ),
    Fault(
        "chunks_after_interrupt",
        "a cancelled run says its end, and its chunks go on",
        "a run: its cancel",
        "step streaming/silence after the interruption",
    ),
    Fault(
        "partial_lost",
        "of an answer that was cut short, nothing is kept",
        "a run: its cancel",
        "step streaming/partial result",
    ),
)
