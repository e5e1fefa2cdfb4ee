"""A person shows tokens: at the socket, by every way that a token can travel, and over HTTP.

Good ones must be accepted, and whatever is wrong with a bad one, it must be refused, also while everybody else is at
work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import lcm

from crosstalk.bad_tokens import JWKS_PATH, BadToken, altered, minted, public_keys
from crosstalk.checks.violation import delivery
from crosstalk.generator import Generator
from crosstalk.journey import Step
from crosstalk.person import Person
from crosstalk.session import NotReady
from crosstalk.wire.dialect import Call

#: a bad token over HTTP, among the ways to a socket
HTTP = "HTTP"


@dataclass(slots=True)
class Showing:
    """Whose tokens are shown. Keys that the target publishes are asked for once."""

    generator: Generator
    person: Person
    _keys: list[str] | None = field(default=None)

    @property
    def http(self) -> Call | None:
        """A call that needs a token and changes nothing."""
        return self.generator.settings.dialect.list_threads()

    def good(self, step: Step, token: str, way: str) -> None:
        """The socket takes a good token that travels this way, and is this person's.

        :raises NotReady: it does not.
        :raises Unmet: where a run has a socket of its own, the run did not end well.
        """
        generator, person = self.generator, self.person
        if generator.settings.dialect.socket_per == "run":
            self._run_alone(step, token, way)
            return
        with self._place() as path:
            session = generator.connect(person, path, transport=way, token=token)
            session.close()
            generator.disconnected(person)

    def _run_alone(self, step: Step, token: str, way: str) -> None:
        generator, person = self.generator, self.person
        thread = person.new_thread(ids_from=generator.settings.dialect.ids_from)
        session = generator.session(person, transport=way, token=token)
        prompt = generator.settings.prompts.choose(person.rng)
        call = partial(generator.call, person, token=token)
        try:
            step.well(session.ask_alone(prompt, thread, call, intended_ns=None, warm_up=generator.warm_up))
        finally:
            generator.disconnected(person)
            if thread.thread_id:
                generator.delete_thread(person, thread.thread_id)

    @contextmanager
    def _place(self) -> Iterator[str]:
        """The path of a socket for this person that nobody uses; "" where all have one. Nothing is left of it.

        :raises NotReady: the target did not make it.
        """
        generator, person = self.generator, self.person
        dialect = generator.settings.dialect
        if dialect.socket_per == "user":
            yield ""
            return
        thread = person.new_thread(ids_from=dialect.ids_from)
        try:
            generator.create_thread(person, thread, text="Are you there?")
            yield thread.socket_path
        finally:
            if thread.thread_id:
                generator.delete_thread(person, thread.thread_id)

    def good_over_http(self, step: Step, token: str) -> None:
        """:raises Unmet: a good token is not accepted there."""
        assert self.http is not None
        answer = self.generator.call(self.person, self.http, name="valid token", token=token)
        step.expect(200 <= answer.status < 300, "HTTP 200", answer.error or f"HTTP {answer.status}")

    def bad(self, step: Step, bad: BadToken, way: str) -> None:
        """To the socket by this way, or over HTTP.

        :raises Unmet: it is accepted, or refused by a fault of the server's.
        """
        if way == HTTP:
            self._bad_over_http(step, bad)
            return
        wanted = f"a refusal of a token that is: {bad.kind}"
        with self._place() as path:
            session = self.generator.session(
                self.person, purpose="bad_token", transport=way, token=bad.token, wrong=bad.kind
            )
            session.go_to(path)
            try:
                session.open()
            except NotReady as problem:
                step.expect(not problem.wrong_identity, wanted, problem.reason)
                step.expect(session.heard[1].code != 1011, wanted, "close 1011")
            else:
                step.expect(False, wanted, "a connection that is ready")
            finally:
                session.close()

    def _bad_over_http(self, step: Step, bad: BadToken) -> None:
        call, generator, person = self.http, self.generator, self.person
        assert call is not None
        answer = generator.call(person, call, name="bad token", fine=(401, 403), token=bad.token)
        if 200 <= answer.status < 300:
            came = f"{call.method} {call.path.partition('?')[0]} was answered"
            violation = delivery("forged_token_accepted", expected=f"a refusal of: {bad.kind}", came=came)
            generator.notes(person).violation(violation)
        wanted = f"HTTP 401 or 403 for a token that is: {bad.kind}"
        step.expect(answer.status in (401, 403), wanted, f"HTTP {answer.status}" if answer.status else answer.error)

    def kinds(self, good: str) -> Sequence[BadToken]:
        """A bad token of each kind that can be made here, of this person's name."""
        generator, mint = self.generator, self.generator.mint
        if self._keys is None:
            answer = generator.http.call("GET", JWKS_PATH)
            self._keys = public_keys(answer.body if not answer.error else None, mint)
        found = list(altered(good, self._keys))
        return [*found, *minted(mint, self.person.name, generator.token_checks)] if mint is not None else found


def in_turn(kinds: Sequence[BadToken], ways: Sequence[str], round_number: int) -> list[tuple[str, BadToken]]:
    """A kind for each way, others in each round; in enough rounds every kind by every way."""
    shown = round_number * len(ways)
    shift = shown // lcm(len(ways), len(kinds))  # where the kinds come round to the same ways again
    return [(way, kinds[(shown + shift + number) % len(kinds)]) for number, way in enumerate(ways)]
