"""The one sentence of a verdict: true, specific, from its own figures, and the worst thing first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosstalk.checks.judge_limits import limit_label, limit_sentence
from crosstalk.checks.verdicts import FAIL, PASS, UNKNOWN
from crosstalk.checks.words import counted, listed, number, percent

#: site where the owner planted it → what the observer received
_THINGS = {
    "prompt": "a prompt reference",
    "context": "a private reference",
    "profile": "a profile name",
    "title": "a thread title",
    "tool_argument": "a tool argument",
    "tool_result": "a tool result",
    "run_id": "a run id",
    "thread_id": "a thread id",
    "message_id": "a message id",
    "user_id": "an event",
}
_OWN = {"cross_thread": "another thread of its own", "cross_run": "another run of its own"}


def sentence_of(verdict: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """:param verdict: complete but for its sentence."""
    said = _said(verdict, run)
    load_test = run.get("load_test") or {}
    if load_test.get("ended_by") != "interrupted" or not load_test.get("run_time_s"):
        return said
    seconds = (load_test.get("ended_ns", 0) - load_test.get("started_ns", 0)) / 1e9
    return f"Interrupted after {seconds:.0f} of {load_test['run_time_s']:.0f} s: {said}"


def _said(verdict: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    target = run.get("target") or {}
    load_test = run.get("load_test") or {}
    if verdict["isolation"]["verdict"] == FAIL:
        return _leak(verdict["isolation"], load_test.get("started_ns"))
    if target.get("ready") is False:
        reason = str(target.get("reason") or "no reason was given").removeprefix("target not ready: ")
        return f"The target was not ready: {reason}; nothing was judged."
    if verdict["identity"]["mismatched"]:
        return _mistaken(verdict["identity"])
    if verdict["verdict"] == FAIL:
        return _failed(verdict, load_test)
    if verdict["verdict"] == UNKNOWN:
        return _unknown(verdict, load_test)
    return _passed(verdict, load_test)


def _leak(isolation: Mapping[str, Any], started_ns: int | None) -> str:
    confirmed = [row for row in isolation["violations"] if row["confirmed"]]
    total = counted(isolation["violations_confirmed"], "isolation violations")
    if not confirmed:
        return f"{total}."
    first = min(confirmed, key=lambda row: row["surfaced_ns"])
    whose = _OWN.get(first["scope"]) or first["owner"] or "somebody else"
    what = _THINGS.get(first["site"], f"{first['site']} content" if first["site"] else "an event")
    times = "once" if first["count"] == 1 else f"{first['count']:,} times"
    sentence = f"{first['observer']} received {what} of {whose} ({first['name']}, channel {first['channel']}), {times}"
    if started_ns:
        sentence += f"; first {(first['surfaced_ns'] - started_ns) / 1e9:.1f} s after the start"
    more = isolation["violations_confirmed"] - first["count"]
    return f"{sentence}; {total} in all." if more else f"{sentence}."


def _mistaken(identity: Mapping[str, Any]) -> str:
    accounts, example = identity["mismatched"], identity["example"]
    seen = f" ({example['observer']}: expected {example['expected']}, came {example['came']})" if example else ""
    who = f"Sockets of {counted(len(accounts), 'accounts')} carry another identity than their token's"
    return f"{who}{seen}; nothing else can be believed."


def _failed(verdict: Mapping[str, Any], load_test: Mapping[str, Any]) -> str:
    causes = [limit_sentence(e) for e in verdict["limits"] if e["counts"] and e["verdict"] == FAIL]
    delivery = verdict["delivery"]
    if delivery["own_verdict"] == FAIL:
        causes.insert(0, f"delivery: {listed(delivery['reasons'])}")
    return f"{_load(verdict, load_test)}; {listed(causes)}."


def _unknown(verdict: Mapping[str, Any], load_test: Mapping[str, Any]) -> str:
    causes = list(verdict["delivery"]["reasons"])
    if verdict["isolation"]["judged"]:
        causes += [reason for reason in verdict["isolation"]["reasons"] if not reason.startswith("not everything")]
    causes += [limit_sentence(e) for e in verdict["limits"] if e["counts"] and e["verdict"] == UNKNOWN]
    return f"{_load(verdict, load_test)}; could not be judged: {listed(causes, most=2)}."


def _passed(verdict: Mapping[str, Any], load_test: Mapping[str, Any]) -> str:
    parts = [_load(verdict, load_test), _bounds(verdict["isolation"])]
    times = [e for e in verdict["limits"] if e["counts"] and e["unit"] == "ms" and e["verdict"] == PASS]
    chosen = [e for e in times if e["metric"] == "service_time_ms"] or [e for e in times if e["statistic"] != "max"]
    if chosen:
        parts.append(limit_sentence(chosen[0]))
    unknown = [e for e in verdict["limits"] if e["required"] and e["verdict"] == UNKNOWN]
    by_reason: dict[str, list[str]] = {}
    for entry in unknown:
        by_reason.setdefault(entry["reason"], []).append(limit_label(entry))
    if unknown:
        said = [f"{listed(labels, most=2)} ({reason})" for reason, labels in by_reason.items()]
        parts.append(f"NOT JUDGED: {listed(said, most=2)}")
    return "; ".join(parts) + "."


def _load(verdict: Mapping[str, Any], load_test: Mapping[str, Any]) -> str:
    """ "20 users, 412 runs, all ok"."""
    runs = verdict["delivery"]["runs"]
    whole = runs["started"] - runs["cut"]
    users = load_test.get("users")
    parts = [counted(users, "users")] if users else []
    parts.append(counted(whole, "runs"))
    if whole:
        parts.append("all ok" if runs["ok"] == whole else f"{runs['ok']:,} ok")
    if runs["cut"]:
        parts.append(f"{runs['cut']:,} more cut by us")
    return ", ".join(parts)


def _bounds(isolation: Mapping[str, Any]) -> str:
    """What none in so many opportunities supports: the busiest channel's bound, and a much weaker one's beside it."""
    if not isolation["judged"]:
        return "isolation NOT JUDGED: no channel is required"
    bound, weakest = isolation["bound_95"], isolation["bound_95_weakest"]
    also = ""
    if weakest is not None and bound is not None and weakest > 2 * bound:
        required = [c for c in isolation["channels"] if c["required"]]
        channel = min(required, key=lambda c: c["opportunities"])
        also = f"; weakest channel {channel['channel']}: < {percent(weakest)}"
    rate = f"leak rate < {percent(bound)} at 95 %{also}"
    return f"0 violations in {number(isolation['opportunities'])} checked events ({rate})"
