"""Faults that need a process of their own: those that concern all of it, and runs that never leave it."""

import time

import pytest

from tests.backend.client import backend, mint
from tests.backend.shapes import SHAPES, bearer, kinds, streamed, talk
from tests.backend.test_faults_shapes import closed_with, forged, paths

USER = "user-0001"


def test_env_missing():
    with backend("--fault", "env_missing") as process:
        status, body, _ = process.http("GET", "/health")
        assert (status, body["status"]) == (503, "unhealthy")
        assert "JWT_SECRET_KEY" in body["parts"]["configuration"]
        assert process.http("GET", "/health/ready")[0] == 503
        assert process.http("GET", "/health/live")[0] == 200
        for path in paths(process, USER).values():
            assert closed_with(process, path, additional_headers=bearer(USER)) == 1011


def test_startup_slow():
    with backend("--fault", "startup_slow", "--time-scale", "0.2") as process:
        started_s = time.monotonic()
        status, body, headers = process.http("GET", "/health")
        assert (status, body["status"], headers["Retry-After"]) == (503, "starting", "1")
        assert process.http("GET", "/health/live")[0] == 200
        assert process.http("GET", "/api/threads", user=USER)[0] == 503
        assert closed_with(process, "/ws", additional_headers=bearer(USER)) == 503
        while process.http("GET", "/health")[0] == 503:
            assert time.monotonic() - started_s < 5
        assert time.monotonic() - started_s > 0.5
        with talk(process, "netra", USER) as one:
            assert one.run("hello")[-1].kind == "completed"


def test_cache_down():
    # A busy machine makes runs longer, never shorter: all of this run's time is its accept delay of 100 ms.
    no_time = [f"--delay={kind}=fixed:0" for kind in ("thinking", "tool", "chunk", "complete", "handoff")]
    with backend("--fault", "cache_down", "--delay=accept=fixed:100", *no_time) as process:
        status, body, _ = process.http("GET", "/health")
        assert (status, body["status"], body["parts"]["cache"]) == (200, "degraded", "degraded")
        for shape in SHAPES:
            with talk(process, shape, USER) as one:
                started_s = time.monotonic()
                frames = one.run("look up")
                assert time.monotonic() - started_s > 0.24
                assert frames[-1].text == streamed(frames)


def test_permissive_breaker():
    def status(process, token):
        return process.http("GET", "/api/agents/status", token=token)[0]

    with backend("--fault", "permissive_breaker") as process:
        assert [status(process, "x.y.z"), status(process, forged(USER))] == [401, 401]
        assert status(process, mint(USER)) == 200
        assert [status(process, forged(USER)), status(process, forged(USER))] == [401, 200]
        assert process.http("GET", "/api/agents/status", token="x")[1]["user_id"] == "anonymous-user"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_breaker_lets_sockets_in(shape):
    with backend("--fault", "permissive_breaker") as process:
        path = paths(process, USER)[shape]
        ends = [closed_with(process, path, additional_headers={"Authorization": f"Bearer {forged(USER)}"})
                for _ in range(3)]  # fmt: skip
        assert set(ends) == {1008 if shape == "netra" else 401}
        with process.open(path, additional_headers={"Authorization": f"Bearer {forged(USER)}"}) as socket:
            assert socket.ping().wait(5)


def test_growth_is_seen_in_health_and_a_right_backend_drops_handlers(clean):
    def sockets(process):
        return process.http("GET", "/health")[1]["sockets"]

    with backend("--fault", "router_growth", "--time-scale", "0.1") as growing:
        for process, kept in ((clean, 0), (growing, 5)):
            for _ in range(5):
                with talk(process, "netra", USER) as one:
                    one.run("hello")
            deadline_s = time.monotonic() + 5
            while sockets(process) != kept:
                assert time.monotonic() < deadline_s


@pytest.mark.parametrize("shape", SHAPES)
def test_runs_that_never_end(shape):
    arguments = ["--fault", "silent_run:1:1", "--fault", "stall_mid_stream:1:2", "--time-scale", "0.05"]
    with (
        backend(*arguments) as process,
        talk(process, shape, "user-0001") as silent,
        talk(process, shape, "user-0002") as stalled,
        talk(process, shape, "user-0003") as right,
    ):
        for one in (silent, stalled, right):
            one.start("long answer")
        assert right.hear()[-1].kind == "completed"
        frames = stalled.more(0.1)
        assert frames[-1].kind == "chunk"
        assert 15 < kinds(frames).count("chunk") < 25
        assert silent.more(0.01) == []
        assert silent.close_code is stalled.close_code is None
