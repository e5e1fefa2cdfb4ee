"""Load tests of one family: each fault at accounts of its own, and what steps say of whom.

A fault's catalogue entry says which steps it is taken for: "step FAMILY/STEP or FAMILY/OTHER".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from crosstalk.backend.catalogue import BY_NAME
from tests.end_to_end.locust_process import Ended, run


def steps_of(fault: str) -> set[str]:
    """What a fault is taken for, as FAMILY/STEP."""
    return set(BY_NAME[fault].judged_as.removeprefix("step ").split(" or "))


def play(folder: Path, user: str, *more: str, users: int, rounds: int, faults: Mapping[str, int]) -> Ended:
    """A load test of `users` users of one class, until each has made so many journeys; `more`: further options,
    `faults`: which account each fault is given to."""
    options = ("--headless", "-f", "tests/end_to_end/family/agent_users.py")
    options += ("--stop-timeout", "10", "--think-time", "0.1", *more)
    if faults:
        options += ("--faults", ",".join(f"{fault}:1:{number}" for fault, number in faults.items()))
    return run(folder, *options, scenario=None, FAMILY_USER=user, FAMILY_USERS=str(users), ROUNDS=str(rounds))


def failed(ended: Ended) -> dict[int, dict[str, str]]:
    """Account → FAMILY/STEP of what failed there → what was said of it."""
    found: dict[int, dict[str, str]] = {}
    for row in ended.rows("steps"):
        if row["step"] and row["outcome"] == "failed":
            said = f"expected {row['expected']}, came {row['came']}"
            found.setdefault(int(row["account"][-5:]), {})[f"{row['family']}/{row['step']}"] = said
    return found


def failed_steps(ended: Ended, family: str) -> dict[int, set[str]]:
    """Account → the steps that failed there: all of this family, each with what was expected and what came."""
    found: dict[int, set[str]] = defaultdict(set)
    for row in ended.rows("steps"):
        if row["step"] and row["outcome"] == "failed":
            assert row["family"] == family and row["expected"] and row["came"]
            found[int(row["account"][-5:])].add(row["step"])
    return found


def completed(ended: Ended, numbers: Iterable[int]) -> set[str]:
    """The steps that these accounts completed, as FAMILY/STEP."""
    there = set(numbers)
    rows = [row for row in ended.rows("steps") if row["step"] and row["outcome"] == "ok"]
    return {f"{row['family']}/{row['step']}" for row in rows if int(row["account"][-5:]) in there}
