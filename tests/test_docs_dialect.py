"""docs/writing-a-dialect.md and docs/your-backend.md: what they say is run, their tables are the interface's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.sync.server import ServerConnection, serve

from crosstalk.checks.run import RunCheck
from crosstalk.config import load_dialect
from crosstalk.wire.dialect import Dialect, Turn
from crosstalk.wire.event import RUN_KINDS, Event, Kind
from crosstalk.wire.lifecycle import FIVE_EVENTS
from tests.backend.client import SECRET, backend
from tests.test_docs import ROOT, STAGING, blocks, call, code, documented, load_test, table

PAGE = ROOT / "docs/writing-a-dialect.md"
YOURS = ROOT / "docs/your-backend.md"
PROMPTS = '[question]\nexpects = ["chunk", "tool_executing"]\ntexts = ["What does our plan cost?"]\n'
PROMPTS += '[same_words]\nreference = "context"\nexpects = ["chunk"]\ntexts = ["Summarise my account."]\n'
LIMITS = """
[isolation]
required_channels = [1, 2, 3]
[[phase]]
name = "auth"
limit = [{ name = "bad tokens", metric = "bad_tokens_rejected", statistic = "share", at_least = 1.0 }]
[[phase]]
name = "agents"
limit = [{ name = "runs", metric = "runs_ok", statistic = "share", at_least = 1.0 }]
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, saved as the page says."""
    [example] = blocks(PAGE, "python")
    file = tmp_path_factory.mktemp("dialect") / "plain.py"
    file.write_text(example)
    return file


@pytest.fixture
def dialect(plain: Path) -> Dialect:
    return load_dialect(f"{plain}:Plain")


def events(dialect: Dialect, frames: list[dict[str, Any]]) -> list[Event]:
    return [event for frame in frames for event in dialect.decode(json.dumps(frame).encode())]


def answer(said: dict[str, Any], user: str) -> list[dict[str, Any]]:
    """What the made-up backend answers to a prompt."""
    text = f"{said['text']} {said['private'].get('reference', '')}"
    whose = {"run": said["run"], "user": user}
    half = len(text) // 2
    return [
        {"op": "begin", **whose},
        {"op": "call", **whose, "call": "1", "tool": "plans"},
        {"op": "result", **whose, "call": "1", "tool": "plans", "ok": True},
        {"op": "part", **whose, "n": 0, "text": text[:half]},
        {"op": "part", **whose, "n": 1, "text": text[half:]},
        {"op": "end", **whose, "text": text},
    ]


def names(dialect: Dialect, frames: list[dict[str, Any]]) -> list[str]:
    check = RunCheck(dialect.lifecycle)
    seen = [v.name for n, event in enumerate(events(dialect, frames)) for v in check.advance(event, n).violations]
    return seen + [violation.name for violation in check.conclude()]


def prompt(dialect: Dialect) -> dict[str, Any]:
    turn = Turn(
        text="What is it?", user_id="u1", thread_id="t1", run_id="r1", message_id="m1", context={"reference": "x"}
    )
    return json.loads(dialect.prompt(turn))


def test_its_runs_are_right_and_what_is_wrong_with_one_is_found(dialect: Dialect) -> None:
    frames = answer(prompt(dialect), "u1")
    assert [event.kind for event in events(dialect, frames)] == [
        Kind.STARTED, Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED, Kind.CHUNK, Kind.CHUNK, Kind.COMPLETED,
    ]  # fmt: skip
    assert names(dialect, frames) == []
    assert names(dialect, frames[1:]) == ["missing"]
    assert names(dialect, frames[:5]) == ["no_end"]
    assert names(dialect, [*frames[:3], *frames[4:]]) == ["missing"]
    assert names(dialect, [*frames[:4], *frames[5:]]) == ["text_differs"]
    assert names(dialect, [*frames[:3], *frames[2:]]) == ["duplicate"]
    assert names(dialect, [frames[1], frames[0], *frames[2:]]) == ["out_of_order"]


@pytest.mark.parametrize("frame", [b"", b"{", b"[]", b'"text"', b"{}", b"null", b'{"op": []}'])
def test_what_it_cannot_read_is_malformed_and_never_raised(dialect: Dialect, frame: bytes) -> None:
    assert [event.kind for event in dialect.decode(frame)] == [Kind.MALFORMED]


def test_what_it_says_is_named_by_the_turn(dialect: Dialect) -> None:
    said = prompt(dialect)
    assert (said["thread"], said["run"], said["private"]) == ("t1", "r1", {"reference": "x"})


def test_kinds_and_fields_are_described() -> None:
    rows = [code(row[0]) for row in table(PAGE, "kind")]
    assert {kind for row in rows for kind in row} == set(map(str, Kind))
    assert set(rows[0]) == set(map(str, RUN_KINDS))
    described = [name for row in table(PAGE, "field of `Event`") for name in code(row[0])]
    assert set(described) == {field.name for field in fields(Event)} - {"kind"}


def test_the_interface_is_described() -> None:
    public = {name: value for name, value in vars(Dialect).items() if not name.startswith("_")}
    rows = {code(row[0])[0]: row[1] for row in table(PAGE, "attribute")}
    values = {name: value for name, value in public.items() if not callable(value)}
    assert rows.keys() == values.keys()
    for name, value in values.items():
        shown = "FIVE_EVENTS" if value is FIVE_EVENTS else json.dumps(value) if isinstance(value, str) else repr(value)
        assert rows[name] == f"`{shown}`", name
    methods = {code(row[0])[0].partition("(")[0] for row in table(PAGE, "method")}
    assert methods == {name for name, value in public.items() if callable(value)}


def test_the_lifecycle_is_drawn_as_it_is() -> None:
    [diagram] = blocks(PAGE, "text")
    assert diagram.strip() == FIVE_EVENTS.diagram()


# --- a server that speaks it ----------------------------------------------------------------------------------------


def speak(socket: ServerConnection, *, repeats: bool = True) -> None:
    assert socket.request is not None
    try:
        token = socket.request.headers["Authorization"].removeprefix("Bearer ")
        user = jwt.decode(token, SECRET, ["HS256"], audience="netra-platform")["sub"]
    except jwt.PyJWTError:
        socket.send(json.dumps({"op": "denied", "code": "bad_token"}))
        return
    socket.send(json.dumps({"op": "hello", "user": user}))
    for frame in socket:
        said = json.loads(frame)
        if said["op"] == "who_am_i":
            socket.send(json.dumps({"op": "you_are", "user": user, "id": said["id"]}))
            continue
        said = said if repeats else {**said, "text": "I would rather not.", "private": {}}
        for part in answer(said, user):
            socket.ping().wait(1)  # an agent that takes at least as long as some round trips
            socket.send(json.dumps(part))


@contextmanager
def listening(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    with serve(handler, "127.0.0.1", 0) as here:
        threading.Thread(target=here.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{here.socket.getsockname()[1]}"
        here.shutdown()


@pytest.fixture
def server() -> Iterator[str]:
    with listening(speak) as url:
        yield url


def test_it_drives_a_server(plain: Path, server: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.toml").write_text(PROMPTS)
    (tmp_path / "limits.toml").write_text(LIMITS)
    here = {
        "ws://127.0.0.1:9000": server,
        "plain.py:Plain": f"{plain}:Plain",
        "prompts.toml": str(tmp_path / "prompts.toml"),
        "limits.toml": str(tmp_path / "limits.toml"),
    }
    words = documented("locust --config scenarios/smoke.conf --host ws://127.0.0.1:9000 --dialect plain.py:Plain")
    more = ("--users", "5", "--run-time", "20s", "--max-runs", "30", "--think-time", "0.05")
    ended = load_test([*[here.get(word, word) for word in words], *more], tmp_path, JWT_SECRET_KEY=SECRET)
    assert ended.exit_code == 0, ended.output
    verdict = ended.verdict
    assert verdict["delivery"]["runs"]["ok"] >= 25
    assert verdict["identity"]["proofs"] == {"full": verdict["connections"]["ready"]}
    forged = verdict["connections"]["bad_tokens"]
    assert forged["attempted"] == forged["rejected"] > 0
    assert "tool_completed" in {row["kind"] for row in ended.rows("events")}


def test_the_tools_write_and_check_a_first_version(server: str, tmp_path: Path) -> None:
    here = {"ws://127.0.0.1:9000": server, "ws://127.0.0.1:9000/chat": f"{server}/chat"}
    (tmp_path / "prompts.toml").write_text(PROMPTS)
    more = ["--prompts", str(tmp_path / "prompts.toml"), "--results", str(tmp_path / "results")]
    new = [here.get(word, word) for word in documented("python -m crosstalk.tools.new_dialect plain")]
    made = call([*new, *more, "--quiet", "0.5", "--out", str(tmp_path / "plain.py")], JWT_SECRET_KEY=SECRET)
    assert made.returncode == 0, made.stderr
    assert {file.name for file in tmp_path.glob("*plain*")} == {"plain.py", "plain.frames.jsonl", "test_plain.py"}
    here["plain.py:Plain"] = f"{tmp_path / 'plain.py'}:Plain"
    words = [
        here.get(word, word) for word in documented("python -m crosstalk.tools.check_dialect --dialect plain.py:Plain")
    ]
    done = call([*words, *more], JWT_SECRET_KEY=SECRET)
    assert done.returncode == 0, done.stdout + done.stderr
    offline = call([*words[:-2], "--frames", str(tmp_path / "plain.frames.jsonl")])
    assert offline.returncode == 0, offline.stdout + offline.stderr


def test_the_example_is_short_and_understood(plain: Path, server: str, tmp_path: Path) -> None:
    assert len(plain.read_text().splitlines()) < 80
    (tmp_path / "prompts.toml").write_text(PROMPTS)
    words = ["--dialect", f"{plain}:Plain", "--host", server, "--prompts", str(tmp_path / "prompts.toml")]
    tool = documented("python -m crosstalk.tools.check_dialect --dialect plain.py:Plain")[:3]
    done = call([*tool, *words, "--results", str(tmp_path)], JWT_SECRET_KEY=SECRET)
    assert done.returncode == 0 and "identity shown: yes, in full" in done.stdout, done.stdout + done.stderr


# --- docs/your-backend.md -------------------------------------------------------------------------------------------

OWN_FILES = f"{STAGING} --limits my_limits.toml --prompts my_prompts.toml"


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with backend("--time-scale", "0.5") as process:
        yield process.url.replace("http", "ws", 1)


@pytest.fixture
def own_files(tmp_path: Path) -> dict[str, str]:
    """The files of the page, as it shows them."""
    prompts, limits, not_required = blocks(YOURS, "toml")
    (tmp_path / "my_prompts.toml").write_text(prompts)
    (tmp_path / "my_limits.toml").write_text(limits)
    tables = limits[limits.index("[[phase]]") :]
    (tmp_path / "not_required.toml").write_text(f"{not_required}\n{tables}")
    return {name: str(tmp_path / name) for name in ("my_prompts.toml", "my_limits.toml", "not_required.toml")}


@pytest.mark.parametrize(
    ("start", "last"),
    [
        ("python -m crosstalk.tools.preflight --host wss://chat.example.org --environment staging", ""),
        ("python -m crosstalk.tools.check_dialect --dialect netra", "understood: 5 of 5 runs"),
    ],
    ids=["preflight", "check_dialect"],
)
def test_the_tools_look_at_a_backend_of_ones_own(target: str, tmp_path: Path, start: str, last: str) -> None:
    words = [target if word == "wss://chat.example.org" else word for word in documented(start)]
    done = call([*words, "--results", str(tmp_path)], JWT_SECRET_STAGING=SECRET)
    assert done.returncode == 0 and done.stdout.rstrip().endswith(last), done.stdout + done.stderr


def test_own_limits_and_prompts_judge_a_backend_of_ones_own(
    target: str, own_files: dict[str, str], tmp_path: Path
) -> None:
    here = {"wss://chat.example.org": target, **own_files}
    words = [here.get(word, word) for word in documented(OWN_FILES)]
    ended = load_test([*words, "--users", "10", "--run-time", "15s"], tmp_path / "results", JWT_SECRET_STAGING=SECRET)
    assert ended.exit_code == 0, ended.output
    assert {row["prompt"] for row in ended.rows("runs")} == {"question", "same_words"}
    assert {limit["name"] for limit in ended.verdict["limits"]} >= {"runs completed", "first words"}


@pytest.mark.parametrize(("limits", "exit_code"), [("my_limits.toml", 1), ("not_required.toml", 0)])
def test_a_model_that_repeats_nothing(
    plain: Path, own_files: dict[str, str], tmp_path: Path, limits: str, exit_code: int
) -> None:
    with listening(partial(speak, repeats=False)) as url:
        here = {"wss://chat.example.org": url, **own_files, "my_limits.toml": own_files[limits]}
        words = [here.get(word, word) for word in documented(OWN_FILES)]
        more = ["--dialect", f"{plain}:Plain", "--users", "5", "--run-time", "15s", "--max-runs", "40"]
        ended = load_test([*words, *more, "--think-time", "0.05"], tmp_path / "results", JWT_SECRET_STAGING=SECRET)
    assert ended.exit_code == exit_code, ended.output
    [channel] = [one for one in ended.verdict["isolation"]["channels"] if one["channel"] == 2]
    assert channel["verdict"] != "pass", channel
    assert ("not_real" in ended.violations()) == (exit_code == 1)


def test_the_pipeline_runs_commands_of_the_page() -> None:
    [snippet] = blocks(YOURS, "yaml")
    run = [line.partition("- run: ")[2] for line in snippet.splitlines() if "- run: " in line]
    said = {line for block in blocks(YOURS, "sh") for line in block.splitlines()}
    assert set(run) - said == {"pip install -r requirements.txt"}
    assert len(run) == 3
