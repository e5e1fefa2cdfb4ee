"""What could make a target laxer runs alone, at the end: tokens of every bad kind, each of which must be refused.

Some authentication layers open up after too many failures (a circuit breaker that fails open): hence the burst of
forged tokens at the very end. Nobody else is connected when this is tried. Every token is shown to the socket and to
HTTP, where the good one was accepted right before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crosstalk.accounts import claims_of, forged
from crosstalk.bad_tokens import CLAIM_OF, JWKS_PATH, BadToken, altered, minted, public_keys
from crosstalk.checks.violation import ISOLATION, Violation, delivery
from crosstalk.config import ConfigError
from crosstalk.generator import Generator
from crosstalk.person import Person
from crosstalk.session import NotReady

BURST = 5
REVOKED = "revoked by logout"


@dataclass(slots=True)
class Afterwards:
    """Who shows bad tokens, and how it went. `accepted`: kinds that were let in, each with the surface."""

    generator: Generator
    person: Person
    shown: int = 0
    accepted: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def run(self) -> None:
        good = self.generator.token(self.person)
        by_http = self._http_takes(good)
        if not by_http:
            self.left_out.append("HTTP: the good token is not accepted there, so a refusal would mean nothing")
        for bad in self._kinds(good):
            self.show(bad, by_http=by_http)
        for _ in range(BURST):
            self.show(BadToken("forged", forged(good)), by_http=False)

    def told(self) -> dict[str, Any]:
        """For the record: how many tokens were shown, which kinds were let in where, and what was left out and why."""
        let_in = [f"{kind} ({surface})" for kind, surface in self.accepted]
        return {"shown": self.shown, "accepted": let_in, "left_out": self.left_out}

    def show(self, bad: BadToken, *, by_http: bool) -> None:
        """To the socket, and to HTTP. Accepted anywhere is a violation."""
        self.shown += 1
        if self._socket_takes(bad):
            self.accepted.append((bad.kind, "socket"))
        if by_http and self._http_takes(bad.token):
            self.accepted.append((bad.kind, "http"))
            call = self.generator.settings.dialect.list_threads()
            assert call is not None
            came = f"{call.method} {call.path.partition('?')[0]} was answered"
            violation = delivery("forged_token_accepted", expected=f"a refusal of: {bad.kind}", came=came)
            self.generator.notes(self.person).violation(violation)

    def _kinds(self, good: str) -> Iterator[BadToken]:
        mint = self.generator.mint
        answer = self.generator.http.call("GET", JWKS_PATH)
        keys = public_keys(answer.body if not answer.error else None, mint)
        if not keys:
            self.left_out.append("signed with the public key: the target publishes none")
        yield from altered(good, keys)
        if mint is None:
            self.left_out.append("kinds that only whoever signs tokens can make: accounts are of a file")
        else:
            checks = self.generator.token_checks
            yield from minted(mint, self.person.name, checks)
            if unsaid := [kind for kind, claim in CLAIM_OF.items() if claim not in checks]:
                self.left_out.append(f"{', '.join(unsaid)}: nobody says that the target checks it (token_checks)")
        yield from self._revoked()

    def _revoked(self) -> Iterator[BadToken]:
        """A token that was good until its user logged out with it."""
        call, token = self.generator.settings.dialect.logout(), self.generator.spare_token(self.person)
        if call is None or not token:
            why = "the dialect has no logout" if call is None else "there is no token to spare"
            self.left_out.append(f"{REVOKED}: {why}")
            return
        answer = self.generator.http.call(call.method, call.path, token=token, json=call.json)
        if answer.error:
            self.left_out.append(f"{REVOKED}: {call.method} {call.path}: {answer.error}")
            return
        yield BadToken(REVOKED, token)

    def _socket_takes(self, bad: BadToken) -> bool:
        session = None
        try:
            self.person.user_class = f"afterwards: {bad.kind}"  # so that its row tells the kind
            session = self.generator.session(self.person, purpose="bad_token", token=bad.token, wrong=bad.kind)
            session.go_to(self.generator.make_place(self.person))
            session.open()
            return True
        except NotReady as problem:
            return problem.wrong_identity  # it was let in all the same
        finally:
            if session is not None:
                session.close()

    def _http_takes(self, token: str) -> bool:
        call = self.generator.settings.dialect.list_threads()
        if call is None:
            return False
        answer = self.generator.http.call(call.method, call.path, token=token, json=call.json)
        return 200 <= answer.status < 300


def bad_tokens(generator: Generator, number: int) -> Afterwards:
    """Show every kind of bad token, then a burst of forged ones. Each leaves its row.

    :param number: of the account whose name the tokens bear.
    """
    found = Afterwards(generator, generator.person("afterwards", number))
    try:
        found.run()
        refreshed(generator, found.person)
    except (NotReady, ConfigError) as problem:
        found.left_out.append(f"no good token to begin with: {problem}")
    finally:
        generator.leave_for_good(found.person)
    return found


def refreshed(generator: Generator, person: Person) -> None:
    """Where accounts sign in: after another one has refreshed, whose token does a refresh bring? Channel 12."""
    accounts = generator.settings.accounts
    if (
        len(accounts) < 2
        or not accounts[person.number].password
        or not generator.settings.environment.login.refresh_path
    ):
        return
    number = next((n for n, one in enumerate(accounts) if n != person.number and one.password), None)
    if number is None:
        return
    other = generator.person("afterwards", number)
    try:
        for one in (person, other, person, other):
            subject = str(claims_of(generator.refresh(one)).get("sub", one.name))
            generator.exposures.observe(12, own_live=one.observer.runs_live)
            if subject != one.name:
                generator.notes(one).violation(foreign_token(one.name, subject))
    finally:
        generator.leave_for_good(other)


def foreign_token(whose: str, subject: str) -> Violation:
    """A refresh that brought another's token."""
    return Violation(
        ISOLATION,
        "foreign_token",
        expected=f"a token of {whose}",
        came=f"a token of {subject}",
        event_kind="http",
        channel=12,
        scope="cross_user",
        owner=subject,
        site="token",
        field="sub",
        decode="plain",
    )
