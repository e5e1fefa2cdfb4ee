"""The plan of a run, as wrong as faults of memory, cache and pool want it: whose words the agent takes for whose.

Without faults it is `make_plan` of what was asked and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crosstalk.backend.leak_forms import Form
from crosstalk.backend.leftovers import Connection, Leftovers, Pool, Reply, Seen
from crosstalk.backend.plan import (
    CHUNK,
    SUPERVISOR,
    Ask,
    Plan,
    asks_memory,
    fails_at_first,
    make_plan,
    references_of,
)
from crosstalk.backend.store import Store, Thread

_Bites = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Turn:
    """A request to run an agent: ids where they are chosen already, and the private parts of the payload. `slow`: the
    agent takes longer than the socket that asks is kept (faults only). `thread`: where it was looked up already.
    `request_id`: what the client calls the request. `agent`: who is to answer."""

    prompt: str
    thread_id: str | None
    run_id: str | None
    context: Mapping[str, Any]
    profile: Mapping[str, Any]
    slow: bool = False
    thread: Thread | None = None
    request_id: str = ""
    agent: str = SUPERVISOR


class Planner:
    """Makes plans. With faults it remembers whatever anybody asked and was answered."""

    def __init__(self, seed: int, wanted: frozenset[str], store: Store) -> None:
        self._seed = seed
        self._wanted = wanted
        self._store = store
        self.leftovers = Leftovers()
        self._pool = Pool()
        self._connections: dict[tuple[str, str], Connection] = {}

    def plan(self, user_id: str, run_id: str, turn: Turn, thread: Thread, bites: _Bites) -> Plan:
        ask = Ask(turn.prompt, _text_of(turn.context, "reference"), _text_of(turn.profile, "name"), agent=turn.agent)
        if asks_memory(turn.prompt):
            ask = replace(ask, earlier=_references_in(thread))
        if fails_at_first(turn.prompt):
            ask = replace(ask, fails=not any(fails_at_first(said) for said in _said_in(thread)))
        if not self._wanted:
            return make_plan(ask, self._seed)
        plan = self._answer(self._mixed_up(ask, user_id, thread, bites), user_id, run_id, turn, bites)
        self.leftovers.note_run(
            Seen(
                user_id,
                run_id,
                thread.id,
                references=plan.references if ask.reference else references_of(turn.prompt),
                context=ask.reference or "",
                name=ask.name or "",
                request_id=turn.request_id,
                pieces=tuple(step.data["chunk"] for step in plan.steps if step.kind == CHUNK),
            )
        )
        return plan

    def cancelled(self, user_id: str, run_id: str) -> None:
        """The connection of a cancelled run goes back into the pool, whatever is still to be read from it."""
        connection = self._connections.pop((user_id, run_id), None)
        if connection is not None:
            self._pool.give_back(connection)

    def ended(self, user_id: str, run_id: str) -> None:
        """Its connection is read to the end and closed."""
        self._connections.pop((user_id, run_id), None)

    def of_another(self, form: Form, user_id: str, run_id: str, active: Container[tuple[str, str]]) -> Seen | None:
        """The run that a form takes its words from, for a run of this user."""
        if not form.own_user:
            return self.leftovers.of_another(user_id, active, form.having)
        newest = self.leftovers.newest_of(user_id)
        return newest if newest is not None and newest.run_id != run_id and form.having(newest) else None

    def _mixed_up(self, ask: Ask, user_id: str, thread: Thread, bites: _Bites) -> Ask:
        """What is asked, with what does not belong to it."""
        if asks_memory(ask.prompt):
            ask = self._misremembered(ask, thread, bites)
        if "leak_cross_thread" in self._wanted:
            elsewhere = self._reference_of_other_thread(thread, ask)
            if elsewhere and bites("leak_cross_thread"):
                ask = replace(ask, earlier=(*ask.earlier, elsewhere))
        if "leak_memory" in self._wanted and asks_memory(ask.prompt):
            other = self.leftovers.of_another(user_id, ())
            if other is not None and bites("leak_memory"):
                ask = replace(ask, earlier=(*ask.earlier, *other.references))
        if "leak_context" in self._wanted and not ask.reference:
            # One dictionary is the default of all requests: what one puts in is there for the next that brings none.
            other = self.leftovers.of_another(user_id, (), lambda seen: bool(seen.context))
            if other is not None and bites("leak_context"):
                ask = replace(ask, reference=other.context)
        if "leak_profile" in self._wanted:
            # The profile is looked up after an await, under whatever user is the current one by then.
            other = self.leftovers.of_another(user_id, (), lambda seen: bool(seen.name))
            if other is not None and bites("leak_profile"):
                ask = replace(ask, name=other.name)
        return ask

    def _misremembered(self, ask: Ask, thread: Thread, bites: _Bites) -> Ask:
        """What is remembered of the thread: nothing, or what was said in another one."""
        if ask.earlier and bites("memory_forgotten"):
            return replace(ask, earlier=())
        elsewhere = self._reference_of_other_thread(thread, ask) if "memory_of_other_thread" in self._wanted else None
        if elsewhere and bites("memory_of_other_thread"):
            return replace(ask, earlier=(elsewhere,))
        return ask

    def _answer(self, ask: Ask, user_id: str, run_id: str, turn: Turn, bites: _Bites) -> Plan:
        kept = {"leak_cache": ("prompt", turn.prompt), "colliding_run_ids": ("run", turn.run_id or run_id)}
        text = None
        for name, (kind, key) in kept.items():
            if name in self._wanted and text is None:
                text = self.leftovers.answer_of_another(kind, key, user_id)
                if text is not None and not bites(name):
                    text = None
        plan = make_plan(ask, self._seed, text=text)
        if "poisoned_pool" in self._wanted and plan.references and plan.text:
            heard = self._through_pool(Reply(user_id, plan.text), run_id, bites)
            if heard != plan.text:
                text = heard
                plan = make_plan(ask, self._seed, text=text)
        tool_fails = any(step.data.get("status") == "error" for step in plan.steps)
        if tool_fails and bites("tool_error_swallowed"):
            plan = make_plan(ask, self._seed, text=text, hide_tool_errors=True)
        for name, (kind, key) in kept.items():
            if name in self._wanted and text is None and plan.text:
                self.leftovers.note_answer(kind, key, user_id, plan.text)
        return plan

    def _through_pool(self, reply: Reply, run_id: str, bites: _Bites) -> str:
        connection = self._pool.take(reply.user_id, lambda: bites("poisoned_pool"))
        self._connections[reply.user_id, run_id] = connection
        return connection.ask(reply).text

    def _reference_of_other_thread(self, thread: Thread, ask: Ask) -> str | None:
        """The newest reference that the user said in another thread and never in this one, nor in this turn."""
        known = {*_references_in(thread), *references_of(ask.prompt), ask.reference}
        for other in self._store.threads_of(thread.owner):
            if other is not thread:
                for reference in reversed(_references_in(other)):
                    if reference not in known:
                        return reference
        return None


def _references_in(thread: Thread) -> tuple[str, ...]:
    """What the user asked to repeat in a thread so far, oldest first and each once."""
    return tuple(dict.fromkeys(reference for content in _said_in(thread) for reference in references_of(content)))


def _said_in(thread: Thread) -> list[str]:
    """What the user has said in a thread so far, oldest first."""
    return [message["content"] for message in thread.messages if message["role"] == "user"]


def _text_of(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return value[:200] if isinstance(value, str) and value else None
