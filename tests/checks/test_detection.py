"""The detection matrix from literal logs and sightings: what is caught, as what, when, and who is accused wrongly."""

from __future__ import annotations

from crosstalk.checks.detection import Bite, Detection, Planted, Sighting, detect, number_of, parse_bites

S = 1_000_000_000
LEAK = Planted("leak_content", "channel 2", "netra", "always", frozenset({0, 1}))
ASTRAY = Planted("leak_wrong_socket", "channel 1", "netra", "always", frozenset({2, 3}), goes_astray=True)
LOST = Planted("missing_event", "missing", "netra", "always", frozenset({4, 5}))
ALL = (LEAK, ASTRAY, LOST)


def bite(fault: str, number: int, run: str, at_s: float) -> Bite:
    return Bite(fault, f"k3f{number:05}", run, int(at_s * S))


def seen(
    label: str,
    observer: int,
    at_s: float,
    run: str = "",
    *,
    owner: int | None = None,
    owner_run: str = "",
    count: int = 1,
) -> Sighting:
    return Sighting(label, observer, owner, int(at_s * S), run, owner_run, count)


def matrix(
    bites: list[Bite], sightings: list[Sighting], *, outcomes: dict[str, str] | None = None, until_s: float = 100
) -> tuple[dict[str, Detection], list[Sighting]]:
    whole = outcomes if outcomes is not None else {one.what: "ok" for one in bites}
    rows, alarms = detect(
        ALL, bites, sightings, outcomes=whole, opportunities={1: 10, 2: 20}, until_ns=int(until_s * S)
    )
    return {row.planted.fault: row for row in rows}, alarms


def test_the_log_is_read_to_the_millisecond_and_other_lines_are_passed_over() -> None:
    log = (
        "2026-01-02T03:04:05.678Z INFO seed 7, faults: leak_content:1.0\n"
        "2026-01-02T03:04:05.678Z INFO fault leak_content bites user k3f00017, run-ab c\n"
        "1970-01-01T00:00:01.001Z INFO fault env_missing bites user unknown, GET /health\n"
        "Traceback: fault x bites user y, z\n"
    )
    first, second = parse_bites(log)
    assert first == Bite("leak_content", "k3f00017", "run-ab c", 1_767_323_045_678_000_000)
    assert (second.account, second.what, second.at_ns) == ("unknown", "GET /health", 1_001_000_000)
    assert number_of("k3f00017") == 17 and number_of("unknown") is None and number_of("a1234") is None


def test_a_caught_fault_says_as_what_and_how_soon() -> None:
    rows, alarms = matrix(
        [bite("leak_content", 0, "run-a", 1.0), bite("leak_content", 1, "run-b", 2.0)],
        [
            seen("channel 2", 0, 1.25, "run-a", owner=7),
            seen("text_differs", 0, 1.5, "run-a"),
            seen("channel 2", 1, 2.5, "run-b", count=4),
        ],
    )
    row = rows["leak_content"]
    assert (row.verdict, row.caught_as, row.seen) == ("caught", ("channel 2",), (("channel 2", 5), ("text_differs", 1)))
    assert (row.bites, row.runs_bitten, row.runs_caught) == (2, 2, 2)
    assert row.time_to_detection_ns == S // 4
    assert row.opportunities == 20
    assert alarms == []


def test_missed_wrongly_named_and_never_bitten_are_told_apart() -> None:
    rows, _ = matrix([bite("leak_content", 0, "run-a", 1), bite("missing_event", 4, "run-b", 1)], [seen("late", 4, 2)])
    assert rows["leak_content"].verdict == "missed"
    assert rows["leak_content"].time_to_detection_ns is None
    assert rows["missing_event"].verdict == "wrong name"
    assert rows["leak_wrong_socket"].verdict == "never bit"


def test_a_leak_under_the_wrong_channel_is_caught_in_its_runs_but_wrongly_named() -> None:
    rows, _ = matrix([bite("leak_content", 0, "run-a", 1)], [seen("channel 3", 0, 1, "run-a")])
    row = rows["leak_content"]
    assert (row.verdict, row.runs_bitten, row.runs_caught, row.caught_as) == ("wrong name", 1, 1, ())


def test_an_event_that_went_astray_belongs_to_the_fault_of_its_owner() -> None:
    rows, alarms = matrix(
        [bite("leak_wrong_socket", 2, "run-a", 1)],
        [seen("channel 1", 0, 1, owner=2, owner_run="run-a"), seen("channel 1", 9, 1, owner=2, owner_run="run-a")],
    )
    assert (rows["leak_wrong_socket"].runs_bitten, rows["leak_wrong_socket"].runs_caught) == (1, 1)
    assert rows["leak_wrong_socket"].seen == (("channel 1", 2),)
    assert rows["leak_content"].seen == ()
    assert alarms == []


def test_whoever_has_no_fault_and_is_accused_is_a_false_alarm() -> None:
    accused = seen("channel 2", 8, 1, "run-z", owner=9)
    rows, alarms = matrix([], [accused, seen("late", 8, 1)])
    assert alarms == [accused, seen("late", 8, 1)]
    assert all(row.seen == () for row in rows.values())


def test_what_leaks_out_of_a_faults_accounts_is_not_its_own_doing() -> None:
    """Fault A shows what is an account's of fault B, in a run that B bit: that says nothing of B."""
    rows, alarms = matrix(
        [
            bite("missing_event", 4, "run-a", 1),
            bite("leak_content", 0, "run-b", 1),
            bite("leak_content", 1, "run-c", 1),
        ],
        [seen("channel 2", 4, 1.5, "run-a", owner=0, owner_run="run-b")],
    )
    assert rows["leak_content"].verdict == "missed" and rows["leak_content"].runs_caught == 0
    assert rows["missing_event"].seen == (("channel 2", 1),)
    assert alarms == []


def test_a_run_that_something_strayed_into_and_is_not_whole_is_no_false_alarm() -> None:
    rows, alarms = matrix(
        [bite("leak_wrong_socket", 2, "run-a", 1)],
        [
            seen("text_differs", 9, 0.5, "run-z"),
            seen("channel 1", 9, 1, "run-z", owner=2, owner_run="run-a"),
            seen("late", 9, 3, "run-y"),
        ],
    )
    assert rows["leak_wrong_socket"].seen == (("channel 1", 1), ("text_differs", 1))
    assert [one.label for one in alarms] == ["late"]


def test_a_fault_that_never_bit_explains_nothing() -> None:
    rows, alarms = matrix([], [seen("channel 2", 0, 1)])
    assert rows["leak_content"].verdict == "never bit"
    assert len(alarms) == 1


def test_a_fault_with_a_load_test_of_its_own_has_all_that_was_said() -> None:
    alone = Planted("startup_slow", "not ready", "netra", "always", None)
    sightings = [Sighting("not ready", None, None, 3 * S)]
    [row], alarms = detect(
        [alone], [Bite("startup_slow", "unknown", "/ws", S)], sightings, outcomes={}, opportunities={}, until_ns=9 * S
    )
    assert (row.verdict, row.time_to_detection_ns, row.runs_bitten, alarms) == ("caught", 2 * S, 0, [])


def test_runs_that_were_cut_or_bitten_too_late_are_not_asked_for() -> None:
    bites = [bite("missing_event", 4, run, at) for run, at in (("run-a", 1), ("run-b", 2), ("run-c", 9))]
    outcomes = {"run-a": "violated", "run-b": "cut", "run-c": "ok"}
    rows, _ = matrix(bites, [seen("missing", 4, 1.5, "run-a")], outcomes=outcomes, until_s=8)
    assert (rows["missing_event"].runs_bitten, rows["missing_event"].runs_caught) == (1, 1)


def test_a_sighting_without_a_run_speaks_for_its_accounts_newest_bitten_run() -> None:
    bites = [
        bite("leak_content", 0, "run-a", 1),
        bite("leak_content", 0, "run-b", 5),
        bite("leak_content", 1, "run-c", 1),
    ]
    rows, _ = matrix(bites, [seen("channel 2", 0, 5.5)])
    assert (rows["leak_content"].runs_bitten, rows["leak_content"].runs_caught) == (3, 1)


def test_bounds_of_the_share_are_those_of_the_runs() -> None:
    bites = [bite("leak_content", 0, f"run-{n}", n) for n in range(20)]
    rows, _ = matrix(bites, [seen("channel 2", 0, n, f"run-{n}") for n in range(20)])
    low, high = rows["leak_content"].share_95
    assert 0.85 < low < 0.87 and high == 1.0


def test_words_of_the_catalogue_stand_for_what_the_checks_say() -> None:
    assert Planted("x", "channel 1, timeout", "netra", "always", None).expected[:2] == ("channel 1", "silent")
    in_tools = Planted("x", "channel 2, 4 in its tools", "netra", "always", None)
    assert in_tools.expected == ("channel 2", "channel 4")
    assert Planted("x", "something new", "netra", "always", None).expected == ("something new",)
