"""Sockets whose token expires, and what grows or changes while a backend serves."""

from __future__ import annotations

import time

import jwt
import pytest
from websockets.exceptions import ConnectionClosed

from tests.backend.client import PASSWORD, backend, kinds, mint

USER = "k3f00017"
SOON_S = 2


def soon(life_s: int = SOON_S) -> str:
    return mint(USER, exp=int(time.time()) + life_s)


def closed_after(client) -> tuple[int, str]:
    """Code and reason of the close that comes."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.read(timeout_s=SOON_S + 3)
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_a_token_that_expires_ends_its_socket_where_that_is_asked_for():
    with backend("--close-at-expiry") as strict, strict.user(USER, token=soon()) as client:
        assert closed_after(client) == (1008, "token expired")


def test_a_fresh_token_puts_the_end_off():
    with backend("--close-at-expiry") as strict, strict.user(USER, token=soon()) as client:
        client.send("authenticate", token=soon(60))
        assert client.read()["type"] == "ack"
        with pytest.raises(TimeoutError):
            client.read(timeout_s=SOON_S + 1)
        client.send("who")
        assert client.read()["type"] == "ack"


def test_without_it_a_socket_outlives_its_token():
    with backend() as lenient, lenient.user(USER, token=soon()) as client:
        with pytest.raises(TimeoutError):
            client.read(timeout_s=SOON_S + 1)
        client.send("who")
        assert client.read()["type"] == "ack"


def test_expiry_cuts_run_forgets_the_fresh_token():
    with backend("--fault", "expiry_cuts_run") as wrong, wrong.user(USER, token=soon()) as client:
        client.send("authenticate", token=soon(60))
        assert client.read()["type"] == "ack"
        assert closed_after(client) == (1008, "token expired")


@pytest.mark.parametrize("fault", ["", "refresh_drops_run"])
def test_a_refresh_leaves_runs_alone_but_with_its_fault(fault: str):
    with backend(*(("--fault", fault) if fault else ())) as process, process.user(USER, token=soon(60)) as client:
        client.start("Tell me a long story, please.")
        assert client.read()["type"] == "agent_started"
        client.send("authenticate", token=soon(90))
        if not fault:
            assert kinds(client.read_to_end())[-1] == "agent_completed"
            return
        seen = [client.read()["type"]]
        with pytest.raises(TimeoutError):
            while True:
                seen.append(client.read(timeout_s=1.5)["type"])
        assert "agent_completed" not in seen and "ack" in seen
        client.run("And now?")  # whoever asks again is answered


def test_new_tokens_live_as_long_as_they_are_told_to():
    with backend("--token-life", "7", LOGIN_PASSWORD=PASSWORD) as process:
        _, body, _ = process.http("POST", "/auth/login", body={"email": f"{USER}@x.test", "password": PASSWORD})
        claims = jwt.decode(body["access_token"], options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 7


def test_health_tells_memory_and_runs_can_leave_some_behind():
    with backend("--fault", "memory_growth", "--time-scale", "0.01") as wrong, wrong.user(USER) as client:
        wrong.http("GET", "/health")
        before, begun = wrong.http("GET", "/health")[1]["rss_bytes"], time.monotonic()
        while time.monotonic() < begun + 3:
            client.run("Hello.")
        took_s = time.monotonic() - begun
        after = wrong.http("GET", "/health")[1]["rss_bytes"]
        assert after - before > 0.6 * took_s * 4 * 1024 * 1024


def accept_s(process, client) -> float:
    begun = time.monotonic()
    client.start("Hello.")
    client.read()
    took = time.monotonic() - begun
    client.read_to_end()
    return took


def test_handlers_that_are_never_dropped_cost_every_later_run():
    with backend("--fault", "handler_growth", "--time-scale", "0.01") as wrong:
        with wrong.user(USER) as client:
            first = min(accept_s(wrong, client) for _ in range(3))
        for _ in range(60):
            with wrong.user("k3f00018"):
                pass
        with wrong.user(USER) as client:
            assert min(accept_s(wrong, client) for _ in range(3)) > first + 0.8 * 0.3
        assert wrong.http("GET", "/health")[1]["sockets"] == 62


def test_a_deployment_changes_the_revision_once():
    with backend("--fault", "deploy_mid_run:1:after=0.1", "--time-scale", "0.05") as wrong:
        said = []
        deadline = time.monotonic() + 10
        while len(said) < 2 and time.monotonic() < deadline:
            _, body, _ = wrong.http("GET", "/health")
            if body["revision"] not in said:
                said.append(body["revision"])
        assert said == ["release-1", "release-2"]
        assert wrong.http("GET", "/health")[2]["X-Revision"] == "release-2"
