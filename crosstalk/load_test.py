"""One load test, seen from the process that keeps its record: it begins, is watched, and ends in a verdict.

Knows nothing of Locust: the harness tells it when, and how to stop users. Everything here survives the failure of
something else: what was recorded stays, whatever happens to the target, the reports or the disk.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from crosstalk import __version__
from crosstalk.accounts import PREFLIGHT_NUMBER, LeaseBook
from crosstalk.checks.canary import load_test_name
from crosstalk.clock import clock
from crosstalk.compiled import in_use
from crosstalk.config import ConfigError, Settings
from crosstalk.generator import Begin
from crosstalk.roll import Roll
from crosstalk.target import Readiness, ReferenceBackend
from crosstalk.wire.redact import redact

AtEnd = Callable[[Path], dict[str, Any]]


@dataclass(slots=True)
class LoadTest:
    """From begin to verdict.

    :param stop: asks the harness to stop users and end; called at most once, with the reason.
    :param keep_evidence: asks all processes to keep the frames of a run.
    """

    settings: Settings
    scenario: str
    begin: Begin
    users: int
    spawn_rate: float
    run_time_s: float | None
    reference: ReferenceBackend | None
    stop: Callable[[str], None]
    keep_evidence: Callable[[str], None]
    folder: Path
    families: tuple[str, ...] = ()  # of journeys that somebody of the scenario makes
    tags: tuple[
        str, ...
    ] = ()  # of the tasks that were chosen, and of those that were left out; both empty: all of them
    excluded_tags: tuple[str, ...] = ()
    started_ns: int = field(default_factory=clock.now_ns)
    readiness: Readiness = field(default_factory=Readiness)
    bad_tokens: dict[str, Any] = field(default_factory=dict)  # shown at the end, let in, left out
    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)  # Locust's ids of the workers that were told to begin
    problems: list[str] = field(default_factory=list)
    ended_by: str = ""
    target_ended: bool = False
    revisions: list[tuple[str, int]] = field(default_factory=list)  # what the target called itself, and since when
    revision_readings: int = 0
    leases: LeaseBook = field(init=False)
    collector: Any = field(init=False)
    roll: Roll = field(init=False)
    limits: Any = field(init=False)
    previous: dict[str, Any] | None = field(init=False)
    run: dict[str, Any] = field(init=False)  # what `run.json` holds, once it is written
    _evidence_asked: set[str] = field(default_factory=set)
    _armed: bool = False

    def __post_init__(self) -> None:
        from crosstalk.checks.exercisable import BY_ANY_RUN, exercisable
        from crosstalk.checks.limits import parse_limits
        from crosstalk.record.collector import Collector

        settings = self.settings
        self.roll = Roll(self.workers, self.started_ns)
        self.limits = parse_limits(settings.limits_text, source=settings.limits_source)
        if settings.required_channels is not None:
            self.limits = replace(self.limits, required_channels=settings.required_channels)
        else:
            lacks = exercisable(settings.dialect)
            wanted = tuple(channel for channel in self.limits.required_channels if not lacks[channel])
            if self.tags or self.excluded_tags:  # nobody may be left who does what the others need
                wanted = tuple(channel for channel in wanted if channel in BY_ANY_RUN)
            self.limits = replace(self.limits, required_channels=wanted)
        self.leases = LeaseBook(len(settings.accounts) or PREFLIGHT_NUMBER)
        self.previous = self._find_previous()
        self.collector = Collector(self.folder / "record", self._on_violation)

    # --- while it runs ----------------------------------------------------------------------------------------------

    def take_batch(self, body: bytes) -> int:
        """A batch of a worker; returns the number to acknowledge (0: it was here before)."""
        number: int = self.collector.take(body)
        self._maybe_end()
        return number

    def arm(self) -> None:
        """The check before the load test is over: from now on there may be reasons to end."""
        self._armed = True
        self._maybe_end()

    def _maybe_end(self) -> None:
        settings = self.settings
        if not self._armed:
            return
        bad_runs = sum(n for outcome, n in self.collector.outcomes.items() if outcome not in ("ok", "cut"))
        if settings.fail_fast and (self.collector.violations or bad_runs):
            self.end("--fail-fast: a violation" if self.collector.violations else "--fail-fast: a run failed")
        elif settings.max_runs and self.collector.rows["runs"] >= settings.max_runs:
            self.end(f"--max-runs {settings.max_runs}")

    def end(self, reason: str) -> None:
        """End the load test early; the first reason counts."""
        if not self.ended_by:
            self.ended_by = reason
            self.stop(reason)

    def look(self) -> None:
        """Called about once a second: is there a reason to end?"""
        if not self.settings.until_judged_s or self.ended_by:
            return
        if self.elapsed_s >= self.settings.until_judged_s:
            self.end(f"--until-judged: {self.settings.until_judged_s:g} s are over")
        elif self.collector.rows["runs"] and not self._undecided():
            self.end("--until-judged: every limit is decided")

    def _undecided(self) -> bool:
        from crosstalk.checks.judge_limits import undecided

        by_tag = bool(self.tags or self.excluded_tags)
        return bool(undecided(self.limits, self.collector.tally, self.families, chosen_by_tag=by_tag))

    def saw_revision(self, revision: str) -> None:
        """What the target calls its revision now; "" when it did not say."""
        if not revision:
            return
        self.revision_readings += 1
        if not self.revisions or self.revisions[-1][0] != revision:
            self.revisions.append((revision, clock.now_ns()))

    @property
    def target_changed(self) -> bool | None:
        """Did the target become another in mid-run? None: it was not asked twice, or did not say."""
        return None if self.revision_readings < 2 else len(self.revisions) > 1

    @property
    def elapsed_s(self) -> float:
        return (clock.now_ns() - self.started_ns) / 1e9

    def progress(self, users: int) -> str:
        """One line: where the load test is."""
        outcomes = self.collector.outcomes
        bad = sum(n for outcome, n in outcomes.items() if outcome not in ("ok", "cut"))
        of_time = f" of {self.run_time_s:.0f}" if self.run_time_s else ""
        return (
            f"{self.elapsed_s:4.0f}{of_time} s   {users} users   {outcomes['ok']} runs ok   {bad} not ok   "
            f"{self.collector.rows['events']} events   {self.collector.violations} violations"
        )

    @property
    def run_s(self) -> float:
        """About what a turn takes, before anything is known of the target."""
        return 1.0 if self.reference is not None else self.settings.environment.agent_timeout_s / 2

    def plan(self) -> str:
        """What this load test will be able to judge."""
        from crosstalk.checks.judge_limits import plan_sentence

        run_s, interval_s = self.run_s, self.settings.turn_interval_s
        return plan_sentence(
            self.limits,
            users=self.users,
            seconds_per_turn=max(run_s, interval_s) if interval_s else run_s + self.settings.think_time_s,
            run_time_s=self.run_time_s,
        )

    def _on_violation(self, violation: dict[str, Any]) -> None:
        owner_run = violation["owner_run"]
        if owner_run and owner_run not in self._evidence_asked and len(self._evidence_asked) < 200:
            self._evidence_asked.add(owner_run)
            self.keep_evidence(owner_run)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Everything is here, or will not come any more: write the record."""
        for name, worker in self.workers.items():
            last = int(worker.get("last_batch", 0))
            missing = self.collector.inlet.missing(name, last)
            worker["batches_received"] = self.collector.inlet.received(name)
            worker["batches"] = self.collector.inlet.ranges(name)
            if missing:
                self.problems.append(f"worker {name}: {len(missing)} of {last} batches did not arrive")
            if worker.get("dropped_batches"):
                lost = (
                    f"{worker['dropped_batches']} batches were lost: its disk did not take them ({worker['trouble']})"
                )
                self.problems.append(f"worker {name}: {lost}")
        for table, n in self._rows_handed_over().items():
            if n != self.collector.rows[table]:
                self.problems.append(f"{n} rows of {table} were handed over, {self.collector.rows[table]} came")
        self.run = self._run()
        self.collector.close(self.run)
        latest = self.settings.results / "latest"
        try:
            latest.unlink(missing_ok=True)
            latest.symlink_to(self.folder.name, target_is_directory=True)
        except OSError:
            pass  # a file system without links: results/<id> is named on the terminal all the same

    def _rows_handed_over(self) -> dict[str, int]:
        """By table, as the workers say; empty where one of them did not."""
        totals: Counter[str] = Counter()
        for worker in self.workers.values():
            if "rows" not in worker:
                return {}
            totals.update(worker["rows"])
        return dict(totals)

    def judge(self) -> dict[str, Any]:
        """The verdict, from what was seen live: for a load test without reports, or whose reports failed."""
        from crosstalk.checks.judge import judge

        verdict = judge(self.run, self.collector.tally)
        (self.folder / "verdict.json").write_bytes(orjson.dumps(verdict, option=orjson.OPT_INDENT_2))
        print(f"crosstalk: {verdict['word']}: {verdict['sentence']}", flush=True)
        return verdict

    def prune(self) -> None:
        """Remove the oldest results beyond the setting; never this one's."""
        keep = self.settings.keep_results
        folders = [path for path in _result_folders(self.settings.results) if path != self.folder]
        for old in folders[: max(0, len(folders) + 1 - keep)] if keep else []:
            shutil.rmtree(old, ignore_errors=True)

    def _run(self) -> dict[str, Any]:
        from crosstalk.checks.judge_arrivals import arrivals_of

        settings, readiness = self.settings, self.readiness
        asked = {
            "arrivals": settings.arrivals,
            "turn_interval_s": settings.turn_interval_s,
            "session_rate": settings.session_rate,
        }
        return {
            "load_test": {
                "id": self.folder.name,
                "scenario": self.scenario,
                "environment": settings.environment.name,
                "dialect": settings.dialect_name,
                "auth": settings.transport,
                **asked,
                "think_time_s": settings.think_time_s,
                "started_ns": self.started_ns,
                "ended_ns": clock.now_ns(),
                "ended_by": self.ended_by or "run time",
                "run_time_s": self.run_time_s,
                "users": self.users,
                "families": list(self.families),
                "tags": list(self.tags),
                "excluded_tags": list(self.excluded_tags),
                "spawn_rate": self.spawn_rate,
                "seed": settings.seed,
                "faults": settings.faults,
                "occasions": settings.occasions,
                "fail_fast": settings.fail_fast,
                "log_query": settings.log_query,
            },
            "target": {
                "url": self.begin.target.partition("?")[0],  # a key may travel in the query
                "reference": self.reference is not None,
                "revision": readiness.revision,
                "source": readiness.source,
                "changed": self.target_changed,
                "revisions": [{"revision": revision, "seen_ns": at_ns} for revision, at_ns in self.revisions],
                "ready": readiness.ready,
                "reason": readiness.reason,
                "preflight": readiness.lines,
                "bad_tokens": self.bad_tokens,
            },
            "limits": self.limits.as_dict(),
            "prompts": settings.prompts.said(),
            "expectations": {
                "prompts": settings.prompts.expectations(),
                "timeouts": {
                    "agent_timeout_s": settings.environment.agent_timeout_s,
                    "receive_timeout_s": settings.environment.receive_timeout_s,
                },
            },
            "workers": self.workers,
            "arrivals": arrivals_of(asked, self.workers, self.collector.tally.runs.waited_share()),
            "problems": self.problems,
            "previous": self.previous,
            "provenance": self._provenance(),
        }

    def _provenance(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "versions": {"crosstalk": __version__, "python": platform.python_version(), **_versions()},
            "receive_path": in_use(),
            "host": socket.gethostname(),
            "kernel": f"{platform.system()} {platform.release()}",
            "processors": os.cpu_count(),
            "commit": _commit(),
            "command": redact(re.sub(r"\?\S+", "?…", " ".join(["locust", *sys.argv[1:]]))),
            "hashes": {
                "limits": _hash(settings.limits_text),
                "prompts": _hash(repr(settings.prompts)),
                "dialect": _hash(_source_of(settings.dialect)),
                "faults": _hash(settings.faults),
            },
            "timezone": time.strftime("%z"),
        }

    def _find_previous(self) -> dict[str, Any] | None:
        """The last results of the same scenario and tags, environment, target and arrivals, or the baseline that was
        named.

        Where there are only some of other arrivals, the name and the arrivals of the last: they are not compared.

        :raises ConfigError: the baseline is of other arrivals.
        """
        from crosstalk.checks.judge_arrivals import THINK, incomparable
        from crosstalk.checks.since import expectations_of, outcomes_of

        if self.settings.baseline:
            folders = [Path(self.settings.baseline).resolve()]
        else:
            folders = list(reversed(_result_folders(self.settings.results)))
        here = "reference" if self.reference is not None else urlsplit(self.begin.target).netloc
        others: dict[str, Any] | None = None
        mine = (self.scenario, [*self.tags], [*self.excluded_tags], self.settings.environment.name, here)
        for folder in folders:
            try:
                run = orjson.loads((folder / "record" / "run.json").read_bytes())
                verdict = orjson.loads((folder / "verdict.json").read_bytes())
                test, target = run["load_test"], run["target"]
                # the reference backend has another port each time; it is the same target all the same
                key = "reference" if target.get("reference") else urlsplit(target["url"]).netloc
                if target.get("ready") is False and not self.settings.baseline:
                    continue  # nothing was judged there: it is no state to compare with
                chosen = (test.get("tags") or [], test.get("excluded_tags") or [])
                if self.settings.baseline or mine == (test["scenario"], *chosen, test["environment"], key):
                    arrivals = test.get("arrivals") or THINK
                    if why := incomparable(arrivals, self.settings.arrivals):
                        if self.settings.baseline:
                            raise ConfigError(f"--baseline {self.settings.baseline}: {why}")
                        others = others or {"id": test["id"], "arrivals": arrivals}
                        continue
                    return {
                        "id": test["id"],
                        "arrivals": arrivals,
                        "outcomes": outcomes_of(verdict),
                        "expectations": expectations_of(run),
                    }
            except (OSError, KeyError, TypeError, ValueError):
                if self.settings.baseline:
                    self.problems.append(f"--baseline {self.settings.baseline}: no finished results there")
        return others


def new_folder(results: Path, scenario: str, load_test: int) -> Path:
    """`results/<time>-<scenario>-<load test>`, made."""
    stamp = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).strftime("%Y%m%d-%H%M%S")
    folder = results / f"{stamp}-{scenario}-{load_test_name(load_test)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _result_folders(results: Path) -> list[Path]:
    """Folders of finished load tests, oldest first."""
    if not results.is_dir():
        return []
    return sorted(path.resolve() for path in results.iterdir() if not path.is_symlink() and (path / "record").is_dir())


def _versions() -> dict[str, str]:
    versions = {}
    for package in ("locust", "gevent", "websocket-client", "orjson", "pyarrow", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def _commit() -> str:
    """The commit of the folder that the load test was started in; "" where there is none."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _source_of(dialect: object) -> str:
    import inspect

    try:
        return inspect.getsource(type(dialect))
    except (OSError, TypeError):
        return repr(type(dialect))
