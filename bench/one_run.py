"""One tool in one regime: started, measured over its steady window, ended, asked what it saw."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.stand import ROOT, Regime, Sender
from bench.tools import Error, Seen, Tool, variables

READY_TIMEOUT_S = 90.0
#: compilers and caches warm up, and what the start left over is done
WARM_UP_S = 1.0
#: how long a tool may take to read what it was sent, once nothing more is sent
CATCH_UP_S = 20.0
#: a tool that uses less of a processor than this, over so long, has nothing left to do
QUIET_CPU_SHARE, QUIET_S = 0.06, 0.1
#: how long a tool may take to end its runs and to write what it saw
END_TIMEOUT_S = 60.0
#: a user that is slow to ask again gets fewer events than it could
KEPT_UP_MIN = 0.97


class ToolFailed(Exception):
    """A tool did not come up, or left nothing."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was between two pauses.

    :ivar busy_ns: CPU time up to its end; `cpu_ns`: until all was read that had been sent in it.
    :ivar caught_up: all was read.
    :ivar said: what the sender said at its end.
    """

    seconds: float
    busy_ns: int
    cpu_ns: int
    caught_up: bool
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """What one tool did in one alternation. Times of CPU in ns, of the tool's processes and nothing else.

    :ivar cpu_after_ns: after its last user has stopped; `cpu_once_ns`: what of it a window without events would have.
    """

    tool: str
    regime: str
    scheme: str
    alternation: int
    users: int
    offered_per_s: float
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    busy_ns: int = 0
    cpu_window_ns: int = 0
    cpu_after_ns: int = 0
    cpu_once_ns: int = 0
    errors: dict[str, Error] = field(default_factory=dict)
    sender_behind_max_ms: float = 0.0
    skipped_slots: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def cpu_us_per_event(self) -> float:
        """What is on a tool's bill, for each event that was sent to it in the window.

        Of what it does after its end, what it does however few events there were is left out: a load test has that
        once, and the window is short.
        """
        return (self.cpu_window_ns + max(self.cpu_after_ns - self.cpu_once_ns, 0)) / 1000 / max(self.sent, 1)

    @property
    def busy_share(self) -> float:
        """Of one processor, while events were sent."""
        return self.busy_ns / 1e9 / self.seconds if self.seconds else 0.0

    @property
    def is_wrong(self) -> bool:
        """Did it lose events, or say something of them that is not so? Lagging is not wrong."""
        return self.received != self.sent or any(not problem.startswith("lagged") for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "cpu_us_per_event": self.cpu_us_per_event, "busy_share": self.busy_share}


def run(tool: Tool, regime: Regime, folder: Path, *, seconds: float, alternation: int = 0) -> Row:
    """:raises ToolFailed, bench.stand.SenderFailed:"""
    with Sender(regime, folder) as sender:
        out = folder / f"{tool.name}.out"
        said = (folder / f"{tool.name}.log").open("wb")
        with said, subprocess.Popen(
            tool.command(sender, folder), cwd=ROOT, env={**variables(sender, out), **tool.more_variables},
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                _await_running(sender, process, said.name)
                window = _measure(sender, process, seconds)
                on_time = _end(tool, sender, process)
            finally:
                if process.poll() is None:
                    process.kill()
        sender.tell(f"log {sender.log_file}", timeout_s=60)
        left = Seen(0, {}, problems=("it did not end, and left nothing",))
        seen = _ask(tool, sender, out, said.name) if on_time else left
    return _row(tool, regime, alternation, window, seen)


def _row(tool: Tool, regime: Regime, alternation: int, window: Window, seen: Seen) -> Row:
    sent = int(window.said["sent"])
    skipped = int(window.said["skipped_slots"])  # the sender's doing, not the tool's
    kept_up = sent / (window.seconds * regime.rate - skipped * regime.per_slot)
    problems = list(seen.problems)
    if seen.received != sent:
        problems.append(f"received {seen.received:,} of {sent:,} events")
    if not window.caught_up:
        problems.append(f"had not read all within {CATCH_UP_S:g} s")
    if kept_up < KEPT_UP_MIN:
        problems.append(f"lagged: took {100 * kept_up:.0f} % of what was offered")
    return Row(
        tool.name, regime.name, regime.scheme, alternation, regime.users, regime.rate, tuple(problems),
        seconds=window.seconds, sent=sent, received=seen.received, busy_ns=window.busy_ns, cpu_window_ns=window.cpu_ns,
        cpu_after_ns=seen.after_ns, errors=dict(seen.errors), sender_behind_max_ms=window.said["behind_max_ns"] / 1e6,
        skipped_slots=skipped, more=dict(seen.more),
    )  # fmt: skip


def failed(tool: Tool, regime: Regime, alternation: int, why: str) -> Row:
    """A row without figures."""
    return Row(tool.name, regime.name, regime.scheme, alternation, regime.users, regime.rate, (why,))


def _await_running(sender: Sender, process: subprocess.Popen[bytes], log: str) -> None:
    """Until all users have begun their first run."""
    sender.order(f"await {sender.regime.users}")
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while sender.answered(0.2) is None:
        if process.poll() is not None:
            raise ToolFailed(
                f"the tool ended with code {process.returncode} before its users were there:\n{_last(log)}"
            )
        if time.monotonic() > deadline_s:
            raise ToolFailed(f"not all users were there within {READY_TIMEOUT_S:g} s:\n{_last(log)}")


def _measure(sender: Sender, process: subprocess.Popen[bytes], seconds: float) -> Window:
    """What the sender sends between two pauses, and what reading it cost.

    Each pause lasts until the tool has read all that it was sent: so the CPU time between is that of exactly the events
    that were sent between, also where a tool lags behind.
    """
    sender.tell("resume")
    time.sleep(WARM_UP_S)  # bounded: the time that is left out of the measurement
    sender.tell("pause")
    caught_up = _await_quiet(process)
    before_ns = cpu_of(process.pid)
    begun_ns = sender.tell("begin")["wall_ns"]
    time.sleep(seconds)  # bounded: the time that is measured
    said = sender.tell("end")
    busy_ns = cpu_of(process.pid) - before_ns
    caught_up &= _await_quiet(process)
    return Window((said["wall_ns"] - begun_ns) / 1e9, busy_ns, cpu_of(process.pid) - before_ns, caught_up, said)


def _await_quiet(process: subprocess.Popen[bytes]) -> bool:
    """Until the tool uses next to no CPU: it has done all that it was sent. False when it would not end.

    Twice in a row, because a tool that is kept waiting for a processor is quiet too.
    """
    deadline_s = time.monotonic() + CATCH_UP_S
    used_ns, quiet = cpu_of(process.pid), 0
    while time.monotonic() < deadline_s:
        time.sleep(QUIET_S)  # bounded: the time over which quiet is judged
        before_ns, used_ns = used_ns, cpu_of(process.pid)
        quiet = quiet + 1 if used_ns - before_ns < QUIET_CPU_SHARE * QUIET_S * 1e9 else 0
        if quiet == 2:
            return True
    return False


def _end(tool: Tool, sender: Sender, process: subprocess.Popen[bytes]) -> bool:
    """Let it finish its runs, and end it; False when it would not end."""
    if tool.leaves:
        sender.tell("leave")
    else:
        process.send_signal(signal.SIGTERM)
    sender.tell("resume")
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _ask(tool: Tool, sender: Sender, out: Path, log: str) -> Seen:
    if not out.exists():
        raise ToolFailed(f"{tool.name} left nothing:\n{_last(log)}")
    return tool.seen(sender, out)


def cpu_of(pid: int) -> int:
    """CPU time of a process and its living children, all threads, in ns.

    Linux knows it to the nanosecond, as the clock of a process (clock_getcpuclockid(3)); elsewhere it is psutil's.
    """
    process = psutil.Process(pid)
    total_ns = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
            total_ns += int((getattr(times, "children_user", 0) + getattr(times, "children_system", 0)) * 1e9)
            if sys.platform == "linux":
                total_ns += time.clock_gettime_ns((~one.pid << 3) | 2)
            else:
                total_ns += int((times.user + times.system) * 1e9)
        except (psutil.NoSuchProcess, OSError):
            continue  # it ended meanwhile: its parent has its time
    return total_ns


def _last(log: str) -> str:
    return "\n".join(Path(log).read_text(errors="replace").splitlines()[-15:])
