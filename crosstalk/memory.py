"""What this process's own heap holds, looked at every now and then: `tracemalloc`, by the file that asked for it.

Tracing begins when a load test does, so that what was there before (Locust, the libraries) is in no figure. Before each
look what nobody refers to any more is collected: it is no growth, and comes and goes by megabytes. Each look stands
apart from the loop, in a thread: to sum up a hundred thousand blocks takes longer than a frame may wait.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import gevent
from gevent.threadpool import ThreadPool

from crosstalk.checks.memory_groups import group_of
from crosstalk.clock import clock
from crosstalk.record.batch import row
from crosstalk.record.rows import Row

#: files that hold less are one entry of their group
SMALL_BYTES = 32 * 1024
OTHERS = "others"
_ROOT = Path(__file__).resolve().parents[1]


class MemoryTrace:
    """Writes what the heap holds through `record`, every so many seconds, until it is stopped."""

    def __init__(self, *, worker: str, every_s: float, record: Callable[[str, Row], None]) -> None:
        self._worker = worker
        self._every_s = every_s
        self._record = record
        self._pool = ThreadPool(1)
        self._began = not tracemalloc.is_tracing()  # somebody else's tracing is theirs to end
        if self._began:
            tracemalloc.start()
        self._greenlet = gevent.spawn(self._look_for_ever)

    def stop(self) -> None:
        self._greenlet.kill()
        self._pool.kill()
        if self._began:
            tracemalloc.stop()

    def _look_for_ever(self) -> None:
        while True:
            gevent.sleep(self._every_s)
            at_ns = clock.now_ns()
            for (group, file), (size, blocks) in self._pool.apply(held).items():
                self._record("memory", row(
                    "memory", worker=self._worker, at_ns=at_ns, group=group, file=file, bytes=size, blocks=blocks,
                ))  # fmt: skip


def held() -> dict[tuple[str, str], tuple[int, int]]:
    """(group, file) → bytes and blocks that are held now, of what was asked for since tracing began."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    gc.collect()
    for one in tracemalloc.take_snapshot().statistics("filename"):
        file = short_name(one.traceback[0].filename)
        group = group_of(file)
        key = (group, file if one.size >= SMALL_BYTES else OTHERS)
        size, blocks = sums.get(key, (0, 0))
        sums[key] = (size + one.size, blocks + one.count)
    return sums


@lru_cache(maxsize=4096)  # a path interns its parts: looking would be growth of its own
def short_name(path: str) -> str:
    """A file as one speaks of it: below this project, below site-packages, or below the standard library."""
    file = Path(path)
    if file.is_relative_to(_ROOT) and "site-packages" not in file.parts:
        return file.relative_to(_ROOT).as_posix()
    parts = file.parts
    if "site-packages" in parts:
        return "/".join(parts[len(parts) - parts[::-1].index("site-packages") :])
    library = next((n for n, part in enumerate(parts) if part.startswith("python3")), -1)
    return "/".join(parts[library:]) if library >= 0 else file.name
