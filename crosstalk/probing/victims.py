"""A victim's own view of its belongings: what is there, and whether an attempt changed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crosstalk.checks.probing import Victim, changed, difference, settled
from crosstalk.checks.violation import Violation
from crosstalk.generator import Generator
from crosstalk.live_run import LiveRun, Thread
from crosstalk.person import Person
from crosstalk.session import Session
from crosstalk.wire.dialect import Attempt, Belongings, Call


@dataclass(slots=True)
class Watched:
    """A thread of a person's, watched from its owner's side over HTTP.

    `state` is the thread's entry in the list of threads and its history, without what changes by itself; {} where the
    dialect can show neither.
    """

    generator: Generator
    person: Person
    thread: Thread
    state: Mapping[str, Any] = field(default_factory=dict)
    message_id: str = ""
    messages: int = 0

    def look(self) -> Mapping[str, Any]:
        """How the thread stands now."""
        dialect, thread_id = self.generator.settings.dialect, self.thread.thread_id
        state: dict[str, Any] = {}
        if (call := dialect.list_threads()) is not None:
            state |= settled(_entry(self._body(call), thread_id), "listed")
        if (call := dialect.history(thread_id)) is not None:
            body = self._body(call)
            messages = list(dialect.messages(body)) if isinstance(body, dict) else []
            self.messages = len(messages)
            if messages:
                self.message_id = messages[-1][0]
            state |= settled([text for _, text in messages] if isinstance(body, dict) else None, "history")
        return state

    def settle(self) -> None:
        """What is there now is what shall stay."""
        self.state = self.look()

    def judge(self, attempt: Attempt, victim: Victim) -> Violation | None:
        """Has the thread changed since it was settled? If so, this is its state from now on."""
        now = self.look()
        what = difference(self.state, now)
        self.state = now
        return changed(attempt, victim, expected="a thread that nobody touched", came=what) if what else None

    def victim(self, run: LiveRun, session: Session | None) -> Victim:
        """Whose this is, and what of it can be reached for."""
        belongings = Belongings(
            user_id=self.person.name,
            thread_id=self.thread.thread_id,
            run_id="" if run.run_id.startswith("?") else run.run_id,
            message_id=self.message_id,
            connection_id=session.welcome_id if session else "",
            cursor=str(session.events_in) if session else "",
        )
        secrets = {live.nonce for live in self.person.runs.values()} | {run.nonce}
        return Victim(self.person.name, belongings, frozenset(secrets))

    def _body(self, call: Call) -> Any:
        generator = self.generator
        answer = generator.http.call(call.method, call.path, token=generator.token(self.person), json=call.json)
        generator.milestone("PROBE", "victim's own view", answer.time_ms, answer.size_bytes, answer.error)
        return answer.body if not answer.error else f"HTTP {answer.status}"


def _entry(document: Any, wire_id: str) -> Any:
    """The object in a JSON document that bears this id, at any depth; None where there is none."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if wire_id in value.values():
                return value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return None
