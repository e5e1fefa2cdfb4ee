"""What happened to the runs: how far they got, how long everything took, which ended badly."""

from __future__ import annotations

from typing import Any

from reports import figures, numbers, plots
from reports.drawing import Plot
from reports.figures import Spread, Step
from reports.markup import Html, details, element, join, paragraph, section, table
from reports.material import Material

NO_RUNS = paragraph("No run was recorded, so there is nothing to show here.", class_="lead")


def all_plots(material: Material) -> list[Plot]:
    """Every figure that the record has data for."""
    runs, events, health = material.table("runs"), material.table("events"), material.table("health")
    found = []
    spreads = figures.spreads(material.tally, runs, events)
    if spreads:
        found.append(plots.times(spreads, _upper_limits(material)))
    for which, row in figures.typical_and_slowest(runs):
        found.append(plots.waterfall(f"waterfall_{which}", f"The {which} run", runs, row, events))
    if runs["run"].size:
        found.append(plots.over_time(runs, health, material.started_ns))
    if health["worker"].size:
        found.append(plots.generator(health, material.started_ns))
    return found


def funnel(material: Material) -> Html:
    title = "From connection to answer"
    steps = figures.funnel(material.table("connections"), material.table("runs"))
    if not any(step.number for step in steps):
        return section("funnel", title, paragraph("No connection was attempted and no run started.", class_="lead"))
    items, before = [], None
    for step in steps:
        begins = step.name == "runs started"
        items.append(_step(step, None if begins else before, begins))
        before = step.number
    return section("funnel", title, element("ol", *items, class_="funnel"))


def _step(step: Step, before: int | None, begins: bool) -> Html:
    width = 100 * step.number / step.of if step.of else 0
    lost = before - step.number if before is not None else 0
    # A later step may be larger: a run can end without ever having streamed text.
    loss = element("span", f"−{numbers.count(lost)} ", class_="lost") if lost > 0 else ""
    shown = [
        element("span", step.name),
        element("div", Html(f'<i style="width:{width:.2f}%"></i>'), class_="meter", aria_hidden="true"),
        element(
            "span", loss, element("b", numbers.count(step.number)), f" · {numbers.share(width / 100)}", class_="numbers"
        ),
    ]
    note = [element("p", step.note, class_="note")] if step.note else []
    return element("li", *shown, *note, class_="begins" if begins else None)


def times(material: Material, drawn: dict[str, Html]) -> Html:
    title = "Where the time goes"
    spreads = figures.spreads(material.tally, material.table("runs"), material.table("events"))
    if not spreads:
        return section("times", title, NO_RUNS)
    heads = ("Time", "n", "p50", "p90", "p95", "p99", "largest")
    rows = [_spread_row(one) for one in spreads]
    lead = (
        "Above the line, the milestones of a run; below it, the time from the prompt to each kind of event. Runs of "
        "the ramp and runs that were cut off are left out; a run that never ended counts as longer than any other."
    )
    listed = table(
        heads,
        rows,
        right=range(1, 7),
        caption="in milliseconds; a percentile needs enough samples (29, 59, 299) or is left open",
    )
    return section("times", title, drawn.get("times", ""), details("The figures", listed), lead=lead)


def _spread_row(one: Spread) -> list[object]:
    def cell(value: float | None) -> str:
        return "insufficient n" if value is None else numbers.milliseconds(value, unit=False)

    name = plots.spoken(one.name)
    return [name, numbers.count(one.n), *(cell(v) for v in (one.p50, one.p90, one.p95, one.p99, one.high))]


def waterfalls(material: Material, drawn: dict[str, Html]) -> Html:
    title = "Two runs up close"
    runs = material.table("runs")
    chosen = figures.typical_and_slowest(runs)
    if not chosen:
        return section(
            "waterfalls", title, paragraph("No run came to an end, so there is none to show.", class_="lead")
        )
    body: list[Html] = []
    for which, row in chosen:
        run = runs["run"][row]
        who = join(
            [
                f"The {which} run: ",
                element("code", run),
                f" of {runs['account'][row]}, prompt “{runs['prompt'][row]}”, trace ",
                element("code", runs["trace_id"][row]),
            ]
        )
        body += [element("h3", f"The {which} run"), drawn.get(f"waterfall_{which}", Html(""))]
        body.append(details("Its events", paragraph(who, class_="note"), events_of(material, row)))
    return section("waterfalls", title, *body, lead="The median and the longest of the runs that ended.")


def events_of(material: Material, row: int) -> Html:
    """The events of a row of `runs`, one a line."""
    runs, events = material.table("runs"), material.table("events")
    sent_ns = int(runs["sent_ns"][row])
    of_run = (events["run"] == runs["run"][row]) & (events["account"] == runs["account"][row])
    mine = sorted(of_run.nonzero()[0].tolist(), key=lambda i: int(events["n"][i]))
    rows = []
    for i in mine:
        at, lag = int(events["arrived_ns"][i]) - sent_ns, int(events["received_ns"][i] - events["arrived_ns"][i])
        who = " ".join(filter(None, (events["agent"][i], events["tool"][i])))
        exact = "" if events["exact"][i] else "at most"
        rows.append(
            (
                int(events["n"][i]),
                plots.spoken(events["kind"][i]),
                who,
                exact,
                numbers.from_ns(at),
                numbers.from_ns(lag),
            )
        )
    heads = ("#", "event", "agent, tool", "", "since sent", "receive lag")
    return table(heads, rows, right=(0, 3, 4, 5), wide=False)


def over_time(material: Material, drawn: dict[str, Html]) -> Html:
    title = "Response over time"
    if not material.table("runs")["run"].size:
        return section("over-time", title, NO_RUNS)
    arrivals = material.load_test.get("arrivals", "think")
    lead = f"From the instant a turn was due (arrivals: {arrivals}) to the end of its run, at the time it was sent."
    return section("over-time", title, drawn.get("over_time", ""), lead=lead)


def _upper_limits(material: Material) -> list[dict[str, Any]]:
    listed = material.verdict.get("limits") or []
    return [one for one in listed if str(one.get("metric", "")).endswith("_ms") and one.get("limit") is not None]
