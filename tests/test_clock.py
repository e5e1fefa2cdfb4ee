"""The clock reads like wall time, never goes back, and puts kernel stamps on its own axis."""

import os
import subprocess
import sys
import time

from crosstalk.clock import Clock, clock, retie


def test_it_reads_like_wall_time():
    assert abs(Clock().now_ns() - time.time_ns()) < 50_000_000


def test_it_never_goes_back():
    one = Clock()
    read = [one.now_ns() for _ in range(10_000)]
    assert read == sorted(read)


def test_a_difference_of_two_readings_is_monotonic_time():
    one = Clock()
    before, monotonic_before = one.now_ns(), time.monotonic_ns()
    after, monotonic_after = one.now_ns(), time.monotonic_ns()
    assert abs((after - before) - (monotonic_after - monotonic_before)) < 1_000_000


def test_a_wall_stamp_taken_now_lands_on_now():
    one = Clock()
    assert abs(one.from_wall(time.time_ns()) - one.now_ns()) < 5_000_000


def test_wall_stamps_keep_their_distances():
    one = Clock()
    assert one.from_wall(2_000) - one.from_wall(1_000) == 1_000


def test_a_wall_clock_that_was_set_is_told_as_drift_and_taken_off_later_stamps(monkeypatch):
    one = Clock()
    now_ns = one.now_ns()
    wall = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: wall() + 3_000_000_000)
    assert abs(one.now_ns() - now_ns) < 1_000_000_000, "our own clock does not follow"
    drift_ns = one.sample()
    assert abs(drift_ns - 3_000_000_000) < 50_000_000
    assert one.wall_drift_ns == drift_ns
    assert abs(one.from_wall(time.time_ns()) - one.now_ns()) < 50_000_000


def test_a_look_finds_a_clock_that_was_set_and_leaves_one_alone_that_was_not(monkeypatch):
    one = Clock()
    wall = time.time_ns
    one.check()
    assert (one.take_step_max(), one.wall_drift_ns) == (0, 0)
    monkeypatch.setattr(time, "time_ns", lambda: wall() - 20_000_000)
    one.check()
    assert abs(one.wall_drift_ns + 20_000_000) < 5_000_000
    monkeypatch.setattr(time, "time_ns", lambda: wall() - 10_000_000)
    one.check()
    assert abs(one.take_step_max() + 20_000_000) < 5_000_000, "the largest, and its direction"
    assert one.take_step_max() == 0


def test_tying_anew_keeps_the_one_clock_that_everybody_imported():
    before = id(clock)
    retie()
    from crosstalk.clock import clock as again

    assert id(again) == before
    assert clock.wall_drift_ns == 0
    assert abs(clock.now_ns() - time.time_ns()) < 50_000_000


def test_two_processes_agree():
    script = "from crosstalk.clock import clock; print(clock.now_ns())"
    before = clock.now_ns()
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=True, timeout=30
    )
    assert before - 50_000_000 < int(done.stdout) < clock.now_ns() + 50_000_000
