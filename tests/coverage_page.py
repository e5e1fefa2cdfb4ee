"""docs/coverage.md, made from what the tests say of themselves and from recorded counts.

`python -m tests.coverage_page > docs/coverage.md` makes the page; `python -m tests.coverage_page --count DIR …` reads
results of load tests (one a scenario) and keeps how often each step and each limit had an opportunity in them.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosstalk.checks.families import FAMILIES
from crosstalk.checks.limits import Limit, parse_limits
from crosstalk.checks.metrics import metric_of
from crosstalk.checks.words import quantity
from tests.end_to_end.test_promises import BROKEN_BY

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "coverage.md"
COUNTS = ROOT / "tests" / "coverage_counts.json"
#: in this order, as far as they were counted
SCENARIOS = ("smoke", "golden_path", "recovery", "soak")
PROMISED_TEST = "tests/end_to_end/test_promises.py"

Row = Mapping[str, str]


@dataclass(frozen=True)
class Promise:
    """A promise that no family makes: a limit, whose attempts count, and what shows that it can be broken.

    `shown_by` names a test where no fault of the backend can break it.
    """

    limit: str
    who: str
    shown_by: str = ""

    @property
    def fault(self) -> str:
        return BROKEN_BY[self.limit][0] if self.limit in BROKEN_BY else ""


EVERYBODY = "everybody"
PROMISES = (
    Promise("valid tokens accepted", EVERYBODY),
    Promise("bad tokens rejected", "the checks before and after; Signer"),
    Promise("no session-management failure", EVERYBODY),
    Promise("connect", EVERYBODY, "tests/checks/test_judge_timing.py::test_a_connect_that_takes_too_long_fails"),
    Promise("upgrade", EVERYBODY),
    Promise("authentication", EVERYBODY),
    Promise("OAuth flow", "Newcomer, Signer"),
    Promise("agent runs completed", EVERYBODY),
    Promise("tools reliable", "whoever says a prompt that needs tools"),
    Promise("hand-offs", "whoever says a prompt that is handed over; Conductor"),
    Promise("critical events complete", EVERYBODY),
    Promise("no close 1011", EVERYBODY),
    Promise("streaming", EVERYBODY),
    Promise(
        "delivery confirmed",
        EVERYBODY,
        "tests/checks/test_judge_limits.py::test_events_lost_are_ours_and_accuse_nobody",
    ),
    Promise("no context bleeding", EVERYBODY),
    Promise("newcomer succeeds", "Newcomer"),
    Promise("message processing", EVERYBODY),
    Promise("critical flow", EVERYBODY),
    Promise("first words", EVERYBODY),
)


# --- what the tests say ---------------------------------------------------------------------------------------------


def modules() -> dict[str, Any]:
    """Path → module, of each test of a family."""
    files = sorted((ROOT / "tests" / "end_to_end").glob("test_family_*.py"))
    return {
        file.relative_to(ROOT).as_posix(): importlib.import_module(f"tests.end_to_end.{file.stem}") for file in files
    }


def covered() -> list[dict[str, str]]:
    """What each family covers, by its test; `test` is added to each row."""
    return [{**row, "test": path} for path, module in modules().items() for row in module.COVERED]


def steps_of(row: Row) -> list[str]:
    """ "family/step" of each step that a row names; "family/" where it is about the whole journey."""
    if not row["step"]:
        return [f"{row['family']}/"]
    return [f"{row['family']}/{step.strip()}" for step in row["step"].split(",") if step.strip()]


def counts() -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = json.loads(COUNTS.read_text(encoding="utf-8"))
    return found


def counted(folders: Iterable[Path]) -> dict[str, dict[str, dict[str, int]]]:
    """Scenario → how often each step was tried, and the n of each limit."""
    found = {}
    for folder in folders:
        verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        steps = {
            f"{family['family']}/{step['step']}": step["ok"] + step["failed"]
            for family in verdict["families"]
            for step in family["steps"]
            if step["ok"] + step["failed"]
        }
        for family in verdict["families"]:
            steps[f"{family['family']}/"] = family["journeys"]["ok"] + family["journeys"]["failed"]
        limits = {limit["name"]: limit["n"] for limit in verdict["limits"] if limit["n"]}
        found[verdict["load_test"]["scenario"]] = {"steps": dict(sorted(steps.items())), "limits": limits}
    return found


def limits() -> dict[str, Limit]:
    text = (ROOT / "scenarios/limits/local.toml").read_text(encoding="utf-8")
    return {one.name: one for one in parse_limits(text, source="local.toml").limits}


# --- the page -------------------------------------------------------------------------------------------------------

HEAD = """# Coverage

What is promised, who tries it, and which fault of the [reference backend](faults.md) shows that the check can fail.
This page is made by `tests/coverage_page.py` from the tests themselves, and a test holds the two together: a row
whose fault is not in the catalogue, whose limit no metric knows, or whose step nobody took, fails it.

*n* is how often something was tried in a recorded load test of that scenario on the reference backend (smoke: 20
users for 40 s; golden path: 50 users). On another target, or under another load, it is another; "–" where it was
not tried. Where a row names several steps, it is that of the rarest.

## Promises

The limits of `scenarios/limits/local.toml`, by phase. Each of them is broken by its fault in
`tests/end_to_end/test_promises.py`, in one load test of the golden path; a test is named where no fault can break
it.

"""

FAMILIES_HEAD = """## Families of journeys

Each family is one user class, and can be chosen alone (`--tags FAMILY`). Its test is one load test on a backend
that commits each fault for accounts of its own: the step fails there, and nowhere else.
"""


def page() -> str:
    known = counts()
    return "\n".join([HEAD + promises(known), FAMILIES_HEAD, *families(known)])


def promises(known: Mapping[str, Any]) -> str:
    rows = []
    for one in PROMISES:
        limit = limits()[one.limit]
        shown = f"`{one.fault}`" if one.fault else f"`{one.shown_by}`"
        n = _n(known, "limits", [limit.name])
        rows.append(f"| {limit.phase} | {limit.name} | {_bound(limit)} | {one.who} | {shown} | {n} |")
    head = "| phase | promise | limit | who | made to fail by | n: " + ", ".join(_names(known)) + " |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows, ""])


def families(known: Mapping[str, Any]) -> list[str]:
    parts = []
    rows = covered()
    for family, title in FAMILIES.items():
        own = [row for row in rows if row["family"] == family]
        if not own:
            continue
        users = ", ".join(dict.fromkeys(row["user"] for row in own))
        tests = ", ".join(f"`{test}`" for test in dict.fromkeys(row["test"] for row in own))
        parts.append(f"### {title[0].upper() + title[1:]}\n\n{users}, in {_scenarios(family, known)}; {tests}.\n")
        head = "| what | step | limit | made to fail by | n: " + ", ".join(_names(known)) + " |"
        parts.append("\n".join([head, "|---|---|---|---|---|", *_rows(own, known), ""]))
    return parts


def _rows(own: list[dict[str, str]], known: Mapping[str, Any]) -> list[str]:
    together: dict[tuple[str, str, str], list[str]] = {}
    for row in own:
        faults = together.setdefault((row["what"], row["step"], row["limit"]), [])
        faults += [row["fault"]] if row["fault"] and row["fault"] not in faults else []
    lines = []
    for (what, step, limit), faults in together.items():
        steps = steps_of({"family": own[0]["family"], "step": step})
        shown = ", ".join(f"`{fault}`" for fault in faults) or "–"
        limit_shown = f"`{limit}`" if limit else f"`steps_ok[{own[0]['family']}]`"
        lines.append(
            f"| {what} | {step or 'the whole journey'} | {limit_shown} | {shown} | {_n(known, 'steps', steps)} |"
        )
    return lines


def _n(known: Mapping[str, Any], of: str, names: list[str]) -> str:
    """How often the rarest of them was tried, in each scenario that was counted."""
    least = (
        min((known[scenario][of].get(name, 0) for name in names), default=0) for scenario in _names(known, plain=True)
    )
    return ", ".join(str(n) if n else "–" for n in least)


def _names(known: Mapping[str, Any], *, plain: bool = False) -> list[str]:
    there = [name for name in SCENARIOS if name in known]
    return there if plain else [name.replace("_", " ") for name in there]


def _scenarios(family: str, known: Mapping[str, Any]) -> str:
    steps = {name: known.get(name, {}).get("steps", {}) for name in SCENARIOS}
    made = [name for name in SCENARIOS if any(step.startswith(f"{family}/") for step in steps[name])]
    return ", ".join(f"`scenarios/{name}`" for name in made) or "no scenario that was counted"


def _bound(limit: Limit) -> str:
    metric = metric_of(limit.metric)
    sign = "≥" if limit.at_most is None else "≤"
    statistic = "" if limit.statistic in ("share", "count") else f"{limit.statistic} of "
    return f"{statistic}`{limit.metric}` {sign} {quantity(limit.bound, metric.unit if metric else '')}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--count"]:
        merged = {**(counts() if COUNTS.exists() else {}), **counted(Path(folder) for folder in sys.argv[2:])}
        COUNTS.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        print(page(), end="")
