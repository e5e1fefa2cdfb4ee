"""Histories of a backend that leaks now and then: the reference backend's own runs and frames, without sockets or time.

A loop whose clock jumps to the next timer drives the chat, so that a minute of many users' runs takes a fraction of a
second and depends on its seed alone. A history is what each user received, in order; its ground truth, who was bitten.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from crosstalk.backend.chat import Chat, Turn
from crosstalk.backend.delays import parse_delays
from crosstalk.backend.events import Address
from crosstalk.backend.faults import FaultSpec, FaultTable, parse_fault
from crosstalk.backend.netra_frames import NetraVoice
from crosstalk.backend.runs import Pace
from crosstalk.checks.canary import Keyring, Site
from crosstalk.checks.isolation import Observer, RunPlace, run_id, thread_id
from crosstalk.checks.violation import ISOLATION, Violation
from crosstalk.wire.event import RUN_KINDS, Event, Kind
from crosstalk.wire.netra import Netra
from tests.helpers import House, user_name

PROMPTS = (
    "Please look up what we spent on storage, then hand over to whoever knows billing.",
    "Please compare the two plans, then hand over to whoever knows billing.",
    "Please remind me, what did I say before?",
)
SHARED = "Summarise my account."
TURNS_A_THREAD = 3


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its clock stands still while there is work, and jumps to the next timer where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._at_s = 0.0

    def time(self) -> float:
        return self._at_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._at_s = max(self._at_s, self._scheduled[0].when())
        super()._run_once()


class CountingTable(FaultTable):
    """The backend's draws, counted: (fault, account) → how often it could have bitten, and how often it did."""

    def __init__(self, specs: Iterable[FaultSpec], seed: int) -> None:
        specs = list(specs)
        super().__init__(specs, seed)
        self._accounts = {spec.name: spec.accounts or (0, 0) for spec in specs}
        self.asked: Counter[tuple[str, int]] = Counter()
        self.bitten: Counter[tuple[str, int]] = Counter()

    def bites(self, name: str, *, account: int | None, **more: Any) -> bool:
        bitten = super().bites(name, account=account, **more)
        first, last = self._accounts.get(name, (0, -1))
        if account is not None and first <= account <= last:
            self.asked[name, account] += 1
            self.bitten[name, account] += bitten
        return bitten


@dataclass
class Run:
    """A run of one user, as its user knows it."""

    run_id: str
    ordinal: int
    thread_first: int
    known: frozenset[bytes]  # own canaries that may be in its frames
    ended: bool = False
    parts: list[bytes] = field(default_factory=list)  # frames that nothing was found in yet

    @property
    def place(self) -> RunPlace:
        return RunPlace(self.run_id, self.ordinal, self.thread_first, self.ended, known=self.known)


@dataclass
class User:
    """One user: an outlet of the chat on one side, an observer on the other."""

    number: int
    observer: Observer
    address: Address
    runs: dict[str, Run] = field(default_factory=dict)
    found: list[Violation] = field(default_factory=list)
    ordinal: int = 0
    thread_first: int = 1
    frames: int = 0
    alive: bool = True

    @property
    def user_id(self) -> str:
        return self.observer.subject

    def send(self, frame: bytes) -> None:
        """A frame of the backend's arrives: what the harness does with it, in its order."""
        self.frames += 1
        for event in Netra().decode(frame):
            run = self.runs.get(event.run_id) if event.kind in RUN_KINDS else None
            found = self.observer.inspect(frame, event, run.place if run else None)
            self.found += found
            if run is not None:
                self._move(run, event, b"" if found else frame)

    def _move(self, run: Run, event: Event, frame: bytes) -> None:
        run.parts += [frame] if frame else []
        if event.kind in (Kind.COMPLETED, Kind.ERROR) and event.agent == "supervisor" and not run.ended:
            self.found += [violation for violation, _ in self.observer.search(run.parts, run.place)]
            run.ended = True


@dataclass(frozen=True)
class History:
    """What came of one seed."""

    users: list[User]
    table: CountingTable

    @property
    def frames(self) -> int:
        return sum(user.frames for user in self.users)

    def seen_by(self, number: int) -> list[Violation]:
        """Isolation violations that this account saw."""
        return [one for one in self.users[number].found if one.judgement == ISOLATION]

    def seen_of(self, number: int) -> list[Violation]:
        """Those that others saw, about what is this account's."""
        name = user_name(number)
        return [one for user in self.users for one in user.found if one.judgement == ISOLATION and one.owner == name]


def history(seed: int, faults: Iterable[str], *, users: int, runs_each: int) -> History:
    """Many users' runs on one backend with these faults."""
    table = CountingTable([parse_fault(text) for text in faults], seed)
    loop = JumpingLoop()
    asyncio.set_event_loop(None)
    try:
        everybody = loop.run_until_complete(_live(seed, table, users, runs_each))
    finally:
        loop.close()
    return History(everybody, table)


async def _live(seed: int, table: CountingTable, users: int, runs_each: int) -> list[User]:
    pace = Pace(parse_delays([]), 1.0, 30.0)
    chat = Chat(seed=seed, pace=pace, faults=table)
    house, rng = House(), random.Random(f"{seed} users")
    everybody = []
    for number in range(users):
        user = User(number, house.observer(number), Address("netra", user_name(number)))
        chat.outlets.join(user)
        everybody.append(user)
    await asyncio.gather(*(_chat(chat, user, house, random.Random(rng.random()), runs_each) for user in everybody))
    await asyncio.sleep(2.0)  # bounded: of the loop's own time, for what comes after the last end
    return everybody


async def _chat(chat: Chat, user: User, house: House, rng: random.Random, runs_each: int) -> None:
    for turn in range(runs_each):
        await asyncio.sleep(rng.expovariate(1 / 0.5))  # bounded: of the loop's own time, thinking
        over = asyncio.Event()
        if turn % TURNS_A_THREAD == 0:
            user.ordinal += 1
            user.thread_first = user.ordinal
            user.observer.thread_begun(user.ordinal)
        user.ordinal += 1
        run, said = _say(user, house.keyring, rng)
        user.runs[run.run_id] = run
        user.observer.run_started(run.ordinal, run.thread_first)
        chat.start_run(user.user_id, said, address=user.address, voice=NetraVoice(), done=over.set)
        await over.wait()
        user.observer.run_over(run.ordinal)


def _say(user: User, keyring: Keyring, rng: random.Random) -> tuple[Run, Turn]:
    """A prompt of one's own with its reference in it, or the words that everybody says with it in the context."""
    ordinal, observer = user.ordinal, user.observer
    shared = rng.random() < 0.35
    ids = [observer.plant(ordinal=user.thread_first, site=Site.THREAD), observer.plant(ordinal=ordinal, site=Site.RUN)]
    canary = observer.plant(ordinal=ordinal, site=Site.CONTEXT if shared else Site.PROMPT)
    known = frozenset(one.encode() for one in (*ids, canary))
    run = Run(run_id(keyring, owner=user.number, ordinal=ordinal), ordinal, user.thread_first, known)
    thread = thread_id(keyring, owner=user.number, ordinal=user.thread_first)
    text = SHARED if shared else f"{rng.choice(PROMPTS)} Please repeat this reference: {canary}"
    return run, Turn(text, thread, run.run_id, {"reference": canary} if shared else {}, {})
