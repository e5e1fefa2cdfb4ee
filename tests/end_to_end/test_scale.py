"""The scale bench in short: its table is complete, nothing is lost, and its figures are what they say they are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from bench.scale import main
from bench.scale_figures import Figures, _cpu_between, _grown_kib, figures_of
from bench.scale_page import COLUMNS, as_markdown, picture
from bench.scale_run import Sample, Step, Watched

USERS = (40, 80)
MIB = 2**20

WHOLE = Figures(
    users=100, workers=0, seconds=10.0, connected=100, ramp_s=1.0, events_per_s=100.0, events_wanted_per_s=100.0,
    runs_ok=50, runs_other=0, runs_cut=2, lag_p50_ms=0.1, lag_p99_ms=1.0, hub_lag_max_ms=3.0, exact_share=0.9,
    cpu_us_per_event=100.0, worker_us_per_event=90.0, cpu_percent={"generator": 9.0, "backend": 4.0},
    rss_mib={"generator": 130.0, "backend": 60.0, "reports": 160.0}, kib_per_user_there=25.0,
    kib_per_user=30.0, backend_kib_per_user=20.0,
    unaccounted=0, false_violations=0, end_s=5.0, stop_s=2.0, record_mib=0.1, exit_code=0,
    verdicts={"delivery": "pass", "isolation": "pass", "measurement": "pass"}, problems=[], accusations=[],
)  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[int, Path]:
    """The small form: two steps, and where they left their figures."""
    out = tmp_path_factory.mktemp("scale")
    users = ",".join(map(str, USERS))
    command = ["--users", users, "--seconds", "3", "--spawn-rate", "40", "--out", str(out), "--results", str(out / "r")]
    return main(command), out


@pytest.mark.long
def test_the_small_form_is_whole_and_loses_nothing(done):
    code, out = done
    steps = orjson.loads((out / "scale.json").read_bytes())["steps"]
    assert [step["users"] for step in steps] == [step["connected"] for step in steps] == list(USERS)
    for step in steps:
        assert (step["unaccounted"], step["false_violations"], step["runs_other"], step["problems"]) == (0, 0, 0, [])
        assert step["runs_ok"] > step["users"] * 0.1
        assert step["events_per_s"] > 0.3 * step["events_wanted_per_s"]
        assert {"generator", "backend"} <= step["cpu_percent"].keys()
        assert step["kib_per_user"] > 0
        assert step["rss_mib"]["reports"] > 0
        assert step["lag_p99_ms"] >= step["lag_p50_ms"] >= 0
    assert code == 0


@pytest.mark.long
def test_its_table_has_a_line_a_step_and_a_figure_in_every_column(done):
    _, out = done
    lines = [line for line in (out / "scale.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert tuple(cells[0]) == COLUMNS
    assert [row[0] for row in cells[2:]] == [f"{users:,}" for users in USERS]
    assert all(len(row) == len(COLUMNS) and all(cell not in ("", "–") for cell in row) for row in cells[2:])
    assert (out / "scale.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_the_figures_are_a_function_of_what_was_left(done):
    """A second look at the record gives the same counts; without the backend's samples, there is no CPU of it."""
    _, out = done
    folder = sorted(path.parent for path in (out / "r").glob("*/verdict.json"))[0]
    health_s = orjson.loads((folder / "record" / "run.json").read_bytes())["load_test"]["ended_ns"] / 1e9
    watched = Watched(folder, 0, health_s - 20, health_s, health_s - 15, health_s - 1)
    figures = figures_of(Step(USERS[0], 0, 3.0, 40.0, 1.0, 1), watched)
    first = orjson.loads((out / "scale.json").read_bytes())["steps"][0]
    assert (figures.runs_ok, figures.unaccounted) == (first["runs_ok"], first["unaccounted"])
    assert figures.cpu_percent == {}
    assert figures.kib_per_user is None


@pytest.mark.parametrize("flaw", ["unaccounted", "false_violations", "runs_other"])
def test_whatever_was_lost_makes_a_step_not_whole(flaw):
    assert WHOLE.whole
    broken = replace(WHOLE, **{flaw: 1})
    assert not broken.whole
    assert "not whole" in as_markdown([broken], "here")
    assert not replace(WHOLE, unaccounted=None).whole
    assert not replace(WHOLE, problems=["worker w1 was lost"]).whole
    assert "worker w1 was lost" in as_markdown([replace(WHOLE, problems=["worker w1 was lost"])], "here")


def test_cpu_is_of_each_process_within_the_window():
    samples = [Sample(float(second), pid, "worker", 0, pid * 10 + second * share)
               for second in range(11) for pid, share in ((1, 0.5), (2, 0.25))]  # fmt: skip
    samples.append(Sample(5.0, 3, "master", 0, 99.0))
    assert _cpu_between(samples, "worker", 2.0, 8.0) == pytest.approx(6 * 0.75)
    assert _cpu_between(samples, "worker", 2.5, 8.5) == pytest.approx(6 * 0.75)  # samples lie within
    assert _cpu_between(samples, "master", 0.0, 10.0) == 0.0  # seen once: nothing is known


def test_memory_a_user_is_what_its_processes_grew_by():
    samples = [Sample(1.0, 1, "worker", 100 * MIB, 0), Sample(1.0, 2, "worker", 100 * MIB, 0),
               Sample(9.0, 1, "worker", 130 * MIB, 0), Sample(9.0, 2, "worker", 170 * MIB, 0),
               Sample(9.0, 3, "backend", 500 * MIB, 0), Sample(12.0, 1, "worker", 999 * MIB, 0)]  # fmt: skip
    watched = Watched(Path(), 0, 0.0, 20.0, samples=samples)
    assert _grown_kib(watched, ("generator", "worker"), 2.0, 10.0, 1000) == pytest.approx(102.4)
    assert _grown_kib(watched, ("backend",), 2.0, 10.0, 1000) is None  # nothing to compare with


def test_two_workers_are_compared_with_one():
    alone = replace(WHOLE, workers=1, worker_us_per_event=100.0)
    both = replace(WHOLE, workers=2, worker_us_per_event=125.0)
    assert "1.60 times the events of one" in as_markdown([alone, both], "here")
    assert "times the events" not in as_markdown([alone, replace(both, users=7)], "here")


def test_the_picture_is_one_of_the_form_with_the_fewest_processes():
    assert picture([WHOLE, replace(WHOLE, users=1000)], "here").startswith(b"\x89PNG")


def test_a_step_asks_for_its_rate():
    step = Step(1000, 2, 60.0, 100.0, 0.5, 7)
    command = step.command(Path("results"))
    told = dict(pairwise(command))
    assert (told["--processes"], told["--users"], told["--seed"]) == ("2", "1000", "7")
    assert float(told["--turn-interval"]) == pytest.approx(34.0)
    assert float(told["--run-time"].rstrip("s")) >= step.ramp_s + 60
