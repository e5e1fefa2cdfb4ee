"""The detection matrix: what a backend was told to do wrong × what it was caught as. Pure: rows in, rows out.

The ground truth is the reference backend's log, one line a bite. What the checks said of it is read from the record of
the same load test, as `Sighting`s. Several faults share a load test, each with accounts of its own (`Planted`).

A sighting is attributed to a fault that bit and whose accounts include its observer or its owner: first to the
observer's, if that is what is expected of it, then to the owner's, if that one sends astray. One that is at no such
fault's accounts is a false alarm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from crosstalk.checks.statistics import share_bounds

#: a line of the backend's log: "2026-01-02T03:04:05.678Z INFO fault NAME bites user USER, RUN"
_BITE = re.compile(r"^(\S+Z) INFO fault (\S+) bites user (\S+), (.*)$")

#: "channel 2", and what may follow it: "4 in its tools"
_CHANNEL = re.compile(r"(?:channel )?(\d+)\b")

#: words of the catalogue → what the checks call it; words without an entry ("channel 2", "missing") are its name
CALLED: Mapping[str, tuple[str, ...]] = {
    "duplicate end": ("two_ends",),
    "timeout": ("silent", "no_end", "lost_before_ready", "outcome timeout"),
    "text differs": ("text_differs", "missing"),  # a chunk that is numbered is missing
    "wrong result": ("tool_error_swallowed",),
    "no reference came back": ("not_real",),
    "time alone: service_time near 0": ("limit service_time_ms", "not_real"),
    "agent_error": ("outcome agent_error",),
    "disconnected": ("close_1011", "outcome disconnected", "connection lost"),
    "not ready": ("not ready",),
    "close 1011": ("close_1011", "not ready"),
    "identity": ("wrong_identity",),
    "bad token accepted": ("forged_token_accepted",),
    "valid token refused": ("not ready", "connection refused"),
    "degraded": ("degraded",),
    "channel 7: missing": ("missing_from_listing",),
}


@dataclass(frozen=True, slots=True)
class Bite:
    """A fault that bit, as the backend's log tells it. `what` names the run, the socket or the request."""

    fault: str
    account: str
    what: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that the checks said. `label`: "channel 2", or the name of a violation or an outcome.

    `run` is the observer's, `owner_run` the owner's; "" where there is none. Accounts are numbers; None: nobody's.
    """

    label: str
    observer: int | None
    owner: int | None
    at_ns: int
    run: str = ""
    owner_run: str = ""
    count: int = 1

    @property
    def is_isolation(self) -> bool:
        return self.label.startswith("channel ")


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault as it was asked for. `accounts` None: it had a load test of its own, and all said there is of it."""

    fault: str
    judged_as: str
    shape: str
    intensity: str  # always, rate 0.1, overlap, after_cancel
    accounts: frozenset[int] | None
    goes_astray: bool = False  # what is its accounts' own is seen by others; else its accounts see what is others'

    def has(self, number: int | None) -> bool:
        return self.accounts is None or number in self.accounts

    @property
    def is_leak(self) -> bool:
        """Is it expected on an isolation channel?"""
        return any(label.startswith("channel ") for label in self.expected)

    @property
    def expected(self) -> tuple[str, ...]:
        """What the checks should call it: any of these."""
        return tuple(label for word in self.judged_as.split(",") for label in _called(word.strip()))


@dataclass(frozen=True, slots=True)
class Detection:
    """One row of the matrix.

    :param bites: lines of the log.
    :param runs_bitten: distinct runs that were bitten, came to an end of their own and had time to show it; 0 where the
        log names no runs, or what was seen is told of no account.
    :param runs_caught: those of them that a sighting of the expected sort (isolation, or anything else) names, or that
        were their account's last to be bitten when there was one.
    :param seen: everything attributed to the fault, the most frequent first.
    :param caught_as: the expected ones among them, the most frequent first.
    :param time_to_detection_ns: from the first bite to the first expected sighting; None: never.
    :param opportunities: of the isolation channel it is expected on; None where it is none.
    """

    planted: Planted
    bites: int
    runs_bitten: int
    runs_caught: int
    seen: tuple[tuple[str, int], ...]
    caught_as: tuple[str, ...]
    time_to_detection_ns: int | None
    opportunities: int | None

    @property
    def verdict(self) -> str:
        """ "caught", "wrong name" (something was said, but nothing that is expected), "missed", or "never bit"."""
        if not self.bites:
            return "never bit"
        if self.caught_as:
            return "caught"
        return "wrong name" if self.seen else "missed"

    @property
    def share_95(self) -> tuple[float, float]:
        """One-sided 95 % bounds of the share of bitten runs that is caught."""
        return share_bounds(self.runs_caught, self.runs_bitten)


def parse_bites(log: str) -> list[Bite]:
    """The bites in a backend's log, in their order."""
    found = (_BITE.match(line) for line in log.splitlines())
    return [Bite(hit[2], hit[3], hit[4].strip(), _instant_ns(hit[1])) for hit in found if hit is not None]


def detect(
    planted: Sequence[Planted],
    bites: Iterable[Bite],
    sightings: Sequence[Sighting],
    *,
    outcomes: Mapping[str, str],
    opportunities: Mapping[int, int],
    until_ns: int,
) -> tuple[list[Detection], list[Sighting]]:
    """The rows of one load test, in the order of `planted`, and the false alarms.

    :param outcomes: of every run in the record; runs that the load test cut had no chance to show anything.
    :param opportunities: by isolation channel.
    :param until_ns: bites from here on had no time to show before the load test ended.
    """
    by_fault: dict[str, list[Bite]] = {}
    for bite in bites:
        by_fault.setdefault(bite.fault, []).append(bite)
    biting = [one for one in planted if one.fault in by_fault]
    attributed: dict[Planted, list[Sighting]] = {one: [] for one in planted}
    false_alarms = []
    astray: dict[str, Planted] = {}  # the observer's run → the fault that leaked into it
    for sighting in sorted(sightings, key=lambda one: not one.is_isolation):
        # a run that got what is another's may not be whole: that is the doing of the same fault
        fault = _fault_of(sighting, biting) or astray.get(sighting.run)
        if fault is None:
            false_alarms.append(sighting)
            continue
        attributed[fault].append(sighting)
        if sighting.is_isolation and sighting.run:
            astray[sighting.run] = fault
    whole = {run for run, outcome in outcomes.items() if outcome != "cut"}
    rows = []
    for one, said in attributed.items():
        its_bites = by_fault.get(one.fault, [])
        shown = [bite for bite in its_bites if bite.what in whole and bite.at_ns < until_ns]
        named = {
            seen.owner_run if one.goes_astray else seen.run for seen in sightings if seen.is_isolation == one.is_leak
        }
        rows.append(_row(one, its_bites, shown, said, named, opportunities))
    return rows, false_alarms


def _fault_of(sighting: Sighting, biting: Sequence[Planted]) -> Planted | None:
    """The fault that a sighting speaks for."""
    observers = [one for one in biting if one.has(sighting.observer)]
    owners = [one for one in biting if one.has(sighting.owner)]
    expecting = [one for one in observers if sighting.label in one.expected]
    astray = [one for one in owners if sighting.label in one.expected and one.goes_astray]
    return next(iter((*expecting, *astray, *observers, *owners)), None)


def _row(
    planted: Planted,
    bites: Sequence[Bite],
    shown: Sequence[Bite],
    said: Sequence[Sighting],
    named: set[str],
    opportunities: Mapping[int, int],
) -> Detection:
    expected = [one for one in said if one.label in planted.expected]
    told = [one for one in said if one.observer is not None and one.is_isolation == planted.is_leak]
    first_bite_ns = min((bite.at_ns for bite in bites), default=None)
    first_seen_ns = min((one.at_ns for one in expected), default=None)
    took_ns = None if first_bite_ns is None or first_seen_ns is None else max(first_seen_ns - first_bite_ns, 0)
    tellable = bool(told) or not expected
    return Detection(
        planted,
        bites=len(bites),
        runs_bitten=len({bite.what for bite in shown}) if tellable else 0,
        runs_caught=len(_runs_caught(planted, shown, told, named)) if tellable else 0,
        seen=tuple(_counted(said)),
        caught_as=tuple(label for label, _ in _counted(expected)),
        time_to_detection_ns=took_ns,
        opportunities=_opportunities(planted, opportunities),
    )


def _runs_caught(planted: Planted, shown: Sequence[Bite], told: Sequence[Sighting], named: set[str]) -> set[str]:
    """The bitten runs that were seen through: named by a sighting, or its account's newest bitten one at that time."""
    caught = {bite.what for bite in shown if bite.what in named}
    by_number: dict[int | None, list[Bite]] = {}
    for bite in sorted(shown, key=lambda bite: bite.at_ns):
        by_number.setdefault(number_of(bite.account), []).append(bite)
    for one in told:
        number, run = (one.owner, one.owner_run) if planted.goes_astray else (one.observer, one.run)
        before = [bite for bite in by_number.get(number, ()) if bite.at_ns <= one.at_ns]
        if before and run not in caught:
            caught.add(before[-1].what)
    return caught


def _counted(said: Iterable[Sighting]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for one in said:
        counts[one.label] += one.count
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _opportunities(planted: Planted, opportunities: Mapping[int, int]) -> int | None:
    channels = [int(label.split()[1]) for label in planted.expected if label.startswith("channel ")]
    return sum(opportunities.get(channel, 0) for channel in channels) if channels else None


def _called(word: str) -> tuple[str, ...]:
    """What the checks call a word of the catalogue."""
    channel = _CHANNEL.match(word)
    return CALLED.get(word) or ((f"channel {channel[1]}",) if channel else (word,))


def number_of(account: str) -> int | None:
    """The number at the end of a minted account's name; None where there is none."""
    digits = account[-5:]
    return int(digits) if len(digits) == 5 and digits.isdecimal() else None


def _instant_ns(text: str) -> int:
    """ISO 8601 in UTC, as the backend writes it, in Unix nanoseconds. Exact to a millisecond."""
    moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e3) * 1_000_000
