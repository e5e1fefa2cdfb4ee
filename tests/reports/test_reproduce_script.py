"""`repro.py`: it is short, holds no secret, needs websocket-client alone, and says how it ended by its exit code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crosstalk.wire.agui import Agui
from crosstalk.wire.dialect import Dialect, Turn
from crosstalk.wire.netra import Netra
from crosstalk.wire.per_run import PerRun
from reports.reproduce_kinds import NotReproducible
from reports.reproduce_script import Way, place_keys, script
from reports.reproduce_story import Step, Story, User
from tests.end_to_end.web import free_port

SECRET = "a secret that stands in no file at all"
STORY = Story(
    (
        User("k3f00017", (Step(0, "say", 1, 7, "What does it cost?"), Step(90, "cancel", 1, 7))),
        User(
            "k3f00004", (Step(5, "say", 1, 3, 'It\'s "all" \\ right?', "context"), Step(300, "say", 2, 4, "And now?"))
        ),
        User("k3f00009", (Step(9, "say", 1, 3, "Hello"), Step(20, "drop"), Step(30, "connect"))),
    ),
    "k3f00004",
    "k3f00017",
    1_000,
    5_000,
)
WAYS = {
    "netra": Way(Netra(), "ws://127.0.0.1:1", "/ws", "header"),
    "agui": Way(Agui(), "ws://127.0.0.1:1", "/ws", "subprotocol", run_key="runId"),
    "per_run": Way(PerRun(), "ws://127.0.0.1:1", "/ws/runs", "query"),
}


def start(path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Isolated: no folder of the project, no PYTHONPATH, and an environment with nothing but what is given."""
    return subprocess.run(
        [sys.executable, "-I", str(path), *arguments], cwd=path.parent, env=variables, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("dialect", WAYS)
@pytest.mark.parametrize("rounds", [1, 7])
def test_it_is_a_program_that_needs_websocket_client_alone(dialect: str, rounds: int) -> None:
    text = script(replace(STORY, rounds=rounds), WAYS[dialect], title="A leak.")
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported - sys.stdlib_module_names == {"websocket"}
    assert not re.search(r"^#(if|end)|@[A-Z_]+@", text, re.MULTILINE)
    assert "crosstalk" not in text.replace("@crosstalk.test", "")


def test_for_a_usual_leak_it_has_no_more_than_150_lines() -> None:
    users = tuple(replace(user, steps=user.steps[:1]) for user in STORY.users)
    assert len(script(replace(STORY, users=users), WAYS["netra"], title="A leak.\nOf b.").splitlines()) <= 150
    assert len(script(STORY, WAYS["agui"], title="A leak.\nOf b.").splitlines()) <= 180


@pytest.mark.parametrize("dialect", WAYS)
def test_without_a_target_it_says_so(dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "repro.py"
    path.write_text(script(STORY, WAYS[dialect], title="A leak."))
    done = start(path, "--host", f"ws://127.0.0.1:{free_port()}", JWT_SECRET_KEY=SECRET)
    assert done.returncode == 5, done.stderr
    assert "not there" in done.stdout


def test_without_a_secret_or_with_too_few_tokens_it_is_misuse(tmp_path: Path) -> None:
    path = tmp_path / "repro.py"
    path.write_text(script(STORY, WAYS["netra"], title="A leak."))
    for variables in ({}, {"REPRO_TOKENS": "one two"}):
        done = start(path, **variables)
        assert done.returncode == 2
        assert "REPRO_TOKENS with 3 tokens" in done.stderr


def test_headers_are_named_by_their_variables_and_no_value_is_in_it() -> None:
    text = script(STORY, replace(WAYS["netra"], headers={"X-Tenant": "TENANT_KEY"}), title="A leak.")
    assert "'X-Tenant': os.environ.get('TENANT_KEY', '')" in text


def test_a_title_that_quotes_a_hostile_target_stays_a_title() -> None:
    text = script(STORY, WAYS["netra"], title='x """\nimport os; os.abort()\n"""\\')
    first = ast.parse(text).body[0]
    assert isinstance(first, ast.Expr)
    assert "os.abort()" in ast.literal_eval(first.value)
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute) and node.attr == "abort"]


def steps_of(text: str) -> list[Any]:
    [users] = [node.value for node in ast.parse(text).body
               if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "USERS"]  # fmt: skip
    return ast.literal_eval(users)


def test_frames_are_the_dialects_own_with_a_place_for_what_each_start_chooses() -> None:
    users = steps_of(script(STORY, WAYS["netra"], title="A leak."))
    assert [digits for digits, _ in users] == ["00017", "00004", "00009"]
    (at_ms, what, thread, turn, frame), cancel = users[0][1]
    assert (at_ms, what, thread, turn) == (0, "say", 1, 1)
    said = "What does it cost? Please repeat this reference: %TOKEN%"
    assert frame == Netra().prompt(Turn(said, "%USER%", "%THREAD1%", "%RUN1%", "%MESSAGE%", traceparent="%TRACE%"))
    assert cancel == (90, "cancel", 1, 1, Netra().cancel("%RUN1%"))
    in_context = users[1][1][0][4]
    assert '"context":{"reference":"%TOKEN%"}' in in_context
    assert "(%START%)" in in_context


def test_accounts_that_end_alike_are_numbered_anew() -> None:
    alike = replace(STORY, users=tuple(replace(user, account=f"{n}-x1") for n, user in enumerate(STORY.users)))
    assert [digits for digits, _ in steps_of(script(alike, WAYS["netra"], title="x"))] == ["00001", "00002", "00003"]


def test_where_an_answer_has_its_ids_is_found_by_asking_the_dialect() -> None:
    assert place_keys(Agui()) == {"THREAD": ("threadId",), "SOCKET": ("socket",)}
    assert place_keys(PerRun()) == {"THREAD": ("conversation",), "RUN": ("run",), "SOCKET": ("socket",)}

    class Deep(Agui):
        def created(self, answer):  # type: ignore[no-untyped-def]
            return replace(super().created({}), thread_id=str(answer["data"]["thread"]["id"]))

    assert place_keys(Deep()) == {"THREAD": ("data", "thread", "id")}


def test_a_dialect_that_hides_what_is_said_is_refused() -> None:
    class Hiding(Netra):
        def prompt(self, turn: Turn) -> str:
            return turn.text.encode().hex()

    with pytest.raises(NotReproducible, match="cannot be baked"):
        script(STORY, replace(WAYS["netra"], dialect=Hiding()), title="x")


class Odd(Agui):
    def created(self, answer):  # type: ignore[no-untyped-def]
        return super().created({"threadId": int(answer["n"])})


def test_an_answer_that_is_read_in_a_way_of_its_own_is_refused() -> None:
    odd: Dialect = Odd()
    with pytest.raises(NotReproducible, match="no script can repeat"):
        place_keys(odd)
