"""What the system and the interpreter say of this process: processors, memory, descriptors, garbage collections.

Cheap enough to be asked twenty times a second, and without a new descriptor where `/proc` is: a process that has none
left can still say so.
"""

from __future__ import annotations

import errno
import gc
import os
import platform
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosstalk.clock import clock, process_cpu_ns, thread_cpu_ns


@dataclass(frozen=True, slots=True)
class Spent:
    """What went by, each since some beginning; differences tell. `run_delay_ns` None: this system does not say."""

    loop_ns: int  # processor time of the calling thread
    process_ns: int  # processor time of all threads
    run_delay_ns: int | None  # the calling thread could run, and waited for a processor
    gc_ns: int  # garbage collections

    def since(self, before: Spent) -> Spent:
        delay_ns, delay_before_ns = self.run_delay_ns, before.run_delay_ns
        return Spent(
            self.loop_ns - before.loop_ns,
            self.process_ns - before.process_ns,
            None if delay_ns is None or delay_before_ns is None else delay_ns - delay_before_ns,
            self.gc_ns - before.gc_ns,
        )

    @property
    def threads_ns(self) -> int:
        """Processor time of all threads but the calling one."""
        return max(self.process_ns - self.loop_ns, 0)


class Vitals:
    """Made, asked and closed in the thread whose processor time is wanted: the one that runs the loop."""

    def __init__(self) -> None:
        self.pauses = GcPauses()
        self._schedstat = _opened(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._statm = _opened("/proc/self/statm")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        self.pauses.close()
        for file in (self._schedstat, self._statm):
            if file is not None:
                os.close(file)
        self._schedstat = self._statm = None

    def spent(self) -> Spent:
        delay_ns = None
        if self._schedstat is not None:
            delay_ns = int(os.pread(self._schedstat, 64, 0).split()[1])
        return Spent(thread_cpu_ns(), process_cpu_ns(), delay_ns, self.pauses.total_ns)

    def rss_bytes(self) -> int:
        if self._statm is not None:
            return int(os.pread(self._statm, 128, 0).split()[1]) * self._page_bytes
        import psutil

        return int(psutil.Process().memory_info().rss)

    @staticmethod
    def open_files() -> int:
        """Descriptors in use; 0 where the system does not say."""
        try:
            told = os.stat("/proc/self/fd").st_size  # since Linux 6.2; 0 before
            return int(told) or len(os.listdir("/proc/self/fd"))
        except OSError as error:
            return file_limit() if error.errno in (errno.EMFILE, errno.ENFILE) else 0


class GcPauses:
    """How long the interpreter stood still to collect garbage. In effect from the moment it is made."""

    def __init__(self) -> None:
        self.total_ns = 0
        self._count = self._taken_ns = self._max_ns = 0
        self._begun_ns: int | None = None
        gc.callbacks.append(self._called)

    def close(self) -> None:
        with suppress(ValueError):
            gc.callbacks.remove(self._called)

    def take(self) -> tuple[int, int, int]:
        """Since the last time: how many, all of them, and the longest, in ns."""
        taken = self._count, self.total_ns - self._taken_ns, self._max_ns
        self._count, self._taken_ns, self._max_ns = 0, self.total_ns, 0
        return taken

    def _called(self, phase: str, _info: dict[str, Any]) -> None:
        now_ns = clock.now_ns()
        if phase == "start":
            self._begun_ns = now_ns
        elif self._begun_ns is not None:
            took_ns, self._begun_ns = now_ns - self._begun_ns, None
            self.total_ns += took_ns
            self._count += 1
            self._max_ns = max(self._max_ns, took_ns)


def file_limit() -> int:
    """Descriptors that this process may have; 0: as many as it likes."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 0 if soft == resource.RLIM_INFINITY else int(soft)


#: so many are needed to resolve a name and to open a socket
_FILES_NEEDED = 4


def no_descriptor_left() -> bool:
    """Has this process too few descriptors left for one more socket?"""
    files: list[int] = []
    try:
        while len(files) < _FILES_NEEDED:
            files.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    finally:
        for file in files:
            os.close(file)
    return False


def raise_file_limit() -> None:
    """Raise the soft limit of file descriptors to the hard one: a socket a user."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # not Linux


def processor() -> str:
    """The processor, as the kernel calls it; "" where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
