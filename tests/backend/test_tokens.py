"""How a token travels to a socket, what is refused, and the auth service over HTTP."""

import base64
import json
import time
from dataclasses import dataclass

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.backend.client import PASSWORD, SECRET, Client, backend, mint

USER = "k3f00017"


def answer(socket, *, message=None):
    """The user that an open socket is for, or the code and close code of its refusal."""
    if message is not None:
        socket.send(message)
    client = Client(USER, socket)
    first = client.read()
    if first["type"] == "error_message":
        with pytest.raises(ConnectionClosed) as closed:
            client.read()
        return first["error_code"], closed.value.rcvd.code
    client.send("who")
    return client.read()["user_id"]


def in_base64(token):
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


@pytest.mark.parametrize("path", ["/ws", "/api/v1/websocket"])
def test_a_header_carries_the_token(clean, path):
    with clean.open(path, additional_headers={"Authorization": f"Bearer {mint(USER)}"}) as socket:
        assert answer(socket) == USER


@pytest.mark.parametrize("carrier", ["jwt.", "jwt-auth.", "bearer."])
@pytest.mark.parametrize("form", [str, in_base64])
def test_a_subprotocol_carries_the_token_and_is_echoed(clean, carrier, form):
    item = carrier + form(mint(USER))
    with clean.open(subprotocols=["chat", item]) as socket:
        assert socket.subprotocol == item
        assert answer(socket) == USER


def test_a_query_carries_the_token(clean):
    with clean.open(f"/ws?token={mint(USER)}") as socket:
        assert answer(socket) == USER


def test_a_first_message_carries_the_token(clean):
    with clean.open() as socket:
        assert answer(socket, message=json.dumps({"type": "authenticate", "token": mint(USER)})) == USER


@pytest.mark.parametrize(
    "message",
    ['{"type": "authenticate", "token": "x.y.z"}', '{"type": "ping"}', "[]", "{", '{"type": "authenticate"}'],
)
def test_a_first_message_without_a_good_token_is_refused(clean, message):
    with clean.open() as socket:
        assert answer(socket, message=message) == ("AUTH_FAILED", 1008)


@dataclass(frozen=True)
class FromNow:
    """An instant as a claim: seconds from when its token is made, which may be long after tests were collected."""

    seconds: int


def minted(claims):
    now_s = int(time.time())
    values = {name: now_s + value.seconds if isinstance(value, FromNow) else value for name, value in claims.items()}
    return mint(USER, **values) if "sub" in values else mint(**{"user_id": USER, **values})


BAD_CLAIMS = {
    "expired": {"exp": FromNow(-1)},
    "no exp": {"exp": None},
    "no sub": {"sub": None},
    "ahead": {"iat": FromNow(600)},
    "iat is text": {"iat": "yesterday"},
    "issuer": {"iss": "somebody"},
    "audience": {"aud": "somebody"},
    "type": {"token_type": "refresh"},
    "no type": {"token_type": None},
    "environment": {"env": "production"},
    "shape of sub": {"sub": "../../etc"},
    "long sub": {"sub": "x" * 65},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_a_bad_token_is_refused_everywhere(clean, claims):
    token = minted(claims)
    with clean.open(additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        assert answer(socket) == ("AUTH_FAILED", 1008)
    assert clean.http("GET", "/api/threads", token=token)[0] == 401
    assert clean.http("GET", "/auth/verify", token=token)[:2] == (200, {"valid": False})


def test_forged_tokens_are_refused(clean):
    good = mint(USER)
    head, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "another secret that is long enough too", "HS256"),
        jwt.encode(claims, SECRET * 2, "HS512"),
        jwt.encode(claims, None, "none"),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[::-1]}",
        "nonsense",
    ]
    for token in forged:
        with clean.open(additional_headers={"Authorization": f"Bearer {token}"}) as socket:
            assert answer(socket) == ("AUTH_FAILED", 1008)


def test_a_header_that_is_no_bearers_is_refused(clean):
    with clean.open(additional_headers={"Authorization": "Basic dTpw"}) as socket:
        assert answer(socket) == ("AUTH_FAILED", 1008)


@pytest.mark.parametrize(
    "claims",
    [{"iat": FromNow(30)}, {"env": "test"}, {"env": None}],
    ids=["30 s ahead", "environment", "no environment"],
)
def test_a_good_token_is_accepted(clean, claims):
    assert clean.http("GET", "/auth/verify", token=minted(claims))[1]["user_id"] == USER


@pytest.mark.parametrize(
    "user_id",
    ["2f1c6e0e-8b1e-4a53-9a59-0d6f6b3f0a11", "e2e-17", "load-user-0001", "staging-e2e-user-001", "k3f00017"],
)
def test_common_user_ids_are_accepted(clean, user_id):
    with clean.user(user_id) as client:
        assert client.welcome["data"]["user_id"] == user_id[:8] + "..."


def test_a_socket_keeps_its_identity(clean):
    with clean.user(USER) as client:
        client.send("authenticate", token=mint(USER), request_id="1")
        assert client.read()["request_id"] == "1"
        client.send("authenticate", token=mint("k3f00018"))
        assert client.read()["error_code"] == "AUTH_FAILED"
        with pytest.raises(ConnectionClosed) as closed:
            client.read()
        assert closed.value.rcvd.code == 1008


def test_a_login_gives_tokens_whose_life_is_in_exp(clean):
    status, body, _ = clean.http("POST", "/auth/login", body={"email": f"{USER}@example.org", "password": PASSWORD})
    assert status == 200
    assert body["user"] == {"id": USER, "email": f"{USER}@example.org"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 5 * 60
    assert (claims["sub"], claims["env"], claims["token_type"]) == (USER, "test", "access")
    with clean.user(USER, token=body["access_token"]) as client:
        assert client.welcome["type"] == "connection_established"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"email": "a@b.c", "password": "wrong"}, 401),
        ({"email": "a@b.c"}, 422),
        ({"email": "a", "password": PASSWORD}, 422),
        ({"email": 1, "password": PASSWORD}, 422),
        (b"{", 422),
        (b"[]", 422),
    ],
)
def test_a_wrong_login_is_refused(clean, body, status):
    assert clean.http("POST", "/auth/login", body=body)[0] == status


def test_without_a_password_logins_are_off():
    with backend(LOGIN_PASSWORD=None) as process:
        status, body, _ = process.http("POST", "/auth/login", body={"email": "a@b.c", "password": "x"})
    assert status == 403
    assert "LOGIN_PASSWORD" in body["detail"]


def test_a_refresh_rotates_and_kills_the_old_token(clean):
    first = clean.http("POST", "/auth/login", body={"email": f"{USER}@b.c", "password": PASSWORD})[1]
    status, second, _ = clean.http("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]})
    assert status == 200
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    assert clean.http("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]})[0] == 401
    assert clean.http("POST", "/auth/refresh", body={"refresh_token": second["refresh_token"]})[0] == 200


def test_only_refresh_tokens_refresh(clean):
    assert clean.http("POST", "/auth/refresh", body={"refresh_token": mint(USER)})[0] == 401
    assert clean.http("POST", "/auth/refresh", body={"refresh_token": "x"})[0] == 401
    assert clean.http("POST", "/auth/refresh", body={})[0] == 422


def test_validate_says_valid_or_not_with_200(clean):
    status, body, _ = clean.http("POST", "/auth/validate", body={"token": mint(USER)})
    assert (status, body["valid"], body["user_id"]) == (200, True, USER)
    assert clean.http("POST", "/auth/validate", body={"token": "x"})[:2] == (200, {"valid": False})
    assert clean.http("POST", "/auth/validate", body={"tokens": "x"})[0] == 422
    assert clean.http("GET", "/auth/verify")[0] == 401


def test_no_token_reaches_the_log():
    token = mint(USER)
    wrong = mint(USER, aud="somebody")
    with backend() as process:
        for item in (f"jwt.{token}", f"jwt.{wrong}", f"unknown.{token}"):
            with process.open(f"/ws?token={wrong}", subprotocols=[item]) as socket:
                Client(USER, socket).read()
        with pytest.raises(InvalidStatus):
            process.open(f"/nowhere?token={token}")
        log = process.log.read_text()
    assert "refused" in log
    assert token not in log
    assert wrong not in log
