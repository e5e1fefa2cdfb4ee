"""The HTTP client: what it sends, what it makes of every answer, and that it raises and remembers nothing."""

from __future__ import annotations

import base64
import json
import random
import re
import socket

import pytest

from crosstalk.hosts import Route
from crosstalk.http import HttpClient, text_at
from crosstalk.proxy import Proxy
from tests.helpers import Authority, Peer, server

OK = json.dumps({"status": "healthy"})


def client(address, *, scheme="http", headers=None, **route):
    return HttpClient(f"{scheme}://{address}/", headers=headers or {}, route=Route(**route), rng=random.Random(7))


def ok(peer: Peer):
    peer.answer("200 OK", "Content-Type: application/json", body=OK)
    return peer.head


def answering(status, *headers, body=""):
    return lambda peer: peer.answer(status, *headers, body=body)


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_call_carries_its_token_the_extra_headers_and_a_trace():
    with server(ok) as here:
        client(here.address, headers={"X-Tenant": "7"}).call("GET", "/health", token="tok")
        [head] = here.wait()
    assert head.startswith("GET /health HTTP/1.1\r\n")
    assert "Authorization: Bearer tok\r\n" in head
    assert "X-Tenant: 7\r\n" in head
    assert re.search(r"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01\r\n", head)


def test_without_a_token_there_is_no_authorization_and_every_call_has_a_trace_of_its_own():
    with server(ok) as here:
        http = client(here.address)
        for _ in range(2):
            http.call("GET", "/")
        one, other = here.wait()
    assert "Authorization" not in one
    traces = [re.search(r"traceparent: (\S+)", head)[1] for head in (one, other)]
    assert traces[0] != traces[1]


def test_a_body_is_sent_as_json():
    def echo(peer: Peer):
        head = peer.read_head()
        size = int(peer.header("Content-Length"))
        body = peer.sock.recv(size)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        return head

    with server(echo) as here:
        answer = client(here.address).call("POST", "/auth/login", json={"email": "a@x.test"})
        assert answer.body == {"email": "a@x.test"}
        assert "application/json" in here.wait()[0]


# --- what comes back ------------------------------------------------------------------------------------------------


def test_an_answer_has_its_status_body_headers_size_and_time():
    with server(answering("200 OK", "X-Revision: abc123", body=OK)) as here:
        answer = client(here.address).call("GET", "/health")
    assert (answer.status, answer.body, answer.error, answer.size_bytes) == (200, {"status": "healthy"}, "", len(OK))
    assert answer.headers["x-revision"] == "abc123"
    assert 0 < answer.time_ms < 5000


@pytest.mark.parametrize(
    ("status", "error"), [("401 Unauthorized", "HTTP 401"), ("500 Oops", "HTTP 500"), ("204 Nothing", "")]
)
def test_a_refusal_is_an_answer_too(status, error):
    with server(answering(status)) as here:
        answer = client(here.address).call("GET", "/")
    assert (answer.status, answer.error) == (int(status[:3]), error)


def test_a_body_that_is_no_json_is_none():
    with server(answering("200 OK", body="<html>")) as here:
        answer = client(here.address).call("GET", "/")
    assert (answer.status, answer.body, answer.error, answer.size_bytes) == (200, None, "", 6)


def test_a_body_that_nobody_can_read_is_none_and_is_kept_as_it_came():
    body = "[" * 60_000 + "]" * 60_000
    with server(answering("200 OK", body=body)) as here:
        answer = client(here.address).call("GET", "/")
    assert (answer.status, answer.body, answer.error, answer.raw) == (200, None, "", body.encode())


def test_the_words_behind_the_status_are_kept():
    with server(answering("404 nothing of k3f00018")) as here:
        answer = client(here.address).call("GET", "/")
    assert (answer.status, answer.reason) == (404, "nothing of k3f00018")


def test_a_redirect_is_not_followed():
    with server(answering("302 Found", "Location: /elsewhere"), ok) as here:
        answer = client(here.address).call("GET", "/")
        assert len(here.wait()) == 1
    assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")


# --- what does not come back ----------------------------------------------------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_nobody_there():
    answer = client(f"127.0.0.1:{free_port()}").call("GET", "/health")
    assert (answer.status, answer.body, answer.error, answer.size_bytes) == (0, None, "nobody answers", 0)


def test_no_answer_in_time():
    with server(lambda peer: peer.read_to_end()) as here:
        answer = client(here.address).call("GET", "/", timeout_s=0.1)
    assert (answer.status, answer.error) == (0, "no answer in time")
    assert answer.time_ms >= 100


def half_an_answer(peer: Peer):
    peer.read_head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def nonsense(peer: Peer):
    peer.read_head()
    peer.send(b"SSH-2.0-OpenSSH\r\n")


def broken_off(peer: Peer):
    peer.read_head()
    peer.reset()


@pytest.mark.parametrize("handler", [half_an_answer, nonsense, broken_off])
def test_whatever_the_target_does_nothing_is_raised(handler):
    with server(handler) as here:
        answer = client(here.address).call("GET", "/")
    assert answer.status == (200 if handler is half_an_answer else 0)
    assert answer.error


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"half"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", b"half"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain", b"plain"),
    ],
    ids=["shorter than said", "bad chunks", "gzip said, and plain"],
)
def test_what_came_is_there_to_be_looked_at_whatever_is_wrong_with_it(answer: bytes, came: bytes) -> None:
    def handler(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer)

    with server(handler) as here:
        assert client(here.address).call("GET", "/").raw == came


def test_a_body_that_nests_too_deeply_is_no_object_and_no_crash() -> None:
    deep = b"[" * 60_000

    def handler(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Oddly fine\r\nContent-Length: %d\r\n\r\n" % len(deep) + deep)

    with server(handler) as here:
        answer = client(here.address).call("GET", "/")
    assert (answer.body, answer.raw, answer.error, answer.reason) == (None, deep, "", "Oddly fine")


# --- what is not remembered -----------------------------------------------------------------------------------------


def test_a_cookie_set_for_one_user_never_travels_with_another():
    cookie = answering("200 OK", "Set-Cookie: session=ann; Path=/", "Set-Cookie: tracker=1", body=OK)
    with server(cookie, ok) as here:
        http = client(here.address)
        http.call("GET", "/", token="ann")
        http.call("GET", "/", token="ben")
        [head] = [head for head in here.wait() if head]
    assert "Cookie" not in head
    assert "Authorization: Bearer ben" in head


def test_proxies_and_passwords_of_the_environment_are_left_alone(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with server(ok) as here:
        assert client(here.address).call("GET", "/").status == 200
        assert "Authorization" not in here.wait()[0]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("407 Proxy Authentication Required", "set CROSSTALK_PROXY_CREDENTIALS to user:password"),
        ("403 Forbidden", "makes no tunnel"),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_credentials(status, said):
    with server(answering(status)) as here:
        way = Proxy("127.0.0.1", here.port, "me:hush-hush")
        answer = client("target.test:443", scheme="https", proxy=way).call("GET", "/")
    assert answer.status == 0
    assert answer.error.startswith(f"the proxy 127.0.0.1:{here.port} ") and said in answer.error
    assert "hush" not in answer.error


def test_a_plain_call_goes_to_the_proxy_whole_and_with_its_credentials():
    with server(ok) as here:
        way = Proxy("127.0.0.1", here.port, "me:p@ss:word/")
        assert client("target.test:80", proxy=way).call("GET", "/health").status == 200
        [head] = here.wait()
    assert head.startswith("GET http://target.test:80/health HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:p@ss:word/').decode()}\r\n" in head


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        ({"access_token": "t"}, "access_token", "t"),
        ({"data": {"token": "t"}}, "data.token", "t"),
        ({"data": []}, "data.token", ""),
        ({"token": 7}, "token", ""),
        (None, "token", ""),
    ],
)
def test_a_text_is_found_by_its_path(body, path, found):
    assert text_at(body, path) == found


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_an_authority_that_is_named_is_trusted(authority):
    with server(ok, tls=authority.server_context("127.0.0.1")) as here:
        assert client(here.address, scheme="https", ca_file=str(authority.file)).call("GET", "/").status == 200


@pytest.mark.parametrize("named", [True, False])
def test_a_certificate_that_is_not_trusted_says_what_to_do(authority, named):
    host = "elsewhere.test" if named else "127.0.0.1"
    with server(ok, tls=authority.server_context(host)) as here:
        answer = client(here.address, scheme="https", ca_file=str(authority.file) if named else "").call("GET", "/")
    assert answer.status == 0
    assert answer.error.startswith("TLS failed: ")
    assert "--ca" in answer.error


def test_insecure_takes_any_certificate(authority, recwarn):
    with server(ok, tls=authority.server_context("elsewhere.test")) as here:
        assert client(here.address, scheme="https", insecure=True).call("GET", "/").status == 200
    assert list(recwarn) == []


def test_a_server_that_speaks_no_tls_is_named_so():
    def plain(peer: Peer):
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with server(plain) as here:
        answer = client(here.address, scheme="https").call("GET", "/", timeout_s=2)
    assert answer.status == 0
    assert "TLS failed" in answer.error
