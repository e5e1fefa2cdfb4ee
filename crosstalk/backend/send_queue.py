"""What is to be sent on one socket and has to wait, because its client does not read: a queue of each socket's own, so
that a slow reader holds up nobody but itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

#: so much may lie in the transport's buffer; the rest waits here
ROOM_BYTES = 64 * 1024
#: a client that reads nothing is cut off here, not allowed to fill the memory
UNSENT_BYTES_MAX = 8 << 20
#: how soon it is asked again whether there is room, while something waits
ASK_AGAIN_S = 0.01
_A_CHUNK = b'"type":"agent_response_chunk"'


class Jam:
    """The queue for which all others wait: there is none, but for a fault."""

    def __init__(self) -> None:
        self.by: SendQueue | None = None


class SendQueue:
    """The frames of one socket, in order.

    :param unsent_bytes: how much the transport holds.
    :param write: hands a frame to the transport.
    :param give_up: called when too much is unsent.
    :param room_bytes: what may lie in the transport's buffer.
    :param jam: shared by all sockets.
    :param bites: decides a fault for this socket.
    """

    def __init__(
        self,
        *,
        unsent_bytes: Callable[[], int],
        write: Callable[[bytes], None],
        give_up: Callable[[], None],
        jam: Jam,
        bites: Callable[[str], bool],
        room_bytes: int = ROOM_BYTES,
    ) -> None:
        self.room_bytes = room_bytes
        self._unsent_bytes = unsent_bytes
        self._write = write
        self._give_up = give_up
        self._jam = jam
        self._bites = bites
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._drops: bool | None = None  # decided when it is full for the first time

    def put(self, frame: bytes) -> None:
        """Write it, or keep it until there is room."""
        jammed = self._jam.by is not None and self._jam.by is not self
        if not self._waiting and not jammed and self._unsent_bytes() <= self.room_bytes:
            self._write(frame)
            return
        if self._waiting_bytes + self._unsent_bytes() > UNSENT_BYTES_MAX:
            self._give_up()
            return
        if not jammed and self._is_dropped(frame):
            return
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        if self._timer is None:
            if not jammed and self._jam.by is None and self._bites("slow_reader_stalls_all"):
                self._jam.by = self
            self._timer = asyncio.get_running_loop().call_later(ASK_AGAIN_S, self._move_on)

    def flush(self) -> None:
        """Hand over all of it, whether there is room or not: the socket is about to be closed."""
        self.end()
        while self._waiting:
            self._write_first()

    def end(self) -> None:
        """The socket is gone, or about to go: nobody waits for it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._jam.by is self:
            self._jam.by = None

    def _move_on(self) -> None:
        self._timer = None
        jammed = self._jam.by is not None and self._jam.by is not self
        while self._waiting and not jammed and self._unsent_bytes() <= self.room_bytes:
            self._write_first()
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(ASK_AGAIN_S, self._move_on)
        elif self._jam.by is self:
            self._jam.by = None

    def _write_first(self) -> None:
        frame = self._waiting.popleft()
        self._waiting_bytes -= len(frame)
        self._write(frame)

    def _is_dropped(self, frame: bytes) -> bool:
        if self._drops is None:
            self._drops = self._bites("slow_reader_drops")
        return self._drops and _A_CHUNK in frame
