"""Where it broke, in every report: groups, an example with its timeline, causes, a query for the server's logs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import failures, sections_failures
from reports import verdict as verdicts
from reports.__main__ import main
from reports.build import build
from reports.junit import junit
from reports.log_query import DEFAULT, log_query
from reports.material import Material
from reports.summary import summary
from reports.terminal import closing
from reports.terminal_failures import groups
from tests.checks.histories import columns, connection
from tests.reports.records import make
from tests.reports.rows import HOSTILE, JWT
from tests.reports.rows_beside import BROKEN

Materials = Callable[..., Material]
Sections = Callable[..., dict[str, str]]
TIMEOUTS = {"timeouts": {"agent_timeout_s": 8.0, "receive_timeout_s": 10.0}}
WRONG: dict[str, Any] = {"broken": True, "timeouts": 2, "expectations": TIMEOUTS}
ONE: dict[str, Any] = {
    "example_connection": "local-c4",
    "example_trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "example_run": "run-7",
    "example_user": "k3f00004",
    "example_from_ns": 1_757_895_985_120_000_000,
    "example_until_ns": 1_757_895_993_120_000_000,
}


# --- the verdict ----------------------------------------------------------------------------------------------------


def test_the_verdict_lists_the_groups_the_most_frequent_first(material: Materials) -> None:
    found = material(**WRONG).verdict["failures"]
    assert [one["count"] for one in found] == sorted((one["count"] for one in found), reverse=True)
    assert {(one["stage"], one["signature"]) for one in found} >= set(BROKEN.values())
    assert found[0]["causes"][0]["name"] == "dispatch_exception"
    assert json.dumps(found)


def test_a_clean_load_test_has_an_empty_list_and_says_so_everywhere(material: Materials, sections: Sections) -> None:
    made = material()
    assert made.verdict["failures"] == []
    assert "No run and no connection failed." in sections()["failures"]
    assert groups(made, colour=False) == "no run and no connection failed\n"
    assert "Where it broke" not in summary(made, [])
    assert "broke at" not in closing(made, colour=False, shown_as="x")
    assert "See where it broke" not in sections()["first"]


def test_groups_that_cannot_be_made_leave_the_verdict_as_it_is(
    material: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("planted")

    made = material(**WRONG)
    monkeypatch.setattr(verdicts, "failures_of", broken)
    again, _ = verdicts.judged(made.record)
    assert again["failures"] == []
    assert "planted" in again["failures_problem"]
    assert again["exit_code"] == made.verdict["exit_code"]
    text = sections_failures.where_it_broke(Material(made.folder, made.record, again, made.tally), {})
    assert "planted" in text


def test_a_verdict_holds_fifty_groups_at_most() -> None:
    rows = [connection(n, outcome="failed", stage="upgrade", error="x" * n, ready_ns=None) for n in range(1, 61)]
    tables = {name: columns(name, rows if name == "connections" else []) for name in failures.TABLES}
    record = SimpleNamespace(run={}, table=tables.__getitem__)
    assert len(failures.failures_of(record)) == 50  # type: ignore[arg-type]


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_section_shows_stages_groups_causes_and_queries(sections: Sections, material: Materials) -> None:
    text = sections(**WRONG)["failures"]
    assert '<li class="broke"><b>2</b><span>send</span></li>' in text
    assert text.count('class="violation broke"') == 5
    for one in material(**WRONG).verdict["failures"]:
        assert one["signature"] in text
        for cause in one["causes"]:
            assert cause["look_at"].replace("'", "&#x27;") in text
        assert one["log_query"] in text


def test_where_it_broke_stands_before_the_limits_and_behind_a_leak(sections: Sections) -> None:
    order = list(sections(**WRONG))
    assert order.index("failures") < order.index("limits")
    assert "See where it broke" in sections(**WRONG)["first"]
    leaking = list(sections(leak=True))
    assert leaking.index("violations") < leaking.index("failures") < leaking.index("limits")
    lossy = list(sections(missing=True))
    assert lossy.index("failures") < lossy.index("violations") < lossy.index("limits")


def test_an_example_without_events_shows_the_steps_of_its_connection(sections: Sections) -> None:
    text = sections(**WRONG)["failures"]
    assert "<dt>close 1011, by the peer</dt><dd>12.0\u202fms</dd>" in text
    assert "<dt>prompt sent; no event came</dt>" in text
    assert "<dt>given up</dt><dd>8\u202f020\u202fms</dd>" in text


def test_the_example_of_a_group_is_drawn_up_to_where_it_was_given_up(material: Materials) -> None:
    plots = {plot.name: plot for plot in sections_failures.all_plots(material(**WRONG))}
    assert plots  # the runs that timed out after some events
    assert all("silence after" in plot.title and "no end" in plot.title for plot in plots.values())
    assert sections_failures.all_plots(material()) == []


def test_the_page_holds_the_drawn_examples(tmp_path: Path) -> None:
    folder = make(tmp_path / "wrong", users=6, runs_per_user=3, **WRONG)
    assert build(folder) == []
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "An example of “agent timeout: silence after" in text
    assert ">silence, 7." in text
    assert sorted(path.name for path in (folder / "plots").glob("failure_*.png"))


def test_many_groups_are_bounded_on_the_page(material: Materials) -> None:
    made = material(**WRONG)
    many = [{**made.verdict["failures"][0], "signature": f"signature {n}"} for n in range(30)]
    text = sections_failures.where_it_broke(
        Material(made.folder, made.record, {**made.verdict, "failures": many}, made.tally), {}
    )
    assert text.count('class="violation broke"') == sections_failures.IN_FULL
    assert f"{30 - sections_failures.IN_FULL} more" in text
    assert "signature 29" in text


def test_what_a_peer_said_cannot_become_part_of_the_page(material: Materials) -> None:
    made = material(**WRONG)
    one = {**made.verdict["failures"][0], "signature": HOSTILE, "shown": [HOSTILE], "log_query": HOSTILE}
    changed = Material(made.folder, made.record, {**made.verdict, "failures": [one]}, made.tally)
    assert "<script" not in sections_failures.where_it_broke(changed, {})
    assert "<script" not in summary(changed, []).replace(f"```text\n{HOSTILE}\n```", "")


# --- the other reports ----------------------------------------------------------------------------------------------


def test_the_closing_summary_has_one_line_for_the_top_group(material: Materials) -> None:
    lines = closing(material(**WRONG), colour=False, shown_as="x").splitlines()
    [line] = [line for line in lines if line.startswith("broke at")]
    assert line.startswith("broke at    send: close 1011 before any e")
    assert "2 connections · likely: dispatch exception (+4 more)" in line
    assert len(line) <= 100


def test_the_line_keeps_its_cause_where_the_signature_is_long(material: Materials) -> None:
    made = material(**WRONG)
    one = {**made.verdict["failures"][0], "signature": "a very long story " * 20}
    changed = Material(made.folder, made.record, {**made.verdict, "failures": [one]}, made.tally)
    text = closing(changed, colour=False, shown_as="x")
    assert "… · 2 connections · likely: dispatch exception\n" in text
    assert text.endswith("report      x/report.html\n")


def test_the_closing_summary_gives_way_at_the_limits_only(material: Materials) -> None:
    """However much failed, each line of its own is there, and what is hidden is counted."""
    made = material(**WRONG)
    [bad] = [one for one in made.verdict["limits"] if one["name"] == "runs completed"]
    full = {
        "sentence": "a long sentence " * 40,
        "limits": [bad] * 20,
        "since": {"previous": "20250914-smoke", "fixed": [], "still": [], "new": [], "loosened": ["a", "b", "c"]},
    }
    lines = closing(Material(made.folder, made.record, made.verdict | full, made.tally), colour=False, shown_as="x")
    heads = [line.split(" ")[0] for line in lines.splitlines()]
    assert len(heads) <= 24
    assert [head for head in heads if head in ("broke", "isolation", "events", "since", "report")] == [
        "broke", "isolation", "events", "since", "report",
    ]  # fmt: skip
    assert f"and {20 - heads.count('FAIL')} more, in the report" in lines


def test_the_summary_tells_the_first_groups_and_their_queries(material: Materials) -> None:
    text = summary(material(**WRONG), [])
    assert text.index("### Where it broke") < text.index("Isolation:")
    assert "| send | close 1011 before any event | 2 connections (8.33 % of all), 1 user |" in text
    assert "- *likely*: An exception in the handler at dispatch" in text
    assert text.count("```text") == failures.listed(material(**WRONG).verdict).__len__()


def test_a_query_cannot_end_its_block_in_the_summary(material: Materials) -> None:
    made = material(**WRONG)
    one = {**made.verdict["failures"][0], "log_query": "a ``` b"}
    text = summary(Material(made.folder, made.record, {**made.verdict, "failures": [one]}, made.tally), [])
    assert "````text\na ``` b\n````" in text


def test_failed_cases_tell_the_groups_behind_them(material: Materials) -> None:
    root = ET.fromstring(junit(material(**WRONG)))
    texts = {case.get("name"): (case[0].text or "") for case in root.iter("testcase") if len(case)}
    assert "send: close 1011 before any event" in texts["runs completed"]
    assert "look at   The first exception after the welcome" in texts["runs completed"]
    assert "upgrade: HTTP 404 instead of 101" in texts["valid tokens accepted"]
    assert "HTTP 404" not in texts["runs completed"]


@pytest.mark.parametrize(
    ("about", "signature", "stage", "expected"),
    [
        ("missing", "missing thinking", "thinking", True),
        ("missing", "two ends", "late", False),
        ("two_ends", "two ends", "late", True),
        ("late", "late", "late", True),
        ("close_1011", "close 1011 before any event", "send", True),
        ("connections_lost", "close 1011 before the welcome", "authenticate", False),
        ("connections_lost", "close 1006 in mid-run", "stream", True),
        ("bad_tokens_rejected", "forged token accepted", "authenticate", True),
        ("tokens_accepted", "forged token accepted", "authenticate", False),
        ("channel 2", "foreign_content, channel 2", "stream", True),
        ("channel 2", "foreign_content, channel 20", "stream", False),
        ("service_time_ms", "missing chunk", "stream", False),
    ],
)
def test_which_groups_are_behind_a_failed_case(about: str, signature: str, stage: str, expected: bool) -> None:
    one = {"signature": signature, "stage": stage, "runs": 1}
    assert (failures.explaining({"failures": [one]}, about) == [one]) is expected


def test_failures_on_the_terminal(material: Materials) -> None:
    text = groups(material(**WRONG), colour=False)
    assert text.startswith("send: close 1011 before any event\n  2 connections (8.33 % of all), 1 user; first ")
    assert "\n  likely    An exception in the handler at dispatch" in text
    assert text.count("\n  logs      trace_id=") == 5
    wrapped = [line for line in text.splitlines() if not line.startswith("  logs ")]
    assert max(map(len, wrapped)) <= 100
    assert "\x1b" not in text
    assert groups(material(**WRONG), colour=True).startswith("\x1b[1msend: close 1011")


def test_show_failures_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "wrong", users=2, runs_per_user=2, log_query="q={run_id}", broken=True)
    assert main(["show", str(folder), "--failures"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("send: close 1011 before any event\n")
    assert "\n  logs      q=run-broken-2-0\n" in said


# --- the query ------------------------------------------------------------------------------------------------------


def test_a_template_is_filled_from_the_example() -> None:
    template = '{app="chat"} |= "{trace_id}" {user_id} {run_id} {connection_id} [{from}, {to}] {unknown}'
    assert log_query(template, ONE) == (
        '{app="chat"} |= "4bf92f3577b34da6a3ce929d0e0e4736" k3f00004 run-7 local-c4 '
        "[2025-09-15T00:26:24.120Z, 2025-09-15T00:26:34.120Z] {unknown}"
    )


def test_without_a_template_there_is_the_default() -> None:
    assert log_query("", ONE) == log_query(DEFAULT, ONE)
    assert log_query("", ONE).startswith("trace_id=4bf92f3577b34da6a3ce929d0e0e4736 from=2025-09-15T00:26:24.120Z to=")


@pytest.mark.parametrize("template", ["{trace_id}", "{trace_id.__class__}", "{0}", "{}", "{trace_id!r}"])
def test_only_the_names_that_are_known_are_filled(template: str) -> None:
    expected = ONE["example_trace_id"] if template == "{trace_id}" else template
    assert log_query(template, ONE) == expected


@given(st.text(max_size=40))
def test_an_id_cannot_break_out_of_the_query(hostile: str) -> None:
    """Some backends choose ids themselves: they may contain anything."""
    filled = log_query('"{run_id}"', {**ONE, "example_run": hostile})
    assert re.fullmatch(r'"[A-Za-z0-9._:@+-]*"', filled)


@given(st.sampled_from(["example_run", "example_user", "example_trace_id", "example_connection"]))
def test_no_token_is_in_a_query(key: str) -> None:
    filled = log_query("{run_id} {user_id} {trace_id} {connection_id} Bearer " + JWT, {**ONE, key: f"x {JWT}"})
    assert "eyJ" not in filled
    assert JWT.rpartition(".")[2] not in filled


def test_the_template_of_the_record_is_used(material: Materials) -> None:
    made = material(broken=True, log_query="user={user_id}")
    assert made.verdict["failures"][0]["log_query"] == "user=k3f00020"
