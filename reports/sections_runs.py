"""What happened to the runs: how far they got, two of them up close, and all of them over time."""

from __future__ import annotations

from reports import figures, numbers, plots
from reports.drawing import Plot
from reports.figures import Step
from reports.markup import Html, details, element, join, paragraph, section, table
from reports.material import Material

NO_RUNS = paragraph("No run was recorded, so there is nothing to show here.", class_="lead")


def all_plots(material: Material) -> list[Plot]:
    """Of these sections, every figure that the record has data for."""
    runs, events, health = material.table("runs"), material.table("events"), material.table("health")
    found: list[Plot] = []
    for which, row in figures.typical_and_slowest(runs):
        found.append(plots.waterfall(f"waterfall_{which}", f"The {which} run", runs, row, events))
    if runs["run"].size:
        found.append(plots.over_time(runs, health, material.started_ns, window=_window(material)))
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


def _window(material: Material) -> tuple[float, float] | None:
    """Seconds between which the runs started that are judged; None where no run was."""
    window = material.verdict.get("window") or {}
    if not window.get("runs"):
        return None
    return tuple((int(window[end]) - material.started_ns) / 1e9 for end in ("from_ns", "until_ns"))  # type: ignore[return-value]
