"""The generator measures itself: each row holds what happened since the one before."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import gevent
import numpy as np
import pytest
from gevent.event import Event as Flag
from hypothesis import given
from hypothesis import strategies as st

import crosstalk.health as health_module
from crosstalk.clock import clock
from crosstalk.connection import Inbox
from crosstalk.health import Health, _nearest
from crosstalk.record.rows import COLUMNS
from crosstalk.terms import Counters
from tests.helpers import DEADLINE_S, MS


class Watched:
    """A process under watch, and its rows."""

    def __init__(self, inbox: Inbox | None = None) -> None:
        self.counters = Counters()
        self.rows: list[dict[str, Any]] = []
        self._wrote = Flag()
        self.inbox = inbox
        self.health = Health(
            worker="w1", role="worker", inbox=inbox, counters=self.counters, people=lambda: (5, 4), record=self._record
        )

    def _record(self, table: str, row: tuple) -> None:
        assert table == "health"
        self.rows.append(dict(zip(COLUMNS["health"], row, strict=True)))
        self._wrote.set()

    def next_row(self) -> dict[str, Any]:
        """Wait for a row that is written by itself."""
        self._wrote.clear()
        assert self._wrote.wait(DEADLINE_S), "no row came"
        return self.rows[-1]


@pytest.fixture
def inbox():
    inbox = Inbox()
    yield inbox
    inbox._greenlet.kill()


@pytest.fixture
def watched(inbox):
    watched = Watched(inbox)
    yield watched
    watched.health._greenlet.kill()


def busy(ms: float) -> None:
    until_ns = clock.now_ns() + int(ms * MS)
    while clock.now_ns() < until_ns:
        pass


def test_a_row_says_who_when_and_how_many(watched):
    before_ns = clock.now_ns()
    watched.health.write()
    [row] = watched.rows
    assert row.keys() == set(COLUMNS["health"])
    assert (row["worker"], row["role"], row["users"], row["connections"]) == ("w1", "worker", 5, 4)
    assert before_ns <= row["at_ns"] <= clock.now_ns()
    assert row["rss_bytes"] > 1_000_000
    assert row["open_files"] > 2
    assert 0 < row["open_files"] < row["open_files_limit"]
    assert abs(row["wall_drift_ns"]) < 1_000_000_000
    assert row["wall_step_max_ns"] == 0


def test_rows_come_by_themselves_and_the_last_one_at_the_end(inbox, monkeypatch):
    monkeypatch.setattr(health_module, "ROW_EVERY_S", 0.05)
    monkeypatch.setattr(health_module, "TICK_S", 0.01)
    watched = Watched(inbox)
    for _ in range(3):
        watched.next_row()
    watched.health.stop()
    many = len(watched.rows)
    assert many >= 4
    assert np.diff([row["at_ns"] for row in watched.rows]).min() >= 0
    with gevent.Timeout(0.1, False):
        watched.next_row()
    assert len(watched.rows) == many, "after the end nobody writes"


def test_lags_are_those_since_the_last_row(watched):
    watched.inbox.lags_ns += [ms * MS for ms in range(1, 101)]
    watched.health.write()
    watched.health.write()
    first, second = watched.rows
    assert (first["receive_lag_p50_ns"], first["receive_lag_p99_ns"], first["receive_lag_max_ns"], first["reads"]) == (
        50 * MS, 99 * MS, 100 * MS, 100,
    )  # fmt: skip
    assert (second["receive_lag_p50_ns"], second["receive_lag_max_ns"], second["reads"]) == (0, 0, 0)


def test_counters_go_on_and_the_worst_schedule_lag_starts_anew(watched):
    counters = watched.counters
    counters.received, counters.checked, counters.recorded, counters.schedule_lag_max_ns = 3, 2, 1, 9
    watched.health.write()
    counters.received = 5
    watched.health.write()
    first, second = watched.rows
    assert (first["events_received"], first["events_checked"], first["events_recorded"]) == (3, 2, 1)
    assert (second["events_received"], second["events_checked"]) == (5, 2)
    assert (first["schedule_lag_max_ns"], second["schedule_lag_max_ns"]) == (9, 0)


def test_a_loop_that_was_held_up_shows_in_the_hub_lag_of_that_row_alone(inbox, monkeypatch):
    monkeypatch.setattr(health_module, "ROW_EVERY_S", 0.03)
    monkeypatch.setattr(health_module, "TICK_S", 0.01)
    watched = Watched(inbox)
    watched.next_row()
    busy(120)
    held_up = watched.next_row()
    calm = [watched.next_row() for _ in range(5)]
    watched.health.stop()
    assert held_up["hub_lag_max_ns"] > 60 * MS
    assert min(row["hub_lag_max_ns"] for row in calm) < 60 * MS


def test_the_worst_lag_of_a_row_is_told_with_what_happened_meanwhile(inbox, monkeypatch):
    monkeypatch.setattr(health_module, "TICK_S", 0.01)
    monkeypatch.setattr(health_module, "ROW_EVERY_S", 3600)  # rows are written below, and only there
    watched = Watched(inbox)
    kept = [[number, [number]] for number in range(400_000)]
    gc.collect()
    watched.health._greenlet.kill()
    watched = Watched(inbox)
    rows = []
    for held_up in (lambda: busy(150), gc.collect):
        gevent.sleep(0.02)  # bounded: a tick is over, so that the next one's lag is this one's
        held_up()
        gevent.sleep(0.02)  # bounded: the tick that was held up
        watched.health.write()
        rows.append(watched.rows[-1])
    watched.health.stop()
    worked, collected = rows
    assert len(kept) == 400_000
    assert worked["hub_lag_loop_ns"] > 0.5 * (worked["hub_lag_max_ns"] - (worked["hub_lag_run_delay_ns"] or 0))
    assert worked["hub_lag_gc_ns"] < 0.3 * worked["hub_lag_max_ns"]
    assert collected["hub_lag_gc_ns"] > 0.6 * collected["hub_lag_max_ns"]
    assert collected["gc_pauses"] >= 1
    assert collected["gc_pause_total_ns"] >= collected["gc_pause_max_ns"] >= 0.9 * collected["hub_lag_gc_ns"]
    assert worked["run_delay_ns"] is None or worked["run_delay_ns"] >= worked["hub_lag_run_delay_ns"] >= 0


def test_a_wall_clock_that_is_set_shows_in_that_row_alone(watched, monkeypatch):
    wall = time.time_ns
    watched.health.write()
    monkeypatch.setattr(time, "time_ns", lambda: wall() - 3000 * MS)
    watched.health.write()
    watched.health.write()
    monkeypatch.setattr(time, "time_ns", wall)
    watched.health.write()
    steps = [row["wall_step_max_ns"] for row in watched.rows]
    assert (steps[0], steps[2]) == (0, 0)
    assert abs(steps[1] + 3000 * MS) < 10 * MS
    assert abs(steps[3] - 3000 * MS) < 10 * MS
    assert abs(watched.rows[2]["wall_drift_ns"] + 3000 * MS) < 10 * MS


def test_cpu_is_that_since_the_last_row(inbox, monkeypatch):
    monkeypatch.setattr(health_module, "ROW_EVERY_S", 0.1)
    watched = Watched(inbox)
    watched.health._greenlet.kill()
    cpu_before, begun_ns = os.times(), clock.now_ns()
    busy(200)
    cpu_after, ended_ns = os.times(), clock.now_ns()
    watched.health.write()
    used_s = cpu_after.user + cpu_after.system - cpu_before.user - cpu_before.system
    expected = 100 * used_s / ((ended_ns - begun_ns) / 1e9)
    assert abs(watched.rows[0]["cpu_percent"] - expected) < 20
    watched.health.write()
    assert watched.rows[1]["cpu_percent"] == watched.rows[0]["cpu_percent"], "too soon for a figure of its own"


def test_a_process_that_reads_nothing_has_no_lags():
    watched = Watched(None)
    watched.health.stop()
    assert (watched.rows[0]["reads"], watched.rows[0]["receive_lag_max_ns"]) == (0, 0)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_quantiles_are_nearest_rank(values, share):
    ordered = sorted(values)
    assert _nearest(ordered, share) == np.percentile(ordered, share * 100, method="inverted_cdf")


def test_of_nothing_the_quantile_is_zero():
    assert _nearest([], 0.5) == 0
