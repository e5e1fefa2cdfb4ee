"""The detection matrix in short: leaks and other faults, always on. `make detection-matrix` does the whole of it."""

from __future__ import annotations

import pytest

from bench.detection_matrix import SHAPES, catalogue_of, rows_of
from bench.detection_matrix_plan import INTENSITIES, PAIRED, Entry, plan, share, shows_as_step
from bench.detection_matrix_run import Outcome, run
from crosstalk.backend.faults import parse_fault
from reports.detection import as_document, as_markdown, figure
from reports.drawing import png

SHAPE = "netra"
#: what needs a user of another temper than Regular's is for the whole form
CHANNELS = {f"channel {number}" for number in (1, 2, 3, 4, 5, 10, 16, 17, 20, 22)}
FAULTS_MAX = 12


def some(kind: str) -> list[Entry]:
    """Faults that can share a load test: leaks by different channels first, or those of delivery."""
    tests = [test for test in plan(catalogue_of(SHAPE), shape=SHAPE, intensities=["always"]) if kind in test.name]
    names = {one.fault for test in tests for one in test.planted if kind == "faults" or one.judged_as in CHANNELS}
    entries = [entry for entry in catalogue_of(SHAPE) if entry.name in names]
    first_of = {entry.judged_as: entry for entry in reversed(entries)}
    firsts = [entry for entry in entries if first_of[entry.judged_as] is entry]
    return [*firsts, *(entry for entry in entries if entry not in firsts)][:FAULTS_MAX]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_fault_of_a_shape_has_its_place_in_the_plan(shape: str) -> None:
    catalogue = catalogue_of(shape)
    tests = plan(catalogue, shape=shape, intensities=["always"])
    wanted = [entry.name for entry in catalogue if not shows_as_step(entry)]
    assert sorted(one.fault for test in tests for one in test.planted) == sorted(wanted)
    assert len({test.name for test in tests}) == len(tests)


@pytest.mark.parametrize("intensity", INTENSITIES)
def test_faults_of_a_load_test_share_no_account_and_leave_some_without(intensity: str) -> None:
    for test in plan(catalogue_of(SHAPE), shape=SHAPE, intensities=[intensity]):
        given = [one.accounts for one in test.planted if one.accounts is not None]
        assert len(frozenset[int]().union(*given)) == sum(map(len, given))
        if given:
            paired = 2 if set(test.options) & PAIRED else 1
            assert test.users * paired > max(map(max, given)) + 1
        for part, one in zip(test.faults.split(","), test.planted, strict=True):
            assert parse_fault(part).name == one.fault
            assert parse_fault(part).accounts == ((min(one.accounts), max(one.accounts)) if one.accounts else None)


@pytest.fixture(scope="module", params=[pytest.param("leaks", marks=pytest.mark.long), "faults"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    test = share(request.param, some(request.param), shape=SHAPE, intensity="always", run_time_s=15, each=2)
    return run(test, tmp_path_factory.mktemp(request.param), seed=11)


def test_every_fault_is_caught_under_its_own_name(outcome: Outcome) -> None:
    fell_short = [(row.planted.fault, row.verdict, row.planted.judged_as, row.seen) for row in outcome.detections
                  if row.verdict != "caught"]  # fmt: skip
    assert fell_short == []
    assert all(row.time_to_detection_ns is not None for row in outcome.detections)


def test_every_bitten_run_is_caught(outcome: Outcome) -> None:
    told = [row for row in outcome.detections if row.runs_bitten]
    assert len(told) >= 4
    assert [
        (row.planted.fault, row.runs_caught, row.runs_bitten) for row in told if row.runs_caught < row.runs_bitten
    ] == []


def test_nobody_else_is_accused_and_the_exit_code_says_what_it_is(outcome: Outcome) -> None:
    assert outcome.false_alarms == []
    assert outcome.exit_code == (3 if outcome.test.name == "leaks" else 1)


def test_the_matrix_is_a_page_a_document_and_a_picture(outcome: Outcome) -> None:
    rows = rows_of([outcome])
    page = as_markdown(rows, outcome.false_alarms, {outcome.test.name: outcome.exit_code})
    for row in rows:
        assert f"| `{row.planted.fault}` | netra | always |" in page
    assert f'"{rows[0].planted.fault}"'.encode() in as_document(rows, [], {})
    assert png(figure(rows)).startswith(b"\x89PNG")
