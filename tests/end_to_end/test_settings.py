"""Settings that a real deployment needs, each on real sockets: what is set is what the other side sees."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.backend.client import PASSWORD, SECRET, Backend, backend, mint
from tests.end_to_end.doors import doorkeeper, preflight, project, proxy
from tests.end_to_end.locust_process import run
from tests.end_to_end.web import free_port
from tests.helpers import Authority, Peer, server


@pytest.fixture(scope="module")
def target():
    with backend() as process:
        yield process


def hs256(token: str) -> str | None:
    """Whom a token names that is signed with our secret."""
    try:
        return jwt.decode(token, SECRET, algorithms=["HS256"], audience="netra-platform")["sub"]
    except jwt.PyJWTError:
        return None


# --- places ---------------------------------------------------------------------------------------------------------


def test_the_host_of_an_environment_is_the_target(target: Backend, tmp_path: Path) -> None:
    options = project(tmp_path, f'host = "{target.url}"\n')
    flown = preflight(*options, JWT_SECRET_KEY=SECRET)
    assert flown.exit_code == 0, flown.output
    assert target.url in flown.output.splitlines()[0]
    ended = run(
        tmp_path / "results", *options, "--headless", "--users", "2", "--run-time", "3s", scenario=None,
        JWT_SECRET_KEY=SECRET,
    )  # fmt: skip
    assert ended.run["target"]["url"] == target.url and not ended.run["target"]["reference"]
    assert {row["outcome"] for row in ended.rows("runs")} <= {"ok", "cut"}


def test_sockets_http_and_sign_in_may_be_at_three_places(target: Backend, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text(f"email,password\nann@x.test,{PASSWORD}\n")
    asked: list[str] = []

    def sign_in(peer: Peer) -> None:
        asked.append(peer.read_head().splitlines()[0] if peer.read_head else "")
        body = peer.sock.recv(int(peer.header("Content-Length") or 0)).decode()
        asked.append(body)
        answer = f'{{"data": {{"token": "{mint("ann")}"}}}}'
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n{answer}".encode())

    def only_if_asked(peer: Peer) -> None:
        peer.sock.settimeout(5)
        first = peer.sock.recv(1, 2)  # MSG_PEEK: the look whether anybody is there sends nothing
        if first:
            sign_in(peer)

    table = 'login_path = "/v2/session"\nlogin_email_field = "user"\nlogin_password_field = "pass"\n'
    table += 'login_token_field = "data.token"\n'
    with server(only_if_asked) as auth:
        flown = preflight(
            *project(tmp_path, table), "--accounts", str(accounts), "--users", "1", "--auth-url",
            f"http://{auth.address}/base/", "--rest-url", target.url, "--socket-url", target.url.replace("http", "ws"),
        )  # fmt: skip
    assert flown.exit_code == 0, flown.output
    assert asked[0] == "POST /base/v2/session HTTP/1.1"
    assert asked[1] in (
        f'{{"user": "ann@x.test", "pass": "{PASSWORD}"}}',
        f'{{"user":"ann@x.test","pass":"{PASSWORD}"}}',
    )
    assert PASSWORD not in flown.output


def test_path_origin_cookies_and_headers_travel_with_http_and_upgrade(tmp_path: Path) -> None:
    heads: list[str] = []
    table = 'origin = "https://app.test"\nheaders = { X-Tenant = "TENANT" }\ncookies = { route = "ROUTE" }\n'
    with server(doorkeeper(hs256, heads)) as here:
        preflight(
            *project(tmp_path, table), "--host", f"http://{here.address}", "--socket-path", "/chat/v2", "--cookie",
            "gate=GATE", JWT_SECRET_KEY=SECRET, TENANT="7", ROUTE="blue", GATE="open",
        )  # fmt: skip
    by_kind = {head.split(" ")[1]: head for head in heads}
    for path in ("/health", "/chat/v2"):
        for line in ("Origin: https://app.test", "X-Tenant: 7", "Cookie: route=blue; gate=open"):
            assert by_kind[path].count(f"{line}\r\n") == 1, by_kind[path]


# --- the way --------------------------------------------------------------------------------------------------------


def test_http_and_sockets_go_through_a_proxy(target: Backend) -> None:
    host = target.url.removeprefix("http://")
    with proxy("me:its own password") as here:
        options = ("--host", target.url, "--proxy", here.url)
        flown = preflight(*options, JWT_SECRET_KEY=SECRET, CROSSTALK_PROXY_CREDENTIALS="me:its own password")
        refused = preflight(*options, JWT_SECRET_KEY=SECRET)
        assert "its own password" not in flown.output + refused.output
    assert flown.exit_code == 0, flown.output
    assert f"CONNECT {host} HTTP/1.1" in here.asked and f"GET http://{host}/health HTTP/1.1" in here.asked
    assert (refused.exit_code, refused.failed) == (5, ["TCP"])
    assert "HTTP 407; set CROSSTALK_PROXY_CREDENTIALS" in refused.output


def test_tls_goes_through_a_proxy_end_to_end(tmp_path: Path) -> None:
    ca = str(tmp_path / "ca.pem")
    with backend("--tls", "--ca-out", ca) as process, proxy() as here:
        flown = preflight("--host", process.url, "--ca", ca, "--proxy", here.url, JWT_SECRET_KEY=SECRET)
    assert flown.exit_code == 0, flown.output
    assert {line.split(" ")[0] for line in here.asked} == {"CONNECT"}


def test_a_proxy_that_does_not_answer_is_named(target: Backend) -> None:
    proxied = ("--host", target.url, "--proxy", f"http://127.0.0.1:{free_port()}")
    flown = preflight(*proxied, JWT_SECRET_KEY=SECRET)
    assert (flown.exit_code, flown.failed) == (5, ["TCP"])
    assert "is the proxy right?" in flown.output


def test_a_client_certificate_is_shown_to_http_and_socket(tmp_path: Path) -> None:
    for folder in ("theirs", "ours"):
        (tmp_path / folder).mkdir()
    theirs, ours = Authority(tmp_path / "theirs"), Authority(tmp_path / "ours")
    ours.server_context("127.0.0.1")  # leaves a certificate and its key in server.pem
    context = theirs.server_context("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ours.file)
    heads: list[str] = []
    pem = (tmp_path / "ours" / "server.pem").read_text()
    key, certificate = pem.split("-----BEGIN CERTIFICATE-----")
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "client.pem").write_text("-----BEGIN CERTIFICATE-----" + certificate)
    shown = ("--client-certificate", str(tmp_path / "client.pem"), "--client-key", str(tmp_path / "key.pem"))
    with server(doorkeeper(hs256, heads), tls=context) as here:
        options = (*project(tmp_path, ""), "--host", f"https://{here.address}", "--ca", str(theirs.file))
        without = preflight(*options, JWT_SECRET_KEY=SECRET)
        assert heads == []
        flown = preflight(*options, *shown, JWT_SECRET_KEY=SECRET)
    assert (without.exit_code, without.failed) == (5, ["TLS"]), without.output
    assert "ended right after the handshake" in without.output and "--client-certificate FILE" in without.output
    assert flown.of("authentication")[0][0] == flown.of("health")[0][0] == "ok", flown.output
    assert {head.split(" ")[1] for head in heads} >= {"/health", "/ws"}


def test_insecure_works_with_any_certificate_and_is_said_loudly(tmp_path: Path) -> None:
    ca = str(tmp_path / "ca.pem")
    with backend("--tls", "--ca-out", ca, "--tls-name", "elsewhere.test") as process:
        flown = preflight("--host", process.url, "--insecure", JWT_SECRET_KEY=SECRET)
        ended = run(
            tmp_path / "results", "--users", "2", "--run-time", "60s", "--max-runs", "6", "--host", process.url,
            "--insecure",
            JWT_SECRET_KEY=SECRET,
        )  # fmt: skip
    assert flown.exit_code == 0, flown.output
    assert "INSECURE" in flown.of("certificates")[0][1] and "NOT VERIFIED" in flown.of("TLS")[0][1]
    assert "crosstalk: INSECURE: no certificate was verified" in ended.output
    assert any(problem.startswith("INSECURE") for problem in ended.run["problems"])
    assert "InsecureRequestWarning" not in ended.output


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_tokens_signed_with_a_private_key_are_accepted_by_whoever_has_the_public_one(
    algorithm: str, tmp_path: Path
) -> None:
    rs256 = algorithm == "RS256"
    key = rsa.generate_private_key(65537, 2048) if rs256 else ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "key.pem").write_bytes(pem)

    def verify(token: str) -> str | None:
        try:
            claims = jwt.decode(token, key.public_key(), algorithms=[algorithm], audience="chat", issuer="us")
        except jwt.PyJWTError:
            return None
        return claims["sub"] if claims["exp"] - claims["iat"] == 120 else None

    table = f'token_algorithm = "{algorithm}"\ntoken_key_file = "key.pem"\n'
    table += 'token_issuer = "us"\ntoken_audience = "chat"\ntoken_life_s = 120\n'
    with server(doorkeeper(verify)) as here:
        flown = preflight(*project(tmp_path, table), "--host", f"http://{here.address}")
    assert flown.of("authentication")[0][0] == "ok", flown.output
    assert flown.of("forged token") == [("ok", "refused (upgrade: HTTP 401 instead of 101)")]
    assert f"minted ({algorithm})" in flown.of("token")[0][1]


def test_a_token_function_makes_the_tokens(target: Backend, tmp_path: Path) -> None:
    (tmp_path / "tokens.py").write_text(
        "from tests.backend.client import mint\n\ndef make(account):\n    return mint(account, made_by='us')\n"
    )
    options = project(tmp_path, 'token_function = "tokens.py:make"\n')
    flown = preflight(*options, "--host", target.url)
    assert flown.exit_code == 0, flown.output
    assert "tokens.py:make" in flown.of("token")[0][1]
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("user_id\nann\nben\n")
    ended = run(
        tmp_path / "results", *options, "--headless", "--users", "2", "--run-time", "60s", "--max-runs", "6",
        "--host", target.url,
        "--accounts", str(accounts), scenario=None,
    )  # fmt: skip
    assert {row["account"] for row in ended.rows("runs")} == {"ann", "ben"}
    assert {row["outcome"] for row in ended.rows("runs")} <= {"ok", "cut"}


def test_a_token_function_that_fails_is_one_line(target: Backend, tmp_path: Path) -> None:
    (tmp_path / "tokens.py").write_text("def make(account):\n    return 1 / 0\n")
    flown = preflight(*project(tmp_path, 'token_function = "tokens.py:make"\n'), "--host", target.url)
    assert (flown.exit_code, flown.failed) == (5, ["token"])
    assert "ZeroDivisionError for account" in flown.output


# --- ceilings -------------------------------------------------------------------------------------------------------


def test_more_users_than_an_environment_bears_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    heads: list[str] = []
    with server(doorkeeper(hs256, heads)) as here:
        options = (*project(tmp_path, "max_users = 3\n"), "--host", f"http://{here.address}", "--users", "4")
        ended = run(tmp_path / "results", *options, "--headless", scenario=None, JWT_SECRET_KEY=SECRET)
        flown = preflight(*options, JWT_SECRET_KEY=SECRET)
    assert (ended.exit_code, flown.exit_code, heads) == (2, 2, [])
    for output in (ended.output, flown.output):
        assert "--users 4: environment local bears 3 (max_users in environments.toml)" in output


SHAPE = """
from locust import LoadTestShape

class Growing(LoadTestShape):
    def tick(self):
        seconds = self.get_run_time()
        return None if seconds > 20 else (2, 2) if seconds < 3 else (6, 6)
"""


@pytest.mark.parametrize("workers", [(), ("--processes", "2")], ids=["local", "two workers"])
def test_a_shape_cannot_go_beyond_the_ceiling(target: Backend, tmp_path: Path, workers: tuple[str, ...]) -> None:
    options = (*project(tmp_path, "max_users = 3\n"), "--host", target.url, "--headless", *workers)
    if workers:
        port = str(free_port())
        options = (*options, "--master-bind-port", port, "--master-port", port)
    with (tmp_path / "locustfile.py").open("a") as file:
        file.write(SHAPE)
    ended = run(tmp_path / "results", *options, scenario=None, JWT_SECRET_KEY=SECRET)
    assert ended.run["load_test"]["ended_by"] == "more than 3 users, which is max_users of the environment", (
        ended.output
    )
    ready = [row for row in ended.rows("connections") if row["purpose"] == "user"]
    assert ready and (workers or len(ready) <= 3)


def test_an_environment_bounds_the_runs(target: Backend, tmp_path: Path) -> None:
    options = (*project(tmp_path, "max_runs = 4\n"), "--host", target.url, "--headless", "--users", "2")
    ended = run(
        tmp_path / "results", *options, "--run-time", "60s", "--think-time", "0", scenario=None, JWT_SECRET_KEY=SECRET
    )
    assert re.search(r"stopping: .*max.runs", ended.output)
    assert 4 <= len([row for row in ended.rows("runs") if row["outcome"] != "cut"]) < 20
    asked = run(tmp_path / "more", *options, "--max-runs", "5", scenario=None, JWT_SECRET_KEY=SECRET)
    assert asked.exit_code == 2 and "--max-runs 5: environment local bears 4" in asked.output


# --- what is left behind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "left"), [((), False), (("--no-cleanup",), True)], ids=["cleaned", "left"])
def test_threads_are_left_behind_only_where_that_is_wanted(
    target: Backend, tmp_path: Path, options: tuple[str, ...], left: bool
) -> None:
    how = ("--users", "3", "--max-runs", "6", "--run-time", "20s", "--host", target.url, *options)
    ended = run(tmp_path, *how, JWT_SECRET_KEY=SECRET)
    accounts = {row["account"] for row in ended.rows("runs")}
    threads = [target.http("GET", "/api/threads", user=account)[1]["threads"] for account in accounts]
    assert accounts and any(threads) is left
