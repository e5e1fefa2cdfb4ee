"""A person's threads and their messages, looked at step by step: over HTTP, and in frames where there are such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosstalk.checks.listings import history
from crosstalk.checks.paging import joined
from crosstalk.generator import Generator
from crosstalk.http import Answer
from crosstalk.journey import Step
from crosstalk.live_run import LiveRun
from crosstalk.person import Person
from crosstalk.probing.listings import pieces_of
from crosstalk.session import Session
from crosstalk.wire.dialect import Call
from crosstalk.wire.event import Kind

#: entries of a page: small, so that few messages make several pages
PAGE = 2
PAGES_MAX = 50
#: what "no such thing" is over HTTP
GONE = (403, 404, 410)


@dataclass(slots=True)
class Desk:
    """Somebody who reads what the target has of their threads.

    :param call: makes a call in the person's name, if not as `Generator.call` does.
    """

    generator: Generator
    person: Person
    call: Callable[[Call], Answer] | None = None

    def read(self, step: Step, call: Call) -> Mapping[str, Any]:
        """The JSON object that answers a call.

        :raises Unmet: it is not answered with 200 or 201 and an object.
        """
        answer = step.answered(self._made(call), 200, 201)
        step.expect(isinstance(answer.body, dict), "a JSON object", repr(answer.raw[:80]))
        body: Mapping[str, Any] = answer.body
        return body

    def _made(self, call: Call) -> Answer:
        return self.call(call) if self.call is not None else self.generator.call(self.person, call)

    def listed(self, step: Step) -> Mapping[str, Any]:
        """The answer to the dialect's `list_threads`, which the caller knows to be there."""
        call = self.generator.settings.dialect.list_threads()
        assert call is not None
        return self.read(step, call)

    def expect_history(self, step: Step, thread_id: str, runs: Sequence[LiveRun], *, whole: bool = False) -> None:
        """All that was said and answered in these runs stands in the history, in this order, and each once.

        :param whole: nothing else does.
        """
        call = self.generator.settings.dialect.history(thread_id)
        assert call is not None
        self.expect_told(step, thread_id, self.read(step, call), runs, whole=whole)

    def expect_told(
        self, step: Step, thread_id: str, answer: Mapping[str, Any], runs: Sequence[LiveRun], *, whole: bool = False
    ) -> None:
        """The same of an answer at hand."""
        dialect = self.generator.settings.dialect
        pieces = [piece for run in runs for piece in pieces_of(run)]
        found = history(pieces, dialect.messages(answer), thread=thread_id)
        if found:
            step.expect(False, found[0].expected, found[0].came)
        speakers = [who for who, _ in dialect.speakers(answer)]
        if whole and speakers:
            step.expect(speakers == ["user", "agent"] * len(runs), "user, agent, …, in turn", ", ".join(speakers))

    def expect_pages_of_history(self, step: Step, thread_id: str, *, adding: int = 0) -> None:
        """The pages of a history, joined, are the history.

        :param adding: so many messages are added meanwhile, one after each of the first pages: they stand at the end.
        """
        dialect = self.generator.settings.dialect

        def page(number: int) -> list[str]:
            call = dialect.page_of_history(thread_id, limit=PAGE, offset=PAGE * number)
            assert call is not None
            ids = self._ids(step, call)
            more = dialect.add_message(thread_id, f"A note, number {number + 1}") if number < adding else None
            if more is not None:
                self.read(step, more)
            return ids

        pages = _leafed(page)
        whole = dialect.history(thread_id)
        assert whole is not None
        self._expect_joined(step, pages, self._ids(step, whole))

    def expect_pages_of_threads(self, step: Step) -> None:
        """The pages of the list of threads, joined, are the list."""
        dialect = self.generator.settings.dialect

        def page(number: int) -> list[str]:
            call = dialect.page_of_threads(limit=PAGE, offset=PAGE * number)
            assert call is not None
            return list(dialect.listed(self.read(step, call)))

        self._expect_joined(step, _leafed(page), list(dialect.listed(self.listed(step))))

    def _ids(self, step: Step, call: Call) -> list[str]:
        return [message_id for message_id, _ in self.generator.settings.dialect.messages(self.read(step, call))]

    def _expect_joined(self, step: Step, pages: list[list[str]], whole: list[str]) -> None:
        wrong = joined(pages, whole, limit=PAGE)
        step.expect(not wrong, "pages that make up the whole", wrong)

    def exchange(self, step: Step, session: Session, frame: str) -> Mapping[str, Any]:
        """What the target tells on the socket in answer to a frame.

        :raises Unmet: it refuses, or says nothing of the kind.
        """
        heard = session.exchange(frame)
        refused = next((event for event, _ in heard if event.kind is Kind.REFUSED), None)
        step.expect(refused is None, "an answer", f"{refused.code} {refused.text}" if refused else "")
        told = self._told(heard)
        step.expect(told is not None, "an answer", "none before the answer to a ping")
        return told or {}

    def expect_nothing(self, step: Step, session: Session, frame: str) -> None:
        """A frame that names what is gone is refused, or told that there is nothing."""
        heard = session.exchange(frame)
        told = self._told(heard)
        held = list(self.generator.settings.dialect.messages(told)) if told is not None else []
        answered = told is not None or any(event.kind is Kind.REFUSED for event, _ in heard)
        step.expect(answered, "a refusal, or no messages", "no answer before that to a ping")
        step.expect(not held, "a refusal, or no messages", f"{len(held)} messages")

    def _told(self, heard: Iterable[tuple[object, bytes]]) -> Mapping[str, Any] | None:
        told = (self.generator.settings.dialect.told(frame) for _, frame in heard)
        return next((one for one in told if one is not None), None)


def _leafed(page: Callable[[int], list[str]]) -> list[list[str]]:
    """Page after page until a short one."""
    pages = [page(0)]
    while len(pages[-1]) >= PAGE and len(pages) < PAGES_MAX:
        pages.append(page(len(pages)))
    return pages
