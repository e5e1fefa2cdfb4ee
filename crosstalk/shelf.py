"""Ended runs that are still at hand, of all users of a process: the newest of them, within a number of bytes.

Twenty users may each keep many runs, ten thousand cannot: what a process holds must not grow with its users' turns.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from crosstalk.live_run import LiveRun

#: what a process holds of ended runs
BYTES_MAX = 32 * 1024 * 1024
#: a run without its frames: its check, its sets, its texts
RUN_BYTES = 4096
#: a frame beside its bytes: the object, two instants, its place in a list
FRAME_BYTES = 240


class Shelf:
    """When there is too much, the oldest runs lose their frames at once, and go as soon as nobody watches them."""

    def __init__(self, *, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._whole: OrderedDict[int, tuple[LiveRun, int, Callable[[LiveRun], bool]]] = OrderedDict()
        self._bare: deque[tuple[LiveRun, Callable[[LiveRun], bool]]] = deque()
        self.size_bytes = 0

    def put(self, run: LiveRun, let_go: Callable[[LiveRun], bool]) -> None:
        """A run has ended.

        :param let_go: forgets the run if nobody watches it any more; says whether it is forgotten.
        """
        size_bytes = RUN_BYTES + sum(len(frame.body) + FRAME_BYTES for frame in run.frames)
        self._whole[id(run)] = run, size_bytes, let_go
        self.size_bytes += size_bytes
        while self.size_bytes > self._bytes_max:
            _, (oldest, freed_bytes, its_let_go) = self._whole.popitem(last=False)
            self.size_bytes -= freed_bytes
            oldest.frames = []
            self._bare.append((oldest, its_let_go))
        while self._bare and self._bare[0][1](self._bare[0][0]):
            self._bare.popleft()

    def remove(self, run: LiveRun) -> None:
        """A run was forgotten. One that is not here is no error."""
        _, size_bytes, _ = self._whole.pop(id(run), (run, 0, bool))
        self.size_bytes -= size_bytes
