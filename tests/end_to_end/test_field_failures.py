"""What went wrong in the field: each failure is injected, detected, and attributed to its stage with its signature.

`docs/failures.md` is made from the table here (`python -m tests.end_to_end.test_field_failures > docs/failures.md`);
a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.locust_process import ROOT, Ended, run

PAGE = ROOT / "docs" / "failures.md"


@dataclass(frozen=True)
class Case:
    """A failure of the field: how it is planted, and how it must come out."""

    what: str
    fault: str
    exit_code: int
    stage: str  # of one of the verdict's `failures`; "": the failure shows elsewhere, see `signature`
    signature: str  # part of the group's signature, or of the sentence where there is no group
    cause: str = ""  # part of one of the likely causes
    options: tuple[str, ...] = ()
    scenario: str = "smoke"

    @property
    def name(self) -> str:
        return self.fault.partition(":")[0]


QUICK = ("--users", "6", "--spawn-rate", "6", "--run-time", "7s")
CASES = (
    Case("1011 on the first message after a successful handshake", "close_1011", 1, "send", "close 1011", "dispatch"),
    Case("an agent run sends no event at all, silently", "silent_run", 1, "first event", "no event at all", "handler"),
    Case(
        "a frame sent before the server is ready is lost", "lost_before_ready", 1, "send", "lost before ready", "race"
    ),
    Case("receive timeout under the agent timeout", "idle_cut", 1, "", "", "idle"),
    Case("cascading cancellation", "cascading_cancel", 1, "end", "CANCELLED", "cancel", scenario="cancel"),
    Case("a tool's failure is not passed on", "tool_error_swallowed", 1, "tool", "tool error swallowed", "tool"),
    Case("a partial stream, then silence", "stall_mid_stream", 1, "stream", "silence after"),
    Case("one router that gains a handler per connection: bleeding and growth", "router_growth", 3, "", "", "router"),
    Case("several session managers for one user", "split_sessions:1:0-2", 1, "stream", "missing", "session"),
    Case("every socket authenticated as one demo user", "demo_user", 5, "", "demo"),
    Case("a relaxed mode that hashes tokens, so that users collide", "hashed_ids", 5, "", "user-00"),
    Case("any token is accepted", "accept_any_token", 1, "authenticate", "accepted", "signature"),
    Case(
        "a breaker grows more permissive after bad tokens", "permissive_breaker", 1, "authenticate", "accepted", "break"
    ),
    Case("user ids refused by a validator", "id_refused", 5, "", "1011"),
    Case("token missing from the header", "header_ignored", 5, "", "authenticate"),
    Case(
        "token missing from the subprotocol",
        "subprotocol_ignored",
        5,
        "",
        "authenticate",
        options=("--auth", "subprotocol"),
    ),
    Case("environment variables that never reached the server", "env_missing", 5, "", "1011"),
    Case("a wrong socket path", "wrong_path", 5, "", "404"),
    Case("the server is still starting", "startup_slow", 5, "", "503"),
    Case("a canned answer: nothing was run", "canned_answer", 1, "end", "not real", "canned"),
    Case(
        "results of 0.00 s", "zero_time", 1, "", "work takes time", options=("--environment", "staging", "--users", "2")
    ),
)
NAMES = [case.name for case in CASES]


def prompts_of(case: Case) -> tuple[str, ...]:
    if case.scenario != "smoke":
        return ("--users", "16")
    return ("--prompts", "tests/end_to_end/tools.toml") if "tool" in case.name else ()


def load_test(case: Case, results: Path) -> Ended:
    secret = {"JWT_SECRET_STAGING": "unused, as the backend is our own"} if "staging" in case.options else {}
    longer = ("--run-time", "14s") if case.fault in ("silent_run", "stall_mid_stream", "lost_before_ready") else ()
    options = (*QUICK, *prompts_of(case), *longer, *case.options, "--faults", case.fault)
    return run(results, *options, scenario=case.scenario, **secret)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_failure_of_the_field_is_detected_and_attributed(case: Case, tmp_path: Path) -> None:
    ended = load_test(case, tmp_path)
    verdict = ended.verdict
    groups = [(group["stage"], group["signature"]) for group in verdict["failures"]]
    assert ended.exit_code == case.exit_code == verdict["exit_code"], (verdict["sentence"], groups)
    if case.stage:
        assert [g for g in groups if g[0] == case.stage and case.signature.lower() in g[1].lower()], groups
    elif case.signature:
        told = verdict["sentence"] + ended.output + " ".join(signature for _, signature in groups)
        assert case.signature in told, told
    if case.cause:
        causes = str([cause for group in verdict["failures"] for cause in group["causes"]]).lower()
        assert case.cause in causes, verdict["failures"]


def page() -> str:
    lines = [
        "# Failures of the field",
        "",
        "What went wrong on real deployments, how to plant it in the reference backend, and how a load test tells it.",
        "Each row is a test (`tests/end_to_end/test_field_failures.py`), and this page is made from it.",
        "",
        "| what went wrong | fault | exit code | stage | told as |",
        "|---|---|---|---|---|",
    ]
    for case in CASES:
        told = case.signature or case.cause
        lines.append(f"| {case.what} | `{case.name}` | {case.exit_code} | {case.stage or '–'} | {told} |")
    return "\n".join(lines) + "\n"


def test_the_page_says_what_the_tests_hold() -> None:
    assert PAGE.read_text() == page()


if __name__ == "__main__":
    print(page(), end="")
