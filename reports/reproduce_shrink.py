"""Delta debugging of a leak that shows only some of the time. Pure: whether a start leaked is asked of others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from reports.reproduce_story import Story

Unit = TypeVar("Unit")
#: a story that leaks in less than this part of its starts is played in rounds
SELDOM = 0.7
ROUNDS_MAX = 24


@dataclass(frozen=True, slots=True)
class Count:
    """`leaks` of `starts` starts leaked."""

    leaks: int
    starts: int

    def __str__(self) -> str:
        return f"leaks {self.leaks} of {self.starts}"


@dataclass(frozen=True, slots=True)
class Rule:
    """When a smaller story is nearly as good as the whole: it leaks in `needed` of `tries` starts.

    It is given up early once that cannot be reached any more, or when its first `patience` starts show nothing.
    """

    tries: int
    needed: int
    patience: int

    @classmethod
    def after(cls, whole: Count, tries: int) -> Rule:
        """What is asked of smaller stories, given how often the whole leaked: 0.7 times as often.

        `patience` is such that a story that leaks as often as the whole is given up too early in one case of twenty.
        """
        rate = whole.leaks / whole.starts
        needed = max(1, math.ceil(0.7 * tries * rate))
        patience = 2 if rate >= 1 else math.ceil(math.log(0.05) / math.log(1 - rate))
        return cls(tries, needed, min(max(2, patience), tries))

    def decide(self, count: Count) -> bool | None:
        """True: it leaks enough; False: it does not; None: one more start is needed."""
        if count.leaks >= self.needed:
            return True
        if count.leaks + self.tries - count.starts < self.needed:
            return False
        return False if not count.leaks and count.starts >= self.patience else None


def counted(leaked: Callable[[], bool], starts: int, may_go_on: Callable[[], bool] = lambda: True) -> Count:
    """So many starts; fewer, but at least three, when the time is over."""
    count = Count(0, 0)
    while count.starts < starts and (count.starts < 3 or may_go_on()):
        count = Count(count.leaks + leaked(), count.starts + 1)
    return count


def rounds_for(count: Count) -> int:
    """How often a start must play a story so that nine of ten leak, as far as `count` tells; 1 to `ROUNDS_MAX`."""
    rate = count.leaks / count.starts
    if rate >= SELDOM:
        return 1
    return min(ROUNDS_MAX, math.ceil(math.log(0.1) / math.log(1 - rate))) if rate else ROUNDS_MAX


def leaks_enough(leaked: Callable[[], bool], rule: Rule) -> tuple[bool, Count]:
    """As many starts as are needed to decide."""
    count = Count(0, 0)
    while (decided := rule.decide(count)) is None:
        count = Count(count.leaks + leaked(), count.starts + 1)
    return decided, count


def ddmin(units: Sequence[Unit], holds: Callable[[list[Unit]], bool]) -> list[Unit]:
    """A part of `units` that holds, and from which no single unit can be left out (Zeller and Hildebrandt, 2002).

    `holds(units)` is taken for granted. The order is kept.
    """
    kept, pieces = list(units), 2
    while len(kept) >= 2:
        size = math.ceil(len(kept) / pieces)
        parts = [kept[at : at + size] for at in range(0, len(kept), size)]
        rests = [[unit for other in parts if other is not part for unit in other] for part in parts]
        # of two parts, each is the other's rest
        smaller = next((part for part in (parts + rests if len(parts) > 2 else parts) if holds(part)), None)
        if smaller is not None:
            pieces = 2 if len(smaller) <= size else max(2, len(parts) - 1)
            kept = smaller
        elif len(parts) >= len(kept):
            return kept
        else:
            pieces = min(len(kept), 2 * pieces)
    return kept


@dataclass(slots=True)
class Shrink:
    """Makes a story smaller for as long as it leaks enough: users first, then turns, then everything else.

    :param judge: drives a story; True where it leaks enough.
    :param may_go_on: False once the time is over; what has been reached by then stays.
    :param say: one line a step.
    """

    judge: Callable[[Story], bool]
    may_go_on: Callable[[], bool]
    say: Callable[[str], None]
    _known: dict[Story, bool] = field(default_factory=dict)

    def smallest(self, story: Story) -> Story:
        """The smallest story that was found. `story` itself is known to leak."""
        if (tight := story.tightened()) != story and self._leaks(tight):
            story = tight
        for what, units, without in (
            ("users", lambda s: [user.account for user in s.users], lambda s, kept: s.of(kept)),
            ("turns", lambda s: s.units(said=True), lambda s, kept: s.with_steps({*kept, *s.units(said=False)})),
            ("other steps", lambda s: s.units(said=False), lambda s, kept: s.with_steps({*kept, *s.units(said=True)})),
        ):
            story = self._pass(story, what, units, without)
        return story

    def _pass(
        self,
        story: Story,
        what: str,
        units: Callable[[Story], list[Unit]],
        without: Callable[[Story, list[Unit]], Story],
    ) -> Story:
        whole, others = units(story), what == "other steps"
        if not whole or (len(whole) <= 2 and not others):  # a leak needs two users, and a turn of each
            return story
        self.say(f"fewer {what}?  {story.size}")
        if others and self._leaks(without(story, [])):
            return without(story, [])
        kept = ddmin(whole, lambda some: self._leaks(without(story, some)))
        return without(story, kept) if len(kept) < len(whole) else story

    def _leaks(self, story: Story) -> bool:
        if len(story.users) < 2:  # nobody is there for whom something could be another's
            return False
        if story not in self._known:
            if not self.may_go_on():
                return False
            self._known[story] = self.judge(story)
        return self._known[story]
