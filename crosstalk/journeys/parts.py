"""Parts of the target: one that is down makes it degraded, and that is told from an outage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crosstalk.http import Answer
from crosstalk.journey import Journey
from crosstalk.live_run import LiveRun
from crosstalk.wire.dialect import Call, Dialect

#: what makes a part of the target go away, and the part
DOWN = {"cache_down": "cache"}
#: what goes on without any part being away
BESIDE = frozenset({"dependency_down"})


@dataclass(slots=True)
class Parts:
    """What the target's health says, beside what is known to go on.

    :param call: makes a call in a person's name.
    :param ask: a run, seen through to its end.
    """

    dialect: Dialect
    call: Callable[[Call], Answer]
    ask: Callable[[], LiveRun]

    def look(self, journey: Journey) -> None:
        """Step "healthy", or "degraded" and "turn while degraded", as it is."""
        if not self.dialect.health_path:
            journey.not_offered("healthy", "this protocol has no health answer")
            return
        before = self._going_on()
        answer = self.call(Call("GET", self.dialect.health_path))
        after = self._going_on()
        down = [DOWN[name] for name in DOWN if name in before and name in after]
        said, took_ns = _object(answer), int(answer.time_ms * 1e6)
        unwell = {name: state for name, state in self.dialect.parts(said).items() if state != "healthy"}
        if not answer.status or before != after or before - set(DOWN) - BESIDE:
            return  # between two states, or nobody listens just now: nothing can be held against what was said
        if not down and not (unwell and self.dialect.occasions() is None):
            with journey.step("healthy", go_on=True) as step:
                step.time_ns = took_ns
                step.answered(answer, 200)
                step.expect(not unwell, "every part healthy", ", ".join(sorted(unwell)))
            return
        with journey.step("degraded", go_on=True) as step:
            step.time_ns = took_ns
            step.answered(answer, 200)  # whoever is degraded is there
            missing = [name for name in down if name not in unwell]
            shown = ", ".join(f"{name} {state}" for name, state in unwell.items()) or "every part healthy"
            step.expect(not missing, f"{', '.join(missing)} among the parts that are not healthy", shown)
            step.expect(said.get("status") != "healthy", "a status other than healthy", said.get("status"))
        with journey.step("turn while degraded", go_on=True) as step:
            step.well(self.ask())

    def _going_on(self) -> frozenset[str]:
        call = self.dialect.occasions()
        return frozenset(self.dialect.going_on(_object(self.call(call)))) if call is not None else frozenset()


def _object(answer: Answer) -> Mapping[str, Any]:
    return answer.body if isinstance(answer.body, dict) else {}
