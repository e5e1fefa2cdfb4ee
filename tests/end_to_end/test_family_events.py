"""Five events and streaming: every fault fails the step that is there for it, at its own accounts and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.locust_process import Ended
from tests.end_to_end.test_probes import probe

#: A listener's first envelope is told by its account's number: flattened, wrapped, batched, main, flattened, …
#: fault → (account, step)
HEARD = {
    "envelope_ignored": (200, "envelope flattened"),
    "envelope_wrong_name": (201, "envelope wrapped"),
    "batch_reordered": (202, "envelope batched"),
    "metadata_missing": (203, "metadata and ids"),
    "retry_unmarked": (204, "retries"),
    "ids_missing": (205, "metadata and ids"),
    "batch_over_limit": (206, "envelope batched"),
    "timestamp_backwards": (207, "metadata and ids"),
    "retry_after_end": (208, "one end"),
    "tool_pair_broken": (209, "tools paired"),
    "missing_event": (210, "completeness and order"),
    "reordered_event": (211, "completeness and order"),
    "two_ends": (212, "one end"),
    "duplicate_event": (213, "retries"),
}
LISTENERS = 18
#: each reader takes a second account for whoever reads beside
READ = {
    "nothing_streamed": (300, "first chunk"),
    "chunks_held_back": (302, "gaps"),
    "chunk_swapped": (304, "whole text"),
    "final_text_differs": (306, "whole text"),
    "partial_result_lost": (308, "whole text"),
    "slow_reader_drops": (310, "slow reader"),
    "interrupt_ignored": (312, "interruption"),
    "chunks_after_interrupt": (314, "silence after the interruption"),
    "partial_lost": (316, "partial result"),
}
READERS = 10
#: it stalls everybody, and so has a load test of its own
STALLS = ("slow_reader_stalls_all", 400, "others unhurt")
ENVELOPES = ("main", "flattened", "wrapped", "batched")


def covered(family: str, what: str, step: str, fault: str, limit: str = "") -> dict[str, str]:
    user = {"five_events": "Listener", "streaming": "Reader"}[family]
    return {"family": family, "what": what, "step": step, "user": user, "limit": limit, "fault": fault}


ORDER = "completeness and order"
COVERED = [
    covered("five_events", "completeness", ORDER, "missing_event", "events_complete"),
    covered("five_events", "order", ORDER, "reordered_event", "events_complete"),
    covered("five_events", "pairing of tools", "tools paired", "tool_pair_broken", "tools_complete"),
    covered("five_events", "one end", "one end", "two_ends"),
    covered("five_events", "one end", "one end", "retry_after_end"),
    covered("five_events", "metadata and ids present", "metadata and ids", "metadata_missing"),
    covered("five_events", "metadata and ids present", "metadata and ids", "ids_missing"),
    covered("five_events", "metadata and ids present", "metadata and ids", "timestamp_backwards"),
    covered("five_events", "all envelopes", "envelope flattened", "envelope_ignored"),
    covered("five_events", "all envelopes", "envelope wrapped", "envelope_wrong_name"),
    covered("five_events", "batches", "envelope batched", "batch_over_limit"),
    covered("five_events", "batches", "envelope batched", "batch_reordered"),
    covered("five_events", "duplicates through retries", "retries", "retry_unmarked", "retries"),
    covered("five_events", "duplicates through retries", "retries", "duplicate_event"),
    covered("streaming", "first chunk", "first chunk", "nothing_streamed", "step_time_ms[streaming/first chunk]"),
    covered("streaming", "gaps", "gaps", "chunks_held_back", "chunk_gap_ms"),
    covered("streaming", "completeness (chunks = final text)", "whole text", "partial_result_lost"),
    covered("streaming", "completeness (chunks = final text)", "whole text", "chunk_swapped"),
    covered("streaming", "completeness (chunks = final text)", "whole text", "final_text_differs"),
    covered("streaming", "back-pressure with a slow reader", "slow reader", "slow_reader_drops"),
    covered("streaming", "back-pressure with a slow reader", "others unhurt", "slow_reader_stalls_all"),
    covered("streaming", "interruption", "interruption", "interrupt_ignored", "step_time_ms[streaming/interruption]"),
    covered("streaming", "interruption", "silence after the interruption", "chunks_after_interrupt"),
    covered("streaming", "partial results", "partial result", "partial_lost"),
]


def asked(table: Mapping[str, tuple[int, str]]) -> str:
    return ",".join(f"{fault}:1:{account}" for fault, (account, _) in table.items())


def failed(ended: Ended) -> dict[int, set[str]]:
    """Account number → its steps that failed."""
    found: dict[int, set[str]] = {}
    for row in ended.rows("steps"):
        if row["outcome"] == "failed" and row["step"]:
            found.setdefault(int(row["account"][-5:]), set()).add(row["step"])
    return found


def done(ended: Ended, account: int) -> set[str]:
    """Steps that an account did, and never failed."""
    rows = [row for row in ended.rows("steps") if int(row["account"][-5:]) == account and row["step"]]
    return {row["step"] for row in rows if row["outcome"] == "ok"} - failed(ended).get(account, set())


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return probe(tmp_path_factory.mktemp("heard"), f"Listener@200x{LISTENERS}", rounds=2, faults=asked(HEARD))


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return probe(tmp_path_factory.mktemp("read"), f"Reader@300x{READERS}", rounds=1, faults=asked(READ))


@pytest.mark.parametrize("fault", HEARD)
def test_a_fault_of_events_fails_its_step_at_its_account(heard: Ended, fault: str) -> None:
    account, step = HEARD[fault]
    assert step in failed(heard).get(account, set()), failed(heard)


@pytest.mark.parametrize("fault", READ)
def test_a_fault_of_the_stream_fails_its_step_at_its_account(read: Ended, fault: str) -> None:
    account, step = READ[fault]
    assert step in failed(read).get(account, set()), failed(read)


def test_events_without_a_fault_fail_no_step_in_any_envelope(heard: Ended) -> None:
    spared = set(range(200, 200 + LISTENERS)) - {account for account, _ in HEARD.values()}
    assert not spared & failed(heard).keys(), failed(heard)
    steps = set.union(*(done(heard, account) for account in spared))
    names = {ORDER, "tools paired", "one end", "retries", "metadata and ids", *(f"envelope {e}" for e in ENVELOPES)}
    assert names <= steps
    assert not [row for row in heard.rows("violations") if int(row["observer"][-5:]) in spared]


def test_a_stream_without_a_fault_fails_no_step(read: Ended) -> None:
    spared = set(range(300, 300 + 2 * READERS)) - {account for account, _ in READ.values()}
    assert not spared & failed(read).keys(), failed(read)
    names = {step for _, step in READ.values()} | {"others unhurt", "next run"}
    assert names <= done(read, 318)
    assert not [row for row in read.rows("violations") if int(row["observer"][-5:]) in spared]


def test_what_comes_again_and_says_so_is_counted_and_no_violation(heard: Ended) -> None:
    spared = {214, 215, 216, 217}
    again = {int(row["account"][-5:]): row["retries"] for row in heard.rows("runs") if row["retries"]}
    assert again.keys() & spared
    assert "duplicate" not in {r["name"] for r in heard.rows("violations") if int(r["observer"][-5:]) in spared}


def test_a_failed_step_is_told_and_fails_delivery(heard: Ended) -> None:
    assert heard.exit_code == 1 == heard.verdict["exit_code"]
    [family] = [entry for entry in heard.verdict["families"] if entry["family"] == "five_events"]
    steps = {entry["step"]: entry for entry in family["steps"]}
    assert family["verdict"] == "fail" and steps["retries"]["failed"]
    assert "without the name" in steps["envelope wrapped"]["examples"][0]["came"]
    assert heard.verdict["isolation"]["verdict"] != "fail"


def test_one_slow_reader_that_stalls_everybody_is_seen_by_somebody_else(tmp_path: Path) -> None:
    fault, account, step = STALLS
    ended = probe(tmp_path, f"Reader@{account}", rounds=1, faults=f"{fault}:1:{account}")
    assert failed(ended) == {account: {step}}
    [row] = [row for row in ended.rows("steps") if row["outcome"] == "failed" and row["step"]]
    beside = next(run for run in ended.rows("runs") if run["run"] == row["run"])
    assert int(beside["account"][-5:]) == account + 1


def test_all_that_is_covered_is_tried_here() -> None:
    tried = {**HEARD, **READ, STALLS[0]: STALLS[1:]}
    assert {(entry["fault"], entry["step"]) for entry in COVERED} == {(f, step) for f, (_, step) in tried.items()}
