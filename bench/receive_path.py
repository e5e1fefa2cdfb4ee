"""What the receive path costs: CPU time of this process for each event, with all checks and the record on.

    python bench/receive_path.py burst --seconds 5
    python bench/receive_path.py paced --users 200 --tls

A generator with its record, as a local runner has it, is fed by receive_sender.py, a process of its own. `--without`
leaves a stage out, which tells what it costs.
"""

# ruff: noqa: E402
# E402: gevent patches the process before anything else is imported
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gevent

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from locust.env import Environment

from crosstalk.config import load_settings
from crosstalk.generator import Begin, Generator
from crosstalk.record.collector import Collector
from tests.helpers import parsed

ROOT = Path(__file__).resolve().parents[1]


class House:
    """A generator and its collector."""

    def __init__(self, url: str, folder: Path, without: list[str], ca: str) -> None:
        os.environ.setdefault("JWT_SECRET_KEY", "x" * 40)
        arguments = ["--results", str(folder), "--seed", "7", *(["--ca", ca] if ca else [])]
        settings = load_settings(parsed(*arguments, locustfile=str(ROOT / "scenarios/smoke.py")))
        begin = Begin(12345, b"a secret of this measurement", url, "x" * 40, True, 7)
        environment = Environment()
        environment.create_local_runner()
        self.collector = Collector(folder / "record", self._violation)
        self.violations: list[dict[str, Any]] = []
        taken = 0

        def lease(wanted: int) -> None:
            nonlocal taken
            self.generator.purse.put(taken, wanted)
            taken += wanted

        def take(number: int, body: Any) -> None:
            if "collector" not in without:
                self.collector.take(body)
            self.generator.outbox.acknowledge(number)

        fire = environment.events.request.fire if "locust" not in without else lambda **_: None
        self.generator = Generator(
            settings=settings, begin=begin, worker="local", role="local", fire_request=fire, send=take, ask=lease
        )
        if "record" in without:
            self.generator.outbox.add = lambda *_: None  # type: ignore[method-assign]

    def _violation(self, row: dict[str, Any]) -> None:
        if len(self.violations) < 3:
            print("VIOLATION", {k: v for k, v in row.items() if v not in ("", None)}, file=sys.stderr)
        self.violations.append(row)


def leave_out(without: list[str]) -> None:
    from crosstalk.checks import isolation
    from crosstalk.incoming import Incoming

    if "deep" in without:
        Incoming.searched = lambda *_, **__: []  # type: ignore[method-assign]
        isolation.Observer.finds_in_disguise = lambda *_: True  # type: ignore[method-assign]
    if "inspect" in without:
        isolation.Observer.inspect = lambda self, frame, event, place, seen=None, asked_for=0: []  # type: ignore


def drive(options: argparse.Namespace, folder: Path) -> None:  # noqa: C901, PLR0915  one story from start to end
    tls = []
    ca = ""
    if options.tls:
        from tests.helpers import Authority

        authority = Authority(folder)
        authority.server_context("127.0.0.1")
        tls, ca = ["--tls", str(folder / "server.pem"), str(folder / "server.pem")], str(folder / "ca.pem")
    how = ["--burst", str(options.events or 25)]
    if options.what == "paced":
        how = ["--paced", "20", "--events", str(options.events or 250)]
    sender = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("receive_sender.py")), *how, *tls],
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True,
    )  # fmt: skip
    port = int(sender.stdout.readline())
    leave_out(options.without)
    house = House(f"{'https' if tls else 'http'}://127.0.0.1:{port}", folder, options.without, ca)
    generator = house.generator
    stop = gevent.event.Event()
    n_up = 0

    def user() -> None:
        nonlocal n_up
        person = generator.person("Regular")
        session = generator.connect(person)
        n_up += 1
        go.wait()
        while not stop.is_set():
            thread = person.new_thread()
            for _ in range(3):
                if not stop.is_set():
                    session.ask(choose(generator, person), thread, intended_ns=None, warm_up=False)
            gevent.sleep(0)
        session.close()

    go = gevent.event.Event()
    users = []
    for _ in range(options.users):
        users.append(gevent.spawn(user))
        if len(users) % 20 == 0:
            gevent.sleep(0.05)
    while n_up < options.users:
        gevent.sleep(0.05)
    generator.ramp_over()
    go.set()
    gevent.sleep(1.0)
    results: list[float] = []
    counters = generator.counters
    for _ in range(options.windows):
        events, cpu, at = counters.received, time.process_time(), time.monotonic()
        gevent.sleep(options.seconds)
        n = counters.received - events
        spent = time.process_time() - cpu
        wall = time.monotonic() - at
        results.append(spent / n * 1e6)
        print(
            f"  {spent / n * 1e6:6.2f} µs/event  {n / wall:9.0f} events/s  {100 * spent / wall:4.0f} % CPU", flush=True
        )
    at_end = time.process_time()
    stop.set()
    gevent.joinall(users)
    totals = generator.finish()
    house.collector.close({})
    at_end = time.process_time() - at_end
    sender.stdin.close()
    sender.wait()
    rows = house.collector.rows["events"]
    print(
        f"  received {totals['events_received']} checked {totals['events_checked']} recorded "
        f"{totals['events_recorded']} collected {rows}; violations {len(house.violations)}; outcomes "
        f"{dict(house.collector.outcomes)}; the end took {at_end:.2f} s CPU"
    )
    print(f"best {min(results):.2f} median {sorted(results)[len(results) // 2]:.2f} µs/event")


def choose(generator: Generator, person: Any) -> Any:
    while True:
        prompt = generator.settings.prompts.choose(person.rng)
        if prompt.family == "question":
            return prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["burst", "paced"])
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--without", nargs="*", default=[])
    options = parser.parse_args()
    options.users = options.users or (50 if options.what == "burst" else 200)
    with tempfile.TemporaryDirectory() as folder:
        drive(options, Path(folder))


if __name__ == "__main__":
    main()
