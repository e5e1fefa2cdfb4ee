"""What causes are told by: a group of failures alike, and the load test around them. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from crosstalk.checks.causes_broken import BAD_TOKEN, PROBE, RUNS, STEPS, Broken, is_cut, kind_of_bad_token
from crosstalk.checks.causes_rules import Row
from crosstalk.checks.columns import MISSING, Columns
from crosstalk.checks.families import FAILED, OK
from crosstalk.checks.tally_faults import rows_of

#: failures of several users within this time happened at once
AT_ONCE_NS = 250_000_000
#: runs at either end of a load test that a slope is told from
SLOPE_RUNS_MIN = 20
_DEGRADED = re.compile(r"degraded: (.+)")
_HEALTH = re.compile(r"^health: HTTP (\d{3})")


@dataclass(frozen=True)
class Group:
    """Failures with the same stage and signature. Values are worked out when a cause first asks for them."""

    of: str  # RUNS | CONNECTIONS | STEPS
    stage: str
    signature: str
    members: tuple[Broken, ...]

    @property
    def count(self) -> int:
        return len(self.members)

    @cached_property
    def users(self) -> frozenset[str]:
        return frozenset(one.account for one in self.members)

    @cached_property
    def codes(self) -> Counter[int]:
        return Counter(one.code for one in self.members if one.code is not None)

    @cached_property
    def said(self) -> str:
        """Everything that was said in words, in small letters."""
        return " | ".join(sorted({one.said.lower() for one in self.members if one.said}))

    @cached_property
    def names(self) -> Counter[str]:
        """Rules that were broken, by the number of failures in which they were."""
        return Counter(name for one in self.members for name in {str(row["name"]) for row in one.violations})

    @cached_property
    def violations(self) -> tuple[Row, ...]:
        return tuple(row for one in self.members for row in one.violations)

    @cached_property
    def identities(self) -> dict[str, set[str]]:
        """Name that the peer used → the accounts that it used it for."""
        names: dict[str, set[str]] = {}
        for one in self.members:
            if one.identity_seen:
                names.setdefault(one.identity_seen, set()).add(one.account)
        return names

    @cached_property
    def silences_s(self) -> list[float]:
        """How long each lost connection had been silent on our side; ascending."""
        return sorted(one.silence_ns / 1e9 for one in self.members if one.silence_ns is not None)

    @cached_property
    def users_at_once(self) -> int:
        """Users who failed within one span of `AT_ONCE_NS`, where that span holds at least half of all; else 0."""
        at = sorted((one.broke_ns, one.account) for one in self.members if one.broke_ns is not None)
        most, first = at[:0], 0
        for last, (instant, _) in enumerate(at, start=1):
            while instant - at[first][0] > AT_ONCE_NS:
                first += 1
            if last - first > len(most):
                most = at[first:last]
        return len({account for _, account in most}) if 2 * len(most) >= self.count else 0

    def has(self, *codes: int) -> bool:
        """Does every failure bear one of these codes?"""
        return bool(self.codes) and set(self.codes) <= set(codes) and self.codes.total() == self.count

    def says(self, *words: str) -> bool:
        """Does the signature, or what came with it, contain one of these words?"""
        text = f"{self.signature.lower()} | {self.said}"
        return any(word in text for word in words)

    def alike_silence(self) -> bool:
        """Were all cut off after the same time of silence, give or take a fifth?"""
        silences = self.silences_s
        middle = silences[len(silences) // 2] if silences else 0.0
        return len(silences) == self.count and middle >= 1 and silences[-1] - silences[0] <= 0.2 * middle


@dataclass(frozen=True)
class Whole:
    """The load test around the groups: what worked beside what did not."""

    accounts: frozenset[str]
    attempted: int  # connections of people
    ready: int
    bad_tokens: int
    runs: int  # but for those that we cut
    runs_ok: Counter[str]  # by account
    runs_of: Counter[str]  # by account
    connections_of: Counter[str]  # by account
    refused_by: Counter[str]  # transport → connections that became ready not
    ready_by: Counter[str]  # transport → connections that became ready
    ready_accounts: frozenset[str]
    ready_at: tuple[int, ...]  # begin of connections that became ready, ascending
    seen_elsewhere: frozenset[str]  # users of whom whole events arrived on other users' sockets
    forged_refused_first: bool  # a forged token was refused before one was accepted
    slope: float | None  # median time of a good run, last third over first third
    agent_timeout_s: float
    receive_timeout_s: float
    health_status: int | None
    degraded: str
    problems: tuple[str, ...] = field(default=())
    steps: int = 0  # of journeys: those that were tried and not cut

    def everybody(self, group: Group) -> bool:
        """Is everyone who had a run in the group, and nobody ever had a good one?"""
        return not self.runs_ok.total() and set(self.runs_of) <= group.users

    def good_runs(self, group: Group) -> int:
        """Runs of the group's users that ended well, and are not in the group for what came afterwards."""
        late = sum(one.of == RUNS and one.outcome == "ok" for one in group.members)
        return max(sum(self.runs_ok[user] for user in group.users) - late, 0)

    def never_ok(self, group: Group) -> bool:
        """Did none of the group's users ever have a run that ended well?"""
        return not self.good_runs(group)

    def share(self, group: Group) -> float | None:
        """Of the runs, of the connections, or of the steps that there were."""
        forged = "forged token" in group.signature
        of = self.runs if group.of == RUNS else self.bad_tokens if forged else self.attempted
        of = self.steps if group.of == STEPS else of
        return min(group.count / of, 1.0) if of else None


def whole_of(run: Mapping[str, Any], tables: Mapping[str, Columns]) -> Whole:
    """:param run: what `run.json` holds; what is missing is taken as not known."""
    rows = rows_of({name: values for name, values in tables.get("connections", {}).items() if name in _NEEDED})
    people = [row for row in rows if _counts(row)]
    ready = [row for row in people if row["outcome"] == "ready" and row["identity"] != "mismatch"]
    forged = [row for row in rows if row["purpose"] == BAD_TOKEN and not is_cut(row)]
    runs = tables.get("runs", {})
    kept = runs["outcome"] != "cut" if runs else np.zeros(0, dtype=bool)
    good = runs["outcome"] == "ok" if runs else kept
    timeouts = (run.get("expectations") or {}).get("timeouts") or {}
    lines = [str(line) for line in (run.get("target") or {}).get("preflight") or []]
    health = next((match for line in lines if (match := _HEALTH.match(line))), None)
    degraded = next((match for line in lines if (match := _DEGRADED.search(line))), None)
    accounts = Counter(runs["account"][kept].tolist()) if runs else Counter[str]()
    return Whole(
        accounts=frozenset({*accounts, *(str(row["account"]) for row in people)}),
        attempted=len(people),
        ready=len(ready),
        bad_tokens=len(forged),
        runs=int(kept.sum()),
        runs_ok=Counter(runs["account"][good].tolist()) if runs else Counter(),
        runs_of=accounts,
        connections_of=Counter(str(row["account"]) for row in people),
        refused_by=_transports(row for row in people if row["outcome"] != "ready"),
        ready_by=_transports(ready),
        ready_accounts=frozenset(str(row["account"]) for row in ready),
        ready_at=tuple(
            sorted(int(row["begun_ns"]) for row in rows if row["outcome"] == "ready" and row["purpose"] != BAD_TOKEN)
        ),
        seen_elsewhere=_seen_elsewhere(tables.get("violations", {})),
        forged_refused_first=_refused_first(forged),
        slope=_slope(runs, good),
        agent_timeout_s=float(timeouts.get("agent_timeout_s") or 0),
        receive_timeout_s=float(timeouts.get("receive_timeout_s") or 0),
        health_status=int(health[1]) if health else None,
        degraded=degraded[1] if degraded else "",
        problems=tuple(str(text) for text in run.get("problems") or ()),
        steps=_steps_tried(tables.get("steps", {})),
    )


_NEEDED = (
    "purpose",
    "account",
    "outcome",
    "identity",
    "closed_by",
    "error",
    "transport",
    "begun_ns",
    "close_code",
    "user_class",
)


def _counts(row: Row) -> bool:
    """An attempt of a person; of the check before the start, only what went wrong there."""
    wrong = row["outcome"] != "ready" or row["identity"] == "mismatch" or row["closed_by"] in ("peer", "transport")
    return row["purpose"] not in (BAD_TOKEN, PROBE) and not is_cut(row) and (row["purpose"] != "preflight" or wrong)


def _transports(rows: Iterable[Row]) -> Counter[str]:
    return Counter(str(row["transport"]) for row in rows)


def _refused_first(forged: list[dict[str, Any]]) -> bool:
    unsigned = [row for row in forged if not kind_of_bad_token(row)]
    outcomes = [row["outcome"] for row in sorted(unsigned, key=lambda row: row["begun_ns"])]
    return "ready" in outcomes and "refused" in outcomes[: outcomes.index("ready")]


def _seen_elsewhere(violations: Columns) -> frozenset[str]:
    if not violations:
        return frozenset()
    return frozenset(violations["owner"][violations["name"] == "wrong_socket"].tolist()) - {""}


def _steps_tried(steps: Columns) -> int:
    return int((np.isin(steps["outcome"], [OK, FAILED]) & (steps["step"] != "")).sum()) if steps else 0


def _slope(runs: Columns, good: np.ndarray) -> float | None:
    """Of good runs after the ramp; None where a third has fewer than `SLOPE_RUNS_MIN`."""
    if not runs:
        return None
    chosen = np.flatnonzero(good & ~runs["warm_up"] & (runs["end_ns"] != MISSING))
    chosen = chosen[np.argsort(runs["sent_ns"][chosen], kind="stable")]
    third = chosen.size // 3
    if third < SLOPE_RUNS_MIN:
        return None
    took = runs["end_ns"][chosen] - runs["sent_ns"][chosen]
    first, last = float(np.median(took[:third])), float(np.median(took[-third:]))
    return last / first if first > 0 else None


#: how sure a cause is, the surest first
SURE = ("always", "likely", "possible")


@dataclass(frozen=True, slots=True)
class Cause:
    """What may be behind a group, and what to look at next.

    :param sure: `always` (it follows from what was seen), `likely` (most often behind this picture), `possible`.
    :param when: does it fit this group of this load test?
    """

    name: str
    sure: str
    when: Callable[[Group, Whole], bool]
    likely: str
    look_at: str
