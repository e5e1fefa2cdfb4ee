"""Making all reports: the verdict first, the same bytes each time, and one that fails does not cost the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reports
from crosstalk.record.parts import RecordError
from reports import build as building
from reports import drawing, page
from reports.build import build
from reports.material import locate
from tests.reports.records import make
from tests.reports.rows import JWT

WRITTEN = {"verdict.json", "junit.xml", "summary.md", "report.html", "trace.html", "record", "plots"}
ROOT = Path(reports.__file__).parent.parent
SMALL: dict[str, Any] = {"users": 6, "runs_per_user": 3}


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and "record" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "reports", *arguments]
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=60, check=False)


def test_everything_is_there(leaking: Path) -> None:
    assert {path.name for path in leaking.iterdir()} == WRITTEN
    assert len(list((leaking / "plots").glob("*.png"))) == 10


def test_the_same_bytes_again_in_another_process(tmp_path: Path) -> None:
    """Another process has another order of hashes; nothing may depend on it."""
    folder = make(tmp_path / "20250915-smoke", leak=True, missing=True, workers=("w1", "w2"), **SMALL)
    assert build(folder) == []
    before = content(folder)
    assert run("html", str(folder), PYTHONHASHSEED="4711").returncode == 0
    after = content(folder)
    assert sorted(after) == sorted(before)
    assert [name for name in before if after[name] != before[name]] == []


def test_two_workers_say_what_one_says(tmp_path: Path) -> None:
    verdicts = []
    for workers in (("local",), ("w1", "w2")):
        folder = make(tmp_path / str(len(workers)), workers=workers, **SMALL)
        build(folder)
        verdicts.append(json.loads((folder / "verdict.json").read_text()))
    assert verdicts[0]["delivery"]["runs"] == verdicts[1]["delivery"]["runs"]
    assert verdicts[0]["word"] == verdicts[1]["word"]


def test_the_verdict_holds_what_the_next_load_test_compares_with(leaking: Path) -> None:
    verdict = json.loads((leaking / "verdict.json").read_text())
    assert verdict["exit_code"] == 3
    assert verdict["outcomes"]["isolation"] == "fail"
    assert verdict["expectations"]["channels"] == [1, 2, 3, 17, 20]


def test_an_empty_load_test_has_all_its_pages(tmp_path: Path) -> None:
    folder = make(tmp_path / "empty", users=0)
    assert build(folder) == []
    assert json.loads((folder / "verdict.json").read_text())["verdict"] == "unknown"
    assert "HOLD" in (folder / "report.html").read_text()


def test_a_broken_figure_is_named_and_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "broken", **SMALL)

    def broken(_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(drawing, "png", broken)
    problems = build(folder)
    assert len(problems) == 6
    assert {path.name for path in folder.iterdir()} >= WRITTEN - {"plots"}
    assert "planted" in (folder / "summary.md").read_text()


def test_a_broken_page_does_not_lose_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "broken", **SMALL)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(page, "page", broken)
    assert build(folder) == ["report.html could not be made: ZeroDivisionError: planted"]
    assert json.loads((folder / "verdict.json").read_text())["schema"] == 1
    assert (folder / "plots" / "times.png").is_file()


def test_a_record_that_cannot_be_judged_is_unknown(tmp_path: Path) -> None:
    folder = make(tmp_path / "torn", **SMALL)
    part = next((folder / "record" / "runs").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    problems = build(folder)
    assert problems[0].startswith("verdict.json: the record could not be judged")
    verdict = json.loads((folder / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["exit_code"]) == ("unknown", 4)
    assert "could not be judged" in (folder / "report.html").read_text()


@pytest.mark.parametrize("inside", ["", "record"])
def test_a_record_is_found_by_either_folder_and_by_a_link(inside: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "results" / "20250915-smoke", users=0)
    (tmp_path / "results" / "latest").symlink_to(folder.name)
    assert locate(folder / inside) == folder
    assert locate(tmp_path / "results" / "latest" / inside) == folder


def test_no_record_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        locate(tmp_path / "nowhere")
    ended = run("show", str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "holds no record" in ended.stderr
    assert run("draw", str(tmp_path)).returncode == 2


def test_show_prints_the_summary_without_colour_into_a_pipe(leaking: Path) -> None:
    ended = run("show", str(leaking / "record"))
    assert ended.returncode == 0
    assert ended.stdout.startswith("HOLD")
    assert "\x1b" not in ended.stdout
    assert f"{leaking}/report.html" in ended.stdout
    assert len(ended.stdout.splitlines()) <= 24


def test_show_survives_a_terminal_that_knows_few_signs(leaking: Path) -> None:
    ended = run("show", str(leaking), PYTHONIOENCODING="ascii")
    assert ended.returncode == 0
    assert "p95 of service_time ? 2,000 ms" in ended.stdout


def test_colour_can_be_asked_for(leaking: Path) -> None:
    assert "\x1b[1;31mHOLD" in run("show", "--colour", str(leaking)).stdout


def test_publish_returns_the_verdict_and_appends_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "20250915-smoke", hostile=True, leak=True, **SMALL)
    steps = tmp_path / "steps.md"
    steps.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(steps))
    monkeypatch.chdir(tmp_path)
    published = reports.publish(folder)
    assert published["exit_code"] == 3
    assert published["closing"].startswith("HOLD")
    text = steps.read_text()
    assert text.startswith("before\n")
    assert "HOLD" in text
    assert JWT not in text
    assert run("html", str(folder), GITHUB_STEP_SUMMARY=str(steps)).returncode == 0
    assert steps.read_text() == text  # a rebuild adds nothing
    said = capsys.readouterr()
    assert said.out == ""  # the harness prints `closing` last
    assert said.err == ""


def test_publish_says_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(reports.ReportFailed, match="holds no record"):
        reports.publish(tmp_path)


def test_publish_gives_up_at_its_deadline(tmp_path: Path) -> None:
    with pytest.raises(reports.ReportFailed, match=r"longer than 0\.01 s"):
        reports.publish(make(tmp_path / "x", users=0), deadline_s=0.01)


def test_importing_reports_starts_no_threads() -> None:
    """A locustfile imports it before Locust forks: numpy, pyarrow and matplotlib must wait."""
    code = "import reports, sys; print([m for m in ('numpy', 'pyarrow', 'matplotlib') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_verdict_is_written_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "killed", **SMALL)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "_plots", killed)
    with pytest.raises(KeyboardInterrupt):
        build(folder)
    assert {path.name for path in folder.iterdir()} == {"record", "verdict.json"}
