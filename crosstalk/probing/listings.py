"""Does a person's list of threads, and each history, hold what it should and nothing of anybody else? Channel 7."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from crosstalk.checks.listings import history, listing
from crosstalk.checks.violation import Violation
from crosstalk.generator import Generator
from crosstalk.live_run import LiveRun
from crosstalk.person import Person
from crosstalk.wire.dialect import Call


@dataclass(slots=True)
class Archive:
    """What a person's listings should show. Begin before the first thread: what is listed then was there before."""

    generator: Generator
    person: Person
    before: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def begin(self) -> None:
        self.before = set(self._listed() or ())

    def check(self, threads: Collection[str], runs: Iterable[LiveRun]) -> None:
        """Compare the list of threads, and the history of the newest, with what is known to be there.

        :param threads: ids of those that should be listed.
        :param runs: of one thread, in the order in which they ended; those that did not end well are left out.
        """
        listed = self._listed()
        if listed is not None:
            self._observe(seen=bool(set(listed) & set(threads)) or not threads)
            owner_of = self.person.observer.owner_of
            owners = {thread: owner for thread in listed if (owner := owner_of(thread))}
            for violation in listing(
                listed=listed, expected=threads, before=self.before, gone=self.gone, owners=owners,
                subject=self.person.name,
            ):  # fmt: skip
                self._say(violation)
        well = [run for run in runs if run.outcome == "ok"]
        if well:
            self._check_history(well[-1].thread.thread_id, well)

    def _check_history(self, thread_id: str, runs: list[LiveRun]) -> None:
        dialect = self.generator.settings.dialect
        body = self._get(dialect.history(thread_id), f"the history of {thread_id}")
        if body is None:
            return
        said = [piece for run in runs for piece in pieces_of(run)]
        found = history(said, dialect.messages(body), thread=thread_id)
        self._observe(seen=len(found) < len(said))
        for violation in found:
            self._say(violation)

    def _listed(self) -> list[str] | None:
        """The ids in the list of threads; None where there is no such list, or it did not come."""
        dialect = self.generator.settings.dialect
        body = self._get(dialect.list_threads(), "the list of threads")
        return None if body is None else list(dialect.listed(body))

    def _get(self, call: Call | None, what: str) -> dict[str, Any] | None:
        """The body of a listing, after everything foreign in it has been named."""
        if call is None:
            return None
        http, person = self.generator.http, self.person
        answer = http.call(call.method, call.path, token=self.generator.token(person), json=call.json)
        self.generator.milestone("PROBE", "listing", answer.time_ms, answer.size_bytes, answer.error)
        for violation in person.observer.look(answer.raw, where=what, kind="http", channel=7, counts=False):
            self._say(replace(violation, name="foreign_listing"), answer.raw)
        return answer.body if not answer.error and isinstance(answer.body, dict) else None

    def _observe(self, *, seen: bool) -> None:
        self.generator.exposures.observe(7, own_live=self.person.observer.runs_live)
        self.generator.exposures.control(7, expected=1, seen=int(seen))

    def _say(self, violation: Violation, frame: bytes = b"") -> None:
        self.generator.notes(self.person).violation(violation, frame=frame)


def pieces_of(run: LiveRun) -> list[str]:
    """Pieces that must stand in a history: the words of the prompt, and the answer as it was streamed."""
    asked = run.prompt.text.rstrip() if run.prompt.reference == "context" else run.nonce.decode()
    answer = "".join(run.check.text)
    return [asked, answer] if answer and run.check.lifecycle.chunks_make_final_text else [asked]
