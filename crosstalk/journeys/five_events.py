"""Five events: a run with tools on a socket of each envelope, and everything that must hold of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosstalk.checks.labels import envelope_problems, in_words, label_problems
from crosstalk.journey import Journey
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.wire.event import Event

if TYPE_CHECKING:
    from crosstalk.user import ChatUser

#: what is said where the prompts of the load test have none that wants tools
TOOLS = Prompt("tools", "Please look up what we spent, and compare it.", ("tool_executing", "tool_completed", "chunk"))
MAIN = "main"
#: violations of a run that say that events are missing, or not in their order
_ORDER = ("out_of_order", "silent", "no_end", "malformed", "text_differs")
_ENDS = ("two_ends", "late", "no_end")

Heard = list[tuple[Event, bytes]]


def listen(user: ChatUser, journey: Journey, envelope: str, thread: Thread) -> None:
    """A journey: a socket of this envelope, a run that wants tools on it, and a second one for what comes late."""
    spoken, heard = _socket_of(user, journey, envelope)
    first = user.ask(tools_prompt(user), thread)
    of_first = list(heard)
    second = user.ask(user.generator.settings.prompts.choose(user.person.rng), thread)
    if user.generator.stopping.is_set():
        return
    if heard:
        _look_at_labels(user, journey, spoken, first, of_first)
    else:
        journey.not_offered("metadata and ids", "what the events of this protocol say of themselves is not looked at")
    with journey.step("completeness and order", go_on=True) as step:
        step.of(first)
        came = _out_of_order(first)
        step.expect(not came, "every event that the prompt expects, in its order", came)
    with journey.step("tools paired", go_on=True) as step:
        step.of(first)
        unpaired = first.check.unpaired()
        counts = first.check.counts
        step.expect(not unpaired, "a result for each call, a call for each result", in_words(unpaired))
        step.expect(counts.tools_started > 0, "a call of a tool, as the prompt wants it", "none")
    with journey.step("one end", go_on=True) as step:
        for run in (first, second):
            step.of(run)
            came = ", ".join(name for name in _ENDS if name in run.violated)
            step.expect(run.check.ended and not came, "one end, and nothing after it", came or "no end")
    with journey.step("retries", go_on=True) as step:
        for run in (first, second):
            step.of(run)
            twice = run.violated.get("duplicate", 0)
            step.expect(not twice, "each event once, or again as a further attempt", f"{twice} again as the same one")


def tools_prompt(user: ChatUser) -> Prompt:
    """A prompt of the load test that wants a tool and no hand-off."""
    wanted = {"tool_executing", "tool_completed"}
    for first, *_ in user.generator.settings.prompts.families.values():
        expects = set(first.expects)
        if wanted <= expects and not expects & {"handoff", "tool_failed", "error"} and not first.probe:
            return first
    return TOOLS


def _socket_of(user: ChatUser, journey: Journey, envelope: str) -> tuple[str, Heard]:
    """Connect for this envelope. The one that the socket says it speaks, "" where it does not say; what is heard."""
    dialect = user.generator.settings.dialect
    path = dialect.envelopes().get(envelope)
    if path is None:
        if envelope != MAIN:
            journey.not_offered(f"envelope {envelope}", "this protocol has one envelope")
        return "", []
    with journey.step("socket") as step:
        session = user.connect_at(path)
        step.connection = session.name
    heard = session.listen()
    said = dialect.envelope_said(session.welcome_frame)
    if said != envelope:
        journey.not_offered(f"envelope {envelope}", "the welcome does not say that this socket speaks it")
        return "", heard
    return envelope, heard


def _look_at_labels(user: ChatUser, journey: Journey, envelope: str, run: LiveRun, heard: Heard) -> None:
    dialect = user.generator.settings.dialect
    frames = [labels for labels in map(list, map(dialect.labels, _frames_of(heard))) if labels]
    frames = [labels for labels in frames if any(label.run_id in ("", run.run_id) for label in labels)]
    if envelope:
        with journey.step(f"envelope {envelope}", go_on=True) as step:
            step.of(run)
            problems = envelope_problems(
                frames,
                wanted=envelope,
                events_max=dialect.batch_events_max,
                span_ms_max=dialect.batch_span_ms_max,
            )
            step.expect(bool(frames), f"events in the {envelope} envelope", "no event")
            step.expect(not problems, f"every event in the {envelope} envelope, and right in it", in_words(problems))
    with journey.step("metadata and ids", go_on=True) as step:
        step.of(run)
        labels = [label for frame in frames for label in frame if label.run_id in ("", run.run_id)]
        problems = label_problems(labels, run_id=run.run_id, user_id=user.person.name, thread_id=run.thread.thread_id)
        step.expect(bool(labels), "events that say whose they are", "no event")
        step.expect(not problems, "every event with its run, thread, user, agent and time", in_words(problems))


def _frames_of(heard: Heard) -> list[bytes]:
    """Each frame once: the events of a batch share theirs."""
    frames: list[bytes] = []
    for _, frame in heard:
        if not frames or frame is not frames[-1]:
            frames.append(frame)
    return frames


def _out_of_order(run: LiveRun) -> str:
    if run.outcome not in ("ok", "violated"):
        return f"{run.outcome}: {run.signature}"
    unpaired = run.check.unpaired()
    missing = [f"no {what}" for what in run.check.missing() if what not in unpaired]
    return in_words([*missing, *(name.replace("_", " ") for name in _ORDER if name in run.violated)])
