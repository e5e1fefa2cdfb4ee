"""Journeys of the family "agent run": what there is, how it is started and ended, tools, times, memory.

Each is a function of a desk, and ends at the first step that does not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from crosstalk.checks.agents import is_kept, out_of_hierarchy
from crosstalk.journey import Step
from crosstalk.journeys.desk import Desk, body_of
from crosstalk.live_run import LiveRun, Prompt
from crosstalk.wire.dialect import Declared
from crosstalk.wire.event import Kind

#: statuses that say that there is nothing left to end
ENDED = (404, 409, 410)
#: a run that ends by itself just as it is asked to is no answer: another one is begun, so often
CROSSINGS_MAX = 3
#: what is said over HTTP may be heard so much sooner than what has come on the socket before
OVERTAKES_S = 0.5
#: what a run that is to be stopped is made of, and one that is looked at while it goes on
VERY_LONG, LONG = "very_long", "long"


def discovery(desk: Desk) -> None:
    """What is discovered is configured, well, and can be run."""
    dialect, journey = desk.dialect, desk.journey
    listed, declared = Declared(), Declared()
    if (call := dialect.discover()) is None:
        journey.not_offered("discovery", "this protocol lists no agents")
    else:
        with journey.step("discovery") as step:
            listed = dialect.discovered(body_of(step.answered(desk.call(call), 200)))
            came = f"{len(listed.agents)} agents, {len(listed.tools)} tools"
            step.expect(bool(listed.agents and listed.tools), "agents and tools", came)
    if (call := dialect.configuration()) is None:
        journey.not_offered("configuration", "this protocol tells no configuration")
    else:
        with journey.step("configuration") as step:
            declared = dialect.configured(body_of(step.answered(desk.call(call), 200)))
            step.expect(bool(declared.agents), "agents that are configured", "none")
            unknown = {*declared.agents, *declared.tools} - {*listed.agents, *listed.tools} if listed.agents else set()
            step.expect(
                not unknown, "what is configured is discovered", f"not discovered: {', '.join(sorted(unknown))}"
            )
    if (call := dialect.agents_health()) is None:
        journey.not_offered("agents_health", "this protocol tells nothing of the health of agents")
    else:
        with journey.step("agents_health") as step:
            well = set(dialect.healthy(body_of(step.answered(desk.call(call), 200))))
            ill = set(declared.agents or listed.agents) - well
            step.expect(not ill and bool(well), "every agent is well", f"not well: {', '.join(sorted(ill)) or 'all'}")
    _run_each(desk, listed.agents if dialect.socket_per != "run" else ())


def _run_each(desk: Desk, agents: tuple[str, ...]) -> None:
    """A run of each agent that is discovered; where none is, of whoever answers by default."""
    prompt = desk.prompt("question") or desk.prompt()
    assert prompt is not None
    with desk.journey.step("agents_run") as step:
        thread = desk.thread()
        for agent in agents or ("",):
            run = step.well(desk.ask(prompt, thread, agent=agent))
            step.expect(not agent or run.check.agent in ("", agent), f"a run of {agent}", f"one of {run.check.agent}")


# --- started and ended by HTTP and by frames ------------------------------------------------------------------------


def life(desk: Desk) -> None:
    """Started, asked for, stopped and cancelled, over HTTP and on the socket."""
    prompt, long = (
        desk.prompt("question") or desk.prompt(),
        desk.prompt(VERY_LONG) or desk.prompt(LONG) or desk.prompt(),
    )
    assert prompt is not None and long is not None
    over_http = desk.starts_over_http
    run = _start(desk, prompt, over_http=over_http)
    _status(desk, run)
    for verb in ("stop", "cancel"):
        _end_over_http(desk, long, verb, over_http=over_http)
    stopped = _end_on_socket(desk, long)
    _end_twice(desk, stopped or run)


def _start(desk: Desk, prompt: Prompt, *, over_http: bool) -> LiveRun:
    """A run whose events come on the socket, however it is started."""
    if not over_http:
        desk.journey.not_offered("start_http", "this protocol starts no runs over HTTP whose events come on a socket")
        with desk.journey.step("start_socket") as step:
            return step.well(desk.ask(prompt, desk.thread()))
    with desk.journey.step("start_http") as step:
        run = _begun(desk, step, prompt, over_http=True)
        desk.rest()
        return step.well(run)


def _begun(desk: Desk, step: Step, prompt: Prompt, *, over_http: bool) -> LiveRun:
    """A run in progress.

    :raises Unmet: nothing came of it.
    """
    run = desk.begin(prompt, desk.thread(), over_http=over_http)
    if run is None:
        step.expect(False, "events of the run on its user's socket", "none")
        raise AssertionError("a step that does not hold has raised")
    return step.of(run)


def _status(desk: Desk, run: LiveRun) -> None:
    """What is said of a run follows it: running, then completed."""
    dialect = desk.dialect
    if dialect.run_status(run.run_id) is None:
        desk.journey.not_offered("status", "this protocol tells no status of runs")
        return
    with desk.journey.step("status") as step:
        if desk.has_one_socket and (prompt := desk.prompt(LONG)) is not None:
            under_way = _begun(desk, step, prompt, over_http=False)
            said = desk.status(under_way)
            if said != "running" and not under_way.done.wait(OVERTAKES_S):  # else it ended while it was asked for
                step.expect(False, "status running of a run in progress", said or "no status")
            desk.rest()
            run = step.well(under_way)
        said = desk.settled(desk.status, run, "completed")
        step.expect(said == "completed", "status completed of a run that has completed", said or "no status")
        if desk.has_one_socket and dialect.ask_status(run.run_id) is not None:
            said = desk.settled(desk.status_by_frame, run, "completed")
            step.expect(said == "completed", "status completed by a frame", said or "no status")


def _end_over_http(desk: Desk, prompt: Prompt, verb: Literal["stop", "cancel"], *, over_http: bool) -> None:
    """A run ends as soon as it is asked to."""
    name = f"{verb}_http"
    if desk.dialect.end_over_http("x", verb) is None:
        desk.journey.not_offered(name, f"this protocol has no {verb} over HTTP")
        return

    def ask(step: Step, run: LiveRun) -> None:
        call = desk.dialect.end_over_http(run.run_id, verb)
        assert call is not None
        answer = desk.call(call, fine=ENDED)
        if not (answer.status in ENDED and run.done.wait(OVERTAKES_S)):
            step.answered(answer, 200, 202, 204)

    with desk.journey.step(name) as step:
        run = _ended_on_request(desk, step, prompt, ask, over_http=over_http)
        if desk.dialect.run_status(run.run_id) is not None:
            said = desk.settled(desk.status, run, "cancelled")
            step.expect(said == "cancelled", "status cancelled of a run that was ended", said or "no status")


def _end_on_socket(desk: Desk, prompt: Prompt) -> LiveRun | None:
    """The same by a frame; the run that was ended."""
    if not desk.has_one_socket or desk.dialect.cancel("x") is None:
        desk.journey.not_offered("stop_socket", "this protocol has no frame that ends a run")
        return None

    def ask(step: Step, run: LiveRun) -> None:
        frame = desk.dialect.cancel(run.run_id)
        assert frame is not None
        desk.session().exchange(frame)

    with desk.journey.step("stop_socket") as step:
        return _ended_on_request(desk, step, prompt, ask, over_http=False)
    return None  # none that was ended


def _ended_on_request(
    desk: Desk, step: Step, prompt: Prompt, ask: Callable[[Step, LiveRun], None], *, over_http: bool
) -> LiveRun:
    """A run that was asked to end, and did.

    :raises Unmet: it went on, or there was none.
    :raises Missed: each one that was begun had ended by itself before it was asked to.
    """
    for _ in range(CROSSINGS_MAX):
        run = _begun(desk, step, prompt, over_http=over_http)
        desk.gave_up(run)
        ask(step, run)
        crossed = run.check.ended and run.check.end_kind is Kind.COMPLETED
        desk.rest()
        if not crossed:
            break
    else:
        step.miss("runs that had ended by themselves before they were asked to")  # the machine is too slow
    came = f"{run.outcome}: {run.signature or run.check.end_kind or 'no end'}"
    step.expect(run.outcome == "cut" and run.check.ended, "a run that ends when it is asked to", came)
    return run


def _end_twice(desk: Desk, run: LiveRun) -> None:
    """A run that has ended cannot be ended: that is an error, and said."""
    verbs: tuple[Literal["stop", "cancel"], ...] = ("stop", "cancel")
    calls = (desk.dialect.end_over_http(run.run_id, verb) for verb in verbs)
    call, frame = next((one for one in calls if one is not None), None), desk.dialect.cancel(run.run_id)
    if call is None and (frame is None or not desk.has_one_socket):
        desk.journey.not_offered("stop_ended", "this protocol cannot stop a run")
        return
    with desk.journey.step("stop_ended") as step:
        if call is not None:
            step.answered(desk.call(call, fine=ENDED), *ENDED)
        if frame is not None and desk.has_one_socket:
            heard = [event for event, _ in desk.session().exchange(frame)]
            told = any(event.code or event.kind is Kind.REFUSED for event in heard)
            step.expect(told, "an error for the stop of a run that has ended", "no error")


# --- tools and errors -----------------------------------------------------------------------------------------------


def tools(desk: Desk) -> None:
    """Tools that work, fail and are slow; an agent that fails, and the run after it."""
    thread = desk.thread()
    for name, family in (("tool", "comparison"), ("tool_error", "failing_tool"), ("slow_tool", "slow_tool")):
        prompt = desk.prompt(family)
        if prompt is None:
            desk.journey.not_offered(name, f"the prompts have no family {family}")
            continue
        with desk.journey.step(name) as step:
            run = step.well(desk.ask(prompt, thread, timed=name != "slow_tool"))
            counts = run.check.counts
            if name == "tool_error":
                step.expect(counts.tools_failed > 0, "a tool's failure that is passed on", "none")
            else:
                step.expect(counts.tools_ok > 0, "a tool's result", "none")
            if name == "slow_tool":
                _heard_meanwhile(desk, step, run)
    _agent_error(desk)


def _heard_meanwhile(desk: Desk, step: Step, run: LiveRun) -> None:
    """While a tool is slow, something is heard: as often as the target declares."""
    call = desk.dialect.configuration()
    declared = desk.dialect.configured(body_of(desk.call(call))) if call is not None else Declared()
    every_s = declared.progress_every_s
    events = run.story or []
    at = next((n for n, (event, _) in enumerate(events) if event.kind is Kind.TOOL_EXECUTING), 0)
    end = next((n for n, (event, _) in enumerate(events) if n > at and event.kind is Kind.TOOL_COMPLETED), at)
    took_s = (events[end][1] - events[at][1]) / 1e9 if events else 0.0
    if every_s is not None and took_s > 2 * every_s:
        wanted = f"signs of life every {every_s:g} s while a tool takes {took_s:.1f} s"
        step.expect(end - at > 1, wanted, "none")


def _agent_error(desk: Desk) -> None:
    """An agent that fails says so once, in words; the next run of the same socket is none the worse for it."""
    failing, next_one = desk.prompt("agent_error"), desk.prompt("question") or desk.prompt()
    if failing is None or next_one is None:
        desk.journey.not_offered("agent_error", "the prompts have no family agent_error")
        return
    session = desk.session() if desk.has_one_socket else None
    thread = desk.thread()
    with desk.journey.step("agent_error") as step:
        run = step.well(desk.ask(failing, thread))
        step.expect(run.check.end_kind is Kind.ERROR, "an agent's error", str(run.check.end_kind))
        said = f"code {run.check.end_code!r}, message {run.check.final_text[:80]!r}"
        step.expect(
            bool(run.check.end_code and run.check.final_text.strip()), "an error with a code and a message", said
        )
    with desk.journey.step("after_error") as step:
        if session is not None:
            session.ping()  # behind it, the end of the socket would be known
            _, closing = session.heard
            came = f"close {closing.code} {closing.reason}".strip()
            step.expect(session.is_ready, "a socket that outlives an agent's error", came)
        step.well(desk.ask(next_one, thread))


# --- times ----------------------------------------------------------------------------------------------------------


def timeouts(desk: Desk) -> None:
    """What is declared: receive > agent > tool; and what is declared is what is observed."""
    call = desk.dialect.configuration()
    declared = desk.dialect.configured(body_of(desk.call(call))) if call is not None else Declared()
    if declared.receive_timeout_s is None or not declared.agent_timeouts_s:
        desk.journey.not_offered("timeouts_declared", "the target declares no timeouts")
        _plain_run(desk)
        return
    with desk.journey.step("timeouts_declared", go_on=True) as step:
        wrong = out_of_hierarchy(declared.receive_timeout_s, declared.agent_timeouts_s, declared.tool_timeouts_s)
        step.expect(not wrong, "receive > agent > tool", wrong)
    agent = min(declared.agent_timeouts_s, key=lambda name: declared.agent_timeouts_s[name])
    _tool_timeout(desk, declared)
    _agent_timeout(desk, declared.agent_timeouts_s[agent], agent)


def _plain_run(desk: Desk) -> None:
    prompt = desk.prompt()
    assert prompt is not None
    desk.ask(prompt, desk.thread())


def _tool_timeout(desk: Desk, declared: Declared) -> None:
    """A tool that never answers is given up when its time is over, and the run comes to its end."""
    prompt = desk.prompt("stuck_tool")
    if prompt is None or not declared.tool_timeouts_s:
        desk.journey.not_offered("tool_timeout", "no tool with a timeout of its own, or no prompt for it")
        return
    with desk.journey.step("tool_timeout", go_on=True) as step:
        run = step.well(desk.ask(prompt, desk.thread(), timed=False))
        calls = {event.call_id: (event, at_ns) for event, at_ns in run.story or () if event.kind is Kind.TOOL_EXECUTING}
        ends = [(event, at_ns) for event, at_ns in run.story or () if event.kind is Kind.TOOL_COMPLETED]
        timed = [(calls[end.call_id][0].tool, (at_ns - calls[end.call_id][1]) / 1e9) for end, at_ns in ends]
        known = [(tool, took_s) for tool, took_s in timed if tool in declared.tool_timeouts_s]
        step.expect(bool(known), "a tool with a declared timeout", ", ".join(tool for tool, _ in timed) or "no tool")
        for tool, took_s in known:
            _kept(step, f"{tool} is given up", declared.tool_timeouts_s[tool], took_s)


def _agent_timeout(desk: Desk, declared_s: float, agent: str) -> None:
    """An agent that never ends is given up by an error of its own when its time is over; the socket lives."""
    prompt = desk.prompt("stuck_agent")
    if prompt is None or declared_s + 1 >= desk.generator.settings.environment.run_timeout_s:
        desk.journey.not_offered("agent_timeout", "no prompt for it, or longer than a run is waited for")
        return
    session = desk.session() if desk.has_one_socket else None
    with desk.journey.step("agent_timeout") as step:
        run = step.well(desk.ask(prompt, desk.thread(), agent=agent, timed=False))
        times = run.check.times
        took_s = ((times.end_ns or 0) - (times.first_event_ns or run.sent_ns)) / 1e9
        step.time_ns = int(took_s * 1e9)
        _kept(step, f"{agent} is given up", declared_s, took_s)
        if session is not None:
            session.ping()
            step.expect(session.is_ready, "a socket that outlives an agent's timeout", "its end")


def _kept(step: Step, what: str, declared_s: float, observed_s: float) -> None:
    wanted = f"{what} after {declared_s:g} s, as declared"
    step.expect(is_kept(declared_s, observed_s), wanted, f"declared {declared_s:g} s, observed {observed_s:.1f} s")


# --- memory ---------------------------------------------------------------------------------------------------------


def memory(desk: Desk) -> None:
    """What was said in the first turn is known in the third, and in no other thread."""
    first, second, reminded = desk.prompt("question") or desk.prompt(), desk.prompt("lookup"), desk.prompt("memory")
    if first is None or reminded is None or not desk.generator.begin.nonce_required:
        desk.journey.not_offered("memory", "no prompt that asks for it, or references need not be repeated")
        _plain_run(desk)
        return
    thread, other = desk.thread(), desk.thread()
    with desk.journey.step("memory") as step:
        said = step.well(desk.ask(first, thread))
        step.well(desk.ask(second or first, thread))
        run = step.well(desk.ask(reminded, thread))
        step.expect(said.nonce in run.seen, "the reference of the first turn in the third", "not a word of it")
    with desk.journey.step("memory_elsewhere") as step:
        run = desk.ask(reminded, other)
        step.of(run)
        step.expect(said.nonce not in run.seen, "nothing of another thread", "the reference that was said in it")
        step.well(run)
