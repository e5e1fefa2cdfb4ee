"""How long everything took: of which runs, each time with its intervals, each worker beside the others."""

from __future__ import annotations

from typing import Any

from reports import distributions, figures, numbers, plots
from reports.drawing import Plot
from reports.figures import Interval, Spread
from reports.markup import Html, details, element, join, paragraph, section, table
from reports.material import Material
from reports.words import goodput_text, window_text

NO_RUNS = paragraph("No run was recorded, so there is nothing to show here.", class_="lead")
LEAD = (
    "Above the line, the milestones of a run; below it, the time from the prompt to each kind of event. Runs of the "
    "ramp and the warm-up, and runs that were cut off, are left out; one that never ended counts as longer than any "
    "other."
)
CAPTION = "in milliseconds, with 95 % bounds; a percentile needs enough samples (29, 59, 299) or is left open"
WORKERS_CAPTION = "in milliseconds; samples are pooled, percentiles never averaged"


def all_plots(material: Material) -> list[Plot]:
    """The overview and the distributions; none without a sample."""
    spreads = _spreads(material)
    if not spreads:
        return []
    limits = upper_limits(material)
    titled = [(plots.spoken(one.name), one.curve) for one in spreads if one.curve is not None]
    found = [plots.times(spreads, limits)]
    return [*found, distributions.plot(titled, limits)] if titled else found


def times(material: Material, drawn: dict[str, Html]) -> Html:
    title = "Where the time goes"
    spreads = _spreads(material)
    if not spreads:
        return section("times", title, NO_RUNS)
    heads = ("Time", "n", "p50", "p90", "p95", "p99", "largest")
    listed = table(heads, [_spread_row(one) for one in spreads], right=range(1, 7), caption=CAPTION)
    shapes = drawn.get("distributions", "")
    return section(
        "times",
        title,
        _basis(material),
        drawn.get("times", ""),
        details("The distributions", shapes) if shapes else "",
        details("The figures", listed),
        _workers(material),
        lead=LEAD,
    )


def upper_limits(material: Material) -> list[dict[str, Any]]:
    listed = material.verdict.get("limits") or []
    return [one for one in listed if str(one.get("metric", "")).endswith("_ms") and one.get("limit") is not None]


def _spreads(material: Material) -> list[Spread]:
    return figures.spreads(material.tally, material.table("runs"), material.table("events"))


def _basis(material: Material) -> Html:
    """Which runs the times are of, how many of them were good, and which worker is to be looked at."""
    said = [numbers.thin(line) for line in (window_text(material.verdict), goodput_text(material.verdict)) if line]
    slower = (material.verdict.get("workers") or {}).get("slower") or []
    facts = element("ul", *(element("li", line) for line in said), class_="reasons") if said else Html("")
    if not slower:
        return facts
    items = element("ul", *(element("li", numbers.thin(str(one["said"]))) for one in slower))
    title = element("b", "Slower than the other workers")
    return join([facts, element("div", title, items, class_="alarm", role="note")])


def _spread_row(one: Spread) -> list[object]:
    cells = [_cell(value, bounds) for value, bounds in
             ((one.p50, one.ci50), (one.p90, one.ci90), (one.p95, one.ci95), (one.p99, one.ci99))]  # fmt: skip
    return [plots.spoken(one.name), numbers.count(one.n), *cells, numbers.milliseconds(one.high, unit=False)]


def _cell(value: float | None, bounds: Interval) -> object:
    """The percentile, and its bounds beneath."""
    if value is None:
        return "insufficient n"
    ends = (numbers.NONE if end is None else numbers.milliseconds(end, unit=False) for end in bounds)
    return join([numbers.milliseconds(value, unit=False), element("small", " – ".join(ends), class_="bounds")])


def _workers(material: Material) -> Html:
    """Each worker's own percentiles; nothing where there is only one."""
    said = material.verdict.get("workers") or {}
    slower = {(one["worker"], one["metric"]) for one in said.get("slower") or []}
    rows: list[list[object]] = []
    for metric, own in (said.get("figures") or {}).items():
        for worker, found in own.items():
            name: object = "all workers" if worker == "all" else worker
            if (worker, metric) in slower:
                name = element("b", f"{worker}: slower")
            shown = (numbers.milliseconds(found.get(quantile), unit=False) for quantile in ("p50", "p95", "p99"))
            rows.append([plots.spoken(metric) if worker == "all" else "", name, numbers.count(found["n"]), *shown])
    if not rows:
        return Html("")
    heads = ("Time", "worker", "n", "p50", "p95", "p99")
    listed = table(heads, rows, right=range(2, 6), caption=WORKERS_CAPTION)
    return details("Each worker", listed, opened=bool(slower))
