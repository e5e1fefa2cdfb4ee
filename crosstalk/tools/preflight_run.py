"""Preflight: one run from its prompt to its end, told by its events."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from crosstalk.config import Settings
from crosstalk.live_run import LiveRun, Prompt
from crosstalk.ready import FAIL, OK, WARN, Check, Line, advice
from crosstalk.session import NotReady


def one_run(check: Check) -> Iterator[Line]:
    """One prompt and everything that comes of it."""
    generator, person, dialect = check.generator, check.who(), check.settings.dialect
    prompt = _plain_prompt(check.settings)
    thread = person.new_thread(ids_from=dialect.ids_from)
    how = {"intended_ns": None, "warm_up": False}
    session = check.session
    try:
        if dialect.socket_per != "user" and session is not None:
            session.close()  # what is still under way there is not this run's
        if dialect.socket_per == "run":
            session = generator.session(person, purpose="preflight")
            run = session.ask_alone(prompt, thread, partial(generator.call, person), **how)  # type: ignore[arg-type]
        else:
            if dialect.socket_per == "thread":
                generator.create_thread(person, thread)
                check.session = session = generator.session(person, purpose="preflight")
                session.go_to(thread.socket_path)
                session.open()
            assert session is not None
            run = session.ask(prompt, thread, **how)  # type: ignore[arg-type]
    except NotReady as problem:
        yield Line(FAIL, "run", str(problem), advice(problem, check))
        return
    if thread.thread_id:
        check.threads.append(thread.thread_id)
    seen = f"{run.outcome}, {run.check.counts.events} events: {events_of(check.milestones, run)}"
    if run.outcome != "ok":
        yield Line(FAIL, "run", f"{run.signature or run.outcome}; {seen}", _run_advice(run, check))
        return
    yield Line(OK, "run", seen)
    if run.nonce in run.seen:
        yield Line(OK, "reference", "the reference in the prompt came back")
    else:
        yield Line(WARN, "reference", "did not come back", "channels that look for content will be `not exercised`")


def events_of(milestones: list[tuple[str, float]], run: LiveRun) -> str:
    """Kinds in order of their first, each with its time since the prompt: `first chunk 0.21 s, 12 chunks to 0.48 s`."""
    times: dict[str, list[float]] = {}
    for name, time_ms in milestones:
        times.setdefault(name, []).append(time_ms / 1e3)
    spans = {
        name: f"{at[0]:.2f} s" if len(at) == 1 else f"×{len(at)} {at[0]:.2f}–{at[-1]:.2f} s"
        for name, at in times.items()
    }
    last_ns, chunks = run.check.times.last_chunk_ns, run.check.counts.chunks
    if "first chunk" in spans and last_ns is not None and chunks > 1:
        spans["first chunk"] += f" of {chunks}, the last {(last_ns - run.sent_ns) / 1e9:.2f} s"
    return ", ".join(f"{name} {span}" for name, span in spans.items()) or "none"


def _plain_prompt(settings: Settings) -> Prompt:
    """The first prompt that carries its reference in its text and provokes no failure."""
    prompts = [prompt for family in settings.prompts.families.values() for prompt in family]
    plain = [p for p in prompts if p.reference != "context" and not {"tool_failed", "error"} & set(p.expects)]
    return (plain or prompts)[0]


def _run_advice(run: LiveRun, check: Check) -> str:
    if run.outcome == "timeout":
        return f"no end within agent_timeout_s ({check.settings.environment.run_timeout_s:g} s): is an agent running?"
    return f"does the target speak {check.settings.dialect_name}, and can this account start agents?"
