"""Who takes part in a load test: where each worker is, when it was heard last, and what it said it had received.

All instants are of the clock of the process that keeps the record: clocks of workers are never subtracted from it. What
`run.json` says of a worker is its entry here: `host`, `pid`, `node` (Locust's name for it), `joined_s` after the begin,
`behind_s` (how far its clock is behind the master's, and the way of a message; below 0 it is ahead), its final counts,
and where it was lost, `lost`, `last_heard_s` and `gap_s`.
"""

from __future__ import annotations

import inspect
import os
import socket
from functools import cache
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crosstalk import __version__
from crosstalk.clock import clock
from crosstalk.config import ConfigError, Settings
from crosstalk.files import read_text
from crosstalk.processes import is_running
from crosstalk.record.rows import SCHEMA_VERSION

#: a worker and its master must agree in it
VERSION = f"{__version__} (record {SCHEMA_VERSION})"
#: a worker says so often that it is there, and how much it has received
BEAT_S = 0.2
#: who says nothing for so long is silent: a lost packet, or several, take less
SILENT_S = 3.0
#: clocks of two hosts that are further apart than this are told of
APART_S = 1.0
#: at the end: so long without a sign of progress, and the rest is given up
HAND_OVER_S = 15.0


@cache
def _space(kind: str) -> str:
    """The same in all processes of one machine, since its start, that share their ids ("pid") or addresses ("net")."""
    try:
        boot = read_text(Path("/proc/sys/kernel/random/boot_id"), "the kernel").strip()
        return f"{boot} {os.stat(f'/proc/self/ns/{kind}').st_ino}"
    except (ConfigError, OSError):  # another system than Linux
        return socket.gethostname()


def introduction() -> dict[str, Any]:
    """What a worker says of itself."""
    return {"version": VERSION, "host": socket.gethostname(), "pid": os.getpid(), "place": _space("pid")}


def terms(settings: Settings) -> dict[str, Any]:
    """What a master says beside the begin: what its workers must have in common with it. Tells no secret."""
    return {"version": VERSION, "network": _space("net"), "files": _fingerprints(settings)}


def reason_not_to_begin(said: dict[str, Any], settings: Settings, target: str) -> str:
    """Why a worker must not generate load with these settings; "" where nothing is against it.

    :param said: the `terms` of its master.
    """
    if said["version"] != VERSION:
        return f"it is version {VERSION}, and its master {said['version']}: install the same version on all hosts"
    mine = _fingerprints(settings)
    differ = [what for what, fingerprint in said["files"].items() if mine[what] != fingerprint]
    if differ:
        verb = "differs" if differ == ["dialect"] else "differ"
        return f"its {' and '.join(differ)} {verb} from its master's: put the same files on all hosts"
    host = urlsplit(target).hostname or ""
    if said["network"] != _space("net") and _is_loopback(host):
        return (
            f"{host} is its master's own address, which no other host reaches: start the target where all hosts reach "
            "it, and name it with --host"
        )
    return ""


def _fingerprints(settings: Settings) -> dict[str, str]:
    return {
        "prompts": _short(repr(settings.prompts)),
        "dialect": _short(_source_of(settings.dialect)),
        "accounts": _short("\n".join(account.name for account in settings.accounts)),
    }


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Roll:
    """The workers of one load test.

    :param workers: by name, what `run.json` is to say of each; filled in here.
    """

    def __init__(self, workers: dict[str, dict[str, Any]], begun_ns: int) -> None:
        self.workers = workers
        self._begun_ns = begun_ns
        self._first_heard_ns: dict[str, int] = {}
        self._heard_ns: dict[str, int] = {}
        self._said_received: dict[str, int] = {}
        self._places: dict[str, str] = {}
        self._gone_ns: dict[str, int] = {}
        self._looked_ns = self._back_ns = begun_ns
        self._silent: set[str] = set()
        self._apart: set[str] = set()

    def heard(self, data: dict[str, Any], node: str) -> dict[str, Any]:
        """A message came; the worker's entry."""
        name, now_ns = str(data["worker"]), clock.now_ns()
        worker = self.workers.get(name)
        if worker is None:
            joined_s = round((now_ns - self._begun_ns) / 1e9, 1)
            worker = self.workers[name] = {"host": "", "pid": data["pid"], "node": node, "joined_s": joined_s}
            self._first_heard_ns[name] = now_ns
        if "place" in data:
            worker["host"], self._places[name] = data["host"], data["place"]
        if "at_ns" in data:  # the quickest message tells it best: it was on its way for the shortest time
            apart_s = round((now_ns - data["at_ns"]) / 1e9, 3)
            worker["behind_s"] = min(worker.get("behind_s", apart_s), apart_s)
        self._said_received[name] = max(self._said_received.get(name, 0), int(data.get("events_received") or 0))
        self._heard_ns[name] = now_ns
        return worker

    def look(self) -> list[str]:
        """Called about once a second: what has changed, in words. Who is gone, or silent, or back."""
        changes = []
        now_ns = clock.now_ns()
        if now_ns - self._looked_ns > 2e9:  # it is this process that was away: who spoke meanwhile is not heard yet
            self._back_ns = now_ns
        self._looked_ns = now_ns
        for name, worker in self.workers.items():
            if name not in self._heard_ns or worker.get("done"):
                continue
            silent_s = min(self.silent_s(name), (now_ns - self._back_ns) / 1e9)
            if abs(worker.get("behind_s", 0)) > APART_S and name not in self._apart:
                self._apart.add(name)
                apart = f"{abs(worker['behind_s']):.1f} s {'behind' if worker['behind_s'] > 0 else 'ahead of'}"
                changes.append(
                    f"the clock of {self.named(name)} is {apart} this one: its times are right, each by itself, but on "
                    "a common axis they stand apart"
                )
            if name not in self._gone_ns and self.is_gone(name):
                changes.append(f"{self.named(name)} is gone: its process has ended")
            elif silent_s > SILENT_S and name not in self._silent and name not in self._gone_ns:
                self._silent.add(name)
                changes.append(f"{self.named(name)} has said nothing for {silent_s:.0f} s")
            elif self.silent_s(name) <= SILENT_S and name in self._silent:
                self._silent.discard(name)
                changes.append(f"{self.named(name)} is heard again")
        return changes

    def silent_s(self, name: str) -> float:
        """Since it was heard last, or since the begin."""
        return (clock.now_ns() - self._heard_ns.get(name, self._begun_ns)) / 1e9

    def is_gone(self, name: str) -> bool:
        """Is its process known to have ended? Of another machine's, this is never known."""
        if name in self._gone_ns:
            return True
        if self._places.get(name) == _space("pid") and not is_running(int(self.workers[name]["pid"])):
            self._gone_ns[name] = clock.now_ns()
        return name in self._gone_ns

    def named(self, name: str) -> str:
        worker = self.workers[name]
        return f"worker {name} ({worker.get('host') or worker.get('node')}, pid {worker.get('pid')})"

    def lost(self, name: str, *, recorded: int, last_batch: int) -> str:
        """It did not hand over its last batch. Completes its entry; in words, what is missing and what is not known.

        :param recorded: its events that are in the record.
        :param last_batch: the last of its batches that came.
        """
        worker = self.workers[name]
        said = max(self._said_received.get(name, 0), recorded)
        heard_ns = self._heard_ns.get(name, self._begun_ns)
        gap_s = (self._gone_ns.get(name, clock.now_ns()) - heard_ns) / 1e9
        worker |= {
            "lost": True,
            "events_received": said,
            "last_batch": last_batch,
            "last_heard_s": round((heard_ns - self._begun_ns) / 1e9, 3),
            "gap_s": round(gap_s, 3),
        }
        return (
            f"{self.named(name)} was lost: it was heard last {worker['last_heard_s']:.1f} s after the begin. It had "
            f"said that it received {said:,} events; {recorded:,} are in the record, {said - recorded:,} are not. What "
            f"it received later is not known: {gap_s:.1f} s at most{self._at_its_rate(name, gap_s)}"
        )

    def _at_its_rate(self, name: str, gap_s: float) -> str:
        time_ns = self._heard_ns.get(name, 0) - self._first_heard_ns.get(name, 0)
        if time_ns < 1e9 or not self._said_received.get(name):
            return ""
        return f", some {self._said_received[name] / time_ns * 1e9 * gap_s:,.0f} events at its rate until then"


def _source_of(dialect: object) -> str:
    try:
        return inspect.getsource(type(dialect))
    except (OSError, TypeError):  # made in memory: all that is left is its name
        return type(dialect).__qualname__


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
