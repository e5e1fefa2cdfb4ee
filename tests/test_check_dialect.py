"""check_dialect: what it makes of frames, recorded or live, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosstalk.tools.check_dialect import main
from crosstalk.tools.check_dialect_seen import Frame, Report, looks_like_id, runs_of, unmapped, unused_ids
from crosstalk.tools.check_dialect_text import page, timeline
from crosstalk.wire.event import Kind
from crosstalk.wire.netra import Netra
from tests.backend.client import ROOT, SECRET, backend
from tests.end_to_end.locust_process import environment
from tests.helpers import frame

MS = 1_000_000
UUID = "0b5a8f9e-7c1d-4f6a-9b2e-3d4c5b6a7f80"
NETRA = Netra()


def run(name: str = "r1") -> list[bytes]:
    """A whole run."""
    return [
        frame("agent_started", run=name),
        frame("agent_thinking", run=name, thought="Let me see."),
        *(frame("agent_response_chunk", run=name, chunk=piece, chunk_index=n) for n, piece in enumerate("abc")),
        frame("agent_completed", run=name, result="abc"),
    ]


def seen(*bodies: bytes) -> list[Frame]:
    return [Frame(n * MS, body, tuple(NETRA.decode(body))) for n, body in enumerate(bodies)]


def report(*bodies: bytes) -> Report:
    return Report(dialect=NETRA, runs=runs_of(seen(*bodies), NETRA))


# --- pure -----------------------------------------------------------------------------------------------------------


def test_whole_runs_are_understood() -> None:
    found = report(frame("connection_established"), *run("r1"), *run("r2"))
    assert [one.understood for one in found.runs] == [True, True]
    assert found.understood and page(found).endswith("understood: 2 of 2 runs")


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        (run()[:-1], "decode: no frame became `completed` or `error`"),
        ([*run()[:1], *run()[2:]], "decode or lifecycle: a required kind never came"),
        ([run()[1], run()[0], *run()[2:]], "lifecycle: events come in an order"),
        ([*run()[:2], run()[1], *run()[2:]], "Event.key: different events have the same key"),
        ([*run()[:5], frame("agent_completed", run="r1", result="other")], "Event.text: chunks do not make up"),
        ([*run()[:2], b"{", *run()[2:]], "decode: some frames cannot be read"),
        ([frame("connection_established")], "see the runs that were not understood"),
    ],
    ids=["no end", "missing", "order", "key", "text", "malformed", "no run"],
)
def test_what_is_wrong_says_what_to_do(bodies: list[bytes], said: str) -> None:
    found = report(*bodies)
    assert not found.understood
    if not found.runs:
        said = "decode: no frame became"
    assert f"to do: {said}" in page(found)


def test_runs_without_ids_go_from_one_end_to_the_next_beginning() -> None:
    bodies = [json.dumps({**json.loads(body), "run_id": ""}).encode() for body in run()]
    assert [len(one.frames) for one in report(*bodies, *bodies).runs] == [len(bodies)] * 2


def test_alike_neighbours_are_one_line() -> None:
    [one] = report(*run()).runs
    lines = timeline(one)
    assert [line.split()[2] for line in lines if "more" not in line] == ["started", "thinking", "chunk", "completed"]
    assert "… 2 more like it" in lines[3]
    assert lines[1].split()[0] == "1.0", "milliseconds since the first frame"


def test_secrets_are_not_shown() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
    [one] = report(frame("agent_started", run="r1"), frame("agent_thinking", run="r1", thought=f"Bearer {token}")).runs
    assert token[:20] not in "\n".join(timeline(one))


def test_unmapped_frames_are_told_with_their_fields() -> None:
    [other, malformed] = unmapped(seen(frame("surprise", run="r1", mood="good"), b"{"))
    assert (other.name, other.kind, other.fields) == (
        "surprise",
        Kind.OTHER,
        ("type", "run_id", "agent_name", "data.mood"),
    )
    assert malformed.kind is Kind.MALFORMED and "JSON" in malformed.reason


def test_a_dialect_that_answers_nothing_leaves_the_frame_unmapped() -> None:
    assert [entry.kind for entry in unmapped([Frame(0, b'{"a": 1}', ())])] == [Kind.OTHER]


def test_ids_that_no_event_carries_are_told() -> None:
    bodies = [
        frame("agent_started", run="r1", job_id="j-1"),
        frame("agent_thinking", run="r1", job_id="j-1", trace=UUID),
    ]
    found = {entry.path: entry for entry in unused_ids([seen(*bodies), seen(frame("agent_started", job_id="j-2"))])}
    assert found.keys() == {"data.job_id", "data.trace"}
    assert found["data.job_id"].constant_in_runs and found["data.job_id"].values == ["j-1", "j-2"]


def test_an_id_that_changes_within_a_run_is_told_apart() -> None:
    bodies = [frame("agent_started", run="r1", step_id="s1"), frame("agent_thinking", run="r1", step_id="s2")]
    [entry] = unused_ids([seen(*bodies)])
    assert (entry.path, entry.constant_in_runs) == ("data.step_id", False)
    assert "data.step_id looks like an id (several in a run)" in page(report(*bodies))


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("run_id", "r1", True),
        ("data.runId", "7", True),
        ("x", UUID, True),
        ("x", "main_9e3779b1c0ffee12", True),
        ("x", "abcdefghijklmnopqrstuvwxyz", False),
        ("paid", "yes", False),
        ("text", "a long text of somebody 12345", False),
        ("id", 7, False),
        ("ref", "ctlk" + "a2b3c4d5" * 4, False),
    ],
)
def test_what_looks_like_an_id(path: str, value: object, wanted: bool) -> None:
    assert looks_like_id(path, value) is wanted


# --- recorded frames ------------------------------------------------------------------------------------------------


def test_recorded_frames_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "frames.jsonl"
    lines = [{"at_ms": n * 2, "direction": "in", "frame": body.decode()} for n, body in enumerate(run())]
    file.write_text("\n".join(map(json.dumps, [{"direction": "out", "frame": "hello"}, *lines])))
    assert main(["--frames", str(file)]) == 0
    assert "10.0 ms  completed" in capsys.readouterr().out


def test_bare_frames_are_read_and_a_missing_end_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "frames.jsonl"
    file.write_bytes(b"\n".join(run()[:-1]))
    assert main(["--frames", str(file)]) == 1
    assert "understood: 0 of 1 runs" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "", '{"direction": "out", "frame": "x"}'], ids=["no file", "empty", "out"])
def test_nothing_to_read_is_a_mistake_in_the_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "frames.jsonl"
    if content is not None:
        file.write_text(content)
    assert main(["--frames", str(file)]) == 2
    assert "--frames" in capsys.readouterr().err


# --- live -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with backend("--time-scale", "0.3") as running:
        yield running.url.replace("http", "ws", 1)


def check(url: str, results: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crosstalk.tools.check_dialect", "--host", url, "--results", str(results), *more]
    variables = environment(JWT_SECRET_KEY=SECRET)
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("dialect", "identity"), [("netra", "yes, in full"), ("agui", "no:"), ("per_run", "no:")])
def test_the_built_in_dialects_are_understood(url: str, tmp_path: Path, dialect: str, identity: str) -> None:
    done = check(url, tmp_path, "--dialect", dialect)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("understood: 5 of 5 runs")
    assert "references came back: 5 of 5" in done.stdout and f"identity shown: {identity}" in done.stdout


BROKEN = """
from dataclasses import replace
from crosstalk.wire.event import Kind
from crosstalk.wire.netra import Netra

class NoEnd(Netra):
    def decode(self, frame):
        events = super().decode(frame)
        return [replace(event, kind=Kind.OTHER) if event.name == "agent_completed" else event for event in events]

class OtherIds(Netra):
    def decode(self, frame):
        return [replace(event, run_id=event.run_id and f"x-{event.run_id}") for event in super().decode(frame)]
"""


@pytest.mark.parametrize(
    ("name", "to_do"),
    [
        ("NoEnd", "decode: no frame became `completed` or `error`; unmapped so far: agent_completed"),
        ("OtherIds", "Event.run_id: it is no id of a run that was started"),
    ],
)
def test_a_dialect_that_is_wrong_is_told_what_to_do(url: str, tmp_path: Path, name: str, to_do: str) -> None:
    """In a folder of one's own, with its own timeouts, prompts and limits."""
    (tmp_path / "mine.py").write_text(BROKEN)
    environments = "[local]\nconnect_timeout_s = 5\nagent_timeout_s = 2\nreceive_timeout_s = 10\nhosts = []\n"
    (tmp_path / "environments.toml").write_text(environments)
    (tmp_path / "prompts.toml").write_text('[question]\ntexts = ["What does it cost?"]\n')
    (tmp_path / "limits.toml").write_text((ROOT / "scenarios/limits/local.toml").read_text())
    command = [sys.executable, "-m", "crosstalk.tools.check_dialect", "--host", url, "--dialect", f"mine.py:{name}"]
    done = subprocess.run(
        [*command, "--runs", "1", "--limits", "limits.toml"],
        cwd=tmp_path, env=environment(JWT_SECRET_KEY=SECRET), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"to do: {to_do}" in done.stdout
    assert "understood: 0 of 1 runs" in done.stdout


@pytest.mark.parametrize("dialect", ["netra", "agui", "per_run"])
def test_nobody_there_is_not_ready(tmp_path: Path, dialect: str) -> None:
    done = check("ws://127.0.0.1:9", tmp_path, "--dialect", dialect)
    assert done.returncode == 5 and "target not ready" in done.stderr, done.stdout + done.stderr


def test_a_wrong_secret_is_not_ready(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crosstalk.tools.check_dialect", "--host", url, "--results", str(tmp_path)]
    variables = environment(JWT_SECRET_KEY="another secret that is long enough, too")
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5 and "secret" in done.stderr, done.stdout + done.stderr


def test_no_target_is_a_mistake_in_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path)]) == 2
    assert "--host" in capsys.readouterr().err
