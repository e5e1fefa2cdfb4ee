"""When a leak bites: one of each kind of place, under each condition, and as often on the wire as the log says."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.backend.client import Backend, backend, streamed

A, B = "user-0900", "user-0901"
MARK, OWN = "ctlk" + "abcdefgh" * 4, "ctlk" + "qrstuvwx" * 4
#: an event, its frames, a transform, steps of their own, the plan, another's socket
LEAKS = ("leak_thought", "leak_key", "leak_reversed", "leak_split_chunks", "leak_memory", "leak_broadcast")
#: some faults at a rate, some while others run, some after a cancel: each account has one
WHEN = {f"{name}:{rate}": 10 * row + column
        for column, name in enumerate(LEAKS)
        for row, rate in enumerate(("0.5:{}", "1:{}+overlap", "1:{}+after_cancel"), start=1)}  # fmt: skip


def backend_with_faults(time_scale: str):
    arguments = [part for spec, account in WHEN.items() for part in ("--fault", spec.format(account))]
    return backend("--time-scale", time_scale, *arguments)


@pytest.fixture(scope="module")
def sometimes() -> Iterator[Backend]:
    with backend_with_faults("0.02") as process:
        yield process


@pytest.fixture(scope="module")
def unhurried() -> Iterator[Backend]:
    """A long answer takes half a second here: long enough for another run to fall into it."""
    with backend_with_faults("0.2") as process:
        yield process


def say(reference):
    return f"what did I say before? Please repeat this reference: {reference}"


def leaks(frames, name, others):
    """Whether B heard what is A's; of a broadcast, whether others heard what is B's."""
    if name == "leak_broadcast":
        return any(OWN in json.dumps(frame) or frame.get("user_id") not in (None, A) for frame in others)
    return any(MARK in json.dumps(frame) or MARK[::-1] in json.dumps(frame) for frame in frames) or MARK in streamed(
        frames
    )


@pytest.mark.parametrize("name", LEAKS)
def test_a_rate_is_a_share_of_the_runs_and_each_is_logged(sometimes, name):
    user = f"user-{WHEN[f'{name}:0.5:{{}}']:04}"
    with sometimes.user(A) as a, sometimes.user(user) as b:
        a.run(say(MARK))
        found = [leaks(b.run(say(OWN)), name, a.drain()) for _ in range(16)]
    logged = re.findall(rf"fault {name} bites user {user}, ", sometimes.log.read_text())
    assert 0 < sum(found) == len(logged) < 16


@pytest.mark.parametrize("name", LEAKS)
def test_only_while_another_runs(unhurried, name):
    user = f"user-{WHEN[f'{name}:1:{{}}+overlap']:04}"
    with unhurried.user(A) as a, unhurried.user(user) as b:
        a.run(say(MARK))
        assert not leaks(b.run(say(OWN)), name, a.drain())
        a.start(f"long answer. {say(MARK)}")
        a.read()
        frames = b.run(say(OWN))
        assert leaks(frames, name, a.read_to_end())


@pytest.mark.parametrize("name", LEAKS)
def test_only_after_a_cancel_and_once(sometimes, name):
    user = f"user-{WHEN[f'{name}:1:{{}}+after_cancel']:04}"
    with sometimes.user(A) as a, sometimes.user(user) as b:
        run_id = a.start(f"long answer. {say(MARK)}")
        a.send("stop_agent", payload={"run_id": run_id})
        a.read_to_end()
        found = [leaks(b.run(say(OWN)), name, a.drain()) for _ in range(3)]
        assert found == [True, False, False]
