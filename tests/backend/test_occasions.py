"""Occasions: how they are asked for, when they are on, and what a backend does about them that is right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from crosstalk.backend.occasions import OCCASIONS, Occasion, Schedule, list_occasions, parse_occasion
from tests.backend.client import backend, mint
from tests.backend.test_process import ended

seconds = st.floats(0.0, 1e5, allow_nan=False)
occasions = st.builds(Occasion, st.sampled_from(sorted(OCCASIONS)), seconds, seconds)
USER = "occ00001"


@given(occasions)
def test_what_is_written_is_read_back(occasion):
    assert parse_occasion(str(occasion)) == occasion


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("restrat:after=3", "did you mean restart"),
        ("restart:at=3", "after=SECONDS nor for=SECONDS"),
        ("restart:after=soon", "not a number of seconds"),
        ("restart:after=-1", "not a number of seconds"),
    ],
)
def test_a_mistake_is_named(text, hint):
    with pytest.raises(ValueError, match=hint):
        parse_occasion(text)


def test_what_is_left_out_has_a_default():
    assert parse_occasion("try_later") == Occasion("try_later", 0.0, OCCASIONS["try_later"][1])
    assert parse_occasion("try_later:after=2+for=1.5") == Occasion("try_later", 2.0, 1.5)


@given(st.lists(occasions, max_size=4), seconds)
def test_it_is_on_from_its_beginning_to_its_end(planned, passed):
    now = [100.0]
    schedule = Schedule(planned, lambda: now[0])
    assert not any(schedule.on(name) for name in OCCASIONS)  # nothing before the process listens
    schedule.begin()
    now[0] += passed
    since = now[0] - 100.0
    for name in OCCASIONS:
        expected = any(one.name == name and one.after_s <= since < one.after_s + one.for_s for one in planned)
        assert schedule.on(name) == expected == (name in schedule.now())


def test_the_list_names_each_first():
    listed = ended("--list-occasions", JWT_SECRET_KEY=None).stdout.rstrip("\n")
    assert listed == list_occasions()
    assert [line.split()[0] for line in listed.splitlines()] == list(OCCASIONS)


def test_a_wrong_one_ends_the_backend_with_one_line():
    done = ended("--occasion", "earthquake")
    assert done.returncode == 2
    assert "unknown occasion 'earthquake'" in done.stderr


def closing(client):
    """How a client that only listens is sent away."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            client.read()
    return caught.value.rcvd.code, caught.value.rcvd.reason


def test_a_restart_waits_for_runs_says_1012_and_keeps_what_there_was():
    with backend("--occasion", "restart:after=1+for=0.3") as process:
        with process.user(USER) as client:
            client.start("a long answer, please", thread_id="thread-kept")
            frames = client.read_to_end()
            if frames[-1]["type"] == "agent_completed":  # it began before the restart, and was not cut off by it
                assert "agent_response_chunk" in {frame["type"] for frame in frames}
            assert closing(client) == (1012, "service restart")
        again = _come_back(process)
        assert again["type"] == "connection_established"
        messages = process.http("GET", "/api/threads/thread-kept/messages", user=USER)[1]["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"]
        assert process.http("GET", "/health/occasions")[1]["planned"] == [{"name": "restart", "after": 1.0, "for": 0.3}]


def _come_back(process):
    """The welcome of a connection, tried again until somebody listens."""
    for _ in range(10_000):
        try:
            with process.user(USER) as client:
                return client.welcome
        except (ConnectionRefusedError, ConnectionResetError):
            continue
    raise AssertionError("nobody listens any more")


def test_who_comes_too_early_is_told_to_come_later():
    with backend("--occasion", "try_later:after=0+for=600") as process:
        headers = {"Authorization": f"Bearer {mint(USER)}"}
        with process.open(additional_headers=headers) as socket, pytest.raises(ConnectionClosed) as caught:
            while True:
                socket.recv(timeout=5)
        assert caught.value.rcvd.code == 1013
        assert process.http("GET", "/health")[0] == 200
        assert process.http("GET", "/health/occasions")[1]["now"] == ["try_later"]


def test_all_are_sent_away_and_may_come_back_at_once():
    with backend("--occasion", "close_all:after=0.5") as process:
        with process.user(USER) as client, process.user("occ00002") as other:
            assert closing(client) == closing(other) == (1012, "service restart")
        with process.user(USER) as client:
            assert client.run("hello")[-1]["type"] == "agent_completed"


def test_a_cache_that_is_down_is_no_outage():
    with backend("--occasion", "cache_down:after=0+for=600") as process:
        status, health, _ = process.http("GET", "/health")
        assert (status, health["status"], health["parts"]["cache"]) == (200, "degraded", "degraded")
        with process.user(USER) as client:
            assert client.run("hello")[-1]["type"] == "agent_completed"


def test_a_dependency_that_is_away_opens_the_breaker():
    with backend("--occasion", "dependency_down:after=0+for=600") as process:
        statuses = [process.http("GET", "/api/insights", user=USER)[0] for _ in range(4)]
        assert statuses == [502, 502, 502, 503]
