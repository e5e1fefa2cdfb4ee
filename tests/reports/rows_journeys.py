"""The rows of journeys: sign-in and messages of every user, and a family of which the target has nothing."""

from __future__ import annotations

import copy
from typing import Any

from crosstalk.record.rows import COLUMNS
from tests.reports.rows import HOSTILE, MS, START_NS, Making, account

STEPS = {"sign_in": ("login", "oauth", "refresh in mid-run"), "messages": ("history", "paging")}
#: (family, step) → users of whom it fails, what was expected, what came
BADLY = {
    ("sign_in", "oauth"): ((3, 4), "HTTP 200", "HTTP 500"),
    ("messages", "history"): ((5,), "the answer in the history", f"2 messages: {HOSTILE}"),
}
WHY_NOT = "this protocol has no envelopes but one"


def with_limits(limits: dict[str, Any]) -> dict[str, Any]:
    """The limits with one about steps of sign-in, in the first phase, and one about messages, in the last."""
    phases = copy.deepcopy(limits["phase"])
    for phase, name, family in ((phases[0], "signing in", "sign_in"), (phases[-1], "messages kept", "messages")):
        one = {"name": name, "metric": f"steps_ok[{family}]", "statistic": "share", "at_least": 1.0}
        phase["limit"] = [*phase["limit"], one]
    return {**limits, "phase": phases}


def add_journeys(making: Making, *, badly: bool) -> None:
    """Each user's journeys, one a family; the last user's last one is cut short by us."""
    for user in range(making.users):
        for family, steps in STEPS.items():
            _journey(making, user, family, steps, badly=badly)
    for user in range(min(making.users, 2)):
        at = START_NS + user * 90 * MS
        _row(making, user, "five_events", "envelope wrapped", at, outcome="not_offered", expected=WHY_NOT)


def _journey(making: Making, user: int, family: str, steps: tuple[str, ...], *, badly: bool) -> None:
    begun = at = START_NS + 1_000 * MS + user * 90 * MS
    last = (user, family) == (making.users - 1, list(STEPS)[-1])
    outcome = "ok"
    for step in steps:
        time_ns = int(making.random.uniform(20, 180) * MS)
        users, expected, came = BADLY.get((family, step), ((), "", ""))
        if badly and user in users:
            outcome = "failed"
            run = _a_run(making, user) if family == "messages" else ""
            _row(
                making, user, family, step, at, time_ns=time_ns, outcome=outcome, expected=expected, came=came, run=run
            )
            break
        if last and step == steps[-1]:
            outcome = "cut"
            _row(making, user, family, step, at, time_ns=time_ns, outcome=outcome)
            break
        _row(making, user, family, step, at, time_ns=time_ns)
        at += time_ns
    _row(making, user, family, "", begun, time_ns=at - begun, outcome=outcome)


def _a_run(making: Making, user: int) -> str:
    columns = COLUMNS["runs"]
    mine = (row for row in making.rows.tables["runs"] if row[columns.index("account")] == account(user))
    return str(next(mine)[columns.index("run")])


def _row(making: Making, user: int, family: str, step: str, begun_ns: int, **changes: object) -> None:
    worker = making.worker_of(user)
    row: dict[str, object] = {
        "worker": worker, "journey": f"{worker}-{account(user)}-j{list(STEPS).index(family) if family in STEPS else 9}",
        "family": family, "step": step, "account": account(user), "user_class": "Signer", "begun_ns": begun_ns,
        "time_ns": 0, "outcome": "ok", "expected": "", "came": "", "run": "",
        "connection": f"{worker}-c{user}" if family == "messages" else "", "trace_id": f"{user:032x}",
    }  # fmt: skip
    making.rows.add("steps", **(row | changes))
