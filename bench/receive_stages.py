"""What each stage of the receive path costs: CPU µs for an event, the best of many rounds on this machine.

    python bench/receive_stages.py [--events 25] [--rounds 300] [--profile] [--one]

One process: runs of the receive_sender's frames come through a loopback connection into a session, all at once (or one
by one: `--one`); the reading callback, the deliverer and the collector are called in turn, and timed.
"""

# ruff: noqa: E402, B023
# E402: gevent patches the process before anything else is imported; B023: what is timed is called at once
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse
import cProfile
import gc
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent import monkey as patched
from gevent import socket

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.receive_path import House, choose, leave_out
from bench.receive_sender import run_frames
from crosstalk.stream import Stream

select = patched.get_original("select", "select")


RUNS_IN_BATCH = 40


def send(connection: Any, dialect: Any, turn: Any) -> None:
    frame = dialect.prompt(turn)
    connection._watcher = True
    connection.send(frame)


def pieces_of(stages: Stages, generator: Any, person: Any, run: Any, frames: list[bytes]) -> None:
    """Some of what delivering consists of, alone."""
    decode, n = generator.settings.dialect.decode, len(frames)
    payloads = [frame[4:] if frame[1] == 126 else frame[2:] for frame in frames]
    stages.time("  of it: decode", n, lambda: [decode(payload) for payload in payloads])
    events = [decode(payload)[0] for payload in payloads]
    is_own, known, seen = person.observer.is_own, run.known, run.seen
    pairs = list(zip(payloads, events, strict=True))
    stages.time("  of it: isolation", n, lambda: [is_own(payload, event, known, seen) for payload, event in pairs])
    check = type(run.check)(generator.settings.dialect.lifecycle, ())
    stages.time("  of it: delivery", n, lambda: [check.streams(e, 5) or check.advance(e, 5) for e in events])
    milestones = [event for event in events if event.kind != "chunk"] + events[-1:]
    fire = generator.milestone
    stages.time("  of it: milestones", n, lambda: [fire("EVENT", str(e.kind), 1.5, 300, "") for e in milestones])


class Stages:
    def __init__(self) -> None:
        self.best: dict[str, float] = {}
        self.order: list[str] = []

    def time(self, name: str, events: float, call: Callable[[], Any], clock: Any = time.perf_counter_ns) -> Any:
        begun = clock()
        result = call()
        took = (clock() - begun) / 1e3 / events
        self.best[name] = min(self.best.get(name, took), took)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--one", action="store_true", help="one event for each read")
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stages = run(options, Path(folder))
    for name, took in stages.best.items():
        print(f"{name:28} {took:7.2f} µs/event")
    print(f"{'sum':28} {sum(took for name, took in stages.best.items() if not name.startswith(' ')):7.2f}")


def run(options: argparse.Namespace, folder: Path) -> Stages:  # noqa: C901, PLR0915  one story from start to end
    leave_out(options.without)
    house = House("http://127.0.0.1:1", folder, [], "")
    generator = house.generator
    generator._flusher.kill()
    bodies: list[Any] = []
    generator.outbox.send = lambda number, body: (bodies.append(body), generator.outbox.acknowledge(number))
    person = generator.person("Regular")
    session = generator.session(person)
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()
    client.setblocking(False)
    connection = session._connection
    connection._stream = Stream(client, 0)
    put = connection._inbox._queue  # nobody takes from it: the loop does not run
    session._incoming.progress.ready_ns = 1
    stages = Stages()
    profile = cProfile.Profile()
    writer = house.collector._writer
    house.collector._queue = type("Now", (), {"put": lambda _, jobs: house.collector._write(jobs)})()
    gc.collect()
    gc.disable()
    for n in range(options.rounds):
        thread = person.new_thread()
        prompt = choose(generator, person)
        dialect = generator.settings.dialect
        run, turn = stages.time(
            "begin of a run", options.events,
            lambda: person.prepare(prompt, thread, dialect, intended_ns=None, warm_up=False),
        )  # fmt: skip
        stages.time("its prompt", options.events, lambda: send(connection, dialect, turn))
        person.observer.run_started(run.ordinal, thread.first_ordinal, run_id=run.run_id, at_ns=1)
        run.sent_ns = run.intended_ns = time.time_ns()
        frames = run_frames(person.name, thread.thread_id, run.run_id, turn.text, options.events)
        pieces = frames if options.one else [b"".join(frames)]
        if options.profile and n > 20:
            profile.enable()
        for piece in pieces:
            peer.sendall(piece)
            select([client.fileno()], [], [], 5)
            stages.time("read (callback)", len(frames) / len(pieces), connection._readable)
            got = list(put)
            put.clear()
            for target, arrivals in got:
                stages.time("deliver (all checks)", len(frames) / len(pieces), lambda: target.deliver(arrivals))
        assert run.check.ended, run.check.state
        if n % 4 == 0:
            pieces_of(stages, generator, person, run, frames)
        if n % RUNS_IN_BATCH == RUNS_IN_BATCH - 1:
            events = len(frames) * RUNS_IN_BATCH
            stages.time("outbox encode", events, generator.outbox.flush)
            for body in bodies:
                stages.time("collector take", events, lambda body=body: house.collector.take(body))
            bodies.clear()
            if n == 2 * RUNS_IN_BATCH - 1:
                writer.flush()
            rows = sum(map(len, writer._pending_events))
            if n == options.rounds - 1:
                stages.time("parquet", rows, writer.flush, time.process_time_ns)
        profile.disable()
        person.observer.run_over(run.ordinal)
        run.outcome = "ok"
        stages.time("end of a run", options.events, lambda: session._conclude(run, "end"))
        session._watch_over()
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    return stages


if __name__ == "__main__":
    main()
