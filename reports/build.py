"""All reports of one load test, the verdict first. One that cannot be made is named and does not cost the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crosstalk.checks.tally import Tally
from reports import drawing, junit, page, sections_failures, sections_runs, sections_times, summary, trace, verdict
from reports.drawing import Plot
from reports.markup import Html
from reports.material import Material, locate, open_record
from reports.redact import redact, write


def build(folder: Path, *, step_summary: Path | None = None) -> list[str]:
    """Write every report beside the record in `folder`; returns what went wrong, in words.

    :param step_summary: a file to append `summary.md` to: the summary page of a pipeline.
    :raises RecordError: when there is no record; everything else is guarded.
    """
    folder = locate(folder)
    problems: list[str] = []
    material = judged(folder, problems)
    write(folder / "verdict.json", verdict.as_json(material.verdict))
    plots = _plots(material, problems)
    drawn = _drawn(plots, problems)
    _guarded("junit.xml", lambda: write(folder / "junit.xml", junit.junit(material)), problems)
    _guarded("summary.md", lambda: write(folder / "summary.md", summary.summary(material, problems)), problems)
    before = len(problems)
    _guarded(trace.NAME, partial(_write_trace, folder, material), problems)
    _guarded("report.html", lambda: write(folder / "report.html", page.page(material, drawn, problems)), problems)
    for plot in plots:
        _guarded(f"plots/{plot.name}.png", partial(_write_png, folder, plot), problems)
    if len(problems) > before:
        _guarded("summary.md", lambda: write(folder / "summary.md", summary.summary(material, problems)), problems)
    if step_summary is not None:
        _guarded(str(step_summary), lambda: _append(step_summary, summary.summary(material, problems)), problems)
    return problems


def judged(folder: Path, problems: list[str]) -> Material:
    """The record in `folder` and a verdict in any case: where judging itself fails it is unknown and says why.

    :raises RecordError: when there is no record.
    """
    record = open_record(folder)
    try:
        said, tally = verdict.judged(record)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        problems.append(f"verdict.json: the record could not be judged: {reason}")
        said, tally = verdict.unjudged(record.run, reason), Tally()
    return Material(folder, record, said, tally)


def _plots(material: Material, problems: list[str]) -> list[Plot]:
    found: list[Plot] = []
    _guarded("plots of times", lambda: found.extend(sections_times.all_plots(material)), problems)
    _guarded("plots", lambda: found.extend(sections_runs.all_plots(material)), problems)
    _guarded("plots of failures", lambda: found.extend(sections_failures.all_plots(material)), problems)
    return found


def _drawn(plots: list[Plot], problems: list[str]) -> dict[str, Html]:
    """The figures for the page by name; one that fails is missing there."""
    drawn: dict[str, Html] = {}
    for plot in plots:
        _guarded(f"figure {plot.name}", partial(_draw, plot, drawn), problems)
    return drawn


def _draw(plot: Plot, drawn: dict[str, Html]) -> None:
    drawn[plot.name] = drawing.svg(plot)


def _write_png(folder: Path, plot: Plot) -> None:
    content = drawing.png(plot)
    path = folder / "plots" / f"{plot.name}.png"
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _write_trace(folder: Path, material: Material) -> None:
    """Only where there is something to show: no page says that there is nothing."""
    if trace.chosen(material):
        write(folder / trace.NAME, trace.trace(material))


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(redact(text) + "\n")


def _guarded(name: str, make: Callable[[], object], problems: list[str]) -> None:
    try:
        make()
    except Exception as error:  # whatever it is: the other reports matter more
        problems.append(f"{name} could not be made: {type(error).__name__}: {error}")
