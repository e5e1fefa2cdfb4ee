"""What a person sees who signs in: tokens in every place, states that come back, redirects that lead elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from crosstalk.accounts import Purse, claims_of
from crosstalk.bad_tokens import BadToken
from crosstalk.config import ConfigError, load_settings
from crosstalk.environments import Login, OAuth
from crosstalk.generator import Begin, Generator
from crosstalk.hosts import Route
from crosstalk.http import Answer, HttpClient
from crosstalk.journey import Step, Unmet
from crosstalk.journeys import oauth
from crosstalk.journeys.showing_tokens import HTTP, Showing, in_turn
from crosstalk.journeys.signing_in import Tokens, oauth_of, password_of, refused, tokens_in
from crosstalk.session import NotReady
from tests.backend.client import SECRET, backend
from tests.helpers import CLOSE, Peer, close_bytes, parsed, server

STATE = "a state that nobody guesses"


def answer(status: int, body: object = None, **headers: str) -> Answer:
    return Answer(status, body, headers, "" if status < 400 else f"HTTP {status}", 1.0, 0)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Generator]]:
    """Makes a generator that drives a target; its record goes nowhere."""
    generators = []

    def make(target: str, *options: str, token_secret: str = SECRET, send: list[bytes] | None = None) -> Generator:
        arguments = parsed("--results", str(tmp_path), *options)
        arguments.host = target
        begin = Begin(7, b"k" * 32, target, token_secret, nonce_required=False, seed=1)
        generator = Generator(
            settings=load_settings(arguments, {}), begin=begin, worker="w1", role="local",
            fire_request=lambda **_: None, send=lambda number, _: generator.outbox.acknowledge(number),
            ask=lambda wanted: generator.purse.put(0, wanted),
        )  # fmt: skip
        generators.append(generator)
        return generator

    yield make
    for generator in generators:
        generator.finish()


# --- tokens in an answer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "tokens"),
    [
        (answer(200, {"access_token": "a", "refresh_token": "r"}), Tokens("a", "r")),
        (answer(200, {"access_token": "a"}), Tokens("a")),
        (answer(200, {"token": "a"}), None),
        (answer(401, {"access_token": "a"}), None),
        (answer(302, None, Location="https://h/app#access_token=a&refresh_token=r"), Tokens("a", "r")),
        (answer(302, None, Location="/app?token=a&refresh=r"), Tokens("a", "r")),
        (answer(302, None, Location="/login?error=no"), None),
        (answer(302), None),
        (answer(0), None),
    ],
)
def test_tokens_are_found_in_a_body_and_in_a_redirect(came: Answer, tokens: Tokens | None) -> None:
    assert tokens_in(came, Login()) == tokens


def test_no_token_shows_in_a_repr() -> None:
    assert "secret" not in repr(Tokens("secret", "secret"))


@pytest.mark.parametrize(
    ("came", "is_refusal"),
    [
        (answer(401), True), (answer(302, None, Location="/login?error=state"), True), (answer(422), True),
        (answer(200, {"access_token": "a"}), False), (answer(200, {"ok": True}), False), (answer(500), False),
        (answer(0), False), (answer(302, None, Location="/app?token=a"), False),
    ],
)  # fmt: skip
def test_a_refusal_is_one(made: Callable[..., Generator], came: Answer, is_refusal: bool) -> None:
    step = Step("login")
    generator = made("http://127.0.0.1:9")
    if is_refusal:
        refused(generator, step, came, "it")
    else:
        with pytest.raises(Unmet):
            refused(generator, step, came, "it")


def test_bad_tokens_are_shown_in_turn_until_each_kind_came_by_each_way() -> None:
    kinds = [BadToken(name, name) for name in "abcdefghij"]
    ways = ("header", "query", "HTTP")
    shown = {(way, bad.kind) for n in range(40) for way, bad in in_turn(kinds, ways, n)}
    assert shown == set(product(ways, "abcdefghij"))
    assert {bad.kind for n in range(4) for _, bad in in_turn(kinds, ways, n)} == set("abcdefghij")
    assert len(in_turn(kinds[:2], ways, 5)) == 3


# --- accounts -------------------------------------------------------------------------------------------------------


def test_a_newcomer_never_gets_an_account_that_was_given_back() -> None:
    asked: list[int] = []
    purse = Purse(asked.append)
    purse.put(0, 2)
    assert (purse.take(), purse.take()) == (0, 1)
    purse.give_back(1)
    purse.put(2, 1)
    assert (purse.take(fresh=True), purse.take()) == (2, 1)
    purse.give_back(1)
    purse.put(3, 0)
    with pytest.raises(ConfigError, match="more users than accounts"):
        purse.take(fresh=True)
    assert purse.take() == 1


def test_passwords_and_oauth_are_known_of_the_load_tests_own_backend_alone(
    made: Callable[..., Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    own, theirs = made("http://127.0.0.1:9"), made("http://127.0.0.1:9", token_secret="")
    assert len(password_of(own, own.person("Signer"))) == 32
    assert password_of(theirs, own.person("Signer")) == ""
    assert oauth_of(own) == OAuth("/auth/login") and oauth_of(theirs) is None
    assert own.transports == ("header", "subprotocol", "query", "message")
    assert theirs.transports == ("header", "subprotocol")


# --- OAuth ----------------------------------------------------------------------------------------------------------


def redirect(to: str, *more: str) -> Callable[[Peer], str]:
    """A handler that answers with a redirect; what was asked for is what it returns."""

    def handle(peer: Peer) -> str:
        peer.answer("302 Found", f"Location: {to}", *more)
        return peer.head

    return handle


def page(peer: Peer) -> str:
    peer.answer("200 OK", "Content-Type: text/html", body="<form>")
    return peer.head


BACK = "/auth/callback?code=c&state="
#: what the target's two answers are → what is told of it
WRONG = {
    "the state comes back changed": (
        (redirect(f"/authorize?state={STATE}"), redirect(f"{BACK}another")), "the state that was sent"
    ),
    "no state at all": ((redirect("/authorize?client_id=x"), page), "a state of 16 letters or more, came 0 letters"),
    "a short state": ((redirect("/authorize?state=short"), page), "came 5 letters"),
    "a provider that wants a human": (
        (redirect(f"/authorize?state={STATE}"), page), "a redirect, as no human is there, came HTTP 200 of /authorize"
    ),
    "a provider elsewhere": (
        (redirect(f"https://idp.example.org/authorize?state={STATE}"), page), "one to idp.example.org"
    ),
    "an error of the provider's": (
        (redirect(f"/authorize?state={STATE}"), redirect("/auth/callback?error=access_denied")), "error=access_denied"
    ),
    "a code that was forgotten": (
        (redirect(f"/authorize?state={STATE}"), redirect(f"/auth/callback?state={STATE}")), "a callback without one"
    ),
    "a circle": ((redirect(f"/authorize?state={STATE}"), redirect(f"/authorize?state={STATE}")), "more of them"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_on_the_way_to_the_callback_is_told(made: Callable[..., Generator], case: str) -> None:
    handlers, told = WRONG[case]
    with server(*handlers) as here:
        generator = made(f"http://{here.address}")
        with pytest.raises(Unmet) as unmet:
            oauth.authorized(generator, generator.person("Signer"), OAuth("/auth/login"), Step("oauth"))
    assert told in str(unmet.value)


def test_a_browser_keeps_its_cookies_and_nobody_elses(made: Callable[..., Generator]) -> None:
    cookies = (
        "Set-Cookie: a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT",
        "Set-Cookie: gone=; Max-Age=0",
        "Set-Cookie: b=2",
    )
    way = (redirect(f"/authorize?state={STATE}", *cookies), redirect(BACK + STATE))
    with server(*way, *way) as here:
        generator = made(f"http://{here.address}")
        person = generator.person("Signer")
        for _ in range(2):
            returned = oauth.authorized(generator, person, OAuth("/auth/login"), Step("oauth"))
        heads = here.wait()
    assert (returned.code, returned.state) == ("c", STATE)
    assert f"login_hint={person.name}%40crosstalk.test" in heads[0]
    assert ["Cookie: a=1; b=2" in head for head in heads] == [False, True, False, True]


def test_another_browsers_state_and_a_used_one_are_refused_by_a_target_that_is_right(
    made: Callable[..., Generator],
) -> None:
    with backend() as target:
        generator = made(target.url)
        person, rules = generator.person("Signer"), oauth_of(generator)
        assert rules is not None
        assert claims_of(oauth.sign_in(generator, person, rules, Step("oauth")).access)["sub"] == person.name
        for turn in range(len(oauth.WRONG_STATES)):
            oauth.wrong_state(generator, person, rules, Step("oauth state"), turn)
        oauth.used_code(generator, person, rules, Step("oauth code"))


@pytest.mark.parametrize("turn", range(len(oauth.WRONG_STATES)))
def test_every_wrong_state_shows_on_a_target_that_asks_for_none(made: Callable[..., Generator], turn: int) -> None:
    with backend("--fault", "oauth_state_ignored") as target:
        generator = made(target.url)
        with pytest.raises(Unmet, match=f"a refusal of a state that is {oauth.WRONG_STATES[turn]}, came tokens"):
            oauth.wrong_state(generator, generator.person("Signer"), OAuth("/auth/login"), Step("oauth state"), turn)


def test_cookies_of_a_request_stand_beside_those_of_all(tmp_path: Path) -> None:
    with server(page) as here:
        client = HttpClient(
            f"http://{here.address}", headers={"Cookie": "route=1"}, route=Route(), rng=random.Random(1)
        )
        client.call("GET", "/x", cookies={"a": "b"})
        client.call("GET", f"http://{here.address}/whole?to=https://elsewhere")
        heads = here.wait()
    assert "Cookie: route=1; a=b" in heads[0] and "GET /whole?to=https://elsewhere " in heads[1]


# --- tokens at the doors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["netra", "agui", "per_run"])
def test_good_tokens_are_taken_and_bad_ones_refused_by_every_way_and_nothing_is_left(
    made: Callable[..., Generator], shape: str
) -> None:
    with backend("--environment", "local", "--time-scale", "0.1") as target:
        generator = made(target.url, "--dialect", shape)
        person = generator.person("Signer")
        showing, step, good = Showing(generator, person), Step("token"), generator.token(person)
        kinds = showing.kinds(good)
        assert len({bad.kind for bad in kinds}) == 9 and showing.http is not None
        showing.good_over_http(step, good)
        for way, bad in in_turn(kinds, (*generator.transports, HTTP), 0):
            showing.bad(step, bad, way)
            if way != HTTP:
                showing.good(step, good, way)
        listed = generator.call(person, showing.http).body
        assert list(generator.settings.dialect.listed(listed)) == []


@pytest.mark.parametrize("way", ["header", "query", HTTP])
def test_a_bad_token_that_is_taken_is_told_with_its_kind(made: Callable[..., Generator], way: str) -> None:
    with backend("--fault", "accepts_expired", "--environment", "local") as target:
        generator = made(target.url)
        person = generator.person("Signer")
        showing = Showing(generator, person)
        [bad] = [one for one in showing.kinds(generator.token(person)) if one.kind == "expired"]
        with pytest.raises(Unmet, match="a token that is: expired"):
            showing.bad(Step("bad token"), bad, way)


# --- a refusal behind the upgrade -----------------------------------------------------------------------------------


def refuse_late(peer: Peer) -> None:
    peer.accept(then=close_bytes(1008, "authentication failed"))
    while (read := peer.read_frame()) is not None and read[0] != CLOSE:
        pass


def test_a_socket_that_was_never_ready_is_refused_in_its_row_too(made: Callable[..., Generator]) -> None:
    """Where the upgrade makes a socket ready and its token follows in a message."""
    with server(refuse_late) as here:
        generator = made(f"http://{here.address}", "--dialect", "agui", "--auth", "message")
        rows: list[tuple[object, ...]] = []
        generator.outbox.add = lambda table, values: rows.append(values) if table == "connections" else None
        for purpose in ("user", "bad_token"):
            session = generator.session(generator.person("Signer"), purpose=purpose)
            with pytest.raises(NotReady, match="authenticate: close 1008"):
                session.open()
            session.close()
    assert ["refused" in row and "ready" not in row for row in rows] == [True, True]
