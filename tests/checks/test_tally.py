"""The tally: rows in, figures out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from crosstalk.checks.statistics import percentile
from crosstalk.checks.tally import Count, Share, Tally
from tests.checks.histories import (
    MS,
    START_NS,
    History,
    bad_token,
    clean,
    connection,
    delivery_violation,
    event,
    events_of,
    exposure,
    health,
    lost_run,
    run,
    tally_of,
    violation,
    with_rows,
)

INF = math.inf


def samples(history: History, metric: str, **options: Any) -> list[float]:
    return tally_of(history).samples(metric, **options).tolist()


# -- times


def test_times_of_runs() -> None:
    late = run(0, service_ms=800.0)
    late |= dict(intended_ns=late["sent_ns"] - 30 * MS, handoffs=1, handoff_time_max_ns=70 * MS)
    history = {"runs": [late]}
    expected = {
        "accept_time_ms": 5,
        "time_to_first_event_ms": 6,
        "time_to_first_chunk_ms": 100,
        "service_time_ms": 800,
        "response_time_ms": 830,
        "stall_max_ms": 50,
        "handoff_time_ms": 70,
        "schedule_lag_ms": 30,
    }
    assert {metric: samples(history, metric) for metric in expected} == {m: [v] for m, v in expected.items()}


@pytest.mark.parametrize("outcome", ["timeout", "disconnected", "refused", "violated"])
def test_a_run_that_never_ended_is_infinitely_late(outcome: str) -> None:
    history = {"runs": [run(0), lost_run(1, outcome=outcome)]}
    for metric in ("accept_time_ms", "time_to_first_event_ms", "time_to_first_chunk_ms", "service_time_ms"):
        assert samples(history, metric)[1:] == [INF], metric
    assert samples(history, "stall_max_ms") == [50, INF]


def test_a_timeout_is_never_a_pass_even_if_the_end_came_after_all() -> None:
    assert samples({"runs": [run(0, outcome="timeout")]}, "service_time_ms") == [INF]


def test_an_agent_error_is_an_end_and_its_missing_chunk_is_not_awaited() -> None:
    history = {"runs": [run(0, outcome="agent_error", first_chunk_ns=None)]}
    assert samples(history, "service_time_ms") == [800]
    assert samples(history, "time_to_first_chunk_ms") == []


def test_a_violated_run_with_an_end_has_its_time() -> None:
    assert samples({"runs": [run(0, outcome="violated")]}, "service_time_ms") == [800]


def test_cut_runs_are_in_no_time_and_no_share_but_are_counted() -> None:
    tally = tally_of({"runs": [run(0), lost_run(1, outcome="cut")]})
    assert tally.samples("service_time_ms").tolist() == [800]
    assert tally.share("runs_ok") == Share(1, 1)
    assert tally.runs.outcomes()["cut"] == 1


def test_the_ramp_is_apart_and_still_there() -> None:
    history = {"runs": [run(0, service_ms=9000, warm_up=True), run(1)]}
    assert samples(history, "service_time_ms") == [800]
    assert samples(history, "service_time_ms", window="all") == [800, 9000]


def test_a_failed_run_of_the_ramp_has_failed() -> None:
    assert tally_of({"runs": [run(0), lost_run(1, warm_up=True)]}).share("runs_ok") == Share(1, 2)


def test_a_hand_off_to_an_agent_that_never_spoke_is_infinitely_late() -> None:
    assert samples({"runs": [run(0, handoffs=1), run(1)]}, "handoff_time_ms") == [INF]


def test_waiting_for_a_slow_target_is_not_the_generators_lag() -> None:
    """The second turn was due while the first still ran; the third was due later and started 3 ms late."""
    first = run(0, service_ms=5000)
    second = run(1, intended_ns=first["sent_ns"] + 1000 * MS, sent_ns=first["end_ns"] + MS, waited=True)
    second |= dict(end_ns=second["sent_ns"] + 100 * MS)
    due = second["end_ns"] + 1000 * MS
    third = run(2, intended_ns=due, sent_ns=due + 3 * MS)
    tally = tally_of({"runs": [third, second, first]})
    assert tally.samples("schedule_lag_ms").tolist() == [0, 3]
    assert tally.runs.waited_share() == pytest.approx(1 / 3)


def test_times_of_events() -> None:
    ended = run(0)
    history = {"runs": [ended], "events": events_of(ended)}
    assert samples(history, "chunk_gap_ms") == [20]
    assert samples(history, "tool_time_ms") == [20]
    assert samples(history, "event_time_ms[thinking]") == [40]
    assert samples(history, "event_gap_ms[chunk]") == [20, 20]
    assert samples(history, "event_gap_ms[started]") == []
    assert samples(history, "receive_lag_ms") == pytest.approx([0.1] * 7)


def test_events_wait_for_the_end_of_their_run_and_follow_it_into_its_window() -> None:
    ended, ramp, cut, open_run = run(0), run(1, warm_up=True), run(2, outcome="cut"), run(3)
    events = [event(each, 2, chunk_gap_ns=(n + 1) * MS) for n, each in enumerate([ended, ramp, cut, open_run])]
    history = {"events": events, "runs": [ended, ramp, cut]}
    assert samples(history, "chunk_gap_ms") == [1]
    assert samples(history, "chunk_gap_ms", window="all") == [1, 2]
    assert len(samples(history, "receive_lag_ms")) == 4


def test_one_run_id_of_two_users_is_two_runs() -> None:
    mine, theirs = run(0, account=1, run="same"), run(1, account=2, run="same", warm_up=True)
    events = [event(mine, 2, chunk_gap_ns=MS), event(theirs, 2, chunk_gap_ns=2 * MS)]
    assert samples({"runs": [mine, theirs], "events": events}, "chunk_gap_ms") == [1]


def test_a_stream_that_fell_silent_has_a_gap_without_end() -> None:
    silent = lost_run(0, first_chunk_ns=START_NS + 1100 * MS)
    assert samples({"runs": [silent], "events": [event(silent, 2, chunk_gap_ns=10 * MS)]}, "chunk_gap_ms") == [10, INF]


def test_times_of_connections() -> None:
    refused = connection(1, outcome="failed", stage="connect", error="no answer", closed_by="")
    refused |= dict.fromkeys(["connected_ns", "upgraded_ns", "ready_ns", "probe_time_median_ns"])
    history = {"connections": [connection(0), refused, bad_token()]}
    assert samples(history, "connect_time_ms") == [2, INF]
    assert samples(history, "upgrade_time_ms") == [5, INF]
    assert samples(history, "ready_time_ms") == [9, INF]
    assert samples(history, "authentication_time_ms") == [4]
    assert samples(history, "probe_time_ms") == [1]


def test_workers_are_pooled_and_never_averaged() -> None:
    """100 quick runs of one worker and 4 slow ones of another: the pooled p99 is a slow run, whatever the mean is."""
    quick = [run(n, worker="w1", service_ms=100) for n in range(100)]
    slow = [run(n, worker="w2", service_ms=5000) for n in range(100, 104)]
    tally = tally_of({"runs": quick + slow})
    pooled = tally.samples("service_time_ms")
    assert (len(pooled), pooled[99], pooled[102]) == (104, 100, 5000)
    assert tally.samples("service_time_ms", worker="w2").tolist() == [5000] * 4
    assert tally.samples("service_time_ms", worker="w3").tolist() == []


# -- shares and counts


def test_shares_of_connections_keep_people_and_bad_tokens_apart() -> None:
    history = {
        "connections": [
            connection(0),
            connection(1, outcome="refused", ready_ns=None, closed_by="peer", error="AUTH_FAILED"),
            connection(2, outcome="failed", ready_ns=None, closed_by="us", error="expected a welcome within 10 s"),
            connection(3, outcome="failed", ready_ns=None, closed_by="us"),  # the end of the load test: no attempt
            bad_token(900),
            bad_token(901, close_code=1011),  # a server fault is no rejection
            bad_token(902, http_status=503, close_code=None),
            bad_token(903, outcome="ready"),
        ]
    }
    tally = tally_of(history)
    assert tally.share("tokens_accepted") == Share(1, 3)
    assert tally.share("bad_tokens_rejected") == Share(1, 4)
    assert tally.count("close_1011") == Count(0, 3)
    summary = tally.connections.summary()
    assert {name: summary[name] for name in ("attempted", "ready", "refused", "failed", "cut")} == {
        "attempted": 3,
        "ready": 1,
        "refused": 1,
        "failed": 1,
        "cut": 1,
    }
    assert summary["close_codes"] == {"1000": 4}
    assert summary["bad_tokens"] == {"attempted": 4, "rejected": 1}


def test_a_connection_that_we_did_not_end_is_lost() -> None:
    history = {
        "connections": [
            connection(0),
            connection(1, closed_by="peer", close_code=1011),
            connection(2, closed_by="transport", close_code=1006),
            connection(3, outcome="refused", ready_ns=None, closed_by="peer", close_code=1008, error="AUTH_FAILED"),
        ]
    }
    tally = tally_of(history)
    assert tally.count("connections_lost") == Count(2, 3)
    assert tally.count("close_1011") == Count(1, 4)
    assert tally.connections.summary()["close_codes"] == {"1000": 1, "1006": 1, "1008": 1, "1011": 1}


@pytest.mark.parametrize(
    ("code", "lost"), [(1001, 0), (1012, 0), (1013, 0), (1000, 1), (1006, 1), (1008, 1), (1011, 1)]
)
def test_a_goodbye_that_asks_to_come_again_announces_a_loss(code: int, lost: int) -> None:
    tally = tally_of({"connections": [connection(0), connection(1, closed_by="peer", close_code=code)]})
    assert tally.count("connections_lost_unannounced") == Count(lost, 2)
    assert tally.count("connections_lost") == Count(1, 2)


@pytest.mark.parametrize(
    ("figures", "share"),
    [
        (dict(tools_started=2, tools_ok=1, tools_failed=1), Share(2, 2)),
        (dict(tools_started=2, tools_ok=1), Share(1, 2)),
        (dict(tools_started=1, tools_ok=2), Share(1, 2)),  # a completion of nothing
        (dict(tools_started=0, tools_ok=0), Share(0, 0)),
    ],
)
def test_tools_are_complete_by_call(figures: dict[str, int], share: Share) -> None:
    assert tally_of({"runs": [run(0, **figures)]}).share("tools_complete") == share


def test_events_are_complete_where_no_delivery_violation_and_an_answer_is() -> None:
    runs = [run(0), run(1), run(2), lost_run(3), lost_run(4, outcome="cut")]
    violations = [
        delivery_violation(0, of=runs[1]),
        violation(1, run="r2", observer=runs[2]["account"]),  # isolation: the events were complete
    ]
    assert tally_of({"runs": runs, "violations": violations}).share("events_complete") == Share(2, 4)


def test_a_violation_of_another_users_run_of_the_same_name_is_not_mine() -> None:
    mine, theirs = run(0, account=1, run="same"), run(1, account=2, run="same")
    tally = tally_of({"runs": [mine, theirs], "violations": [delivery_violation(of=theirs)]})
    assert tally.share("events_complete") == Share(1, 2)


def test_violations_are_counted_with_their_repeats_and_once_if_reported_again() -> None:
    of = run(0)
    first, again = delivery_violation(0, of=of, count=2), delivery_violation(0, of=of, count=5)
    stale = delivery_violation(0, of=of, count=3)
    tally = tally_of({"violations": [first, again, stale, delivery_violation(1, of=of, name="late")]})
    assert tally.violations.by_name("delivery") == {"late": 1, "missing": 5}
    assert [row["count"] for row in tally.violations.evidence("delivery")] == [5, 1]


def test_evidence_is_bounded_and_keeps_the_first() -> None:
    many = [violation(n, surfaced_ns=START_NS + (1000 - n) * MS) for n in range(1000)]
    tally = tally_of({"violations": many})
    evidence = tally.violations.evidence("isolation")
    assert len(evidence) == 200
    assert evidence[0]["violation"] == "w1-v999"
    assert tally.count("isolation_violations").count == 1000


def test_the_last_exposure_of_each_worker_counts() -> None:
    rows = [
        exposure(2, opportunities=10, controls_seen=1),
        exposure(2, opportunities=30, controls_seen=5),
        exposure(2, worker="w2", opportunities=4, controls_seen=2),
    ]
    channel = tally_of({"exposure": rows}).exposure.channels()[2]
    assert (channel.opportunities, channel.controls_seen, channel.controls_expected) == (34, 7, 200)


# -- accounts


def test_every_event_is_accounted_for() -> None:
    tally = tally_of(clean(runs=3))
    assert tally.unaccounted() == {"w1": 0}
    assert tally.count("events_lost") == Count(0, 21)


def test_the_final_word_of_a_worker_comes_before_its_last_health() -> None:
    tally = tally_of(clean(runs=3))
    assert tally.unaccounted({"w1": {"events_received": 25}}) == {"w1": 4}
    assert tally.unaccounted({"w2": {"events_received": 2}}) == {"w1": 0, "w2": 2}


def test_too_many_and_too_few_events_do_not_cancel_out() -> None:
    history = with_rows(clean(runs=3), "health", health(5, worker="w2", events_received=3))
    history["health"] = [*history["health"], health(6, worker="w1", events_received=18)]
    tally = tally_of(history)
    assert tally.unaccounted() == {"w1": -3, "w2": 3}
    assert tally.count("events_lost").count == 6


def test_rows_beyond_the_last_word_of_a_lost_worker_are_not_held_against_it() -> None:
    history = clean(runs=3)
    history["health"] = [health(1, events_received=14)]
    assert tally_of(history).unaccounted({"w1": {"lost": True}}) == {"w1": 0}
    assert tally_of(history).unaccounted({}) == {"w1": -7}


def test_health_of_processes() -> None:
    rows = [health(n, cpu_percent=cpu, hub_lag_max_ns=n * MS) for n, cpu in enumerate([99, 20, 95, 96, 97, 10])]
    rows += [health(9, worker="m", role="master", cpu_percent=50.0, hub_lag_max_ns=999 * MS)]
    tally = tally_of({"health": rows})
    assert tally.health.cpu_percent_max() == {"w1": 99, "m": 50}
    assert tally.health.cpu_percent_sustained() == {"w1": 95, "m": 50}
    assert tally.health.hub_lag_ms().tolist() == [0, 1, 2, 3, 4, 5]


def test_identities_in_doubt() -> None:
    history = {
        "connections": [connection(0), connection(1, identity="mismatch")],
        "violations": [violation(0, judgement="identity", name="identity", observer="k3f00002", scope="", channel=0)],
    }
    assert tally_of(history).mismatched() == {"k3f00001", "k3f00002"}


def test_unknown_metrics_are_refused() -> None:
    tally = Tally()
    for ask in (tally.samples, tally.share, tally.count):
        with pytest.raises(KeyError):
            ask("nonsense")
    with pytest.raises(KeyError):
        tally.samples("runs_ok")


def test_the_time_until_a_lost_connection_is_back() -> None:
    """Lost at 40 s: back at 40.2 s at the second attempt; another's attempts all failed; a third's was never tried."""
    ended = START_NS + 40_000 * MS
    lost = dict(closed_by="transport", close_code=1006)

    def again(n: int, account: int, begun_ms: int, **changes: Any) -> dict[str, Any]:
        begun = ended + begun_ms * MS
        way = dict(connected_ns=begun + MS, upgraded_ns=begun + 2 * MS, ready_ns=begun + 100 * MS, begun_ns=begun)
        return connection(n, account=f"k3f{account:05}", ended_ns=None, **(way | changes))

    failed = dict(outcome="failed", stage="connect", error="refused", closed_by="", ready_ns=None)
    history = {
        "connections": [
            *(connection(n, ended_ns=ended, **lost) for n in range(3)),
            connection(3, ended_ns=ended),  # closed by us: nothing was lost
            again(4, 0, 10, **failed),
            again(5, 0, 100),
            again(6, 0, 900),
            again(7, 1, 10, **failed),
            again(8, 3, 10),
            again(9, 2, -5000),  # was there before the loss: a second socket
        ]
    }
    assert samples(history, "reconnect_time_ms") == [200, INF]
    assert tally_of(history).share("connections_recovered") == Share(1, 2)


def test_samples_know_their_users() -> None:
    history = {"runs": [run(0, account=3, service_ms=900), run(1, account=5, service_ms=100), run(2, account=3)]}
    values, accounts = tally_of(history).samples_by_user("service_time_ms")
    assert values.tolist() == [100, 800, 900]
    assert accounts[1] == accounts[2] != accounts[0]
    for metric in ("chunk_gap_ms", "receive_lag_ms", "event_time_ms[chunk]", "connect_time_ms", "probe_time_ms"):
        tally = tally_of(clean(runs=40))
        values, accounts = tally.samples_by_user(metric)
        assert values.tolist() == tally.samples(metric).tolist()
        assert len(values) == len(accounts) > 0
        assert len(set(accounts.tolist())) == 20


def test_the_warm_up_is_left_out_of_times_and_of_nothing_else() -> None:
    """One user, a turn a second: two seconds each for twenty turns, then half a second."""
    runs = [run(n, service_ms=980.0 if n < 20 else 300.0) for n in range(100)]
    tally = tally_of({"runs": runs})
    window = tally.runs.window()
    assert (window.state, window.from_ns) == ("steady", pytest.approx(runs[20]["sent_ns"], abs=2e9))
    assert 78 <= len(tally.samples("service_time_ms")) <= 82
    assert len(tally.samples("service_time_ms", window="all")) == 100
    assert tally.share("runs_ok") == Share(100, 100)


def test_the_pooled_percentile_is_that_of_all_samples_together() -> None:
    """And not the mean of the workers' own, whatever the split."""
    random = np.random.default_rng(8)
    rows = [run(n, worker=f"w{n % 3 if n < 90 else 2}", service_ms=float(ms))
            for n, ms in enumerate(random.lognormal(6, 1, 300).round(3).tolist())]  # fmt: skip
    tally = tally_of({"runs": rows})
    own = [tally.samples("service_time_ms", worker=worker) for worker in ("w0", "w1", "w2")]
    together = np.sort(np.concatenate(own))
    for quantile in (0.5, 0.95, 0.99):
        pooled = percentile(tally.samples("service_time_ms"), quantile)
        assert pooled == percentile(together, quantile)
        assert pooled != pytest.approx(np.mean([percentile(one, quantile) for one in own]), rel=1e-6)
