"""Two hosts, a round trip of 50 ms between them, one packet in a hundred lost each way: the record loses nothing.

The target and the master are on one host, and there is a worker on each.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.end_to_end.hosts import MASTER, Hosts, NotPermitted, two_hosts
from tests.end_to_end.locust_process import ROOT, Ended, end, environment, read_until
from tests.end_to_end.test_distribution import assert_nothing_lost, read_until_runs
from tests.end_to_end.web import wait_until
from tests.test_docs import documented

SECRET = "0123456789abcdef0123456789abcdef"
COMMON = (
    *("--users", "8", "--spawn-rate", "8", "--think-time", "0.2"),
    *("--limits", "tests/end_to_end/ending.toml", "--prompts", "tests/end_to_end/long.toml"),
)
SMOKE = ("--config", "scenarios/smoke.conf")
SHAPE = ("-f", "tests/end_to_end/shape_that_ends.py", "--headless", "--only-summary", "--stop-timeout", "10")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with ExitStack() as stack:
        try:
            found = stack.enter_context(two_hosts(delay_ms=25, loss=0.01))
        except NotPermitted as why:
            pytest.skip(str(why))
        yield found


@dataclass
class Stand:
    """Everything of one load test on two hosts."""

    hosts: Hosts
    results: Path
    target: subprocess.Popen[str] = field(init=False)
    master: subprocess.Popen[str] = field(init=False)
    workers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start_target(self) -> None:
        self.target = self._start(*self.hosts.master, *documented("python -m crosstalk.backend --host-address"))
        read_until(self.target, "LISTENING")

    def start_master(self, *options: str, scenario: tuple[str, ...] = SMOKE, workers: int = 2) -> None:
        command = in_scenario(scenario, "locust --config scenarios/smoke.conf --master")
        self.master = self._start(
            *self.hosts.master, *command, "--expect-workers", str(workers), "--results", str(self.results), *COMMON,
            *options,
        )  # fmt: skip

    def start_worker(self, name: str, host: tuple[str, ...], *options: str, scenario: tuple[str, ...] = SMOKE) -> None:
        """Its output goes to a file: nobody reads it while it runs."""
        with (self.results / f"{name}.out").open("w") as said:
            command = in_scenario(scenario, f"locust --config scenarios/smoke.conf --worker --master-host {MASTER}")
            self.workers[name] = self._start(*host, *command, *options, stdout=said)

    def start_workers(self, *, scenario: tuple[str, ...] = SMOKE) -> None:
        self.start_worker("near", self.hosts.master, scenario=scenario)
        self.start_worker("far", self.hosts.worker, scenario=scenario)

    def end(self, heard: str) -> Ended:
        """Wait for the master, and then for the workers, which must not outlive it by long."""
        ended = end(self.master, self.results, heard=heard)
        for worker in self.workers.values():
            worker.wait(timeout=20)
        return ended

    def said(self, name: str) -> str:
        return (self.results / f"{name}.out").read_text()

    def close(self) -> None:
        for process in (getattr(self, "target", None), getattr(self, "master", None), *self.workers.values()):
            if process is not None:
                if process.poll() is None:
                    process.kill()
                process.communicate()

    def _start(self, *command: str, stdout: object = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment(JWT_SECRET_KEY=SECRET), stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=subprocess.STDOUT, text=True, process_group=0,
        )  # fmt: skip


def in_scenario(scenario: tuple[str, ...], command: str) -> list[str]:
    """A command of docs/distributed.md, with another scenario where one is wanted."""
    words = documented(command)
    at = words.index(SMOKE[0])
    return [*words[:at], *scenario, *words[at + len(SMOKE) :]]


@contextmanager
def stand_on(hosts: Hosts, results: Path) -> Iterator[Stand]:
    stand = Stand(hosts, results)
    try:
        stand.start_target()
        yield stand
    finally:
        stand.close()


def assert_both_took_part(ended: Ended) -> None:
    by_worker = {row["worker"] for row in ended.rows("events")}
    assert by_worker >= {"w0", "w1"}
    assert all(worker["host"] and worker["pid"] for name, worker in ended.run["workers"].items() if name != "master")


WAYS = ("run time", "interrupt", "terminate", "the UI", "shape", "death of the target")
#: the others take minutes together; on one host they are all tried in test_endings.py
QUICK = ("run time",)


@pytest.mark.parametrize("way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.long) for way in WAYS])
def test_every_way_of_ending_loses_nothing(tmp_path: Path, hosts: Hosts, way: str) -> None:
    scenario = SHAPE if way == "shape" else SMOKE
    options = {"run time": ("--run-time", "12s"), "the UI": ("--headful",), "shape": ()}.get(way, ("--run-time", "60s"))
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master(*options, scenario=scenario)
        stand.start_workers(scenario=scenario)
        if way == "the UI":
            heard = read_until(stand.master, "2 workers connected")
            post(hosts, "swarm", user_count=8, spawn_rate=8)
            heard += read_until_runs(stand.master)
            post(hosts, "stop")
            heard += read_until(stand.master, "report.html")
            os.kill(stand.master.pid, signal.SIGTERM)
        else:
            heard = read_until_runs(stand.master)
        if way == "death of the target":
            stand.target.kill()
            heard += read_until_runs(stand.master)
        if way in ("interrupt", "death of the target"):
            os.kill(stand.master.pid, signal.SIGINT)
        elif way == "terminate":
            os.kill(stand.master.pid, signal.SIGTERM)
        ended = stand.end(heard)
        assert ended.exit_code == (1 if way == "death of the target" else 0), ended.output
        assert "Traceback" not in ended.output + stand.said("near") + stand.said("far"), ended.output
        assert_nothing_lost(ended)
        assert_both_took_part(ended)
        assert hosts.wire.lost > 0  # the wire was what it should be


@pytest.mark.long
def test_a_wire_that_is_cut_and_mended_loses_nothing(tmp_path: Path, hosts: Hosts) -> None:
    """The far worker's users lose their way to the target too: that is the target's fault to the eye, and recorded."""
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "35s")
        stand.start_workers()
        heard = read_until_runs(stand.master)
        hosts.wire.loss = 1.0
        heard += read_until(stand.master, "has said nothing")
        wait_until(lambda: "the master has not answered" in stand.said("far"))
        hosts.wire.loss = 0.01
        ended = stand.end(heard)
        assert_nothing_lost(ended)
        assert "is heard again" in ended.output
        assert "the master answers again" in stand.said("far") and "the master answers again" in ended.output
        assert not list(tmp_path.glob("spill-*"))
        [silent] = [worker for worker in ended.run["workers"].values() if worker.get("silences")]
        assert silent["spilled_batches"] >= silent["silences"][0]["batches_kept"] > 0


#: a host of its own in the eyes of the master: process ids there mean nothing here
OTHER_IDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def test_a_far_worker_that_is_killed_is_named_with_what_is_missing_of_it(tmp_path: Path, hosts: Hosts) -> None:
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "32s")
        stand.start_worker("near", hosts.master)
        stand.start_worker("far", (*hosts.worker, *OTHER_IDS))
        heard = read_until_runs(stand.master) + read_until(stand.master, "runs ok")
        stand.workers["far"].kill()
        ended = stand.end(heard)
        assert ended.exit_code == 4, ended.output
        [(name, lost)] = [(name, worker) for name, worker in ended.run["workers"].items() if worker.get("lost")]
        of_lost = sum(row["worker"] == name for row in ended.rows("events"))
        missing = lost["events_received"] - of_lost
        [problem] = [text for text in ended.run["problems"] if "was lost" in text]
        assert f"worker {name} ({lost['host']}, pid {lost['pid']}) was lost" in problem
        assert f"{of_lost:,} are in the record, {missing:,} are not" in problem
        assert ended.verdict["measurement"]["unaccounted_events"] == missing
        assert lost["gap_s"] > 3  # nobody can see from here when its process ended
        assert of_lost > 0 and "has said nothing for" in ended.output


@pytest.mark.long
@pytest.mark.parametrize("scenario", [SMOKE, ("-f", "tests/end_to_end/late_to_listen.py")], ids=["at once", "late"])
def test_a_worker_that_joins_in_mid_run_takes_part_and_is_named(
    tmp_path: Path, hosts: Hosts, scenario: tuple[str, ...]
) -> None:
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "36s", workers=1)
        stand.start_worker("near", hosts.master)
        heard = read_until_runs(stand.master)
        stand.start_worker("far", hosts.worker, scenario=scenario)
        ended = stand.end(heard)
        assert ended.exit_code == 0, ended.output + stand.said("far")
        assert_nothing_lost(ended)
        assert_both_took_part(ended)
        workers = ended.run["workers"]
        assert workers["w1"]["joined_s"] > workers["w0"]["joined_s"] + 2
        assert workers["w1"]["pid"] == stand.workers["far"].pid
        assert sum(row["worker"] == "w1" and row["outcome"] == "ok" for row in ended.rows("runs")) > 0


@pytest.mark.long
def test_a_worker_that_leaves_hands_everything_over_and_is_missed(tmp_path: Path, hosts: Hosts) -> None:
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "16s")
        stand.start_workers()
        heard = read_until_runs(stand.master)
        os.kill(stand.workers["far"].pid, signal.SIGINT)
        ended = stand.end(heard)
        assert ended.exit_code == 4, ended.output
        [problem] = ended.run["problems"]
        assert f"pid {stand.workers['far'].pid}) left" in problem
        assert ended.verdict["measurement"]["unaccounted_events"] == 0
        for worker in ended.run["workers"].values():
            assert worker["batches_received"] == worker["last_batch"]


@pytest.mark.long
def test_workers_of_one_host_leave_together_and_hand_everything_over(tmp_path: Path, hosts: Hosts) -> None:
    """SIGTERM to the process that forked them ends it at once: they end by themselves, and take their time."""
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "24s", workers=3)
        stand.start_worker("near", hosts.master)
        stand.start_worker("far", hosts.worker, "--processes", "2")
        heard = read_until_runs(stand.master)
        os.kill(stand.workers["far"].pid, signal.SIGTERM)
        ended = stand.end(heard)
        assert ended.exit_code == 4, ended.output
        assert len(ended.run["problems"]) == 2 and all(") left " in problem for problem in ended.run["problems"])
        assert ended.verdict["measurement"]["unaccounted_events"] == 0
        for worker in ended.run["workers"].values():
            assert worker["batches_received"] == worker["last_batch"]


@pytest.mark.long
def test_a_worker_of_another_version_is_refused_in_one_line(tmp_path: Path, hosts: Hosts) -> None:
    old = ("-f", "tests/end_to_end/old_worker.py")
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "10s", workers=1)
        stand.start_worker("far", hosts.worker, scenario=old)
        refused = stand.workers["far"]
        assert refused.wait(timeout=60) == 2, stand.said("far")
        heard = read_until(stand.master, "is refused")
        [line] = [line for line in stand.said("far").splitlines() if line.startswith("crosstalk:")]
        assert f"(pid {refused.pid}) is version 0.0.9" in line and "install the same version on all hosts" in line
        assert heard.splitlines()[-1] == line
        stand.start_worker("near", hosts.master)
        ended = stand.end(heard)
        assert ended.exit_code == 0, ended.output
        assert_nothing_lost(ended)
        assert "Traceback" not in ended.output + stand.said("far")


@pytest.mark.long
def test_a_target_on_the_masters_loopback_is_no_target_for_other_hosts(tmp_path: Path, hosts: Hosts) -> None:
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "8s", "--host", "")
        stand.start_workers()
        ended = stand.end("")
        assert ended.exit_code == 4, ended.output
        [problem] = ended.run["problems"]
        assert f"pid {stand.workers['far'].pid}) does not begin: 127.0.0.1 is its master's own address" in problem
        assert problem in stand.said("far")
        assert {row["worker"] for row in ended.rows("runs")} in ({"w0"}, {"w1"})


@pytest.mark.long
def test_clocks_that_are_apart_spoil_no_time(tmp_path: Path, hosts: Hosts) -> None:
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "10s")
        stand.start_worker("near", hosts.master)
        stand.start_worker("far", hosts.worker, scenario=("-f", "tests/end_to_end/slow_clock.py"))
        ended = stand.end("")
        assert ended.exit_code == 0, ended.output + stand.said("far")
        assert_nothing_lost(ended)
        [(name, far)] = [(name, one) for name, one in ended.run["workers"].items() if one.get("behind_s", 0) > 30]
        assert 39 < far["behind_s"] < 45
        assert f"the clock of worker {name}" in ended.output
        sent = {
            worker: [row["sent_ns"] for row in ended.rows("runs") if row["worker"] == worker] for worker in ("w0", "w1")
        }
        [other] = {"w0", "w1"} - {name}
        assert max(sent[name]) < min(sent[other])  # it is as wrong as it is meant to be
        for row in ended.rows("events"):
            assert 0 <= row["received_ns"] - row["arrived_ns"] < 5e9
        assert all(row["end_ns"] > row["first_event_ns"] > row["sent_ns"] for row in ended.rows("runs"))


@pytest.mark.long
def test_what_a_worker_could_not_hand_over_is_taken_in_afterwards(tmp_path: Path, hosts: Hosts) -> None:
    with stand_on(hosts, tmp_path) as stand:
        stand.start_master("--run-time", "60s")
        stand.start_worker("near", hosts.master)
        stand.start_worker("far", hosts.worker, scenario=("-f", "tests/end_to_end/impatient_worker.py"))
        heard = read_until_runs(stand.master)
        hosts.wire.loss = 1.0
        stand.workers["far"].wait(timeout=90)  # gives its master up, and keeps what it has
        os.kill(stand.master.pid, signal.SIGINT)
        ended = stand.end(heard)
        assert ended.exit_code == 4, ended.output
        [name] = [name for name, one in ended.run["workers"].items() if one.get("lost")]
        before = len(ended.rows("events"))
        [spill] = tmp_path.glob("spill-*")
        assert str(spill) in stand.said("far")
        absorb = [sys.executable, "-m", "crosstalk.tools.absorb", str(ended.folder), str(spill)]
        for _ in range(2):  # the second time, nothing is new
            subprocess.run(absorb, check=True, env=environment(), cwd=ROOT)
            subprocess.run([sys.executable, "-m", "reports", "html", str(ended.folder)], check=True, cwd=ROOT)
            after = Ended(0, "", ended.folder)
            assert_nothing_lost(after)
            assert (
                len(after.rows("events"))
                == after.run["workers"]["w0"]["events_received"] + (after.run["workers"]["w1"]["events_received"])
            )
        assert len(after.rows("events")) > before
        assert "lost" not in after.run["workers"][name]
        assert after.verdict["measurement"]["unaccounted_events"] == 0


def post(hosts: Hosts, path: str, **form: object) -> None:
    """To the web UI, which listens on the master's host alone."""
    script = "import sys, urllib.request as r; r.urlopen(sys.argv[1], sys.argv[2].encode()).read()"
    url = f"http://127.0.0.1:8089/{path}"
    subprocess.run([*hosts.master, sys.executable, "-c", script, url, urlencode(form)], check=True, timeout=60)
