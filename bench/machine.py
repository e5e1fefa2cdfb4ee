"""On what machine, with what versions and when something was measured: figures without that are worth nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import psutil

from bench.stand import ROOT
from crosstalk.compiled import in_use
from crosstalk.vitals import processor

PACKAGES = ("locust", "gevent", "websocket-client", "orjson", "pyarrow", "k6", "picows", "uvloop")


def conditions() -> dict[str, str]:
    """Word → what it is, for a line above a table."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{os.cpu_count()} × {processor() or platform.machine()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
        "crosstalk": in_use(),
        "commit": _commit(),
        "load before": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "",
    }


def sentence(said: dict[str, str]) -> str:
    return "; ".join(f"{word} {what}" for word, what in said.items() if what)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
