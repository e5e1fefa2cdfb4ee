"""Which faults share a load test of the detection matrix, and which account has which: catalogue in, plan out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crosstalk.checks.detection import Planted

INTENSITIES = ("always", "rate 0.1", "overlap", "after_cancel")
#: how an intensity is asked for: the rate, and what is joined to the accounts
ASKED: Mapping[str, tuple[str, str]] = {
    "always": ("1", ""),
    "rate 0.1": ("0.1", ""),
    "overlap": ("1", "+overlap"),
    "after_cancel": ("1", "+after_cancel"),
}
#: faults of one load test, and accounts of one fault; the accounts beyond are without a fault
FAULTS_MAX, ACCOUNTS_EACH, CLEAN = 18, 3, 4
#: the same for users who probe; some of them come with a partner, whose account is the one after theirs
PROBED_MAX, PROBED_EACH, PROBED_CLEAN, PROBED_RUN_TIME_S = 9, 2, 2, 30
PAIRED = frozenset({"Intruder", "Forgetful"})

#: expected label → the users who exercise it; everything else shows in what Regular gets
CAST: Mapping[str, str] = {
    "channel 6": "Twin",
    "channel 7": "Archivist",
    "missing_from_listing": "Archivist",
    "channel 8": "Forgetful",
    "channel 9": "Forgetful",
    "channel 11": "Mimic",
    "channel 12": "Intruder",
    "channel 13": "Intruder",
    "channel 14": "Intruder",
    "channel 15": "Twin",
    "channel 18": "Impatient Regular",
    "channel 19": "Mimic",
    "channel 21": "Provoker",
}
#: the same by name, where a fault shows to others than those of its channel
CAST_BY_NAME: Mapping[str, str] = {"http_error_body_leak": "Intruder", "close_reason_leak": "Intruder"}


@dataclass(frozen=True, slots=True)
class Alone:
    """A fault that would disturb others: a load test of its own, for all accounts."""

    options: tuple[str, ...] = ()
    scenario: str = "smoke"
    run_time_s: int = 6
    users: int = 6
    signs_in: bool = False


#: the account of a bite is that of the user whose events others see
ASTRAY = frozenset({"leak_wrong_socket", "leak_broadcast", "latest_handler", "router_growth"})

#: beside those that concern the process
ALONE: Mapping[str, Alone] = {
    "router_growth": Alone(run_time_s=10),
    "latest_handler": Alone(run_time_s=10),
    "leak_broadcast": Alone(),
    "hashed_ids": Alone(),
    "zero_time": Alone(("--environment", "staging")),
    "subprotocol_ignored": Alone(("--auth", "subprotocol")),
    "cascading_cancel": Alone(("--prompts", "scenarios/prompts.toml"), scenario="cancel", run_time_s=10, users=16),
    "demo_user": Alone(),
    "refresh_gives_other_user": Alone(users=2, run_time_s=3, signs_in=True),
}
BAD_TOKEN_ACCEPTED = "bad token accepted"
#: a bad token that is let in: all those sound alike
BAD_TOKEN = Alone(users=2, run_time_s=3)


@dataclass(frozen=True, slots=True)
class Entry:
    """A fault as the backend lists it."""

    name: str
    where: str
    judged_as: str


@dataclass(frozen=True, slots=True)
class LoadTest:
    """One load test of the matrix."""

    name: str
    shape: str
    scenario: str
    users: int
    run_time_s: int
    planted: tuple[Planted, ...]
    faults: str  # as --faults wants them
    options: tuple[str, ...] = ("--prompts", "bench/detection_matrix.toml")
    signs_in: bool = False  # its accounts have passwords


def read_catalogue(listed: str, long: str, shape: str) -> list[Entry]:
    """The faults that a shape has a place for.

    :param listed: what `python -m crosstalk.backend --list-faults` prints.
    :param long: what it prints with `--long`: fault × shape.
    """
    rows = [re.split(r" {2,}", line.strip()) for line in long.splitlines()]
    column = rows[0].index(shape)
    applies = {row[0] for row in rows[1:] if row[column].startswith("yes")}
    entries = []
    for line in listed.splitlines():
        rest, _, judged_as = line.partition("judged as: ")
        parts = re.split(r" {2,}", rest.strip())
        if parts[0] in applies:
            entries.append(Entry(parts[0], parts[-1], judged_as.strip()))
    return entries


def plan(
    catalogue: Sequence[Entry], *, shape: str, intensities: Iterable[str] = INTENSITIES, run_time_s: int = 18
) -> list[LoadTest]:
    """All load tests of a shape.

    Leaks and other faults are kept apart: a leak may change whose text is whole. What users who probe exercise, and
    what is no fault of a run, is tried always on only. What shows as a step of a journey is left to
    the tests of that family of journeys (tests/end_to_end/test_family_*.py).
    """
    catalogue = [entry for entry in catalogue if not shows_as_step(entry)]
    shared = [entry for entry in catalogue if not _is_alone(entry)]
    probed = [entry for entry in shared if cast_of(entry)]
    others = [entry for entry in shared if entry not in probed]
    groups = {
        "leaks": [entry for entry in others if is_leak(entry)],
        "faults": [entry for entry in others if not is_leak(entry)],
    }
    tests = []
    for intensity in intensities:
        for kind, group in groups.items():
            entries = [entry for entry in group if intensity == "always" or entry.where.startswith("a run")]
            for number, some in enumerate(_pieces(entries, FAULTS_MAX), 1):
                name = f"{shape}-{intensity.replace(' ', '-')}-{kind}-{number}"
                tests.append(share(name, some, shape=shape, intensity=intensity, run_time_s=run_time_s))
    if "always" in intensities:
        for cast in dict.fromkeys(cast_of(entry) for entry in probed):
            entries = [entry for entry in probed if cast_of(entry) == cast]
            for number, some in enumerate(_pieces(entries, PROBED_MAX), 1):
                tests.append(probe(f"{shape}-{cast.replace(' ', '-')}-{number}", some, shape=shape, cast=cast))
        tests += [_alone(entry, shape) for entry in catalogue if _is_alone(entry)]
    return tests


def share(
    name: str, entries: Sequence[Entry], *, shape: str, intensity: str, run_time_s: int, each: int = ACCOUNTS_EACH
) -> LoadTest:
    """One load test of people who chat, with many faults: each has accounts of its own, and some accounts have none."""
    rate, when = ASKED[intensity]
    planted, asked = _spread(entries, each, shape=shape, intensity=intensity, how=(rate, when))
    return LoadTest(
        name,
        shape,
        # only there does anybody cancel; a rare fault needs more runs
        scenario="cancel" if intensity == "after_cancel" else "smoke",
        users=len(entries) * each + CLEAN,
        run_time_s=run_time_s * 2 if intensity == "rate 0.1" else run_time_s,
        planted=planted,
        faults=asked,
    )


def probe(name: str, entries: Sequence[Entry], *, shape: str, cast: str) -> LoadTest:
    """One load test of users who probe, all of the same class; a fault of one is a fault of its partner."""
    accounts_each = PROBED_EACH * (2 if cast in PAIRED else 1)
    planted, asked = _spread(entries, accounts_each, shape=shape, intensity="always", how=("1", ""))
    users = len(entries) * PROBED_EACH + PROBED_CLEAN
    options = tuple(cast.split())  # Locust takes the classes that are to come by name
    return LoadTest(name, shape, "isolation", users, PROBED_RUN_TIME_S, planted, asked, options)


def cast_of(entry: Entry) -> str:
    """The classes of users who give a fault its opportunity; "" where people who chat do."""
    label = Planted(entry.name, entry.judged_as, "", "", None).expected[0]
    if entry.name in CAST_BY_NAME:
        return CAST_BY_NAME[entry.name]
    if label == "channel 21" and entry.where.startswith("a run"):
        return ""
    return CAST.get(label, "")


def shows_as_step(entry: Entry) -> bool:
    """Is it caught as a step of a journey that fails, or by a limit of one?"""
    return entry.judged_as.startswith(("step ", "limit "))


def is_leak(entry: Entry) -> bool:
    return Planted(entry.name, entry.judged_as, "", "", None).is_leak


def _spread(
    entries: Sequence[Entry], each: int, *, shape: str, intensity: str, how: tuple[str, str]
) -> tuple[tuple[Planted, ...], str]:
    """Give each fault accounts of its own; what --faults wants to hear of it."""
    planted, asked = [], []
    for number, entry in enumerate(entries):
        first = number * each
        accounts = frozenset(range(first, first + each))
        planted.append(Planted(entry.name, entry.judged_as, shape, intensity, accounts, entry.name in ASTRAY))
        asked.append(f"{entry.name}:{how[0]}:{first}-{first + each - 1}{how[1]}")
    return tuple(planted), ",".join(asked)


def _alone(entry: Entry, shape: str) -> LoadTest:
    how = ALONE.get(entry.name, BAD_TOKEN if entry.judged_as == BAD_TOKEN_ACCEPTED else Alone())
    planted = Planted(entry.name, entry.judged_as, shape, "always", None, entry.name in ASTRAY)
    options = how.options if "--prompts" in how.options else ("--prompts", "bench/detection_matrix.toml", *how.options)
    name = f"{shape}-alone-{entry.name}"
    return LoadTest(
        name, shape, how.scenario, how.users, how.run_time_s, (planted,), entry.name, options, signs_in=how.signs_in
    )


def _is_alone(entry: Entry) -> bool:
    """It concerns the process, would hide what others do, or sounds like others."""
    return entry.name in ALONE or entry.where.startswith("the process") or entry.judged_as == BAD_TOKEN_ACCEPTED


def _pieces(entries: Sequence[Entry], size: int) -> list[Sequence[Entry]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]
