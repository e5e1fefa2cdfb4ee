"""examples/own_project, used as its README says: it passes, and each bug of its server has an exit code of its own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crosstalk.config import load_dialect
from crosstalk.wire.event import Kind
from tests.end_to_end.locust_process import Ended, environment

HERE = Path(__file__).resolve().parents[1] / "examples/own_project"
README = (HERE / "README.md").read_text(encoding="utf-8")
SECRET = "0123456789abcdef0123456789abcdef"


@contextmanager
def server(*options: str) -> Iterator[str]:
    """The project's server on a free port; its address."""
    command = [sys.executable, "server.py", "--port", "0", *options]
    with subprocess.Popen(
        command, cwd=HERE, env=environment(JWT_SECRET_KEY=SECRET), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("LISTENING ").strip()
        finally:
            process.terminate()


def load_test(results: Path, url: str) -> Ended:
    """The command of the README, on this address."""
    [said] = re.findall(r"`(locust [^`]+)`", README)
    words = [url if word == "ws://127.0.0.1:9000" else word for word in shlex.split(said)[1:]]
    more = ["--max-runs", "60", "--think-time", "0.05", "--results", str(results)]
    done = subprocess.run(
        [sys.executable, "-m", "locust", *words, *more],
        cwd=HERE, env=environment(JWT_SECRET_KEY=SECRET), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout + done.stderr, (results / "latest").resolve())


def test_it_passes(tmp_path: Path) -> None:
    with server() as url:
        ended = load_test(tmp_path, url)
    assert ended.exit_code == 0, ended.output
    assert ended.verdict["delivery"]["runs"]["ok"] >= 40
    assert {row["user_class"] for row in ended.rows("runs")} == {"Colleague"}
    assert {row["prompt"] for row in ended.rows("runs")} == {"question", "same_words"}


def test_a_lost_event_fails(tmp_path: Path) -> None:
    with server("--bug", "lose_event") as url:
        ended = load_test(tmp_path, url)
    assert ended.exit_code == 1, ended.output
    assert set(ended.violations()) == {"text_differs"}


def test_a_leak_has_its_own_exit_code(tmp_path: Path) -> None:
    with server("--bug", "leak") as url:
        ended = load_test(tmp_path, url)
    assert ended.exit_code == 3, ended.output
    assert set(ended.violations()) == {"foreign_content"}


def test_its_readme_is_ten_lines_and_its_locustfile_five() -> None:
    assert len(README.splitlines()) <= 10
    code = [line for line in (HERE / "locustfile.py").read_text().splitlines() if line.strip()]
    assert len(code) == 5


def test_its_dialect_reads_several_patches_of_one_message() -> None:
    dialect = load_dialect(f"{HERE / 'dialect.py'}:Patches")
    message = b'{"op": "add", "path": "/r7/tools/1", "value": {"name": "calendar"}}\n'
    message += b'{"op": "add", "path": "/r7/tools/1/result", "value": "free"}'
    assert [(event.kind, event.run_id, event.call_id) for event in dialect.decode(message)] == [
        (Kind.TOOL_EXECUTING, "r7", "1"),
        (Kind.TOOL_COMPLETED, "r7", "1"),
    ]


@pytest.mark.parametrize("frame", [b"{", b"[]", b"{}", b"null", b'{"op": "add", "path": 1, "value": 2}'])
def test_its_dialect_never_raises(frame: bytes) -> None:
    dialect = load_dialect(f"{HERE / 'dialect.py'}:Patches")
    assert [event.kind for event in dialect.decode(frame)] == [Kind.MALFORMED]
