"""new_dialect: what it guesses from exchanges, and that what it writes for the reference backend's shapes works."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from crosstalk.tools.new_dialect import main
from crosstalk.tools.new_dialect_guess import guess, place_of
from crosstalk.tools.new_dialect_record import filled, filled_call, frames_file
from crosstalk.tools.new_dialect_seen import Exchange, Recording, split_call, words
from crosstalk.tools.new_dialect_write import dialect_source, load, places
from crosstalk.wire.dialect import Call, Place, Turn
from crosstalk.wire.event import Event, Kind
from tests.backend.client import ROOT, SECRET, backend, mint
from tests.end_to_end.locust_process import environment

SAID = {"op": "say", "words": "{prompt}", "where": "{thread_id}", "run": "{run_id}"}
TURN = Turn(text="Hello {you}", user_id="u1", thread_id="t1", run_id="r1", message_id="m1")


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def exchange(number: int, frames: list[dict[str, Any]], **more: Any) -> Exchange:
    bodies = tuple((float(n), json.dumps(frame).encode()) for n, frame in enumerate(frames))
    return Exchange("user-one", "thread-7", f"run-{number}", f"reference-{number}", bodies, **more)


def plain(number: int, *, thinking: bool = True) -> list[dict[str, Any]]:
    """What a made-up backend says: names in `op`, ids of the client's, the whole text at the end."""
    ids = {"run": f"run-{number}", "conversation": "thread-7", "for": "user-one"}
    pieces = ["You said ", f"reference-{number} and", " no more ", "than that."]
    return [
        {"op": "begin", **ids},
        *([{"op": "thinking", **ids, "about": "what was asked for"}] if thinking else []),
        {"op": "tool_call", **ids, "call": {"id": f"c{number}", "tool": "plans"}},
        {"op": "tool_result", **ids, "call": {"id": f"c{number}", "tool": "plans"}, "ok": True},
        *({"op": "part", **ids, "n": n, "piece": piece} for n, piece in enumerate(pieces)),
        {"op": "finished", **ids, "whole": "".join(pieces)},
    ]


def recorded(*exchanges: list[dict[str, Any]], **more: Any) -> Recording:
    return Recording(tuple(exchange(n, frames) for n, frames in enumerate(exchanges)), send=json.dumps(SAID), **more)


def events(recording: Recording) -> list[list[Event]]:
    dialect = load(dialect_source(guess(recording), "Mine"), "Mine")
    return [[event for _, body in x.frames for event in dialect.decode(body)] for x in recording.exchanges]


PLAIN = recorded(plain(0), plain(1), before=(b'{"op": "hello", "to": "user-one"}',))
KINDS = [Kind.STARTED, Kind.THINKING, Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED, *[Kind.CHUNK] * 4, Kind.COMPLETED]


# --- guesses --------------------------------------------------------------------------------------------------------


def test_kinds_ids_and_texts_are_found() -> None:
    first, second = events(PLAIN)
    assert [event.kind for event in first] == [event.kind for event in second] == KINDS
    assert {event.run_id for event in second} == {"run-1"}
    assert {event.thread_id for event in second} == {"thread-7"} and {event.user_id for event in second} == {"user-one"}
    assert [event.call_id for event in second][2:4] == ["c1", "c1"] and second[2].tool == "plans"
    assert "".join(event.text for event in second if event.kind is Kind.CHUNK) == second[-1].text
    assert [event.index for event in second if event.kind is Kind.CHUNK] == [0, 1, 2, 3]


def test_a_first_frame_makes_ready_and_names_the_user() -> None:
    dialect = load(dialect_source(guess(PLAIN), "Mine"), "Mine")
    assert (dialect.ready_by, dialect.welcome_names_user, dialect.ids_from) == ("welcome", "full", "client")
    [event] = dialect.decode(PLAIN.before[0])
    assert (event.kind, event.user_id) == (Kind.WELCOME, "user-one")


def test_no_first_frame_is_ready_by_the_upgrade() -> None:
    assert load(dialect_source(guess(replace(PLAIN, before=())), "Mine"), "Mine").ready_by == "upgrade"


def test_ids_that_we_did_not_choose_are_the_servers() -> None:
    frames = [[{**frame, "run": f"77f{n}"} for frame in plain(n)] for n in (0, 1)]
    found = guess(recorded(*[[{**f, "run_id": f.pop("run")} for f in each] for each in frames]))
    assert (found.run_path, found.run_by_client) == ("run_id", False)


def test_the_id_that_we_sent_goes_before_one_that_is_called_so() -> None:
    frames = [[{"run_id": f"77f{n}", **f, "tag": f.get("run")} for f in plain(n)] for n in (0, 1)]
    found = guess(recorded(*[[{k: v for k, v in f.items() if k != "run"} for f in each] for each in frames]))
    assert (found.run_path, found.run_by_client, found.run_others) == ("tag", True, ["run_id"])


def test_the_id_of_a_call_is_no_id_of_a_run() -> None:
    frames = [[{k: v for k, v in f.items() if k != "run"} for f in plain(n)] for n in (0, 1)]
    found = guess(recorded(*frames))
    assert found.run_path == "" and found.call_path == "call.id"
    assert load(dialect_source(found, "Mine"), "Mine").frames_name_runs is False


def test_the_answer_is_where_the_reference_comes_back_not_where_most_is_said() -> None:
    status = [{"op": "status", "line": f"still busy with it {n}"} for n in range(9)]
    frames = [[f for one in plain(n) for f in ([one, *status] if "call" in one else [one])] for n in (0, 1)]
    first, _ = events(recorded(*frames))
    assert {event.name for event in first if event.kind is Kind.CHUNK} == {"part"}


def test_text_in_base64_is_decoded() -> None:
    frames = [
        [{**f, **{key: coded(f[key]) for key in ("piece", "whole") if key in f}} for f in plain(n)] for n in (0, 1)
    ]
    recording = recorded(*frames)
    assert [event.text for event in events(recording)[0]][-1] == "You said reference-0 and no more than that."
    assert load(dialect_source(guess(recording), "Mine"), "Mine").encodes_text is True


@pytest.mark.parametrize("text", ["no base64!", "äöü", 7, [], coded("x")[:-1]])
def test_text_that_is_no_base64_is_malformed(text: object) -> None:
    frames = [
        [{**f, **{key: coded(f[key]) for key in ("piece", "whole") if key in f}} for f in plain(n)] for n in (0, 1)
    ]
    dialect = load(dialect_source(guess(recorded(*frames)), "Mine"), "Mine")
    [event] = dialect.decode(json.dumps({"op": "part", "piece": text}).encode())
    assert event.kind is (Kind.CHUNK if text == [] else Kind.MALFORMED)  # no text is an empty one


def test_runs_that_do_not_think_get_a_lifecycle_of_their_own() -> None:
    dialect = load(dialect_source(guess(recorded(plain(0, thinking=False), plain(1, thinking=False))), "Mine"), "Mine")
    assert dialect.lifecycle.required == (Kind.STARTED, Kind.COMPLETED)
    assert load(dialect_source(guess(PLAIN), "Mine"), "Mine").lifecycle.required[1] is Kind.THINKING


def test_a_call_of_a_tool_is_known_by_its_fields_where_its_name_is_short() -> None:
    short = {"tool_call": "call", "tool_result": "result"}
    first, _ = events(recorded(*[[{**f, "op": short.get(f["op"], f["op"])} for f in plain(n)] for n in (0, 1)]))
    assert [event.kind for event in first] == KINDS


def test_names_that_say_nothing_are_marked_with_their_reason() -> None:
    other = {"begin": "k1", "thinking": "k2", "part": "k3", "finished": "k4"}
    frames = [[{**f, "op": other.get(f["op"], f["op"])} for f in plain(n) if "call" not in f] for n in (0, 1)]
    found = guess(recorded(*frames))
    source = dialect_source(found, "Mine")
    assert found.kinds["k3"].kind is Kind.CHUNK and found.kinds["k4"].kind is Kind.COMPLETED
    assert not found.kinds["k4"].sure and any("what these mean" in place for place in places(source))
    assert '"k4": Kind.COMPLETED,  # the last frame of 2 of 2 exchanges' in source


def test_frames_that_are_no_json_are_marked() -> None:
    broken = Exchange("u", "t", "r", "x", ((0.0, b"hello"), (1.0, b"there")))
    source = dialect_source(guess(Recording((broken,), send="{prompt}")), "Mine")
    assert any("2 recorded frames are no JSON" in place for place in places(source))
    assert load(source, "Mine").prompt(TURN) == "Hello {you}"


@pytest.mark.parametrize("frame", [b"", b"{", b"[]", b'"text"', b"{}", b"null", b'{"op": []}'])
def test_what_it_writes_never_raises(frame: bytes) -> None:
    dialect = load(dialect_source(guess(PLAIN), "Mine"), "Mine")
    assert [event.kind for event in dialect.decode(frame)] == [Kind.MALFORMED]


def test_what_is_said_is_the_template_with_the_turn() -> None:
    said = json.loads(load(dialect_source(guess(PLAIN), "Mine"), "Mine").prompt(TURN) or "")
    assert said == {"op": "say", "words": "Hello {you}", "where": "t1", "run": "r1"}


def test_a_call_before_the_socket_is_written_too() -> None:
    answer = {"run": "0b5a", "conversation": "c9", "socket": "/ws/0b5a"}
    exchanges = tuple(exchange(n, plain(n), answer=answer, close_code=1000) for n in (0, 1))
    recording = Recording(exchanges, create='POST /runs {"input": "{prompt}"}')
    dialect = load(dialect_source(guess(recording), "Mine"), "Mine")
    assert dialect.socket_per == "run" and dialect.prompt(TURN) is None
    assert dialect.create(TURN) == Call("POST", "/runs", {"input": "Hello {you}"})
    assert dialect.created(answer) == Place(thread_id="c9", run_id="0b5a", socket_path="/ws/0b5a")


def test_ids_in_an_answer_are_told_by_their_names() -> None:
    assert place_of({"threadId": "1", "socket": "/x"}) == {"thread_id": "threadId", "socket_path": "socket"}
    assert place_of({"data": {"id": "0b5a8f9e-7c1d-4f6a-9b2e-3d4c5b6a7f80"}}) == {"thread_id": "data.id"}
    assert place_of("nothing") == {}


def test_placeholders_are_filled_within_json() -> None:
    ids = {"prompt": 'say "hello"\n', "run_id": "r1"}
    assert json.loads(filled('{"a": ["{prompt}"], "b": "x-{run_id}", "c": 1}', ids)) == {
        "a": ['say "hello"\n'], "b": "x-r1", "c": 1,
    }  # fmt: skip
    assert filled("RUN {run_id}", ids) == "RUN r1"
    assert split_call(filled_call('post /r/{run_id} {"p": "{prompt}"}', ids)) == (
        "POST",
        "/r/r1",
        {"p": 'say "hello"\n'},
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("TOOL_CALL_START", "tool call start"), ("tool.call", "tool call"), ("toolCallId", "tool call id")],
)
def test_names_are_taken_apart(name: str, wanted: str) -> None:
    assert words(name) == wanted.split()


def test_tokens_do_not_reach_the_file() -> None:
    token = mint("u1")
    frames = [{"op": "a", "echo": f"your token {token}"}, {"op": "b", "x": "opaque-secret-1"}]
    text = frames_file(recorded(frames), secrets=["opaque-secret-1"])
    assert token not in text and "opaque-secret-1" not in text and len(text.splitlines()) == 2


# --- the reference backend's three shapes ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """A shape: how it is recorded, and what somebody who knows it would fill in at the marked places."""

    path: str
    options: tuple[str, ...]
    answers: dict[str, str]


NO_DELETE = "return None\n"
SHAPES = {
    "Sockets": Shape(
        "/ws",
        ("--send", json.dumps({"type": "execute_agent", "payload": {
            "user_request": "{prompt}", "thread_id": "{thread_id}", "run_id": "{run_id}", "context": "{context}"}})),
        {'"name-of-an-error"': '"agent_error"', NO_DELETE: 'return Call("DELETE", f"/api/threads/{thread_id}")\n'},
    ),
    "Threads": Shape(
        "/agui",
        ("--create", "POST /agui/threads {}", "--send", json.dumps({"type": "RUN", "threadId": "{thread_id}",
            "messages": [{"id": "{message_id}", "role": "user", "content": "{prompt}"}]})),
        {'"name-of-an-error"': '"RUN_ERROR"', NO_DELETE: 'return Call("DELETE", f"/agui/threads/{thread_id}")\n'},
    ),
    "Runs": Shape(
        "/ws/runs", ("--create", 'POST /runs {"input": "{prompt}"}'), {'"name-of-an-error"': '"run.failed"'}
    ),
}  # fmt: skip


def start(*words_: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words_], cwd=ROOT, env=environment(JWT_SECRET_KEY=SECRET),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=100)
    return process.returncode, output


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with backend("--time-scale", "0.3") as running:
        yield running.url.replace("http", "ws", 1)


@pytest.fixture(scope="module")
def written(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three, recorded side by side."""
    folder = tmp_path_factory.mktemp("new")
    tools = {
        name: start(
            "crosstalk.tools.new_dialect", name, "--url", url + shape.path, "--out", str(folder / f"{name}.py"),
            "--quiet", "0.5", "--results", str(folder / "results"), *shape.options,
        )
        for name, shape in SHAPES.items()
    }  # fmt: skip
    for name, process in tools.items():
        code, output = ended(process)
        assert code == 0, f"{name}: {output}"
        assert "next: python -m crosstalk.tools.check_dialect" in output
    return folder


@pytest.mark.parametrize("name", SHAPES)
def test_what_it_writes_works_once_the_marked_places_are_filled_in(written: Path, url: str, name: str) -> None:
    source = (written / f"{name}.py").read_text()
    marked = places(source)
    assert 1 <= len(marked) <= 5, marked
    for place, answer in SHAPES[name].answers.items():
        assert source.count(place) == 1, place
        source = source.replace(place, answer)
    file = written / f"filled_{name}.py"
    file.write_text(source)
    code, output = ended(
        start(
            "crosstalk.tools.check_dialect", "--dialect", f"{file}:{name}", "--host", url,
            "--results", str(written / "results"),
        )
    )  # fmt: skip
    assert code == 0, output
    assert output.rstrip().endswith("understood: 5 of 5 runs")


def test_the_tests_it_writes_pass(written: Path) -> None:
    code, output = ended(start("pytest", "-q", "-p", "no:cacheprovider", str(written)))
    assert code == 0 and " passed" in output, output


def test_a_test_it_wrote_fails_when_the_end_is_not_known(written: Path, tmp_path: Path) -> None:
    for file in written.glob("*Sockets*"):
        (tmp_path / file.name).write_text(
            file.read_text().replace('"agent_completed": Kind.COMPLETED', '"x": Kind.OTHER')
        )
    code, output = ended(start("pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_Sockets.py")))
    assert code == 1 and "test_runs_are_whole" in output, output


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_a_token_of_ones_own_is_used_and_not_written(url: str, tmp_path: Path) -> None:
    token = mint("someone7")
    command = [
        "crosstalk.tools.new_dialect",
        "mine",
        "--url",
        f"{url}/ws",
        "--token-env",
        "MY_TOKEN",
        *SHAPES["Sockets"].options,
    ]
    command += ["--prompt", "What does it cost?", "--quiet", "0.5", "--out", str(tmp_path / "mine.py")]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--results", str(tmp_path)],
        cwd=ROOT, env=environment(MY_TOKEN=token), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    texts = [file.read_text() for file in tmp_path.glob("*mine*")]
    assert len(texts) == 3 and any("someone7" in text for text in texts) and not any(token in text for text in texts)


def test_a_prompt_that_is_not_understood_is_told(url: str, tmp_path: Path) -> None:
    command = [
        "crosstalk.tools.new_dialect",
        "mine",
        "--url",
        f"{url}/ws",
        "--send",
        '{"type": "what", "p": "{prompt}"}',
    ]
    code, output = ended(
        start(*command, "--quiet", "0.3", "--out", str(tmp_path / "mine.py"), "--results", str(tmp_path))
    )
    assert code == 0 and "note: no answer was recognised" in output and '"received_type":"what"' in output, output


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text("mine")
    assert main(["mine", "--url", "ws://127.0.0.1:9/", "--send", "{prompt}", "--out", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err and file.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--send"),
        (["--create", "somewhere"], "--create"),
        (["--send", "x", "--token-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
    ],
)
def test_mistakes_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    out = ["--out", str(tmp_path / "mine.py"), "--results", str(tmp_path)]
    assert main(["mine", "--url", "ws://127.0.0.1:9/", *out, *options]) == 2
    assert said in capsys.readouterr().err


def test_nobody_there_is_not_ready(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    out = ["--out", str(tmp_path / "mine.py"), "--results", str(tmp_path)]
    assert main(["mine", "--url", "ws://127.0.0.1:9/ws", "--send", "{prompt}", *out]) == 5
    assert "target not ready" in capsys.readouterr().err and not (tmp_path / "mine.py").exists()
