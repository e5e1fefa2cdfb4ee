"""The four tools of the benchmark: how each is started, how it is ended, and what it says that it saw."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.stand import ROOT, Sender
from bench.truth import compare
from crosstalk.compiled import PURE, in_use

PEERS = ROOT / "bench" / "peers"


@dataclass(frozen=True, slots=True)
class Error:
    """How far a tool's instants are after the sender's, in ms, of `n` measured events."""

    n: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a tool says after its end. `errors`: by kind of instant; the first is what its figures are made of.

    :ivar after_ns: CPU time after the window that is on its bill too.
    """

    received: int
    errors: Mapping[str, Error]
    after_ns: int = 0
    problems: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tool:
    """How a tool is used.

    :ivar missing: why it cannot be, if it cannot.
    :ivar leaves: its users end when the server says goodbye; else the process is asked to end (SIGTERM)."""

    name: str
    title: str
    command: Callable[[Sender, Path], list[str]]
    seen: Callable[[Sender, Path], Seen]
    missing: Callable[[], str]
    leaves: bool = True
    more_variables: Mapping[str, str] = field(default_factory=dict)


def variables(sender: Sender, out: Path) -> dict[str, str]:
    """The environment of a tool: its orders, and none of the caller's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "JWT_", "CROSSTALK_", "K6_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "JWT_SECRET_KEY": sender.secret,
        "BENCH_URL": sender.socket_url,
        "BENCH_USERS": str(sender.regime.users),
        "BENCH_TOKENS": str(sender.people),
        "BENCH_CA": str(sender.ca),
        "BENCH_OUT": str(out),
        **({"SSL_CERT_FILE": str(sender.ca)} if sender.regime.tls else {}),
    }


def error_of(delays_ns: np.ndarray) -> Error:
    if not len(delays_ns):
        return Error(0, 0.0, 0.0, 0.0)
    p50, p99 = np.percentile(delays_ns, (50, 99), method="inverted_cdf") / 1e6
    return Error(len(delays_ns), float(p50), float(p99), float(delays_ns.max()) / 1e6)


# --- ours -----------------------------------------------------------------------------------------------------------


def _locust(sender: Sender, file: str, *options: str) -> list[str]:
    users = sender.regime.users
    rate = min(users, 200)
    return [
        sys.executable, "-m", "locust", "-f", str(PEERS / file), "--headless", "--only-summary", "--users", str(users),
        "--spawn-rate", str(rate), "--host", sender.url, *options,
    ]  # fmt: skip


def _ours(sender: Sender, folder: Path) -> list[str]:
    options = ["--think-time", "0", "--no-cleanup", "--stop-timeout", "20", "--results", str(folder / "results")]
    options += ["--seed", "7"]  # prompts, limits and environments are found beside the locustfile
    options += ["--ca", str(sender.ca)] if sender.regime.tls else []
    return _locust(sender, "ours.py", *options)


def _ours_saw(sender: Sender, out: Path) -> Seen:
    said = json.loads(out.read_text())
    folder = Path(said["folder"])
    verdict = json.loads((folder / "verdict.json").read_text())
    found = compare(folder / "record", sender.log_file)
    problems = [
        f"{name}: fail: {'; '.join(verdict[name].get('reasons', ()))}"
        for name in ("delivery", "isolation")
        if verdict[name]["verdict"] == "fail"
    ]
    if verdict["measurement"]["unaccounted_events"]:
        problems.append(f"{verdict['measurement']['unaccounted_events']} events unaccounted")
    errors = {
        "kernel stamps that are exact": error_of(found.arrived_ns[found.exact]),
        "kernel stamps, all": error_of(found.arrived_ns),
        "read": error_of(found.received_ns),
    }
    cpu_ns = said["cpu_ns"]
    return Seen(
        len(found.arrived_ns),
        errors,
        cpu_ns["closed"] - cpu_ns["stopped"],
        tuple(problems),
        {
            "exact_share": float(found.exact.mean()),
            "exact_after_write_max_ms": float((found.arrived_ns - found.written_ns)[found.exact].max(initial=0)) / 1e6,
            "interval_holds_share": float(found.holds[~found.exact].mean()) if not found.exact.all() else 1.0,
            "interval_ms": asdict(error_of((found.arrived_ns - found.arrived_after_ns)[~found.exact])),
        }
        if len(found.exact)
        else {},
    )


# --- the others -----------------------------------------------------------------------------------------------------


def _from_delays(_: Sender, out: Path) -> Seen:
    """What the Python peers leave: a delay an event, as 64-bit integers."""
    delays_ns = np.frombuffer(out.read_bytes(), dtype=np.int64)
    return Seen(len(delays_ns), {"read": error_of(delays_ns)})


def _from_k6(_: Sender, out: Path) -> Seen:
    said = json.loads(out.read_text())
    count = int(said["count"])
    if not count:
        return Seen(0, {"read": Error(0, 0.0, 0.0, 0.0)})
    return Seen(count, {"read": Error(count, float(said["med"]), float(said["p(99)"]), float(said["max"]))})


def _k6_binary() -> str:
    beside = Path(sys.executable).with_name("k6")
    return str(beside) if beside.exists() else shutil.which("k6") or ""


def _nothing_compiled() -> str:
    return "" if in_use() == "compiled" else "nothing is compiled here, so crosstalk is just that"


def _missing(module: str) -> Callable[[], str]:
    return lambda: "" if importlib.util.find_spec(module) else f"{module} is not installed (bench/requirements.txt)"


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("crosstalk", "Crosstalk, all checks and the record", _ours, _ours_saw, lambda: "", leaves=False),
        Tool(
            "crosstalk-pure", "Crosstalk without its compiled parts", _ours, _ours_saw, _nothing_compiled,
            leaves=False, more_variables={PURE: "1"},
        ),
        Tool(
            "plain", "plain Locust user with websocket-client",
            lambda sender, _: _locust(sender, "plain_locust.py"), _from_delays, lambda: "",
        ),
        Tool(
            "plain-tuned", "the same, told to check no UTF-8",
            lambda sender, _: _locust(sender, "plain_locust_tuned.py"), _from_delays, lambda: "",
        ),
        Tool(
            "k6", "k6 1.1.0",
            lambda _, __: [_k6_binary(), "run", "--quiet", "--no-usage-report", str(PEERS / "k6.js")], _from_k6,
            lambda: "" if _k6_binary() else "k6 is not installed (bench/requirements.txt)",
        ),
        Tool(
            "picows", "bare picows and uvloop, decodes nothing",
            lambda sender, _: [sys.executable, str(PEERS / "picows_reader.py"), sender.socket_url], _from_delays,
            _missing("picows"),
        ),
    )
}  # fmt: skip
