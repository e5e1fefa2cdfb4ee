"""What happened around a leak, as a plain value: who said, cancelled and closed what, and when.

Made from the rows of a record, and made smaller without them; it holds no socket, no frame and no secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import orjson

from crosstalk.live_run import ASKS_TO_REPEAT
from reports.reproduce_kinds import NotReproducible, Row, check_kind

#: what went on this long before the owner's run is part of the neighbourhood: a cancel may have left something behind
LEAD_NS = 1_000_000_000
#: users besides owner and observer, those nearest in time first
NEIGHBOURS_MAX = 30
#: turns besides those of the leak, the latest
TURNS_MAX = 200
#: pauses longer than this are cut in the tightened story
PAUSE_MAX_MS = 1_000
QUIET_MIN_MS, QUIET_MAX_MS = 1_000, 6_000
LISTEN_MAX_MS = 60_000
_BY_US = "cancelled by its user"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a user does, `at_ms` after the story began.

    `turn` numbers what is said, so that a cancel names what it cancels; 0 where it does not matter.
    """

    at_ms: int
    what: Literal["say", "cancel", "drop", "connect"]
    thread: int = 1
    turn: int = 0
    text: str = ""
    reference: str = "prompt"  # where the reference goes: "prompt" or "context"


@dataclass(frozen=True, slots=True)
class User:
    account: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """Users in the order in which they connected.

    `quiet_ms`: how long no frame has to come for it to be over; `listen_ms`: when it is over anyway; `rounds`: how
    often a start plays it, unless it leaks before.
    """

    users: tuple[User, ...]
    observer: str
    owner: str
    quiet_ms: int
    listen_ms: int
    rounds: int = 1

    @property
    def size(self) -> str:
        steps = [step.what for user in self.users for step in user.steps]
        said, others = steps.count("say"), len(steps) - steps.count("say")
        more = f", {_count(others, 'other step')}" if others else ""
        more += f", {_count(self.rounds, 'round')} a start" if self.rounds > 1 else ""
        return f"{_count(len(self.users), 'user')}, {_count(said, 'turn')}{more}"

    def of(self, accounts: Collection[str]) -> Story:
        """The same story with these users alone."""
        return _begun_at_0(replace(self, users=tuple(user for user in self.users if user.account in accounts)))

    def with_steps(self, kept: Collection[tuple[str, Step]]) -> Story:
        """The same story with these steps alone. What belongs to a turn goes with it; a user without steps goes too."""
        users = []
        for user in self.users:
            steps = tuple(step for step in user.steps if (user.account, step) in kept)
            said = {step.turn for step in steps if step.what == "say"}
            steps = tuple(step for step in steps if step.what != "cancel" or step.turn in said)
            if steps:
                users.append(replace(user, steps=steps))
        return _begun_at_0(replace(self, users=tuple(users)))

    def units(self, *, said: bool) -> list[tuple[str, Step]]:
        """What can be left out: turns (`said`), or cancels, drops and connects."""
        return [(user.account, step) for user in self.users for step in user.steps if (step.what == "say") == said]

    def tightened(self) -> Story:
        """The same story with long pauses cut short, all users' alike."""
        instants = sorted({step.at_ms for user in self.users for step in user.steps})
        cut, moved = 0, {instants[0]: instants[0]} if instants else {}
        for before, at_ms in pairwise(instants):
            cut += max(0, at_ms - before - PAUSE_MAX_MS)
            moved[at_ms] = at_ms - cut
        users = tuple(
            replace(user, steps=tuple(replace(step, at_ms=moved[step.at_ms]) for step in user.steps))
            for user in self.users
        )
        return replace(self, users=users, listen_ms=self.listen_ms - cut)


@dataclass(frozen=True, slots=True)
class Said:
    """The prompts of a load test: family → its texts, and where their reference goes."""

    families: Mapping[str, tuple[tuple[str, ...], str]]

    def of(self, run: Row, frame: str) -> tuple[str, str]:
        """Text and place of the reference of a run: as its frame says, else the first of its family.

        :raises NotReproducible: neither is known.
        """
        strings = list(_strings(frame))
        for text in strings:
            before, asks, _ = text.partition(f" {ASKS_TO_REPEAT} ")
            if asks:
                return before, "prompt"
        texts, reference = self.families.get(str(run["prompt"]), ((), "prompt"))
        for text in texts:
            if text in strings:
                return text, reference
        if texts:
            return texts[0], reference
        raise NotReproducible(
            f"what {run['account']} said is not in the record (prompts {run['prompt']!r}); name their file with "
            "--prompts FILE"
        )


def story_of(
    violation: Row, runs: Sequence[Row], connections: Sequence[Row], frames: Iterable[Row], said: Said
) -> Story:
    """The neighbourhood of a leak: all runs of any user that overlapped its owner's or its observer's.

    :param frames: those that were sent are read: what was said in them.
    :raises NotReproducible: it is no leak, or what was said is not known.
    """
    check_kind(violation)
    end_ns = int(violation["surfaced_ns"])
    concerned = [run for run in runs if run["run"] in (violation["run"], violation["owner_run"])]
    if not any(run["account"] == violation["owner"] for run in concerned):
        concerned += [run for run in runs if run["account"] == violation["owner"] and run["sent_ns"] <= end_ns][-1:]
    if not any(run["account"] == violation["observer"] for run in concerned):
        concerned += [run for run in runs if run["account"] == violation["observer"] and run["sent_ns"] <= end_ns][-1:]
    if len({run["account"] for run in concerned}) < 2:
        raise NotReproducible(
            f"no run of {violation['owner']} or of {violation['observer']} before the leak is on record"
        )
    begin_ns = min(int(run["sent_ns"]) for run in concerned) - LEAD_NS
    before = sorted((run for run in runs if run["sent_ns"] <= end_ns), key=lambda run: int(run["sent_ns"]))
    near = [run for run in before if _over_ns(run, end_ns) >= begin_ns]
    near = concerned + [run for run in near if run not in concerned][-TURNS_MAX:]
    accounts = _nearest(near, violation)
    bodies = {str(row["run"]): str(row["body"]) for row in reversed(list(frames)) if row["direction"] == "out"}
    mine = [row for row in connections if row["purpose"] == "user" and row["ready_ns"] is not None]
    order = {row["account"]: row["begun_ns"] for row in sorted(mine, key=lambda row: -row["begun_ns"])}
    users = [
        User(account, _steps(account, near, mine, begin_ns, end_ns, bodies, said))
        for account in sorted(accounts, key=lambda account: (order.get(account, 0), account))
    ]
    last_ms = (end_ns - begin_ns) // 1_000_000
    quiet_ms = _quiet_ms(near, violation)
    story = Story(
        tuple(users), violation["observer"], violation["owner"], quiet_ms,
        min(LISTEN_MAX_MS, 2 * last_ms + quiet_ms + 4_000),
    )  # fmt: skip
    return _begun_at_0(story)


def the_pair(story: Story, violation: Row, runs: Sequence[Row]) -> Story:
    """Owner and observer alone, each with the one turn that the leak is about."""
    wanted = {run["run"] for run in runs if run["run"] in (violation["run"], violation["owner_run"])}
    turns = {_turn_of(run) for run in runs if run["run"] in wanted}
    kept = [(name, step) for name, step in story.units(said=True) if (name, step.turn) in turns]
    accounts = {name for name, _ in kept}
    for account in {story.owner, story.observer} - accounts:
        kept += [unit for unit in story.units(said=True) if unit[0] == account][-1:]
    turns |= {(name, step.turn) for name, step in kept}
    kept += [
        (name, step) for name, step in story.units(said=False) if step.what == "cancel" and (name, step.turn) in turns
    ]
    return story.with_steps(kept)


def _steps(
    account: str, runs: Sequence[Row], connections: Sequence[Row], begin_ns: int, end_ns: int,
    bodies: Mapping[str, str], said: Said,
) -> tuple[Step, ...]:  # fmt: skip
    own = sorted((run for run in runs if run["account"] == account), key=lambda run: int(run["sent_ns"]))
    threads = {name: number for number, name in enumerate(dict.fromkeys(run["thread"] for run in own), 1)}
    steps = []
    for run in own:
        text, reference = said.of(run, bodies.get(str(run["run"]), ""))
        _, turn = _turn_of(run)
        thread = threads[run["thread"]]
        steps.append(Step(_ms(run["sent_ns"], begin_ns), "say", thread, turn, text, reference))
        cancelled_ns = _cancelled_ns(run)
        if cancelled_ns is not None and cancelled_ns <= end_ns:
            steps.append(Step(_ms(cancelled_ns, begin_ns), "cancel", thread, turn))
    first = next(iter(threads.values()), 1)
    ways = sorted((row for row in connections if row["account"] == account), key=lambda row: int(row["begun_ns"]))
    for before, row in pairwise(ways):
        lost_ns, again_ns = before["ended_ns"], row["begun_ns"]
        if lost_ns is not None and begin_ns <= lost_ns and again_ns <= end_ns and before["closed_by"] == "us":
            steps += [Step(_ms(lost_ns, begin_ns), "drop", first), Step(_ms(again_ns, begin_ns), "connect", first)]
    return tuple(sorted(steps, key=lambda step: step.at_ms))


def _turn_of(run: Row) -> tuple[str, int]:
    """A number that no other run of the account in a load test has: its instant, in microseconds."""
    return str(run["account"]), int(run["sent_ns"]) // 1000 % 10**10


def _cancelled_ns(run: Row) -> int | None:
    """When its user cancelled it. Where no instant is on record: its end, which the cancel brought about."""
    at_ns = run.get("cancelled_ns")
    if at_ns is None and run["outcome"] == "cut" and run["signature"] == _BY_US:
        at_ns = run["end_ns"]
    return None if at_ns is None else int(at_ns)


def _over_ns(run: Row, end_ns: int) -> int:
    """When a run was over; one without an end was not when the leak came."""
    return end_ns if run["end_ns"] is None else int(run["end_ns"])


def _nearest(runs: Sequence[Row], violation: Row) -> set[str]:
    """Owner, observer, and as many others as are allowed: those whose last turn was nearest to the leak."""
    pair = {violation["owner"], violation["observer"]}
    newest: dict[str, int] = {}
    for run in runs:
        newest[run["account"]] = max(newest.get(run["account"], 0), int(run["sent_ns"]))
    others = sorted(newest.keys() - pair, key=lambda account: -newest[account])
    return pair | set(others[:NEIGHBOURS_MAX])


def _quiet_ms(runs: Sequence[Row], violation: Row) -> int:
    """A pause that is longer than any in these runs, and than what came late."""
    gaps = [int(run["stall_max_ns"]) for run in runs if run["stall_max_ns"] is not None]
    gaps += [int(run["first_event_ns"]) - int(run["sent_ns"]) for run in runs if run["first_event_ns"] is not None]
    gaps += [
        int(violation["surfaced_ns"]) - int(run["end_ns"])
        for run in runs
        if run["run"] == violation["run"] and run["end_ns"] is not None
    ]
    return max(QUIET_MIN_MS, min(QUIET_MAX_MS, int(1.5 * max(gaps, default=0) / 1e6)))


def _begun_at_0(story: Story) -> Story:
    first_ms = min((step.at_ms for user in story.users for step in user.steps), default=0)
    users = tuple(
        replace(user, steps=tuple(replace(step, at_ms=step.at_ms - first_ms) for step in user.steps))
        for user in story.users
    )
    return replace(story, users=users)


def _ms(at_ns: int, begin_ns: int) -> int:
    return max(0, (int(at_ns) - begin_ns) // 1_000_000)


def _strings(frame: str) -> Iterable[str]:
    """All strings in a frame of JSON; the frame itself where it is none."""
    try:
        waiting: list[object] = [orjson.loads(frame)]
    except orjson.JSONDecodeError:
        waiting = [frame]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
