"""What the system and the interpreter say of this process, against what it was made to do."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crosstalk.clock import clock
from crosstalk.vitals import GcPauses, Vitals
from tests.helpers import MS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def vitals():
    vitals = Vitals()
    yield vitals
    vitals.close()


def burn(ms: float) -> None:
    until_ns = clock.now_ns() + int(ms * MS)
    while clock.now_ns() < until_ns:
        pass


def heap(size: int) -> list:
    """Objects that a collection has to look at, one by one."""
    return [[number, [number]] for number in range(size)]


def test_processor_time_is_told_by_thread(vitals):
    before = vitals.spent()
    cpu_before = os.times()
    burn(100)
    cpu_after = os.times()
    spent = vitals.spent().since(before)
    used_ns = int(1e9 * sum(after - was for after, was in zip(cpu_after[:2], cpu_before[:2], strict=True)))
    assert abs(spent.process_ns - used_ns) < 30 * MS, "os.times counts in ticks of 10 ms"
    assert 0.5 * spent.process_ns < spent.loop_ns <= spent.process_ns + MS
    other = threading.Thread(target=burn, args=(100,))
    before = vitals.spent()
    other.start()
    other.join()
    spent = vitals.spent().since(before)
    assert spent.threads_ns > 5 * spent.loop_ns


def test_waiting_for_a_processor_is_told_where_another_process_has_it():
    """Both are tied to one processor: each has half of it."""
    script = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
until = time.monotonic() + float(sys.argv[1])
if sys.argv[2:]:
    from crosstalk.vitals import Vitals
    vitals = Vitals()
    before, begun = vitals.spent(), time.monotonic_ns()
while time.monotonic() < until:
    pass
if sys.argv[2:]:
    spent = vitals.spent().since(before)
    print(spent.run_delay_ns, spent.loop_ns, time.monotonic_ns() - begun)
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    hog = subprocess.Popen([sys.executable, "-c", script, "30"], env=environ)
    try:
        command = [sys.executable, "-c", script, "1.0", "watched"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=30)
    finally:
        hog.kill()
        hog.wait()
    if done.stdout.startswith("None"):
        pytest.skip("this system does not say")
    delay_ns, loop_ns, elapsed_ns = map(int, done.stdout.split())
    assert delay_ns > 0.25 * elapsed_ns
    assert abs(delay_ns + loop_ns - elapsed_ns) < 0.15 * elapsed_ns


def test_a_collection_is_timed_and_told_once():
    pauses = GcPauses()
    kept = heap(200_000)
    pauses.take()
    begun_ns = clock.now_ns()
    gc.collect()
    took_ns = clock.now_ns() - begun_ns
    count, total_ns, max_ns = pauses.take()
    assert count >= 1
    assert 0.5 * took_ns < max_ns <= total_ns <= took_ns
    assert pauses.take() == (0, 0, 0)
    assert pauses.total_ns >= total_ns
    pauses.close()
    gc.collect()
    assert pauses.take() == (0, 0, 0), "nobody listens any more"
    pauses.close()
    assert len(kept) == 200_000


def test_memory_that_is_taken_shows(vitals):
    before = vitals.rss_bytes()
    block = b"x" * 50_000_000
    assert vitals.rss_bytes() - before > 0.8 * len(block)


def test_descriptors_are_counted(vitals):
    before = vitals.open_files()
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(7)]
    assert vitals.open_files() - before == 7
    for file in files:
        os.close(file)
    assert vitals.open_files() == before


def test_a_process_without_a_descriptor_left_can_still_say_so():
    script = """
import os, resource
from crosstalk.vitals import Vitals, file_limit
vitals = Vitals()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError:
    pass
spent = vitals.spent()
print(vitals.open_files(), file_limit(), vitals.rss_bytes() > 1_000_000, spent.loop_ns > 0)
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["64", "64", "True", "True"]


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one():
    script = """
import resource
from crosstalk.vitals import raise_file_limit
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    soft, hard = map(int, done.stdout.split())
    assert soft == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
