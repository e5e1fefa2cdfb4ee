"""A run that is cut in its middle and sent again: whole wherever the cut is, and not whole when anything is wrong."""

from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.replay import Rejoined, rejoin
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.lifecycle import FIVE_EVENTS

RUN, CHUNKS = "run-1", 6
SENT = [
    Event(Kind.STARTED, RUN, key="s"),
    Event(Kind.THINKING, RUN, key="t"),
    *(Event(Kind.CHUNK, RUN, text=f"w{n} ", index=n, key=f"c{n}") for n in range(CHUNKS)),
    Event(Kind.COMPLETED, RUN, text="".join(f"w{n} " for n in range(CHUNKS)), key="e"),
]
BESIDE = [Event(Kind.ACK), Event(Kind.PONG), Event(Kind.OTHER)]


def rejoined(before: list[Event], early: list[Event], replay: list[Event], later: list[Event]) -> Rejoined:
    after = [*early, Event(Kind.OTHER, name="resumed"), *replay, *later]
    return rejoin(before, after, replay_at=len(early), replayed=sum(e.run_id != "" for e in replay), run_id=RUN,
                  lifecycle=FIVE_EVENTS, expects=("chunk",))  # fmt: skip


cuts = st.lists(st.integers(0, len(SENT)), min_size=3, max_size=3).map(sorted)


@given(cuts)
def test_a_run_is_whole_wherever_it_was_cut(cut: list[int]) -> None:
    lost, back, offered = cut
    found = rejoined(SENT[:lost], SENT[back:offered], [*SENT[lost:back], *BESIDE], SENT[offered:])
    assert found == Rejoined(True, back - lost, ())


@given(cuts.filter(lambda cut: cut[0] < cut[1]), st.data())
def test_an_event_that_is_skipped_or_repeated_is_found(cut: list[int], data: st.DataObject) -> None:
    lost, back, offered = cut
    replay = SENT[lost:back]
    at = data.draw(st.integers(0, len(replay) - 1))
    skipped = rejoined(SENT[:lost], SENT[back:offered], [*replay[:at], *replay[at + 1 :]], SENT[offered:])
    assert not skipped.ended or skipped.violations
    twice = rejoined(SENT[:lost], SENT[back:offered], [*replay[: at + 1], *replay[at:]], SENT[offered:])
    assert twice.violations


def test_what_was_missed_must_come_in_order() -> None:
    swapped = [*SENT[2:4], SENT[5], SENT[4], *SENT[6:]]
    assert [one.name for one in rejoined(SENT[:2], [], swapped, []).violations] == ["out_of_order"]


def test_events_of_other_runs_are_none_of_its_business() -> None:
    other = [Event(Kind.CHUNK, "run-2", text="x", index=0, key="x")]
    assert rejoined([*other, *SENT[:4]], [], SENT[4:], other) == Rejoined(True, len(SENT) - 4, ())


def test_a_run_that_has_not_ended_is_not_judged_yet() -> None:
    assert rejoined(SENT[:2], [], SENT[2:4], []) == Rejoined(False, 2, ())
