"""A server that stands still for two seconds under constant arrivals: coordinated omission, and that it is not made.

Each user is a queue with one server, so what a turn must have taken follows from the schedule alone (Lindley's
recursion); and where service is short, the q-quantile over a window W of a pause x is x - (1 - q) * W. The same turns,
taken from `sent`, miss nearly all of it; HdrHistogram's correction for an expected interval (Tene, as in wrk2) brings
it back.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import groupby

import pytest

from crosstalk.record.columns import rows_of
from crosstalk.record.parts import Record
from crosstalk.tools.calibrate_level import calibration_backend, drive

MS = 1_000_000
USERS, INTERVAL_MS = 4, 100
FREEZE_MS = 2_000
#: of the script: what a turn takes when nothing stands still
SERVICE_MS = 8
#: noise of a shared machine, as a share of the freeze
SLACK = 0.12

Rows = list[dict]


@dataclass(frozen=True)
class Frozen:
    """The runs of such a load test in the order of their schedule, and when the server really stood still."""

    rows: Rows
    begin_ns: int
    end_ns: int

    @property
    def length_ms(self) -> float:
        return (self.end_ns - self.begin_ns) / MS

    @property
    def window_ms(self) -> float:
        due = [row["intended_ns"] for row in self.rows]
        return (max(due) - min(due)) / MS + INTERVAL_MS / USERS

    def times_ms(self, since: str) -> list[float]:
        return [(row["end_ns"] - row[since]) / MS for row in self.rows]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "prompts.toml").write_text('[brief]\nexpects = ["chunk"]\ntexts = ["What does item 7 cost?"]\n')
    options = ("--users", str(USERS), "--spawn-rate", "8", "--run-time", "10s", "--arrivals", "constant",
               "--turn-interval", str(INTERVAL_MS / 1000))  # fmt: skip
    with calibration_backend(folder, "--script", "brief", "--freeze", f"3:{FREEZE_MS / 1000}", tls=False) as target:
        said = drive(target, folder, *options)
    truth = json.loads(target.truth_file.read_text())
    assert truth["frozen_ns"], said
    [[begin_ns, end_ns]] = truth["frozen_ns"]
    rows = rows_of(Record(folder / "results" / "latest" / "record").table("runs"))
    judged = [row for row in rows if not row["warm_up"] and row["outcome"] == "ok"]
    return Frozen(sorted(judged, key=lambda row: row["intended_ns"]), begin_ns, end_ns)


def percentile(samples: list[float], quantile: float) -> float:
    return sorted(samples)[math.ceil(quantile * len(samples)) - 1]


def predicted_ms(frozen: Frozen) -> dict[str, float]:
    """What each turn must have taken since it was intended: it starts when its user is free, is read when the server is
    awake, and takes what the script takes."""
    found = {}
    for _, turns in groupby(sorted(frozen.rows, key=lambda row: (row["account"], row["intended_ns"])),
                            key=lambda row: row["account"]):  # fmt: skip
        free_ns = 0
        for row in turns:
            start_ns = max(row["intended_ns"], free_ns)
            read_ns = frozen.end_ns if frozen.begin_ns <= start_ns < frozen.end_ns else start_ns
            end_ns = read_ns + SERVICE_MS * MS
            free_ns = max(end_ns, frozen.end_ns) if frozen.begin_ns <= end_ns < frozen.end_ns else end_ns
            found[row["run"]] = (free_ns - row["intended_ns"]) / MS
    return found


def misfits(frozen: Frozen, since: str) -> list[str]:
    """Where times taken from this instant are not what the pause must have made of them."""
    times, slack_ms = frozen.times_ms(since), SLACK * FREEZE_MS
    found = []
    for quantile in (0.85, 0.90, 0.95, 0.99):
        analytic = frozen.length_ms - (1 - quantile) * frozen.window_ms
        measured = percentile(times, quantile)
        # later by what the queue of a user takes to be served: twenty turns, one after the other
        if not analytic - slack_ms < measured < analytic + FREEZE_MS / INTERVAL_MS * SERVICE_MS + slack_ms:
            found.append(f"p{quantile * 100:.0f}: {measured:.0f} ms, by the formula {analytic:.0f} ms")
    if percentile(times, 0.5) > slack_ms:
        found.append("p50")  # three quarters of the turns met nothing
    expected = predicted_ms(frozen)
    off = [abs(time - expected[row["run"]]) for row, time in zip(frozen.rows, times, strict=True)]
    if percentile(off, 0.95) > slack_ms:
        found.append(f"turns are off by {percentile(off, 0.95):.0f} ms (p95) from what the schedule predicts")
    return found


def corrected(samples: list[float], interval: float) -> list[float]:
    """HdrHistogram's `recordValueWithExpectedInterval`: each value longer than the interval stands for those that were
    never sent meanwhile, one an interval."""
    found = []
    for sample in samples:
        found.append(sample)
        missing = sample - interval
        while sample > interval and missing >= interval:
            found.append(missing)
            missing -= interval
    return found


def test_the_server_stood_still_for_as_long_as_it_was_told(frozen: Frozen) -> None:
    assert frozen.length_ms == pytest.approx(FREEZE_MS, rel=SLACK)
    assert frozen.window_ms > 3 * FREEZE_MS
    # every start that fell due was made, those of the pause late
    assert len(frozen.rows) == pytest.approx(frozen.window_ms / INTERVAL_MS * USERS, rel=0.03)


def test_from_intended_the_percentiles_are_the_analytic_ones(frozen: Frozen) -> None:
    assert misfits(frozen, "intended_ns") == []


def test_from_sent_nearly_all_of_it_is_missing(frozen: Frozen) -> None:
    """The same check fails: each user had one slow turn, the others were not yet sent."""
    assert len(misfits(frozen, "sent_ns")) >= 4
    slow = [row for row, time in zip(frozen.rows, frozen.times_ms("sent_ns"), strict=True) if time > FREEZE_MS / 2]
    assert 1 <= len(slow) <= USERS
    assert percentile(frozen.times_ms("sent_ns"), 0.95) < SLACK * FREEZE_MS
    stuck = sum(frozen.begin_ns <= row["intended_ns"] < frozen.end_ns for row in frozen.rows)
    assert stuck == pytest.approx(USERS * FREEZE_MS / INTERVAL_MS, rel=0.1)
    waited = {row["run"] for row in frozen.rows if row["waited"]}
    assert len(waited) >= stuck - 2 * USERS


def test_what_is_missing_is_what_the_published_correction_adds(frozen: Frozen) -> None:
    """HdrHistogram's correction takes a generator that waits for its answers: it never sends what fell due meanwhile.

    So it is given the turns whose user was free, and guesses the others; `intended` knows them, and agrees.
    """
    times = zip(frozen.rows, frozen.times_ms("sent_ns"), strict=True)
    repaired = corrected([time for row, time in times if not row["waited"]], INTERVAL_MS)
    for quantile in (0.90, 0.95, 0.99):
        measured = percentile(frozen.times_ms("intended_ns"), quantile)
        assert percentile(repaired, quantile) == pytest.approx(measured, abs=SLACK * FREEZE_MS)
