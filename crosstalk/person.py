"""What outlives a connection: an account's eyes, its runs and threads; and how it says something."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from crosstalk.checks.canary import Keyring, Site
from crosstalk.checks.isolation import RUN_ID, THREAD_ID, Observer
from crosstalk.checks.run import RunCheck
from crosstalk.live_run import ASKS_TO_REPEAT, LiveRun, Prompt, Thread
from crosstalk.wire.dialect import Dialect, Turn

#: runs and threads back whose canaries are compared as bytes; older ones are decoded
ORDINALS_AT_HAND = 16


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
    journeys: int = 0
    keeps_stories: bool = False  # of its runs, for a journey that looks at them
    display_name: str = ""  # a canary; "" until it has been said
    runs: dict[str, LiveRun] = field(default_factory=dict)

    def new_thread(self, *, ids_from: str = "client") -> Thread:
        """A thread that the target does not know yet; without an id where the server will choose it."""
        self.ordinal += 1
        ordinal = self.ordinal
        self.observer.thread_begun(ordinal)
        self.observer.forget_before(ordinal - ORDINALS_AT_HAND)
        if ids_from != "client":
            return Thread("", ordinal)
        canary = self.observer.plant(ordinal=ordinal, site=Site.THREAD)
        return Thread(THREAD_ID + canary, ordinal, said={canary.encode()})

    def prepare(
        self,
        prompt: Prompt,
        thread: Thread,
        dialect: Dialect,
        *,
        intended_ns: int | None,
        warm_up: bool,
        waited: bool = False,
        colliding: str = "",
        agent: str = "",
        named_later: bool = False,
    ) -> tuple[LiveRun, Turn]:
        """The next run of this thread, with its canaries planted, and what is to be said.

        Where the server chooses ids, the run has none yet: it is held under a name of its own until it is learned.

        :param colliding: an id for the run and its message that others use too, on purpose; "": ids of its own.
        :param agent: who is to answer; "": whoever does by default.
        :param named_later: the server chooses this run's id, whoever chooses the others'.
        """
        self.ordinal += 1
        thread.turns += 1
        ordinal = self.ordinal
        nonce, text, context = self._plant(prompt, ordinal)
        by_client = dialect.ids_from == "client" and not named_later
        own_id = colliding
        letters = nonce.encode()
        thread.said.add(letters)
        if by_client and not colliding:
            canary = self.observer.plant(ordinal=ordinal, site=Site.RUN)
            thread.said.add(canary.encode())
            own_id = RUN_ID + canary
        if prompt.profile or self.display_name:
            self._plant_name()
        name = self.display_name
        message = self.observer.plant(ordinal=ordinal, site=Site.MESSAGE)
        thread.said.add(message.encode())
        self.observer.phantom(ordinal)
        trace_id = f"{self.rng.getrandbits(128):032x}"
        run = LiveRun(
            run_id=own_id if by_client else f"?{self.name}-{ordinal}",
            ordinal=ordinal,
            thread=thread,
            turn=thread.turns,
            prompt=prompt,
            check=RunCheck(dialect.lifecycle, prompt.expects),
            trace_id=trace_id,
            intended_ns=intended_ns or 0,
            warm_up=warm_up,
            waited=waited,
            planted=frozenset((letters,)),
            nonce=letters,
            known=frozenset((*thread.said, name.encode()) if name else thread.said),
            story=[] if self.keeps_stories else None,
        )
        self.runs[run.run_id] = run
        turn = Turn(
            text=text,
            user_id=self.name,
            thread_id=thread.thread_id,
            run_id=run.run_id if by_client else "",
            message_id=colliding or f"msg-{message}",
            context=context,
            profile={"name": name} if prompt.profile else {},
            traceparent=f"00-{trace_id}-{self.rng.getrandbits(64):016x}-01",
            agent=agent,
        )
        return run, turn

    def learn(self, run: LiveRun, wire_id: str) -> None:
        """The server has told the id of a run that it chose."""
        self.runs.pop(run.run_id, None)
        run.run_id = wire_id
        self.runs[wire_id] = run
        self.observer.run_named(run.ordinal, wire_id)

    def _plant_name(self) -> None:
        """The display name is said, or may come back: its canary is the same in all runs, and made once."""
        if self.display_name:
            self.observer.plant_again(self.display_name, ordinal=1, site=Site.PROFILE)
        else:
            self.display_name = self.observer.plant(ordinal=1, site=Site.PROFILE)

    def _plant(self, prompt: Prompt, ordinal: int) -> tuple[str, str, dict[str, str]]:
        """The run's nonce, the text to say, and the private context beside it."""
        if prompt.reference == "context":
            nonce = self.observer.plant(ordinal=ordinal, site=Site.CONTEXT)
            return nonce, prompt.text, {"reference": nonce}
        # at the end of the text, so that prefix caches behave as in life
        nonce = self.observer.plant(ordinal=ordinal, site=Site.PROMPT)
        return nonce, f"{prompt.text.rstrip()} {ASKS_TO_REPEAT} {nonce}", {}
