"""Journeys of the family "orchestration": agents inside a run, runs and threads at the same time."""

from __future__ import annotations

from functools import partial

from crosstalk.checks.agents import ill_nested, went_on_together
from crosstalk.journey import Step
from crosstalk.journeys.desk import Desk
from crosstalk.live_run import LiveRun, Thread
from crosstalk.wire.event import Event, Kind

#: within which whoever takes over must have begun
HANDOFF_S_MAX = 3.0
#: so many runs, and so many threads, at the same time
AT_ONCE = 3


def agents_inside(desk: Desk) -> None:
    """One agent hands over to another, and asks others: inside its own run."""
    _handoff(desk)
    _nested(desk)


def _handoff(desk: Desk) -> None:
    """Whoever takes over begins soon, in the same run, for the same user, and knows what was said."""
    prompt = desk.prompt("handoff")
    if prompt is None:
        desk.journey.not_offered("handoff", "the prompts have no family handoff")
        return
    with desk.journey.step("handoff") as step:
        run = step.of(desk.ask(prompt, desk.thread()))
        events = [event for event, _ in run.story or ()]
        after = _after_handoff(events)
        step.expect(bool(after) or not run.check.ended, "another agent in the same run", "none")
        _same_owner(desk, step, run, events, after)
        took_ns = step.well(run).check.times.handoff_time_max_ns
        if took_ns is not None:
            step.time_ns = took_ns
            wanted = f"the other agent within {HANDOFF_S_MAX:g} s"
            step.expect(took_ns <= HANDOFF_S_MAX * 1e9, wanted, f"its first event after {took_ns / 1e9:.1f} s")


def _after_handoff(events: list[Event]) -> list[Event]:
    """What came from the hand-off on, without the hand-off itself."""
    at = next((n for n, event in enumerate(events) if event.kind is Kind.HANDOFF), len(events))
    return events[at + 1 :]


def _same_owner(desk: Desk, step: Step, run: LiveRun, events: list[Event], after: list[Event]) -> None:
    if any(event.user_id for event in events):
        nameless = [event for event in after if not event.user_id]
        came = f"{nameless[0].kind} of {nameless[0].agent} without a user" if nameless else ""
        step.expect(not nameless, f"events of {desk.person.name} after the hand-off", came)
    if desk.generator.begin.nonce_required and run.check.ended:
        said = "".join(event.text for event in after if event.kind in (Kind.CHUNK, Kind.COMPLETED))
        known = run.nonce.decode() in said.lower()
        step.expect(known, "the reference in what the other agent says", "an answer without it")


def _nested(desk: Desk) -> None:
    """Agents inside a run are well-nested, and the first agent's end is the last."""
    prompt = desk.prompt("delegation")
    if prompt is None or not desk.dialect.nests:
        desk.journey.not_offered(
            "nested", "agents inside a run have no begin and end of their own, or nobody asks for them"
        )
        return
    with desk.journey.step("nested") as step:
        run = step.of(desk.ask(prompt, desk.thread()))
        wrong = ill_nested(event for event, _ in run.story or ())
        step.expect(not wrong or run.outcome == "cut", "agents that end in the reverse order of their begin", wrong)
        step.well(run)


def runs_at_once(desk: Desk) -> None:
    """Several runs in progress on one socket: each comes to its end, and gets its own words."""
    prompt = desk.prompt("comparison") or desk.prompt()
    assert prompt is not None
    if not desk.has_one_socket:
        desk.journey.not_offered("parallel_runs", "a socket of this protocol carries one run at a time")
        desk.ask(prompt, desk.thread())
        return
    with desk.journey.step("parallel_runs") as step:
        runs = desk.together([partial(desk.ask, prompt, desk.thread()) for _ in range(AT_ONCE)])
        _all_well(step, runs)
        spans = [(run.check.times.first_event_ns, run.check.times.end_ns) for run in runs]
        step.expect(went_on_together(spans), f"{AT_ONCE} runs in progress at once", "one that waited for another's end")


def threads_at_once(desk: Desk) -> None:
    """Several threads of one user, talked in at the same time: each remembers what was said in it, and nothing else."""
    first, reminded = desk.prompt("question") or desk.prompt(), desk.prompt("memory")
    if first is None or reminded is None or not desk.has_one_socket or not desk.generator.begin.nonce_required:
        desk.journey.not_offered("parallel_threads", "a thread has a socket of its own, or nothing of it is remembered")
        if (prompt := desk.prompt()) is not None:
            desk.ask(prompt, desk.thread())
        return
    threads = [desk.thread() for _ in range(AT_ONCE)]
    with desk.journey.step("parallel_threads") as step:
        said = _said_in_each(desk, step, threads, first)
        told = _said_in_each(desk, step, threads, reminded)
        for own, run in zip(said, told, strict=True):
            step.of(run)
            step.expect(own.nonce in run.seen, "what was said in this thread", "not a word of it")
            others = [other for other in said if other is not own and other.nonce in run.seen]
            step.expect(not others, "nothing of another thread", f"the references of {len(others)}")


def _said_in_each(desk: Desk, step: Step, threads: list[Thread], prompt: object) -> list[LiveRun]:
    runs = desk.together([partial(desk.ask, prompt, thread) for thread in threads])  # type: ignore[arg-type]
    _all_well(step, runs)
    return runs


def _all_well(step: Step, runs: list[LiveRun]) -> None:
    step.expect(len(runs) == AT_ONCE, f"{AT_ONCE} runs", str(len(runs)))
    for run in runs:
        step.well(run)
