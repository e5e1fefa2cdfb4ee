"""Isolation in the verdict: channels, controls, bounds and evidence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.histories import (
    clean,
    exposure,
    use,
    verdict_of,
    violation,
    with_rows,
)

# -- isolation


def channel(verdict: dict[str, Any], number: int) -> dict[str, Any]:
    return next(entry for entry in verdict["isolation"]["channels"] if entry["channel"] == number)


def test_none_in_so_many_comes_with_its_bound() -> None:
    isolation = verdict_of(clean())["isolation"]
    assert [entry["bound_95"] for entry in isolation["channels"]] == [pytest.approx(0.0029913, rel=1e-3)] * 6
    assert isolation["bound_95_all"] == pytest.approx(0.0047875, rel=1e-3)  # ln(6 / 0.05) / 1000
    assert "not independent" in isolation["note"]


def test_the_weakest_channel_is_named() -> None:
    history = clean()
    history["exposure"] = [exposure(c, opportunities=12_400 if c != 17 else 60) for c in (1, 2, 3, 17, 20, 22)]
    sentence = verdict_of(history)["sentence"]
    assert (
        "0 violations in 12,400 checked events (leak rate < 0.024 % at 95 %; weakest channel 17: < 4.9 %)" in sentence
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (exposure(2, opportunities=0), "no opportunity"),
        (exposure(2, controls_seen=89), "own canaries back: 89 of 100 (89.0 %), at least 90.0 % expected"),
        (exposure(2, controls_expected=0, controls_seen=0), "no canary of its own was expected back"),
        (None, "no opportunity"),
    ],
)
def test_a_required_channel_that_was_not_exercised_is_unknown(row: dict[str, Any] | None, reason: str) -> None:
    history = clean()
    history["exposure"] = [r for r in history["exposure"] if r["channel"] != 2] + ([row] if row else [])
    verdict = verdict_of(history)
    assert (channel(verdict, 2)["verdict"], channel(verdict, 2)["bound_95"]) == ("not exercised", None)
    assert reason in channel(verdict, 2)["reason"]
    assert (verdict["exit_code"], verdict["judgements"]["isolation"]) == (4, "unknown")
    assert "channel 2 (foreign content in one's own event) not exercised" in verdict["sentence"]
    without_2 = use(isolation={"required_channels": [1, 3, 17, 20]})
    assert verdict_of(history, use=without_2)["exit_code"] == 0


def test_what_was_too_much_to_be_searched_is_said_and_not_passed() -> None:
    history = clean()
    history["exposure"] = [
        row | dict(skipped_bytes=9_000 if row["channel"] == 22 else 0) for row in history["exposure"]
    ]
    verdict = verdict_of(history)
    assert verdict["exit_code"] == 4
    assert "9,000 bytes of what was received were too much to be searched deeply" in channel(verdict, 22)["reason"]


def test_frames_that_name_nobody_are_no_proof_that_none_went_astray() -> None:
    history = clean()
    history["exposure"] = [
        row | (dict(controls_expected=0, controls_seen=0) if row["channel"] == 1 else {}) for row in history["exposure"]
    ]
    verdict = verdict_of(history)
    assert (verdict["exit_code"], channel(verdict, 1)["verdict"]) == (4, "not exercised")
    assert "no frame named a run or a user" in channel(verdict, 1)["reason"]


def test_id_channels_control_themselves() -> None:
    history = clean()
    history["exposure"] = [
        row | (dict(controls_expected=0, controls_seen=0) if row["channel"] in (3, 17) else {})
        for row in history["exposure"]
    ]
    verdict = verdict_of(history)
    assert verdict["exit_code"] == 0
    assert channel(verdict, 3)["positive_control"] is None
    assert channel(verdict, 2)["positive_control"] == 1.0


def test_control_at_its_minimum_is_exercised() -> None:
    history = clean()
    history["exposure"] = [row | dict(controls_seen=90) for row in history["exposure"]]
    assert verdict_of(history)["exit_code"] == 0
    assert verdict_of(history, use=use(isolation={"control_min": 0.95}))["exit_code"] == 4


def test_no_required_channel_means_isolation_is_not_judged_and_nobody_says_it_holds() -> None:
    verdict = verdict_of(clean(), use=use(isolation={"required_channels": []}))
    assert verdict["isolation"]["verdict"] == "unknown"
    assert verdict["isolation"]["judged"] is False
    assert verdict["exit_code"] == 0
    assert "isolation NOT JUDGED" in verdict["sentence"]


def test_evidence_is_bounded_and_its_number_is_not() -> None:
    verdict = verdict_of(with_rows(clean(), "violations", *[violation(n) for n in range(120)]))
    assert len(verdict["isolation"]["violations"]) == 50
    assert verdict["isolation"]["violations_confirmed"] == 120
    assert channel(verdict, 2)["violations"] == 120
    assert verdict["sentence"].endswith("120 isolation violations in all.")
