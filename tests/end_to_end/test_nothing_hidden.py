"""What goes wrong on our own side, or before there is a socket, reaches the verdict: none of it can end in SHIP."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import Ended, run

QUICK = ("--headless", "--users", "6", "--spawn-rate", "6", "--run-time", "6s", "--think-time", "0.2")
LIMITS = ("--limits", "tests/end_to_end/ending.toml")
HEAD = """
from locust import events

import reports
from crosstalk.harness import connect
from users.regular import Regular as _Regular

"""
CRASH = """
class Regular(_Regular):
    def say(self, prompt, thread):
        if self.person.number % 2:
            raise RuntimeError("a bug in a user class")
        super().say(prompt, thread)

del _Regular
connect(events, at_end=reports.publish)
"""
KILLED = """
import os, signal
from locust.runners import WorkerRunner

@events.init.add_listener
def kill_one(environment, runner, **_):
    if isinstance(runner, WorkerRunner) and runner.worker_index == 1:
        events.test_start.add_listener(lambda **_: os.kill(os.getpid(), signal.SIGKILL))

Regular = _Regular
del _Regular
connect(events, at_end=reports.publish)
"""
UNWRITABLE = """
from crosstalk.record.parts import RecordWriter

_append = RecordWriter.append

def append(self, table, rows):
    if table == "violations":
        raise ValueError("a value that its column cannot hold")
    _append(self, table, rows)

RecordWriter.append = append
Regular = _Regular
del _Regular
connect(events, at_end=reports.publish)
"""


def load_test(tmp_path: Path, body: str, *options: str) -> Ended:
    (tmp_path / "own.py").write_text(HEAD + body)
    return run(tmp_path, "-f", str(tmp_path / "own.py"), *QUICK, *LIMITS, *options, scenario=None)


def test_a_user_class_that_crashes(tmp_path: Path) -> None:
    ended = load_test(tmp_path, CRASH)
    assert ended.exit_code == 4 == ended.verdict["exit_code"], ended.verdict["sentence"]
    assert any("a bug in a user class" in problem for problem in ended.run["problems"])


def test_a_worker_that_never_says_a_word(tmp_path: Path) -> None:
    ended = load_test(tmp_path, KILLED, "--processes", "2")
    assert ended.exit_code == 4 == ended.verdict["exit_code"], ended.verdict["sentence"]
    told = ended.run["problems"]  # lost, where it was heard at least once; a process of Locust's own otherwise
    assert any("handed over nothing" in problem or "was lost: " in problem for problem in told), told


def test_violations_that_cannot_be_written(tmp_path: Path) -> None:
    ended = load_test(tmp_path, UNWRITABLE, "--faults", "leak_wrong_socket")
    assert ended.verdict["verdict"] != "pass" and ended.exit_code != 0, ended.verdict["sentence"]
    assert any("violations" in problem for problem in ended.run["problems"]), ended.run["problems"]


class _Gate(BaseHTTPRequestHandler):
    """A sign-in that refuses every other account."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["email"].partition("@")[0]
        if int(name[-1]) % 2:
            answer, code = {"detail": "locked"}, 401
        else:
            from tests.backend.client import mint

            answer, code = {"access_token": mint(name)}, 200
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


def test_sign_ins_that_are_refused_are_tokens_not_accepted(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("email,password\n" + "".join(f"person-{n}@crosstalk.test,x\n" for n in range(6)))
    gate = ThreadingHTTPServer(("127.0.0.1", 0), _Gate)
    Thread(target=gate.serve_forever, daemon=True).start()
    try:
        with backend() as target:
            options = ("--host", target.url, "--auth-url", f"http://127.0.0.1:{gate.server_port}")
            ended = run(tmp_path / "results", *QUICK[1:], *options, "--accounts", str(accounts), JWT_SECRET_KEY=SECRET)
    finally:
        gate.shutdown()
        gate.server_close()
    assert ended.exit_code == 1 == ended.verdict["exit_code"], ended.verdict["sentence"]
    refused = {row["account"] for row in ended.rows("connections") if row["outcome"] == "refused"}
    assert refused >= {"person-1", "person-3", "person-5"}
    [limit] = [one for one in ended.verdict["limits"] if one["metric"] == "tokens_accepted"]
    assert limit["verdict"] == "fail"
