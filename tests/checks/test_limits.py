"""Limits files: text in, `Limits` or an error that a person can act on out."""

from __future__ import annotations

import json

import pytest

from crosstalk.checks.limits import Limits, LimitsError, parse_limits
from tests.checks.histories import LIMITS_FOLDER, limits

PHASE = """\
[[phase]]
name = "auth"
priority = 1
"""
LIMIT = """\
[[phase.limit]]
name = "critical flow"
metric = "service_time_ms"
statistic = "p95"
at_most = 2000
"""


def parse(text: str) -> Limits:
    return parse_limits(text, source="local.toml")


@pytest.mark.parametrize("name", ["local", "staging", "production"])
def test_shipped_files_survive_run_json(name: str) -> None:
    read = limits(name)
    assert Limits.from_dict(json.loads(json.dumps(read.as_dict()))) == read
    assert [phase.name for phase in read.phases] == ["auth", "agents", "events", "journeys"]
    assert all(limit.when_unknown == ("warn" if limit.metric.endswith("_ms") else "fail")
               for limit in read.limits if limit.required)  # fmt: skip


@pytest.mark.parametrize("name", ["staging", "production"])
def test_staging_widens_only_what_a_network_and_a_model_need(name: str) -> None:
    local, other = limits("local").as_dict(), limits(name).as_dict()
    wider = {}
    # and a floor: nothing that a real model does takes no time
    floor = other["phase"][-1]["limit"].pop()
    assert (floor["metric"], floor["statistic"], floor["at_least"]) == ("service_time_ms", "p50", 20)
    for phase, other_phase in zip(local["phase"], other["phase"], strict=True):
        for limit, other_limit in zip(phase["limit"], other_phase["limit"], strict=True):
            if limit != other_limit:
                assert {**limit, "at_most": None} == {**other_limit, "at_most": None}
                assert other_limit["at_most"] > limit["at_most"]
                wider[limit["metric"]] = other_limit["at_most"]
        assert {**phase, "limit": None} == {**other_phase, "limit": None}
    assert {key: local[key] for key in ("delivery", "isolation", "generator")} == {
        key: other[key] for key in ("delivery", "isolation", "generator")
    }
    assert wider.pop("time_to_first_chunk_ms") == 5000
    assert wider.pop("service_time_ms") == 60_000
    assert set(wider) == {"connect_time_ms", "upgrade_time_ms", "authentication_time_ms"}


def test_a_soak_promises_what_local_does_and_that_nothing_grows() -> None:
    local, soak = limits("local").as_dict()["phase"], limits("soak").as_dict()["phase"]
    assert {phase["name"] for phase in soak} - {phase["name"] for phase in local} == {"soak"}
    told = {limit["metric"]: limit for limit in soak[-1]["limit"]}
    assert told["slope_mib_per_h[harness_heap]"]["at_most"] == 5
    assert told["steps_ok[soak]"]["at_least"] == 1.0 and told["steps_ok[soak]"]["when_unknown"] == "fail"


def test_the_files_are_where_they_are_looked_for() -> None:
    there = sorted(path.stem for path in LIMITS_FOLDER.glob("*.toml"))
    assert there == ["local", "production", "recovery", "soak", "staging"]


def test_defaults() -> None:
    read = parse(PHASE + LIMIT)
    (limit,) = read.limits
    assert (read.nonce, read.control_min, read.required_channels) == ("every_run", 0.9, ())
    assert (limit.phase, limit.when_unknown, limit.required, limit.bound) == ("auth", "fail", True, 2000)


def test_a_limit_that_is_only_shown_needs_no_bound() -> None:
    text = PHASE + LIMIT.replace("at_most = 2000", "required = false")
    assert parse(text).limits[0].bound is None


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("delivery = nope", None, ["expected TOML", "line 1"]),
        ('[delivery]\nnonce = "evry_run"\n', 2, ["every_run, not_required", "did you mean 'every_run'"]),
        ("[delivry]\n", 1, ["unknown key 'delivry'", "'delivery'"]),
        ("[isolation]\nrequired_chanels = [1]\n", 2, ["nearest valid key is 'required_channels'"]),
        ("[isolation]\nrequired_channels = [1, 23]\n", 2, ["channel numbers from 1 to 22", "23"]),
        ("[isolation]\ncontrol_min = 90\n", 2, ["from 0 to 1", "90"]),
        ("[generator]\ncpu_percent_max = true\n", 2, ["a number", "True"]),
        ("[generator]\ncpu_max = 1\n", 2, ["nearest valid key is 'cpu_percent_max'"]),
        (PHASE + LIMIT.replace("service_", "servce_"), 6, ["'auth', limit 'critical flow'", "mean 'service_time_ms'"]),
        (PHASE + LIMIT.replace("service_time_ms", "event_time_ms[thinkin]"), 6, ["a known metric"]),
        (PHASE + LIMIT.replace("p95", "p96"), 7, ["max, p99, p95, p90, p50 (of a time metric)", "'p96'"]),
        (PHASE + LIMIT.replace("p95", "share"), 7, ["of a time metric"]),
        (PHASE + LIMIT + "at_least = 1\n", 4, ["exactly one of at_most and at_least", "at_most and at_least"]),
        (PHASE + LIMIT.replace("at_most = 2000", ""), 4, ["exactly one of at_most and at_least", "neither"]),
        (PHASE + LIMIT.replace("at_most", "at_mst"), 8, ["unknown key 'at_mst'", "'at_most'"]),
        (PHASE + LIMIT.replace("2000", "-1"), 8, ["a number of at least 0", "-1"]),
        (PHASE + LIMIT.replace("2000", '"2 s"'), 8, ["a number", "'2 s'"]),
        (PHASE + LIMIT + 'when_unknown = "ignore"\n', 9, ["fail, warn", "'ignore'"]),
        (PHASE + LIMIT + LIMIT, 10, ["no other limit has", "phase 'auth' has it", "critical flow"]),
        (PHASE + PHASE, 5, ["no other phase has", "'auth'"]),
        (PHASE + 'needs = ["athu"]\n', 4, ["phase 'auth'", "'athu'"]),
        (PHASE + 'needs = ["auth"]\n', 4, ["other phases only", "'auth'"]),
        (PHASE + '[[phase]]\nname = "agents"\nneeds = ["atuh"]\n', 6, ["stands before it", "did you mean 'auth'"]),
        (PHASE + LIMIT.replace('name = "critical flow"', ""), 4, ["name: expected a text", "nothing"]),
        (PHASE + LIMIT.replace("metric", "# metric"), 4, ["metric: expected a text"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(text: str, line: int | None, says: list[str]) -> None:
    with pytest.raises(LimitsError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("local.toml" if line is None else f"local.toml:{line}")
    for part in says:
        assert part in message


def test_run_json_is_checked_as_a_file_is() -> None:
    data = limits().as_dict()
    data["phase"][0]["limit"][0]["metric"] = "tokens_acepted"
    with pytest.raises(LimitsError, match=r"local\.toml, phase 'auth', limit 'valid tokens accepted'.*tokens_accepted"):
        Limits.from_dict(data)
