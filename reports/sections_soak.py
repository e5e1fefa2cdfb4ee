"""What grows: the slope of times and memories with their intervals, and what renewals of tokens cost. Of long tests."""

from __future__ import annotations

from typing import Any

from crosstalk.checks.words import counted, number
from reports import numbers, plots
from reports.markup import Html, paragraph, section, table
from reports.material import Material

#: a load test that is shorter and makes no renewals has no slopes worth a page
LONG_S = 600
LEAD = (
    "Change in the course of the load test, with 95 % intervals that allow for neighbours that resemble each other. "
    "Growth is known only where the whole interval lies above 0; what fills up to a bound first is left out."
)
HEADS = ("What", "Change", "Interval", "Around", "n", "Grows?")


def is_told(material: Material) -> bool:
    """Is there something to say of hours: renewals, memory, or a load test that was long?"""
    slopes = material.verdict.get("slopes") or {}
    lasted_s = (int(material.load_test.get("ended_ns") or 0) - material.started_ns) / 1e9
    renewed = (slopes.get("refreshes") or {}).get("made")
    return bool(slopes) and (lasted_s >= LONG_S or bool(renewed))


def slopes(material: Material) -> Html:
    title = "What grows"
    told = material.verdict.get("slopes") or {}
    if "problem" in told:
        return section("slopes", title, paragraph(str(told["problem"]), class_="lead"))
    rows = [_row(_name_of_time(one), one) for one in told["times"]]
    rows += [_row(f"{one['what']}, {one['worker']}", one) for one in told["memory"]]
    refreshes = paragraph(refreshes_text(told["refreshes"])) if told["refreshes"]["made"] else ""
    return section("slopes", title, refreshes, table(HEADS, rows, right=(1, 2, 3, 4)), lead=LEAD)


def sentence(material: Material) -> str:
    """For the summary: renewals, what is known to grow, and the harness's own heap."""
    told = material.verdict.get("slopes") or {}
    if "problem" in told:
        return f"What grows: {told['problem']}."
    growing = [
        f"{name} {_change(one)} ({_interval(one)})"
        for name, one in [
            *((_name_of_time(one), one) for one in told["times"]),
            *((one["what"], one) for one in told["memory"] if "target" in one["metric"]),
        ]
        if grows(one) == "yes"
    ]
    said = [refreshes_text(told["refreshes"])] if told["refreshes"]["made"] else []
    said.append(f"Growing: {'; '.join(growing)}." if growing else "Nothing of the target is known to grow.")
    heaps = [one for one in told["memory"] if one["metric"] == "slope_mib_per_h[harness_heap]" and one["ci"]]
    said += [f"The harness's own heap ({one['worker']}): {_change(one)}, {_interval(one)}." for one in heaps]
    return " ".join(said)


def refreshes_text(found: dict[str, Any]) -> str:
    """ "1,204 renewals of tokens, 0 refused; 0 of 2,380 runs at stake were lost to one." """
    made = counted(int(found["made"]), "renewals of tokens")
    stake = counted(int(found["runs_at_stake"]), "runs at stake")
    return f"{made}, {found['refused']:,} refused; {found['runs_lost']:,} of {stake} lost to one."


def grows(entry: dict[str, Any]) -> str:
    """Is the whole interval above 0?"""
    if entry["ci"] is None:
        return "cannot be told"
    low, high = entry["ci"]
    return "yes" if low > 0 else "no: it falls" if high < 0 else "not known to"


def _row(name: str, one: dict[str, Any]) -> list[object]:
    if one["ci"] is None:
        return [name, numbers.NONE, numbers.NONE, numbers.NONE, numbers.count(one["n"]), one["reason"]]
    around = f"{number(one['level'])} {one['unit'].partition('/')[0]}"
    return [name, _change(one), _interval(one), around, numbers.count(one["n"]), grows(one)]


def _name_of_time(one: dict[str, Any]) -> str:
    name = plots.spoken(one["metric"].partition("[")[2].rstrip("]"))
    return f"{name}, with connections" if "connections" in one["unit"] else name


def _change(one: dict[str, Any]) -> str:
    share = one.get("percent_per_h")
    beside = f" ({number(round(share, 1))} %/h)" if share is not None else ""
    return f"{number(round(one['value'], 2))} {one['unit']}{beside}"


def _interval(one: dict[str, Any]) -> str:
    low, high = one["ci"]
    return f"{number(round(low, 2))} to {number(round(high, 2))}"
