"""Traces: `trace.html` of a load test, and a page of one violation or run that was asked for by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reports import evidence, trace_choice
from reports.markup import element, paragraph
from reports.material import Material
from reports.redact import write
from reports.trace_choice import ASKED, FAILED, Choice, RunChoice, violation_anchor
from reports.trace_page import page
from reports.trace_views import TABLES, views

NAME = "trace.html"
NAMED_MAX = 5
#: of a file's name; ids that a server chose may be longer than a name can be
NAME_LETTERS = 160


class NotFound(Exception):
    """No violation and no run is called that, or several are; the text says which there are."""


def chosen(material: Material) -> Choice:
    """What `trace.html` shows; false where a load test has nothing to show."""
    return trace_choice.choose(*(material.table(name) for name in ("violations", "runs", "frames")))


def trace(material: Material) -> str:
    """The page. :raises ValueError: when there is nothing to show; ask `chosen` first."""
    return _page(material, chosen(material))


def _page(material: Material, choice: Choice) -> str:
    if not choice:
        raise ValueError("this load test has neither a violation nor a run to show")
    made = views({name: material.table(name) for name in TABLES}, choice)
    again = element("code", f"python -m reports trace NAME results/{material.folder.name}")
    beside = paragraph("Made from the record alone. Any other violation or run: ", again, ".")
    return page(material, made, totals=_totals(material, choice), beside=beside)


def _totals(material: Material, choice: Choice) -> dict[str, int]:
    """How many there are in the record of what is shown."""
    runs = material.table("runs")
    if any(run.why == ASKED for run in choice.runs) or len(choice.violations) + len(choice.runs) == 1:
        return {}
    failed = ~np.isin(runs["outcome"].astype(str), ("ok", "cut"))
    return {"violation": len(evidence.ordered(material.table("violations"))), FAILED: int(failed.sum())}


def links(material: Material) -> dict[str, str]:
    """Violation → where its trace is, relative to the report; only of those that have one in `trace.html`."""
    rows = trace_choice.violations_with_a_trace(material.table("violations"))
    return {row["violation"]: f"{NAME}#{violation_anchor(row['violation'])}" for row in rows}


def run_links(material: Material) -> dict[tuple[str, str], str]:
    """(account, run) → where its trace is, relative to the report; only of those that have one in `trace.html`."""
    named = [_account_and_run(material, one.row) for one in chosen(material).runs]
    return {key: f"{NAME}#{trace_choice.run_anchor(*key)}" for key in named}


def gravest(material: Material) -> str:
    """Where the trace of the gravest violation is, relative to the report; "" without one, or without the page."""
    rows = evidence.ordered(material.table("violations"))
    there = bool(rows) and (material.folder / NAME).is_file()
    return links(material)[rows[0]["violation"]] if there else ""


def one(material: Material, name: str) -> Path:
    """Write the page of one violation or run beside the report, and return its path.

    :param name: of a violation or a run; a part of it will do that only one has.
    :raises NotFound: when none or several are called that.
    """
    choice = _named(material, name)
    anchor = (
        violation_anchor(choice.violations[0]["violation"])
        if choice.violations
        else trace_choice.run_anchor(*_account_and_run(material, choice.runs[0].row))
    )
    path = material.folder / f"trace-{anchor[:NAME_LETTERS]}.html"
    write(path, _page(material, choice))
    return path


def _account_and_run(material: Material, row: int) -> tuple[str, str]:
    runs = material.table("runs")
    return str(runs["account"][row]), str(runs["run"][row])


def _named(material: Material, name: str) -> Choice:
    rows = evidence.ordered(material.table("violations"))
    runs = material.table("runs")
    ids = {row["violation"]: row for row in rows}
    wanted = next((row for row in rows if name in (row["violation"], violation_anchor(row["violation"]))), None)
    if wanted is not None:
        return Choice((wanted,), ())
    exact = np.flatnonzero(runs["run"] == name).tolist()
    if exact:
        return Choice((), tuple(RunChoice(i, ASKED) for i in exact))
    some = [key for key in ids if name and name in key]
    at = [i for i, run in enumerate(runs["run"].tolist()) if name and name in run]
    found = [*some, *(str(runs["run"][i]) for i in at)]
    if len(found) == 1:
        return Choice((ids[some[0]],), ()) if some else Choice((), (RunChoice(at[0], ASKED),))
    if found:
        more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
        raise NotFound(f"{name!r} is part of several names: {', '.join(found[:NAMED_MAX])}{more}; name one of them")
    known = ", ".join(list(ids)[:NAMED_MAX]) or "none"
    raise NotFound(f"no violation and no run is called {name!r} in this record; violations: {known}")
