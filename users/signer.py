"""Signer: signs in by password and by OAuth, shows good and bad tokens, refreshes in mid-run, and logs out."""

from __future__ import annotations

from typing import Any

from locust import tag, task

from crosstalk.accounts import expires_at_s
from crosstalk.bad_tokens import BadToken
from crosstalk.clock import clock
from crosstalk.journey import Journey
from crosstalk.journeys import oauth
from crosstalk.journeys.showing_tokens import HTTP, Showing, in_turn
from crosstalk.journeys.signing_in import (
    Tokens,
    log_in,
    oauth_of,
    password_of,
    received,
    refresh,
    refused,
    tokens_in,
)
from crosstalk.live_run import Thread
from users.partner import Juggler


class Signer(Juggler):
    """Someone who comes and goes: by password and by OAuth, then with a run during which the token is renewed.

    What is tried on purpose and must be refused (a wrong password, state or token) is tried a little each time, and by
    another way the next time.
    """

    weight = 1
    family = "sign_in"
    follows_arrivals = False
    connects_at_start = False
    #: rounds in which it reads its answer for a while, before it goes on
    lingers_every = 3

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._rounds = 0
        self._thread_at_hand: Thread | None = None

    def on_start(self) -> None:
        super().on_start()
        self._showing = Showing(self.generator, self.person)
        self._rounds = self.person.number  # not all of them the same at once

    def on_stop(self) -> None:
        if self._person is not None:
            self._leave_nothing()
        super().on_stop()

    @tag("sign_in")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def come_and_go(self) -> None:
        """From the password to the logout."""
        self._rounds += 1
        self.hang_up()
        with self.journey() as journey:
            tokens = self._log_in(journey)
            tokens = self._oauth(journey) or tokens
            if tokens is None and not self._signs_in:
                tokens = Tokens(self.generator.token(self.person))
            if tokens is not None:
                self.generator.hold_token(self.person, tokens.access)
                self._show(journey, tokens.access)
                self._stay(journey, tokens)
                self._log_out(journey)
        self._leave_nothing()

    @property
    def _signs_in(self) -> bool:
        """Is there a way to sign in? Else it has its token from elsewhere."""
        return bool(password_of(self.generator, self.person)) or oauth_of(self.generator) is not None

    def _leave_nothing(self) -> None:
        self.hang_up()
        self.generator.forget_token(self.person)
        if self._thread_at_hand is not None:
            self.delete(self._thread_at_hand)
        self._thread_at_hand = None

    # --- in ---------------------------------------------------------------------------------------------------------

    def _log_in(self, journey: Journey) -> Tokens | None:
        generator, person = self.generator, self.person
        password = password_of(generator, person)
        if not password:
            journey.not_offered("login", "no password is known for this account")
            return None
        with journey.step("wrong password", go_on=True) as step:
            answer = log_in(generator, person, f"not {password[::-1]}", fine=oauth.REFUSALS)
            refused(generator, step, answer, "a wrong password")
        tokens = None
        with journey.step("login", go_on=True) as step:
            tokens = received(generator, person, step, log_in(generator, person, password))
        return tokens

    def _oauth(self, journey: Journey) -> Tokens | None:
        generator, person = self.generator, self.person
        rules = oauth_of(generator)
        if rules is None:
            journey.not_offered("oauth", "nobody says how one signs in there without a human (oauth_path)")
            return None
        tokens = None
        with journey.step("oauth", go_on=True) as step:
            tokens = oauth.sign_in(generator, person, rules, step)
        if tokens is None:
            return None
        with journey.step("oauth state", go_on=True) as step:
            oauth.wrong_state(generator, person, rules, step, self._rounds)
        with journey.step("oauth code", go_on=True) as step:
            oauth.used_code(generator, person, rules, step)
        return tokens

    # --- tokens -----------------------------------------------------------------------------------------------------

    def _show(self, journey: Journey, good: str) -> None:
        generator, showing = self.generator, self._showing
        ways = [*generator.transports]
        if showing.http is None:
            journey.not_offered("valid token over HTTP", "the dialect has no call that lists threads")
        else:
            with journey.step("valid token over HTTP", go_on=True) as step:
                showing.good_over_http(step, good)
                ways.append(HTTP)
        for way in generator.transports:
            with journey.step(f"valid token by {way}", go_on=True) as step:
                showing.good(step, good, way)
        for way, bad in in_turn(showing.kinds(good), ways, self._rounds):
            with journey.step(_of_bad(way), go_on=True) as step:
                showing.bad(step, bad, way)

    # --- a run, and a new token in the middle of it -----------------------------------------------------------------

    def _stay(self, journey: Journey, tokens: Tokens) -> None:
        """Talk; renew the token meanwhile, where it can be."""
        generator, person = self.generator, self.person
        thread = self._thread_at_hand = self.new_thread()
        if generator.settings.dialect.socket_per == "user":
            with journey.step("connection"):
                self._session = generator.connect(person)
        renews = bool(tokens.refresh and generator.settings.environment.login.refresh_path)
        if not renews:
            journey.not_offered("refresh", "there is no refresh token")
            with journey.step("run") as step:
                step.well(self.ask(self.prompt(), thread))
            return
        run, renewed = self.begin(self.prompt("long"), thread), None
        in_mid_run = run is not None and not run.done.is_set()
        with journey.step("refresh", go_on=True) as step:
            soon = expires_at_s(tokens.access) <= clock.now_ns() / 1e9
            step.expect(not soon, "a token that is still good", "one that has expired")
            renewed = received(generator, person, step, refresh(generator, person, tokens.refresh))
            step.expect(renewed.access != tokens.access, "a new access token", "the same one")
        with journey.step("run during a refresh" if in_mid_run else "run", go_on=True) as step:
            step.well(self.rest())
        if self._rounds % self.lingers_every == 0:
            self.linger()
        if renewed is None:
            return
        generator.hold_token(person, renewed.access)
        self.hang_up()
        with journey.step("socket after a refresh", go_on=True) as step:
            self._showing.good(step, renewed.access, generator.transports[0])
        with journey.step("used refresh token", go_on=True) as step:
            answer = refresh(generator, person, tokens.refresh, fine=oauth.REFUSALS)
            refused(generator, step, answer, "a refresh token that was used")

    # --- out --------------------------------------------------------------------------------------------------------

    def _log_out(self, journey: Journey) -> None:
        """With a token of its own: on some targets it revokes more than the one that it is made with."""
        generator, person = self.generator, self.person
        call = generator.settings.dialect.logout()
        token = "" if call is None else self._spare()
        if call is None or not token:
            why = "the dialect has no logout" if call is None else "there is no token to spare"
            journey.not_offered("logout", why)
            return
        with journey.step("logout") as step:
            answer = generator.call(person, call, name="logout", token=token)
            step.expect(200 <= answer.status < 400, "HTTP 204", answer.error or f"HTTP {answer.status}")
        bad = BadToken("revoked by logout", token)
        if self._showing.http is not None:
            with journey.step("HTTP after logout", go_on=True) as step:
                self._showing.bad(step, bad, HTTP)
        with journey.step("socket after logout", go_on=True) as step:
            self._showing.bad(step, bad, generator.transports[self._rounds % len(generator.transports)])

    def _spare(self) -> str:
        """A good token to be used up: of one more login, or minted; "" where there can be none."""
        generator, person = self.generator, self.person
        if password := password_of(generator, person):
            tokens = tokens_in(log_in(generator, person, password), generator.settings.environment.login)
            if tokens is not None:
                return tokens.access
        return generator.mint.token(person.name) if generator.mint is not None else ""


def _of_bad(way: str) -> str:
    return "bad token over HTTP" if way == HTTP else f"bad token by {way}"
