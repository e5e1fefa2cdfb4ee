"""Sign-in by password and by OAuth, and each fault of them, to a client that shares no code with the project."""

import hashlib
import hmac
import http.client
import json
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from crosstalk.backend.catalogue_sign_in import SIGN_IN
from crosstalk.backend.oauth import CODE_LIFE_S, Provider
from tests.backend.client import SECRET, Client, backend, mint
from tests.backend.shapes import SHAPES, talk

HONEST = "hon00900"
FAULTS = [fault.name for fault in SIGN_IN]
ACCOUNT = {name: number for number, name in enumerate(FAULTS, 1)}


@pytest.fixture(scope="module")
def wrong():
    """Every fault, each at an account of its own."""
    faults = [part for name, number in ACCOUNT.items() for part in ("--fault", f"{name}:1:{number}")]
    with backend("--time-scale", "0.05", *faults) as process:
        yield process


def user_of(name):
    return f"sig{ACCOUNT[name]:05}"


def both(name):
    """Whoever has no fault, and whoever has this one: what is asserted is (right, wrong)."""
    return HONEST, user_of(name)


@dataclass
class Browser:
    """Keeps cookies, follows no redirect by itself."""

    process: object
    cookies: dict = field(default_factory=dict)

    def get(self, path):
        connection = http.client.HTTPConnection(urlsplit(self.process.url).netloc, timeout=10)
        connection.request("GET", path, headers={"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())})
        answer = connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        raw = answer.read()
        connection.close()
        kind = answer.headers.get_content_type()
        return answer.status, json.loads(raw) if kind == "application/json" else raw.decode(), answer.headers

    def follow(self, path):
        """One redirect."""
        status, _, headers = self.get(path)
        assert status == 302, status
        parts = urlsplit(headers["Location"])
        return urlunsplit(("", "", parts.path, parts.query, "")), {k: v[0] for k, v in parse_qs(parts.query).items()}

    def authorize(self, user):
        """Up to the callback, not visited: its query."""
        path, _ = self.follow(f"/auth/login?login_hint={user}@crosstalk.test")
        path, query = self.follow(path)
        assert path.startswith("/auth/callback?")
        return query

    def callback(self, **query):
        return self.get(f"/auth/callback?{urlencode(query)}")


def subject(body):
    return jwt.decode(body["access_token"], options={"verify_signature": False})["sub"]


def login(process, user, password=""):
    own = hmac.new(SECRET.encode(), f"password of {user}".encode(), hashlib.sha256).hexdigest()[:32]
    body = {"email": f"{user}@crosstalk.test", "password": password or own}
    return process.http("POST", "/auth/login", body=body)[:2]


# --- right ----------------------------------------------------------------------------------------------------------


def test_a_user_signs_in_by_its_own_password_and_by_no_other(clean):
    status, body = login(clean, HONEST)
    assert (status, subject(body)) == (200, HONEST)
    of_another = hmac.new(SECRET.encode(), b"password of sig00001", hashlib.sha256).hexdigest()[:32]
    assert login(clean, HONEST, of_another)[0] == 401


def test_oauth_leads_to_tokens_that_open_a_socket(clean):
    browser = Browser(clean)
    status, body, _ = browser.callback(**browser.authorize(HONEST))
    assert (status, subject(body)) == (200, HONEST)
    with clean.user(HONEST, token=body["access_token"]) as client:
        assert client.welcome["type"] == "connection_established"
    assert clean.http("POST", "/auth/refresh", body={"refresh_token": body["refresh_token"]})[0] == 200


def test_a_state_is_its_browsers_own_and_good_once(clean):
    browser, other = Browser(clean), Browser(clean)
    query, theirs = browser.authorize(HONEST), other.authorize("hon00901")
    assert query["state"] != theirs["state"]
    for state in ({}, {"state": "made-up"}, {"state": theirs["state"]}):
        assert browser.callback(code=query["code"], **state)[0] == 400
    before = dict(browser.cookies)
    assert browser.callback(**query)[0] == 200
    browser.cookies = before
    fresh = Browser(clean).authorize(HONEST)["code"]
    assert browser.callback(code=fresh, state=query["state"])[0] == 400


def test_a_code_is_good_once(clean):
    browser = Browser(clean)
    first = browser.authorize(HONEST)
    assert browser.callback(**first)[0] == 200
    second = browser.authorize(HONEST)
    assert browser.callback(code=first["code"], state=second["state"])[0] == 400
    third = browser.authorize(HONEST)
    assert browser.callback(code="made-up", state=third["state"])[0] == 400


def test_the_provider_redirects_to_its_client_alone_and_asks_who_is_there(clean):
    browser = Browser(clean)
    good = {"client_id": "crosstalk", "redirect_uri": f"{clean.url}/auth/callback", "response_type": "code"}
    for wrong_one in ({"client_id": "somebody"}, {"redirect_uri": "https://elsewhere.test/auth/callback"}):
        assert browser.get(f"/oauth/authorize?{urlencode(good | wrong_one)}")[0] == 400
    status, page, _ = browser.get(f"/oauth/authorize?{urlencode(good | {'state': '<s>'})}")
    assert status == 200 and 'name="login_hint"' in page and "<s>" not in page
    _, query = browser.follow(f"/oauth/authorize?{urlencode(good | {'login_hint': '../x', 'state': 's'})}")
    assert query == {"error": "access_denied", "state": "s"}
    _, query = browser.follow(f"/oauth/authorize?{urlencode(good | {'response_type': 'token'})}")
    assert query == {"error": "unsupported_response_type"}


def test_codes_are_forgotten_in_time():
    now = [0.0]
    provider = Provider(lambda: now[0])
    code = provider.grant("a", "here")
    assert provider.exchange(code, "elsewhere", lambda: True) is None
    now[0] = CODE_LIFE_S
    assert provider.exchange(code, "here", lambda: True) is None
    provider.grant("b", "here")
    assert provider.whose(code) == ""


def test_nothing_secret_reaches_the_log():
    with backend("--fault", "oauth_state_ignored", "--fault", "oauth_code_reused") as process:
        browser = Browser(process)
        query = browser.authorize(HONEST)
        body = browser.callback(code=query["code"], state="x")[1]
        log = process.log.read_text()
    assert "oauth_state_ignored" in log
    assert not [one for one in (query["code"], query["state"], body["access_token"]) if one in log]


# --- faults ---------------------------------------------------------------------------------------------------------


def test_wrong_password_accepted(wrong):
    right, faulty = both("login_wrong_password_accepted")
    assert (login(wrong, right, "nonsense")[0], login(wrong, faulty, "nonsense")[0]) == (401, 200)


def test_login_refused(wrong):
    assert [login(wrong, user)[0] for user in both("login_refused")] == [200, 401]


def test_state_ignored(wrong):
    for state in ({}, {"state": "made-up"}):
        codes = {user: Browser(wrong).authorize(user)["code"] for user in both("oauth_state_ignored")}
        assert [Browser(wrong).callback(code=code, **state)[0] for code in codes.values()] == [400, 200]


def test_code_reused(wrong):
    seen = []
    for user in both("oauth_code_reused"):
        browser = Browser(wrong)
        first = browser.authorize(user)
        browser.callback(**first)
        seen.append(browser.callback(code=first["code"], state=browser.authorize(user)["state"])[0])
    assert seen == [400, 200]


def test_slow():
    with backend("--fault", "oauth_slow:1:7") as process:
        took = []
        for user in (HONEST, "sig00007"):
            browser = Browser(process)
            query, begun_s = browser.authorize(user), time.monotonic()
            assert subject(browser.callback(**query)[1]) == user
            took.append(time.monotonic() - begun_s)
    assert took[1] > 2.4 > took[0]


def test_other_user(wrong):
    for user in both("oauth_other_user"):
        first = Browser(wrong)
        first.callback(**first.authorize("hon00950"))
        browser = Browser(wrong)
        came = subject(browser.callback(**browser.authorize(user))[1])
        assert came == (user if user == HONEST else "hon00950")


def test_refresh_kills_run(wrong):
    ends = []
    for user in both("refresh_kills_run"):
        with wrong.user(user) as client:
            client.start("long answer")
            client.read()
            refresh_token = login(wrong, user)[1]["refresh_token"]
            assert wrong.http("POST", "/auth/refresh", body={"refresh_token": refresh_token})[0] == 200
            ends.append(client.read_to_end()[-1]["type"])
    assert ends == ["agent_completed", "agent_error"]


def test_refresh_reusable(wrong):
    seen = []
    for user in both("refresh_reusable"):
        body = {"refresh_token": login(wrong, user)[1]["refresh_token"]}
        seen.append([wrong.http("POST", "/auth/refresh", body=body)[0] for _ in range(2)])
    assert seen == [[200, 401], [200, 200]]


def test_refresh_gives_dead_token(wrong):
    seen = []
    for user in both("refresh_gives_dead_token"):
        body = {"refresh_token": login(wrong, user)[1]["refresh_token"]}
        token = wrong.http("POST", "/auth/refresh", body=body)[1]["access_token"]
        seen.append(wrong.http("GET", "/api/threads", token=token)[0])
    assert seen == [200, 401]


#: way → how a socket is opened by it
WAYS = {
    "header": lambda token: {"additional_headers": {"Authorization": f"Bearer {token}"}},
    "subprotocol": lambda token: {"subprotocols": [f"jwt.{token}"]},
    "query": lambda token: {"path": f"/ws?token={token}"},
    "message": lambda _token: {},
}


def opens(process, way, token, path="/ws"):
    """Does a token open a socket by this way?"""
    with process.open(**{"path": path, **WAYS[way](token)}) as socket:
        if way == "message":
            socket.send(json.dumps({"type": "authenticate", "token": token}))
        return Client(HONEST, socket).read()["type"] == "connection_established"


@pytest.mark.parametrize("name", ["query_ignored", "message_ignored"])
def test_a_way_that_is_ignored(wrong, name):
    way = name.partition("_")[0]
    assert [opens(wrong, way, mint(user)) for user in both(name)] == [True, False]
    assert opens(wrong, "header", mint(user_of(name)))


@pytest.mark.parametrize(
    "name", ["header_unverified", "subprotocol_unverified", "query_unverified", "message_unverified"]
)
def test_a_way_that_is_not_verified(wrong, name):
    own = name.partition("_")[0]
    for user in both(name):
        bad = mint(user)[:-9] + "AAAAAAAAA"
        let_in = {way for way in WAYS if opens(wrong, way, bad)}
        assert let_in == ({own} if user != HONEST else set())
        assert wrong.http("GET", "/api/threads", token=bad)[0] == 401


@pytest.mark.parametrize("shape", ["agui"])
@pytest.mark.parametrize("name", ["query_ignored", "message_ignored", "query_unverified", "message_unverified"])
def test_the_ways_of_another_shape(wrong, shape, name):
    way, fault = name.split("_")
    for user in both(name):
        thread = wrong.http("POST", "/agui/threads", user=user, body={})[1]
        token = mint(user) if fault == "ignored" else mint(user)[:-9] + "AAAAAAAAA"
        path = thread["socket"] + (f"?token={token}" if way == "query" else "")
        try:
            with wrong.open(path) as socket:
                if way == "message":
                    socket.send(json.dumps({"type": "authenticate", "token": token}))
                socket.send(json.dumps({"type": "NO_SUCH_TYPE"}))
                frame = json.loads(socket.recv(timeout=10))
                opened = "authentication" not in json.dumps(frame)
        except (ConnectionClosed, InvalidStatus):
            opened = False
        assert opened is ((user == HONEST) is (fault == "ignored"))


def history(process, user, thread):
    status, body, _ = process.http("GET", f"/api/threads/{thread}/messages", user=user)
    return status, [message["role"] for message in (body or {}).get("messages", [])]


@pytest.mark.parametrize(
    ("name", "shows"),
    [("history_lacks_answer", (200, ["user"])), ("first_thread_lost", (404, []))],
)
def test_what_a_newcomer_loses(wrong, name, shows):
    seen = []
    for user in both(name):
        thread = f"thread-{name}-{user}"
        assert wrong.http("POST", "/api/threads", user=user, body={"id": thread})[0] == 201
        with wrong.user(user) as client:
            client.run("hello", thread_id=thread)
        seen.append(history(wrong, user, thread))
        wrong.http("DELETE", f"/api/threads/{thread}", user=user)
    assert seen == [(200, ["user", "assistant"]), shows]


def test_a_second_thread_stays(wrong):
    user = user_of("first_thread_lost")
    assert wrong.http("POST", "/api/threads", user=user, body={"id": "thread-of-before"})[0] == 201
    with wrong.user(user) as client:
        client.run("hello", thread_id="thread-of-now")
    assert history(wrong, user, "thread-of-now")[0] == 200


@pytest.mark.parametrize("shape", SHAPES)
def test_faults_of_sign_in_leave_runs_alone(wrong, shape):
    with talk(wrong, shape, user_of("oauth_slow")) as one:
        assert one.run("hello")[-1].kind == "completed"
