"""The roll of workers: who is there, silent, gone or back, and what is said of one that was lost."""

import os
import subprocess
from types import SimpleNamespace

import pytest

import crosstalk.roll as roll_module
from crosstalk.prompts import Prompts
from crosstalk.roll import Roll, introduction, reason_not_to_begin, terms
from crosstalk.wire.netra import Netra

SECOND = 1_000_000_000


@pytest.fixture
def now(monkeypatch):
    """The clock of the process that keeps the record, in the test's hands."""
    time = SimpleNamespace(ns=1_000 * SECOND)
    monkeypatch.setattr(roll_module, "clock", SimpleNamespace(now_ns=lambda: time.ns))
    return time


@pytest.fixture
def roll(now):
    return Roll({}, now.ns)


def beat(received=0, *, worker="w1", pid=None, place="elsewhere", at_ns=None):
    said = {**introduction(), "worker": worker, "pid": pid or os.getpid(), "place": place, "host": "host-b"}
    return {**said, "events_received": received, **({} if at_ns is None else {"at_ns": at_ns})}


@pytest.fixture
def ended():
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_who_is_heard_is_there_with_host_process_and_time(roll, now):
    now.ns += 3 * SECOND
    roll.heard(beat(), "node-1")
    assert roll.workers["w1"] == {"host": "host-b", "pid": os.getpid(), "node": "node-1", "joined_s": 3.0}
    assert roll.look() == []


def test_silence_is_said_once_and_so_is_its_end(roll, now):
    roll.heard(beat(), "node-1")
    for _ in range(3):
        now.ns += SECOND
        assert roll.look() == []
    now.ns += SECOND
    assert roll.look() == [f"worker w1 (host-b, pid {os.getpid()}) has said nothing for 4 s"]
    now.ns += SECOND
    assert roll.look() == []
    roll.heard(beat(), "node-1")
    assert roll.look() == [f"worker w1 (host-b, pid {os.getpid()}) is heard again"]
    assert roll.look() == []


def test_who_was_away_itself_calls_nobody_silent(roll, now):
    roll.heard(beat(), "node-1")
    now.ns += 10 * SECOND
    assert roll.look() == []
    for _ in range(3):
        now.ns += SECOND
        assert roll.look() == []
    now.ns += SECOND
    assert "has said nothing for 4 s" in roll.look()[0]  # of which it knows


def test_a_process_of_this_machine_that_has_ended_is_gone_at_once(roll, now, ended):
    roll.heard(beat(pid=ended, place=introduction()["place"]), "node-1")
    assert roll.look() == [f"worker w1 (host-b, pid {ended}) is gone: its process has ended"]
    assert roll.is_gone("w1")
    now.ns += 10 * SECOND
    assert roll.look() == []  # that it is silent too goes without saying


def test_a_process_id_of_another_machine_says_nothing_here(roll, ended):
    roll.heard(beat(pid=ended, place="elsewhere"), "node-1")
    assert not roll.is_gone("w1")


def test_of_one_that_handed_everything_over_no_silence_is_told(roll, now):
    roll.heard(beat(), "node-1")["done"] = True
    now.ns += 60 * SECOND
    assert roll.look() == []


def test_a_lost_worker_has_numbers(roll, now):
    roll.heard(beat(), "node-1")
    now.ns += 10 * SECOND
    roll.heard(beat(1_200), "node-1")
    roll.heard(beat(1_100), "node-1")  # counts do not go back
    now.ns += 2 * SECOND
    text = roll.lost("w1", recorded=1_150, last_batch=7)
    assert text == (
        f"worker w1 (host-b, pid {os.getpid()}) was lost: it was heard last 10.0 s after the begin. It had said that "
        "it received 1,200 events; 1,150 are in the record, 50 are not. What it received later is not known: 2.0 s at "
        "most, some 240 events at its rate until then"
    )
    worker = roll.workers["w1"]
    assert (worker["lost"], worker["events_received"], worker["last_batch"]) == (True, 1_200, 7)
    assert (worker["last_heard_s"], worker["gap_s"]) == (10.0, 2.0)


def test_the_gap_of_one_whose_end_was_seen_goes_up_to_its_end(roll, now, ended):
    roll.heard(beat(10, pid=ended, place=introduction()["place"]), "node-1")
    now.ns += SECOND
    roll.look()
    now.ns += 30 * SECOND
    assert ": 1.0 s at most" in roll.lost("w1", recorded=10, last_batch=1)


def test_the_record_may_hold_more_than_was_said(roll):
    """A batch may come after the last beat."""
    roll.heard(beat(10), "node-1")
    text = roll.lost("w1", recorded=15, last_batch=1)
    assert "received 15 events; 15 are in the record, 0 are not" in text


@pytest.mark.parametrize(("apart_s", "said"), [(40.0, "40.0 s behind"), (-7.5, "7.5 s ahead of")])
def test_clocks_that_are_apart_are_told_of_once(roll, now, apart_s, said):
    for on_its_way_s in (0.9, 0.0, 0.5):
        sent_ns = now.ns - int((apart_s + on_its_way_s) * SECOND)
        roll.heard(beat(at_ns=sent_ns), "node-1")
    assert roll.workers["w1"]["behind_s"] == apart_s  # of the quickest message
    [text] = roll.look()
    assert said in text and "host-b" in text
    assert roll.look() == []


def test_a_message_on_its_way_is_no_other_clock(roll, now):
    roll.heard(beat(at_ns=now.ns - SECOND // 2), "node-1")
    assert roll.look() == []


# --- what master and worker must have in common ---------------------------------------------------------------------


def settings(**other):
    return SimpleNamespace(**{"prompts": Prompts({}, {}), "dialect": Netra(), "accounts": (), **other})


def test_the_same_on_both_sides_begins():
    assert reason_not_to_begin(terms(settings()), settings(), "http://127.0.0.1:8000") == ""


def test_other_files_are_named():
    alice = SimpleNamespace(name="alice")
    other = settings(prompts=Prompts({}, {"a": 1.0}), accounts=(alice,))
    reason = reason_not_to_begin(terms(settings()), other, "http://127.0.0.1:8000")
    assert reason.startswith("its prompts and accounts differ from its master's")
    other = settings(dialect=type("Other", (Netra,), {})())
    assert "its dialect differs" in reason_not_to_begin(terms(settings()), other, "")


def test_another_version_comes_first():
    said = {**terms(settings()), "version": "0.0.9"}
    reason = reason_not_to_begin(said, settings(prompts=Prompts({}, {"a": 1.0})), "")
    assert "its master 0.0.9" in reason and "prompts" not in reason


@pytest.mark.parametrize(
    ("target", "reachable"),
    [
        ("http://127.0.0.1:8000", False),
        ("ws://localhost:8000", False),
        ("http://[::1]:8000", False),
        ("http://10.0.0.1:8000", True),
        ("wss://chat.example.org", True),
    ],
)
def test_a_loopback_target_is_on_the_masters_host_alone(target, reachable):
    said = {**terms(settings()), "network": "of another host"}
    assert (reason_not_to_begin(said, settings(), target) == "") == reachable


def test_no_secret_is_told():
    account = SimpleNamespace(name="alice", password="a very secret password", token="a very secret token")
    assert "secret" not in str(terms(settings(accounts=(account,))))
