"""Each form of a leak in every shape: A talks, B's account has the fault, and what is A's is on B's wire, once, where
the catalogue says. One process has all of them, each for an account of its own; what B hears is undone by hand here.
"""

import base64
import binascii
import codecs
import gzip
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

import pytest

from crosstalk.backend.catalogue import BY_NAME
from crosstalk.backend.catalogue_leaks import LEAKS
from tests.backend.client import Backend, backend
from tests.backend.shapes import ENDS, SHAPES, Heard, Talk, kinds, streamed, talk

#: tested with the faults that all shapes had from the first day
ELSEWHERE = ("leak_wrong_socket", "leak_run_id", "leak_cache", "leak_handoff", "leak_cross_thread", "leak_after_end")
NAMES = [fault.name for fault in LEAKS]
ACCOUNT = {name: number for number, name in enumerate(NAMES, start=1)}
A, B = "user-0900", "user-0901"
WORDS = "look up and hand over"


def leaking(time_scale: str):
    arguments = [part for name in NAMES for part in ("--fault", f"{name}:1:{ACCOUNT[name]}")]
    return backend("--time-scale", time_scale, *arguments)


@pytest.fixture(scope="module")
def leaky() -> Iterator[Backend]:
    with leaking("0.02") as process:
        yield process


@pytest.fixture(scope="module")
def unhurried() -> Iterator[Backend]:
    """A long answer takes half a second here: long enough for another run, or a cancel, to fall into it."""
    with leaking("0.2") as process:
        yield process


def cases(*faults):
    table = [(fault, shape) for fault in faults for shape in SHAPES if BY_NAME[fault].applies(shape)]
    return pytest.mark.parametrize(("fault", "shape"), table)


def mark_of(*parts: str) -> str:
    """A reference as the harness makes them, another for each case: 36 letters and digits."""
    return "ctlk" + base64.b32encode(sha256(":".join(parts).encode()).digest()).decode().lower()[:32]


def own_of(*parts: str) -> str:
    return mark_of("own", *parts)


def say(words: str, reference: str) -> str:
    return f"{words}. Please repeat this reference: {reference}"


def user_of(fault: str) -> str:
    return f"user-{ACCOUNT[fault]:04}"


def after_a(process: Backend, fault: str, shape: str, words: str = WORDS) -> tuple[str, list[Heard], Talk]:
    """A's reference, what B heard of a run of its own after A's, and B with its socket closed."""
    mark = mark_of(fault, shape)
    with talk(process, shape, A) as a, talk(process, shape, user_of(fault)) as b:
        a.run(say("look up", mark))
        frames = b.run(say(words, own_of(fault, shape)))
        while fault == "late_foreign_event" and frames[-1].kind != "chunk":
            frames.append(b.read())
    return mark, frames, b


def plain(frame: Heard) -> str:
    """Its JSON with all escapes of JSON undone."""
    return json.dumps(frame.frame, ensure_ascii=False) + frame.text


def undone_base64(word: str) -> str:
    try:
        return base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def undone_gzip(word: str) -> str:
    try:
        return gzip.decompress(base64.b64decode(word)).decode()
    except (binascii.Error, OSError, EOFError):
        return ""


#: fault → the kinds of frames that show it as it is; per_run's text is out of its base64 already
PLAIN = {
    "leak_content": {"thinking", "chunk", "completed"},
    "leak_thought": {"thinking"},
    "leak_final_text": {"completed"},
    "leak_key": {"thinking"},
    "leak_nested": {"thinking", "chunk", "completed"},
    "leak_binary_frame": {"binary"},
    "leak_tool_arguments": {"call"},
    "leak_tool_result": {"result"},
    "interleaved_stream": {"chunk"},
    "late_foreign_event": {"chunk"},
    "leak_progress": {"progress_update", "CUSTOM", "progress"},
    "leak_notification": {"thread_updated", "STATE_SNAPSHOT", "conversation.updated"},
    "leak_unknown_event": {"debug_dump", "DEBUG_DUMP", "debug"},
}
#: fault → what undoes it
UNDO: dict[str, Callable[[str], str]] = {
    "leak_case": str.lower,
    "leak_base64": undone_base64,
    "leak_base64url": undone_base64,
    "leak_hex": lambda word: bytes.fromhex(word).decode() if re.fullmatch(r"([0-9a-f]{2})+", word) else "",
    "leak_url": unquote,
    "leak_html": html.unescape,
    "leak_rot13": lambda word: codecs.decode(word, "rot13"),
    "leak_reversed": lambda word: word[::-1],
    "leak_separated": lambda word: word.replace("-", ""),
    "leak_zero_width": lambda word: word.replace("\u200b", ""),
    "leak_fullwidth": lambda word: unicodedata.normalize("NFKC", word),
    "leak_utf16": lambda word: word.replace("\\u0000", ""),
    "leak_compressed": undone_gzip,
    "leak_two_layers": lambda word: undone_base64(word)[::-1],
}


@cases(*PLAIN)
def test_words_of_another(leaky, fault, shape):
    mark, frames, _b = after_a(leaky, fault, shape)
    shown = [frame for frame in frames if mark in plain(frame)]
    assert len(shown) == 1
    assert shown[0].kind in PLAIN[fault]
    assert own_of(fault, shape) in "".join(frame.text for frame in frames if frame.kind == "chunk")
    ended = [frame.kind in ENDS and not frame.nested for frame in frames].index(True)
    assert (frames.index(shown[0]) > ended) is (fault == "late_foreign_event")


@cases(*UNDO)
def test_rewritten_words_of_another(leaky, fault, shape):
    mark, frames, _b = after_a(leaky, fault, shape, "hello")
    assert not [frame for frame in frames if mark in plain(frame)]
    words = [word for frame in frames if frame.kind == "thinking" for word in re.split(r'[\s"]', plain(frame))]
    assert sum(mark in UNDO[fault](word) for word in words) == 1


@cases("leak_partial", "leak_tail")
def test_a_part_of_anothers_reference(leaky, fault, shape):
    mark, frames, _b = after_a(leaky, fault, shape, "hello")
    part = mark[:28] if fault == "leak_partial" else mark[-18:]
    shown = [frame for frame in frames if part in plain(frame)]
    assert [frame.kind for frame in shown] == ["thinking"]
    assert mark not in plain(shown[0])


@cases("leak_json_escaped")
def test_escapes_are_in_the_bytes(leaky, fault, shape):
    mark, frames, _b = after_a(leaky, fault, shape, "hello")
    (shown,) = [frame for frame in frames if mark in plain(frame)]
    assert mark not in shown.raw
    assert "".join(f"\\u{ord(char):04x}" for char in mark) in shown.raw


@cases("leak_split_chunks")
def test_letters_in_chunks(leaky, fault, shape):
    mark, frames, _b = after_a(leaky, fault, shape, "hello")
    chunks = [frame for frame in frames if frame.kind == "chunk"]
    assert mark in streamed(frames)
    assert max(len(chunk.text) for chunk in chunks if chunk.text in mark) <= 4
    assert mark not in frames[-1].text
    assert streamed(frames).replace(mark, "", 1) == frames[-1].text
    if shape == "netra":
        assert [chunk.frame["data"]["chunk_index"] for chunk in chunks] == list(range(len(chunks)))


@cases("interleaved_stream")
def test_the_stream_is_torn(leaky, fault, shape):
    _mark, frames, _b = after_a(leaky, fault, shape, "hello")
    assert streamed(frames) != frames[-1].text
    if shape == "netra":
        numbers = [frame.frame["data"]["chunk_index"] for frame in frames if frame.kind == "chunk"]
        assert numbers != sorted(set(numbers))


@cases("late_foreign_event")
def test_the_late_event_is_anothers(leaky, fault, shape):
    _mark, frames, b = after_a(leaky, fault, shape, "hello")
    if shape == "netra":
        assert (frames[-1].frame["run_id"], frames[-1].frame["user_id"]) == (frames[0].frame["run_id"], A)
    assert b.close_code == (1000 if shape == "per_run" else None)


@cases("leak_ping")
def test_a_ping_with_anothers_words(leaky, fault, shape):
    mark, frames, b = after_a(leaky, fault, shape, "hello")
    assert b.socket
    assert [mark in ping.decode() for ping in b.socket.pings] == [True]
    assert not [frame for frame in frames if mark in plain(frame)]


@pytest.mark.parametrize("fault", ["leak_ping", "fan_out_missing"])
def test_what_is_kept_for_those_who_resume_is_every_event(leaky, fault):
    user = user_of(fault)
    with talk(leaky, "netra", A) as a, talk(leaky, "netra", user) as b, talk(leaky, "netra", user):
        a.run(say("hello", mark_of("resume", fault)))
        frames = b.run("hello")
        _status, answer, _headers = leaky.http("GET", "/api/connections", user=b.user)
    kept = [one["events"] for one in answer["connections"] if one["open"]]
    assert kept == [len(frames)] * 2


@cases("leak_batch")
def test_a_batch_holds_anothers_event(leaky, fault, shape):
    mark, frames, b = after_a(leaky, fault, shape, "hello")
    (batch,) = [frame for frame in frames if frame.kind == "event_batch"]
    assert [event["user_id"] for event in batch.frame["events"]] == [b.user, A]
    assert mark in json.dumps(batch.frame["events"][1])
    assert not [frame for frame in frames if frame is not batch and mark in plain(frame)]


# --- ids ------------------------------------------------------------------------------------------------------------


@cases("leak_thread_id", "leak_user_id", "leak_message_id")
def test_an_id_of_another(leaky, fault, shape):
    with talk(leaky, shape, A) as a, talk(leaky, shape, user_of(fault)) as b:
        theirs = a.run("hello", message_id="theirs")
        name = {"netra": fault.removeprefix("leak_"), "agui": "threadId"}[shape]
        foreign = theirs[0].frame.get(name)
        if fault == "leak_message_id":
            name, foreign = "request_id", "theirs"
        frames = b.run("hello", message_id="own")
        assert foreign is not None
        assert [frame.frame.get(name) for frame in frames].count(foreign) == 1
        assert [frame.frame.get(name) for frame in b.run("hello", message_id="own")].count(foreign) == 1


@cases("leak_user_name")
def test_the_name_of_another(leaky, fault, shape):
    with talk(leaky, shape, A) as a, talk(leaky, shape, user_of(fault)) as b:
        a.run("hello")
        assert [frame.kind for frame in b.run("hello") if A in frame.raw] == ["thinking"]


# --- whose words the agent takes for whose --------------------------------------------------------------------------


@cases("leak_profile", "leak_context", "leak_memory")
def test_what_another_gave_is_used(leaky, fault, shape):
    mark = mark_of(fault, shape)
    gives = {"leak_profile": {"name": mark}, "leak_context": {"reference": mark}, "leak_memory": {}}[fault]
    words = "what did I say before" if fault == "leak_memory" else "hello"
    with talk(leaky, shape, A) as a, talk(leaky, shape, user_of(fault)) as b, talk(leaky, shape, B) as clean:
        a.run("hello" if gives else say("hello", mark), **gives)
        assert mark not in streamed(clean.run(words))
        frames = b.run(words)
        assert mark in streamed(frames)
        assert frames[-1].text == streamed(frames)
        if fault == "leak_context":
            assert mark not in streamed(b.run(words, reference=own_of(fault, shape)))
        if fault == "leak_memory":
            assert mark not in streamed(b.run("hello"))


@cases("swapped_runs")
def test_a_run_ends_with_the_text_of_a_newer_one(unhurried, fault, shape):
    old, new = own_of(fault, shape, "old"), own_of(fault, shape, "new")
    with talk(unhurried, shape, user_of(fault)) as one, talk(unhurried, shape, user_of(fault)) as two:
        one.start(say("long answer", old))
        first = one.read()
        assert first.kind == "started"
        two.start(say("hello", new))
        frames = one.hear()
        while not ended(frames, first):
            frames += one.hear()
        two.more(0.05)
    (end,) = [frame for frame in frames if frame.kind == "completed" and same_run(frame, first) and not frame.nested]
    assert new in end.text
    assert old not in end.text


def same_run(frame: Heard, first: Heard) -> bool:
    """netra's sockets hear all runs of their user; those of the other shapes one."""
    return frame.frame.get("run_id") == first.frame.get("run_id")


def ended(frames: list[Heard], first: Heard) -> bool:
    return any(frame.kind == "completed" and not frame.nested and same_run(frame, first) for frame in frames)


@cases("poisoned_pool")
def test_the_answer_of_a_cancelled_run_is_read_by_the_next_user(unhurried, fault, shape):
    mark = mark_of(fault, shape)
    with (
        talk(unhurried, shape, A) as a,
        talk(unhurried, shape, user_of(fault)) as b,
        talk(unhurried, shape, B) as clean,
    ):
        a.run(say("hello", mark_of("unread", shape)))
        assert mark_of("unread", shape) not in streamed(b.run("hello"))
        a.start(say("long answer", mark))
        first = a.read()
        a.cancel(first.frame.get("run_id") or first.frame.get("runId") or a.run_id)
        assert a.hear()[-1].kind == "failed"
        assert mark not in streamed(clean.run("hello"))
        assert mark in streamed(b.run(say("hello", own_of(fault, shape))))
        assert own_of(fault, shape) in streamed(b.run(say("hello", own_of(fault, shape))))


@cases("colliding_run_ids")
def test_answers_are_kept_by_run_id(leaky, fault, shape):
    mark = mark_of(fault, shape)
    with talk(leaky, shape, A) as a, talk(leaky, shape, user_of(fault)) as b, talk(leaky, shape, B) as clean:
        a.run(say("hello", mark), run_id="run-1")
        assert mark not in streamed(clean.run(say("hello", own_of(fault, shape)), run_id="run-1"))
        a.run(say("hello", mark), run_id="run-2")
        frames = b.run(say("hello", own_of(fault, shape)), run_id="run-2")
        assert mark in streamed(frames)
        assert mark not in streamed(b.run("hello", run_id="run-3"))


# --- sockets --------------------------------------------------------------------------------------------------------


@cases("leak_broadcast")
def test_everybody_hears_it(unhurried, fault, shape):
    with ExitStack() as stack:
        others = [stack.enter_context(talk(unhurried, shape, user)) for user in (A, A, B)]
        if shape == "per_run":
            for one in others:
                one.start("long answer")
                one.read()
        with talk(unhurried, shape, user_of(fault)) as sender:
            sent = {frame.raw for frame in sender.run("hello")}
        for one in others:
            got = [frame.raw for frame in (one.hear() if shape == "per_run" else one.more(0.05))]
            assert len(sent & set(got)) >= 1


@cases("latest_handler")
def test_the_newest_socket_gets_the_events(unhurried, fault, shape):
    with talk(unhurried, shape, user_of(fault)) as one:
        one.start(say("long answer", own_of(fault, shape)))
        assert one.read().kind == "started"
        with talk(unhurried, shape, B) as newest:
            if shape == "per_run":
                # Two runs speak on one socket, and each counts its own frames.
                numbers = [frame.frame["seq"] for frame in newest.run("long answer")]
                assert len(set(numbers)) < len(numbers)
            else:
                assert own_of(fault, shape) in newest.hear()[-1].text
                assert "completed" not in kinds(one.more(0.05))


@cases("fan_out_missing")
def test_the_second_socket_misses_an_event(leaky, fault, shape):
    with talk(leaky, shape, user_of(fault)) as first, talk(leaky, shape, user_of(fault)) as second:
        all_of_it = [frame.raw for frame in first.run("hello")]
        rest = [frame.raw for frame in second.hear()]
    assert len(all_of_it) - len(rest) == 1
    assert set(rest) < set(all_of_it)


# --- and nowhere else -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_another_account_of_the_same_backend_sees_nothing(leaky, shape):
    mark = mark_of("nobody", shape)
    with talk(leaky, shape, A) as a, talk(leaky, shape, B) as b:
        a.run(say("look up", mark), reference=mark, name=mark)
        for words in (WORDS, "what did I say before", "failing tool", "impossible"):
            own = own_of(words, shape)
            frames = b.run(say(words, own))
            assert not [frame for frame in frames if mark in plain(frame) or mark[-18:] in plain(frame)]
            assert words == "impossible" or streamed(frames) == frames[-1].text
            assert b.socket
            assert getattr(b.socket, "pings", []) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_with_nobody_else_there_is_no_opportunity(shape):
    alone = [part for name in NAMES if name != "leak_cross_thread" for part in ("--fault", name)]
    with backend("--time-scale", "0.02", *alone) as process, talk(process, shape, B) as b:
        for words in (WORDS, "what did I say before", "hello"):
            frames = b.run(say(words, own_of(words, shape)), name="somebody")
            assert streamed(frames) == frames[-1].text
        assert "bites" not in process.log.read_text()


def test_leaks_do_not_trip_over_each_other():
    together = [part for name in NAMES for part in ("--fault", f"{name}:0.7")]
    with backend("--time-scale", "0.02", *together) as process:
        for shape in SHAPES:
            with talk(process, shape, A) as a, talk(process, shape, B) as b:
                for words in (WORDS, "what did I say before", "impossible", "hello", "compare"):
                    for one in (a, b):
                        one.start(say(words, mark_of(one.user)), name=one.user, reference=mark_of(one.user, words))
                    for one in (a, b):
                        one.more(0.1)
        log = process.log.read_text()
    assert "Traceback" not in log
    assert {name for name, _ in re.findall(r"fault (\w+) bites user user-(\d+), ", log)} > set(PLAIN) | set(UNDO)


def test_each_leak_bit_at_its_account_and_only_there(leaky, unhurried):
    bites = re.findall(r"fault (\w+) bites user user-(\d+), ", leaky.log.read_text() + unhurried.log.read_text())
    assert {(name, int(number)) for name, number in bites} <= set(ACCOUNT.items())
    assert {name for name, _ in bites} >= set(NAMES) - set(ELSEWHERE)


def test_every_leak_is_tested_here_or_with_the_other_faults():
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in NAMES if f'"{name}"' not in source] == []
