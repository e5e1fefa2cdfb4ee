"""Where it broke, as all reports tell it: the groups of a verdict, and the words for one of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from crosstalk.checks.causes import GROUPS_MAX, where_it_broke
from crosstalk.checks.causes_rules import STAGES
from crosstalk.checks.families import FAMILIES
from crosstalk.checks.metrics import METRICS, metric_of, place_in
from crosstalk.record.parts import Record
from reports import numbers
from reports.log_query import log_query

TABLES = ("runs", "connections", "violations", "steps")
Failure = dict[str, Any]


def failures_of(record: Record) -> list[Failure]:
    """The groups for `verdict.json`, at most `GROUPS_MAX`, each with its query for the server's logs."""
    template = str((record.run.get("load_test") or {}).get("log_query") or "")
    found = where_it_broke(record.run, {name: record.table(name) for name in TABLES})[:GROUPS_MAX]
    return [{**one, "log_query": log_query(template, one)} for one in (failure.as_dict() for failure in found)]


def listed(verdict: dict[str, Any]) -> list[Failure]:
    return list(verdict.get("failures") or [])


def explaining(verdict: dict[str, Any], about: str) -> list[Failure]:
    """Groups behind what failed. :param about: a metric, the name of a violation, or "channel 2"."""
    of_steps = metric_of(about) if "[" in about or about in METRICS else None
    if of_steps is not None and of_steps.source == "step":
        return [one for one in listed(verdict) if one["of"] == "steps" and _of_place(one, *place_in(about))]
    fits = _BEHIND.get(about) or (lambda one: _names(one, about))
    return [one for one in listed(verdict) if fits(one)]


def _names(one: Failure, name: str) -> bool:
    return re.search(rf"\b{re.escape(name.replace('_', ' '))}\b", str(one["signature"]).replace("_", " ")) is not None


def _of_place(one: Failure, family: str, step: str | None) -> bool:
    """Is a group of failed steps of that family ("": of any), and of that step (None, "": of any)?"""
    title, _, rest = str(one["signature"]).partition(", ")
    return family in ("", *(name for name, said in FAMILIES.items() if said == title)) and (
        not step or rest.startswith(f"{step}: expected ")
    )


def _lost(one: Failure) -> bool:
    return str(one["signature"]).startswith("close ") and one["stage"] in STAGES[STAGES.index("send") :]


#: metric or violation → is this group behind it?
_BEHIND: dict[str, Callable[[Failure], bool]] = {
    "runs_ok": lambda one: one["runs"] > 0,
    "events_complete": lambda one: one["runs"] > 0,
    "tools_complete": lambda one: one["stage"] == "tool" or "tool" in one["signature"],
    "connections_lost": _lost,
    "close_1011": lambda one: "close 1011" in one["signature"],
    "tokens_accepted": lambda one: one["stage"] in STAGES[: STAGES.index("send")] and "forged" not in one["signature"],
    "bad_tokens_rejected": lambda one: "forged token" in one["signature"],
    "isolation_violations": lambda one: ", channel " in one["signature"],
    "silent": lambda one: "no event at all" in one["signature"],
    "no_end": lambda one: "silence after" in one["signature"],
}


def how_many(one: Failure, *, separator: str = numbers.THIN) -> str:
    """ "193 connections (91.9 % of all), 3 users"."""
    noun = str(one["of"])
    share = "" if one.get("share") is None else f" ({numbers.share(one['share'], separator=separator)} of all)"
    users = numbers.plural(int(one["users"]), "user", separator=separator)
    return f"{numbers.plural(int(one['count']), noun.removesuffix('s'), noun, separator=separator)}{share}, {users}"


def cause_name(one: Failure) -> str:
    """ "likely: dispatch exception"; empty where no cause is known."""
    causes = one.get("causes") or []
    return f"{causes[0]['sure']}: {str(causes[0]['name']).replace('_', ' ')}" if causes else ""


def when(one: Failure, started_ns: int) -> str:
    """ "first 0.4 s, last 13.9 s after the start"."""
    first, last = (numbers.seconds(max(int(one[key]) - started_ns, 0)) for key in ("first_ns", "last_ns"))
    once = one["first_ns"] == one["last_ns"]
    return f"{first} after the start" if once else f"first {first}, last {last} after the start"


def told(one: Failure, started_ns: int, *, separator: str = numbers.COMMA) -> list[str]:
    """A group in plain lines, for the terminal and for JUnit."""
    lines = [
        f"{one['stage']}: {one['signature']}",
        f"  {how_many(one, separator=separator)}; {when(one, started_ns)}",
        *(f"  shown     {text}" for text in one.get("shown") or []),
    ]
    for cause in one.get("causes") or []:
        lines += [f"  {cause['sure']:<9} {cause['likely']}", f"  look at   {cause['look_at']}"]
    names = (("user", "example_user"), ("run", "example_run"), ("connection", "example_connection"))
    example = ", ".join(f"{name} {one[key]}" for name, key in names if one.get(key))
    return [*lines, f"  example   {example}", f"  logs      {one['log_query']}"]
