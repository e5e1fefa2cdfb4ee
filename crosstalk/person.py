"""What outlives a connection: an account's eyes, its runs and threads; and how it says something."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from crosstalk.checks.canary import Keyring, Site
from crosstalk.checks.isolation import Observer, run_id, thread_id
from crosstalk.checks.run import RunCheck
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.wire.dialect import Dialect, Turn


@dataclass(slots=True)
class Person:
    """A simulated person. Its ordinals count its runs, so that every canary of it is another."""

    name: str
    number: int
    user_class: str
    observer: Observer
    keyring: Keyring
    rng: random.Random
    ordinal: int = 0
    connections: int = 0
    runs: dict[str, LiveRun] = field(default_factory=dict)

    def new_thread(self, *, ids_from: str = "client") -> Thread:
        """A thread that the target does not know yet; without an id where the server will choose it."""
        ordinal = self.ordinal + 1
        self.observer.forget_before(ordinal)
        if ids_from != "client":
            return Thread("", ordinal)
        self.observer.plant(ordinal=ordinal, site=Site.THREAD)
        return Thread(thread_id(self.keyring, owner=self.number, ordinal=ordinal), ordinal)

    def prepare(
        self, prompt: Prompt, thread: Thread, dialect: Dialect, *, intended_ns: int | None, warm_up: bool
    ) -> tuple[LiveRun, Turn]:
        """The next run of this thread, with its canaries planted, and what is to be said.

        Where the server chooses ids, the run has none yet: it is held under a name of its own until it is learned.
        """
        self.ordinal += 1
        thread.turns += 1
        ordinal = self.ordinal
        nonce, text, context = self._plant(prompt, ordinal)
        by_client = dialect.ids_from == "client"
        if by_client:
            self.observer.plant(ordinal=ordinal, site=Site.RUN)
        message_id = "msg-" + self.observer.plant(ordinal=ordinal, site=Site.MESSAGE)
        self.observer.phantom(ordinal)
        trace_id = f"{self.rng.getrandbits(128):032x}"
        run = LiveRun(
            run_id=run_id(self.keyring, owner=self.number, ordinal=ordinal) if by_client else f"?{self.name}-{ordinal}",
            ordinal=ordinal,
            thread=thread,
            turn=thread.turns,
            prompt=prompt,
            check=RunCheck(dialect.lifecycle, prompt.expects),
            trace_id=trace_id,
            intended_ns=intended_ns or 0,
            warm_up=warm_up,
            planted=frozenset({nonce.encode()}),
            nonce=nonce.encode(),
        )
        self.runs[run.run_id] = run
        turn = Turn(
            text=text,
            user_id=self.name,
            thread_id=thread.thread_id,
            run_id=run.run_id if by_client else "",
            message_id=message_id,
            context=context,
            traceparent=f"00-{trace_id}-{self.rng.getrandbits(64):016x}-01",
        )
        return run, turn

    def learn(self, run: LiveRun, wire_id: str) -> None:
        """The server has told the id of a run that it chose."""
        self.runs.pop(run.run_id, None)
        run.run_id = wire_id
        self.runs[wire_id] = run
        self.observer.own_id(wire_id)

    def _plant(self, prompt: Prompt, ordinal: int) -> tuple[str, str, dict[str, str]]:
        """The run's nonce, the text to say, and the private context beside it."""
        if prompt.reference == "context":
            nonce = self.observer.plant(ordinal=ordinal, site=Site.CONTEXT)
            return nonce, prompt.text, {"reference": nonce}
        # at the end of the text, so that prefix caches behave as in life
        nonce = self.observer.plant(ordinal=ordinal, site=Site.PROMPT)
        return nonce, f"{prompt.text.rstrip()} Please repeat this reference: {nonce}", {}
