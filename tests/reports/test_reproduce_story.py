"""A leak's neighbourhood, from rows to a story, and what of it can be left out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from crosstalk.live_run import ASKS_TO_REPEAT
from reports.reproduce_kinds import READ, NotReproducible, check_kind
from reports.reproduce_story import PAUSE_MAX_MS, Said, Step, Story, User, story_of, the_pair

MS = 1_000_000
SAID = Said({"question": (("What does it cost?", "And who pays?"), "prompt"), "shared": (("Summarise.",), "context")})


def run(account: str, sent_ms: int, end_ms: int | None, **more: Any) -> dict[str, Any]:
    name = f"run-{account}-{sent_ms}"
    return {
        "run": name, "account": account, "thread": f"thread-{account}", "prompt": "question", "sent_ns": sent_ms * MS,
        "end_ns": None if end_ms is None else end_ms * MS, "first_event_ns": (sent_ms + 5) * MS, 
        "stall_max_ns": 40 * MS, "outcome": "ok", "signature": "", "cancelled_ns": None, **more,
    }  # fmt: skip


def connection(account: str, begun_ms: int, ended_ms: int = 99_000, **more: Any) -> dict[str, Any]:
    row = {"account": account, "purpose": "user", "begun_ns": begun_ms * MS, "ready_ns": (begun_ms + 2) * MS}
    return {**row, "ended_ns": ended_ms * MS, "closed_by": "us", **more}


def leak(**more: Any) -> dict[str, Any]:
    row = {
        "violation": "local-b-c1-v1", "judgement": "isolation", "name": "foreign_content", "scope": "cross_user",
        "channel": 2, "owner": "a00001", "observer": "b00002", "owner_run": "run-a00001-5000", "run": "run-b00002-5010",
        "surfaced_ns": 5_300 * MS, "event_kind": "chunk", "decode": "plain", "came": "a prompt reference of a00001",
    }  # fmt: skip
    return {**row, **more}


RUNS = [
    run("a00001", 1_000, 1_500),  # long over
    run("a00001", 5_000, 5_400),
    run("b00002", 5_010, 5_500),
    run("c00003", 4_100, 4_900, cancelled_ns=4_500 * MS),  # over, but within the lead
    run("d00004", 5_200, None),
    run("e00005", 5_301, 5_600),  # began after the leak
]
CONNECTIONS = [connection(name, at) for name, at in
               (("b00002", 1), ("a00001", 2), ("c00003", 3), ("d00004", 4), ("e00005", 5))]  # fmt: skip


def made(violation: dict[str, Any] | None = None, **more: Any) -> Story:
    given = {"runs": RUNS, "connections": CONNECTIONS, "frames": [], "said": SAID, **more}
    return story_of(violation or leak(), given["runs"], given["connections"], given["frames"], given["said"])


def steps(story: Story) -> dict[str, list[tuple[int, str]]]:
    return {user.account: [(step.at_ms, step.what) for step in user.steps] for user in story.users}


def test_the_neighbourhood_is_what_overlapped_in_the_order_of_its_connections() -> None:
    found = made()
    assert [user.account for user in found.users] == ["b00002", "a00001", "c00003", "d00004"]
    assert steps(found) == {
        "b00002": [(910, "say")],
        "a00001": [(900, "say")],
        "c00003": [(0, "say"), (400, "cancel")],
        "d00004": [(1_100, "say")],
    }


def test_a_cancel_without_an_instant_is_placed_where_the_run_ended() -> None:
    old = {**run("c00003", 4_100, 4_650, outcome="cut", signature="cancelled by its user")}
    del old["cancelled_ns"]
    assert steps(made(runs=[*RUNS[:3], old]))["c00003"] == [(0, "say"), (550, "cancel")]


def test_a_socket_that_its_user_closed_and_opened_again_is_dropped_and_connected() -> None:
    again = [connection("a00001", 5_150), connection("a00001", 2, 5_100)]
    assert steps(made(connections=[*CONNECTIONS[:1], *again]))["a00001"][1:] == [(1_000, "drop"), (1_050, "connect")]
    lost = [connection("a00001", 5_150), connection("a00001", 2, 5_100, closed_by="peer")]
    assert [what for _, what in steps(made(connections=[*CONNECTIONS[:1], *lost]))["a00001"]] == ["say"]


def test_what_was_said_is_read_off_the_frame_that_said_it() -> None:
    def frame(name: str, body: object) -> dict[str, Any]:
        return {"run": name, "direction": "out", "body": orjson.dumps(body).decode()}

    frames = [
        frame("run-a00001-5000", {"payload": {"text": f"And who pays? {ASKS_TO_REPEAT} abc"}}),
        frame("run-a00001-5000", {"type": "stop_agent"}),
        frame("run-b00002-5010", {"payload": {"text": "Summarise.", "context": {"reference": "abc"}}}),
    ]
    runs = [*RUNS[:2], run("b00002", 5_010, 5_500, prompt="shared")]
    observer, owner = (user.steps[0] for user in made(runs=runs, frames=frames).users)
    assert (owner.text, owner.reference) == ("And who pays?", "prompt")
    assert (observer.text, observer.reference) == ("Summarise.", "context")


def test_prompts_that_nobody_knows_are_asked_for() -> None:
    with pytest.raises(NotReproducible, match="--prompts"):
        made(said=Said({}))


def test_the_pair_is_the_two_turns_of_the_leak() -> None:
    story = made()
    assert steps(the_pair(story, leak(), RUNS)) == {"b00002": [(10, "say")], "a00001": [(0, "say")]}


def test_a_leak_without_runs_falls_back_on_the_last_turns_before_it() -> None:
    nowhere = leak(run="", owner_run="")
    story = made(nowhere)
    assert steps(the_pair(story, nowhere, RUNS)) == {"b00002": [(10, "say")], "a00001": [(0, "say")]}
    with pytest.raises(NotReproducible, match="before the leak"):
        made(nowhere, runs=RUNS[:2])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"judgement": "identity"}, "every connect"),
        ({"judgement": "delivery", "name": "missing"}, "no leak"),
        ({"scope": "other_load_test"}, "another load test"),
        ({"scope": "phantom"}, "never sent"),
        ({"scope": "cross_thread", "owner": "b00002"}, "observer's own"),
        ({"owner": ""}, "nobody is known"),
        ({"name": "foreign_object_reached", "channel": 13}, "one request"),
        ({"event_kind": "close"}, "does not read"),
        ({"decode": "hex+case"}, "does not read hex"),
    ],
)
def test_what_cannot_be_driven_again_is_refused_with_a_sentence(change: dict[str, Any], why: str) -> None:
    with pytest.raises(NotReproducible, match=why):
        made(leak(**change))


def test_what_repro_reads_is_not_refused() -> None:
    check_kind(leak(decode="+".join(sorted(READ))))


def test_leaving_a_turn_out_leaves_its_cancel_out_and_a_user_without_steps() -> None:
    story = made()
    kept = [unit for unit in story.units(said=True) if unit[0] != "c00003"]
    smaller = story.with_steps([*kept, *story.units(said=False)])
    assert steps(smaller) == {"b00002": [(10, "say")], "a00001": [(0, "say")], "d00004": [(200, "say")]}
    assert steps(story.of({"a00001", "c00003"})) == {"a00001": [(900, "say")], "c00003": [(0, "say"), (400, "cancel")]}


def test_long_pauses_are_cut_for_all_users_alike() -> None:
    def says(*at_ms: int) -> tuple[Step, ...]:
        return tuple(Step(at, "say", 1, number, "x") for number, at in enumerate(at_ms))

    story = Story((User("a", says(0, 9_000)), User("b", says(100, 9_010))), "a", "b", 1_000, 20_000)
    first, second = (tuple(step.at_ms for step in user.steps) for user in story.tightened().users)
    assert (first, second) == ((0, 100 + PAUSE_MAX_MS), (100, 110 + PAUSE_MAX_MS))
    assert story.tightened().listen_ms == 20_000 - (8_900 - PAUSE_MAX_MS)
    assert story.tightened().tightened() == story.tightened()
