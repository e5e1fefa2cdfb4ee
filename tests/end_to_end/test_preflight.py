"""Preflight against all that can be wrong with a target: within 10 s, one clear line each, the right exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.backend.client import SECRET, Backend, backend, mint
from tests.end_to_end.doors import preflight, project
from tests.end_to_end.web import free_port
from tests.helpers import Peer, server

WITHIN_S = 10.0
STEPS = [
    "file descriptors", "processors", "variables", "name", "TCP", "health", "clock", "token", "upgrade",
    "authentication", "identity", "forged token", "run", "reference",
]  # fmt: skip


@pytest.fixture(scope="module")
def target():
    with backend() as process:
        yield process


def test_a_target_that_is_ready(target: Backend) -> None:
    flown = preflight("--host", target.url, JWT_SECRET_KEY=SECRET)
    assert flown.exit_code == 0, flown.output
    assert [name for _, name, _ in flown.lines] == STEPS
    assert {state for state, name, _ in flown.lines if name != "processors"} == {"ok"}
    assert flown.output.splitlines()[-1].startswith("ready: ")
    [(_, token)] = flown.of("token")
    assert re.search(r"sub \w{8}, iss netra-auth-service, aud netra-platform, env local, exp in 15 min", token)
    [(_, run)] = flown.of("run")
    assert re.search(r"started 0\.\d\d s.*first chunk 0\.\d\d s of \d+.*completed \d\.\d\d s", run)
    assert SECRET not in flown.output
    assert not re.search(r"eyJ[\w-]+\.", flown.output), "a token is shown"


def test_without_a_host_it_looks_at_the_reference_backend() -> None:
    flown = preflight()
    assert flown.exit_code == 0, flown.output
    assert "the reference backend" in flown.output.splitlines()[0]


def test_nothing_listening() -> None:
    flown = preflight("--host", f"http://127.0.0.1:{free_port()}", JWT_SECRET_KEY=SECRET)
    assert (flown.exit_code, flown.failed) == (5, ["TCP"])
    assert "nobody answers" in flown.output and "is it running" in flown.output
    assert flown.took_s < WITHIN_S


def test_a_name_that_does_not_resolve() -> None:
    flown = preflight("--host", "http://no-such-host.invalid", JWT_SECRET_KEY=SECRET)
    assert (flown.exit_code, flown.failed) == (5, ["name"])
    assert "check the host's name" in flown.output
    assert flown.took_s < WITHIN_S


def plain(peer: Peer) -> None:
    if peer.read_head():
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")


def test_a_plain_web_server() -> None:
    with server(plain) as here:
        flown = preflight("--host", f"http://{here.address}", JWT_SECRET_KEY=SECRET)
    assert (flown.exit_code, flown.failed) == (5, ["upgrade"])
    assert "HTTP 200 instead of 101" in flown.output and "is it the chat backend?" in flown.output
    assert flown.took_s < WITHIN_S


def test_a_certificate_for_another_host(tmp_path: Path) -> None:
    ca = str(tmp_path / "ca.pem")
    with backend("--tls", "--ca-out", ca, "--tls-name", "elsewhere.test") as process:
        flown = preflight("--host", process.url, "--ca", ca, JWT_SECRET_KEY=SECRET)
        stranger = preflight("--host", process.url, JWT_SECRET_KEY=SECRET)
    assert (flown.exit_code, flown.failed) == (5, ["TLS"])
    assert "the certificate is for elsewhere.test, by Crosstalk reference backend CA" in flown.output
    assert "give the target a certificate for 127.0.0.1" in flown.output
    assert (stranger.exit_code, stranger.failed) == (5, ["TLS"])
    assert "name its authority with --ca FILE" in stranger.output
    assert flown.took_s < WITHIN_S


def test_a_certificate_that_fits_is_shown_with_its_issuer_names_and_days(tmp_path: Path) -> None:
    ca = str(tmp_path / "ca.pem")
    with backend("--tls", "--ca-out", ca) as process:
        flown = preflight("--host", process.url, "--ca", ca, JWT_SECRET_KEY=SECRET)
    assert flown.exit_code == 0, flown.output
    [(state, said)] = flown.of("TLS")
    assert state == "ok"
    assert re.search(r"for localhost, 127\.0\.0\.1, ::1, by Crosstalk reference backend CA, (29|30) days left", said)


def test_a_wrong_secret(target: Backend) -> None:
    flown = preflight("--host", target.url, JWT_SECRET_KEY="another secret, which the target does not know")
    assert (flown.exit_code, flown.failed) == (5, ["authenticate"])
    assert "does the secret here equal the target's" in flown.output
    assert "all refused" in flown.of("transport")[0][1]
    assert flown.took_s < WITHIN_S


def test_an_expired_token(target: Backend, tmp_path: Path) -> None:
    token = mint("ann", exp=1_700_000_000, iat=1_699_999_000)
    accounts = tmp_path / "accounts.csv"
    accounts.write_text(f"user_id,token\nann,{token}\n")
    flown = preflight("--host", target.url, "--accounts", str(accounts), "--users", "1")
    assert (flown.exit_code, flown.failed) == (5, ["token"])
    assert "sub ann" in flown.output and "expired" in flown.output and "get new tokens" in flown.output
    assert token not in flown.output
    assert flown.took_s < WITHIN_S


FAULTS = {
    # fault → exit code, steps that fail, steps to look at, what is said
    "cache_down": (0, [], ["health"], "degraded: cache"),
    "demo_user": (5, ["ready"], [], "the socket carries 'demo-user-001'"),
    "accept_any_token": (5, ["forged token"], [], "ACCEPTED; the target takes a token that it did not sign"),
    "wrong_path": (5, ["upgrade"], ["socket path"], "is /ws its socket path (--socket-path)"),
    "env_missing": (5, ["health", "ready"], [], "configuration: missing: JWT_SECRET_KEY"),
    "startup_slow": (5, ["health", "upgrade"], [], "it asks to be tried again in 1 s"),
    "header_ignored": (5, ["authenticate"], ["transport"], "say --auth subprotocol"),
    "id_refused": (5, ["ready"], [], "takes no user called"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_target_with_a_fault(fault: str) -> None:
    exit_code, failed, to_look_at, said = FAULTS[fault]
    with backend("--fault", fault) as process:
        flown = preflight("--host", process.url, JWT_SECRET_KEY=SECRET)
    assert (flown.exit_code, flown.failed) == (exit_code, failed), flown.output
    assert [name for state, name, _ in flown.lines if state == "warn" and name != "processors"] == to_look_at
    assert said in flown.output
    assert flown.took_s < WITHIN_S


def test_another_path_that_answers_is_found() -> None:
    def elsewhere(peer: Peer) -> None:
        head = peer.read_head()
        if head:
            status = "401 Unauthorized" if head.startswith("GET /websocket ") else "404 Not Found"
            peer.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    with server(elsewhere) as here:
        flown = preflight("--host", f"http://{here.address}", JWT_SECRET_KEY=SECRET)
    assert flown.of("socket path") == [("warn", "something answers at /websocket")]
    assert "try --socket-path /websocket" in flown.output


def test_how_long_a_silent_socket_is_kept() -> None:
    with backend("--fault", "idle_cut", "--agent-timeout", "8") as process:
        flown = preflight("--host", process.url, "--probe-idle", "6", JWT_SECRET_KEY=SECRET)
    [(state, said)] = flown.of("idle")
    assert state == "FAIL" and flown.exit_code == 5
    assert re.search(r"declared 10 s, observed [34] s \(close 1001", said), flown.output


def test_a_socket_that_is_kept_is_said_to_be_so(target: Backend, tmp_path: Path) -> None:
    options = project(tmp_path, "")
    flown = preflight(*options, "--host", target.url, "--probe-idle", "2.5", JWT_SECRET_KEY=SECRET)
    [(state, said)] = flown.of("idle")
    assert (state, flown.exit_code) == ("ok", 0)
    assert "still open after 2.5 s of silence" in said and "declared 5 s" in said


# --- what is set for nothing, or missing ----------------------------------------------------------------------------


def test_variables_that_do_nothing_are_named_and_their_values_are_not(target: Backend) -> None:
    variables = {"JWT_SECRET_PRODUCTION": "hush" * 8, "LOCUST_ENVIROMENT": "staging", "LOGIN_PASSWORD": "hush-hush"}
    flown = preflight("--host", target.url, JWT_SECRET_KEY=SECRET, **variables)
    assert flown.exit_code == 0
    said = "\n".join(said for _, said in flown.of("variable"))
    assert "JWT_SECRET_PRODUCTION is set, and the environment is local" in said
    assert "LOCUST_ENVIROMENT is set" in said and "did you mean LOCUST_ENVIRONMENT?" in flown.output
    assert "LOGIN_PASSWORD is set" in said
    assert "hush" not in flown.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "http://127.0.0.1:1"), "no secret to sign tokens with: set JWT_SECRET_LOCAL"),
        (("--header", "X-Gate=GATE_KEY"), "the environment variable GATE_KEY is not set"),
        (("--environment", "stagin"), "did you mean staging?"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("--probe-idle", "-1"), "expected seconds"),
        (("--faults", "leak_contents"), "leak_content"),
        (("--host", "https://chat.test", "--environment", "production"), "say --yes chat.test"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(options: tuple[str, ...], said: str) -> None:
    flown = preflight(*options)
    assert flown.exit_code == 2
    assert said in flown.output
    assert flown.lines == [] or options[0] == "--faults"


def test_a_dry_run_says_where_everything_comes_from_and_connects_nowhere(tmp_path: Path) -> None:
    options = project(tmp_path, 'auth_url = "https://sign-in.test"\ncookies = { route = "ROUTE" }\n')
    flown = preflight(
        *options, "--dry-run", "--host", "wss://chat.invalid", "--header", "X-A=KEY", "--socket-path", "/chat",
        KEY="hidden-value", ROUTE="hidden-too", LOCUST_THINK_TIME="0.25", JWT_SECRET_KEY=SECRET,
    )  # fmt: skip
    assert flown.exit_code == 0, flown.output
    rows = {line.split()[0]: line for line in flown.output.splitlines() if line.startswith("  ")}
    assert re.search(r"0\.25 +variable LOCUST_THINK_TIME$", rows["think_time"])
    assert re.search(r"https://sign-in.test +auth_url$", rows["sign-in"])
    assert re.search(r"/chat +--socket-path: command line$", rows["socket_path"])
    assert re.search(r"wss://chat.invalid/chat +", rows["sockets"])
    assert re.search(r"route = \$ROUTE .*environments.toml \[local\]$", rows["cookies"])
    assert rows["from"].endswith("JWT_SECRET_KEY") and "minted (HS256)" in rows["from"]
    assert "hidden" not in flown.output and SECRET not in flown.output
