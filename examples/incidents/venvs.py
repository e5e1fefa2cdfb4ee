"""A virtual environment for each release, made once under `.venv/incidents`, made again when its pins change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENVS = ROOT / ".venv" / "incidents"
REDIS_NEEDED = (
    "redis-server is needed and could not be installed here: install it (Debian, Ubuntu: apt-get install redis-server; "
    "macOS: brew install redis) and try again"
)


class CannotInstall(Exception):
    """pip could not install what an incident needs; the text says what."""


def python_with(requirements: Path, name: str, *options: str) -> Path:
    """The Python of an environment in which exactly these requirements are installed.

    :param options: of `pip install`.
    :raises CannotInstall:
    """
    folder, wanted = VENVS / name, requirements.read_text(encoding="utf-8")
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"incidents: installing {requirements.relative_to(ROOT)} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    steps = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, "-r", str(requirements)],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason was given"]
            raise CannotInstall(f"{requirements.relative_to(ROOT)}: {last[0]}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def redis_server() -> str:
    """The machine's own `redis-server`, else the one that a package brings along.

    :raises CannotInstall:
    """
    if found := shutil.which("redis-server"):
        return found
    try:
        python = python_with(HERE / "requirements_redis_server.txt", "redis_server", "--no-deps")
    except CannotInstall as problem:
        raise CannotInstall(f"{REDIS_NEEDED} ({problem})") from None
    found = shutil.which("redis-server", path=str(python.parent))
    if found is None:
        raise CannotInstall(REDIS_NEEDED)
    return found
