"""No token, password or key is left in a redacted text, wherever it stood; everything else is."""

import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.wire.redact import _BEARER, _JWT, _NAMED, redact

TOKEN = jwt.encode({"sub": "k3f00017", "exp": 1_900_000_000}, "a secret of at least thirty-two bytes", "HS256")
OPAQUE = "s3cr3t-Value_0123456789"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "the token {} came back",
        '{{"data": {{"echo": "{}"}}}}',
        "wss://host/ws?token={}&x=1",
        "Authorization: Bearer {}",
        "Sec-WebSocket-Protocol: jwt.{}",
        "{}.",
    ],
)
def test_a_json_web_token_is_taken_out_wherever_it_stands(text):
    said = redact(text.format(TOKEN))
    assert not any(part in said for part in TOKEN.split("."))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "authorization: bearer {}",
        "Sec-WebSocket-Protocol: bearer.{}",
        "wss://host/ws?token={}&x=1",
        "wss://host/ws?access_token={}",
        '{{"access_token": "{}", "expires_in": 900}}',
        '{{"refresh_token":"{}"}}',
        '{{"api_key": "{}"}}',
        '{{"apiKey": "{}"}}',
        '{{"password": "{}"}}',
        "{{'password': '{}'}}",
        "client_secret={}&grant_type=x",
        "login failed: password={} is wrong",
    ],
)
def test_what_is_named_as_a_secret_is_taken_out(text):
    said = redact(text.format(OPAQUE))
    assert OPAQUE not in said
    assert said != ""


@pytest.mark.parametrize("password", ["open sesame", "a,b&c}d", 'quo"te', "back\\slash", "abc", "it's me"])
def test_a_quoted_password_goes_whatever_is_in_it(password):
    said = redact(json.dumps({"user": "k3f00017", "password": password, "after": "kept"}))
    assert not any(part in said for part in ("sesame", "b&c", 'te"', "slash", "abc", 'me"'))
    assert '"after": "kept"' in said


def test_a_secret_in_json_inside_json_is_taken_out():
    inner = json.dumps({"access_token": OPAQUE, "user": "k3f00017"})
    for text in (json.dumps({"body": inner}), json.dumps({"body": json.dumps({"body": inner})})):
        said = redact(text)
        assert OPAQUE not in said
        assert "k3f00017" in said


@pytest.mark.parametrize(
    "text",
    [
        "close 1008 token expired",
        "one token is four characters",
        '{"type": "agent_thinking", "data": {"thought": "the bearer of good news"}}',
        "run-ctlkaaabbbbcccddddeeeeffffgggghhhhii",
        "HTTP 401 instead of 101",
        "expected ws://, wss://, http:// or https://",
        "",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text):
    assert redact(text) == text


def test_a_redacted_frame_is_still_json_that_names_its_fields():
    frame = json.dumps({"type": "authenticate", "token": TOKEN, "password": "open sesame", "user_id": "k3f00017"})
    assert json.loads(redact(frame)).keys() == {"type", "token", "password", "user_id"}
    assert json.loads(redact(frame))["user_id"] == "k3f00017"


@given(
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    claims=st.dictionaries(st.sampled_from(["sub", "iss", "env"]), st.text(max_size=12), min_size=1),
)
def test_any_token_between_any_texts_is_taken_out(before, after, claims):
    token = jwt.encode(claims, "a secret of at least thirty-two bytes", "HS256")
    assert token.rsplit(".", 1)[1][:20] not in redact(f"{before} {token} {after}")


@given(st.binary(min_size=18, max_size=40))
def test_any_opaque_bearer_is_taken_out(secret):
    token = base64.urlsafe_b64encode(secret).decode()
    assert token not in redact(f"Authorization: Bearer {token}")


NAMES = ["token", "id_Token", "passWord", "secret", "ſecret", "api_key", "apıkey", "APIKEY", "authorization", "bearer"]
around = st.sampled_from(["", " ", "İ", "tok", "eyJhbGci", "eyJhbGci.ab.cd", '{"a": 1, "'])


@given(around, st.sampled_from([*NAMES, "a", ""]), st.sampled_from([" ", "=", '": "', ".", ": '"]), around)
def test_it_is_no_other_for_not_looking_where_nothing_can_be(before, name, between, after):
    text = f"{before}{name}{between}abcdefghi{after}"
    said = _BEARER.sub(r"\1[token]", _JWT.sub("[token]", text))
    said = _NAMED.sub(r"\1\2\g<quote>\g<quote1>\g<quote2>[redacted]\g<end>\g<end1>\g<end2>", said)
    assert redact(text) == said


@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text):
    once = redact(text)
    assert redact(once) == once
