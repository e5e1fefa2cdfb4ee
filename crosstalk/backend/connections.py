"""Connections that have an id: what each was sent, for a while beyond its end, and which threads it follows.

A connection that has ended goes on gathering what its user's sockets are sent, so that a new connection of the same
user can be sent what the old one missed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from crosstalk.backend.events import Address
from crosstalk.backend.store import Refused

RESUME_S = 60.0
EVENTS_KEPT_MAX = 128
# Of those that have ended, at one address: a reconnect storm must not make every event dear.
ENDED_KEPT_MAX = 4


class Link(Protocol):
    """The socket of a connection."""

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: bytes = b"") -> None: ...


@dataclass(slots=True, eq=False)
class Connection:
    """`count` events of runs were sent to it, or would have been; `kept` has the last of them.

    `ended_s` is None while it is open. Times: `opened_s` is unix seconds, `ended_s` is monotonic.
    """

    id: str
    user_id: str
    address: Address
    link: Link
    opened_s: float
    ended_s: float | None = None
    count: int = 0
    kept: deque[bytes] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT_MAX))
    follows: set[str | Address] = field(default_factory=set)

    def note(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self.count += 1
            self.kept.append(frame)

    def after(self, cursor: int) -> list[bytes]:
        """The events behind the first `cursor`; Refused where they are no longer at hand."""
        missed = max(0, self.count - cursor)
        if missed > len(self.kept):
            raise Refused("CURSOR_TOO_OLD", "what came after this event is no longer kept")
        return list(self.kept)[len(self.kept) - missed :]

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "user_id": self.user_id,
            "opened_at": self.opened_s,
            "open": self.ended_s is None,
            "events": self.count,
        }


class Connections:
    """All of the process. `keeps_all`: one buffer for everybody's events as well (a fault's)."""

    def __init__(
        self,
        *,
        keeps_all: bool,
        bites: Callable[[str, str, str], bool],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._by_id: dict[str, Connection] = {}
        self._at: dict[Address, list[Connection]] = {}
        self._followers: dict[str | Address, list[Connection]] = {}
        self._ended: deque[Connection] = deque()
        self._bites = bites
        self._clock_s = clock_s
        self._everybodys: deque[tuple[Address, bytes]] | None = deque(maxlen=EVENTS_KEPT_MAX) if keeps_all else None
        self._everybodys_count = 0

    def open(self, connection_id: str, user_id: str, address: Address, link: Link) -> None:
        connection = Connection(connection_id, user_id, address, link, time.time())
        self._by_id[connection_id] = connection
        self._at.setdefault(address, []).append(connection)

    def end(self, connection_id: str) -> None:
        """It gathers events for `RESUME_S` more, and follows nothing any longer."""
        connection = self._by_id[connection_id]
        connection.ended_s = self._clock_s()
        for key in connection.follows:
            self._followers[key].remove(connection)
            if not self._followers[key]:
                del self._followers[key]
        self._ended.append(connection)
        here = [one for one in self._at[connection.address] if one.ended_s is not None]
        for oldest in here[:-ENDED_KEPT_MAX]:
            self._forget(oldest)

    def follow(self, connection_id: str, key: str | Address) -> None:
        """It is sent the events of a thread (its id), or of another address, from now on."""
        connection = self._by_id[connection_id]
        if key not in connection.follows:
            connection.follows.add(key)
            self._followers.setdefault(key, []).append(connection)

    def move(self, connection_id: str, user_id: str, address: Address) -> None:
        """It is another user's from now on."""
        connection = self._by_id[connection_id]
        self._leave(connection)
        connection.user_id, connection.address = user_id, address
        self._at.setdefault(address, []).append(connection)

    def pass_on(self, address: Address, thread_id: str, frames: list[bytes]) -> None:
        """An event went to all sockets at an address: note it for them, and send it to those who follow."""
        while self._ended and self._is_over(self._ended[0]):
            self._forget(self._ended[0])
        for connection in self._at.get(address, ()):
            connection.note(frames)
        if self._everybodys is not None:
            self._everybodys.extend((address, frame) for frame in frames)
            self._everybodys_count += len(frames)
        if not self._followers:
            return
        followers = [*self._followers.get(thread_id, ()), *self._followers.get(address, ())]
        for connection in dict.fromkeys(followers):
            if connection.address.shape == address.shape and connection.address != address:
                connection.note(frames)
                for frame in frames:
                    connection.link.send(frame)

    def missed(self, connection_id: str, old_id: str, cursor: int) -> list[bytes]:
        """What the old connection was to get behind its first `cursor` events and this one has not got. It counts as
        sent to this one. Refused where the old connection is not this user's, not known, or ended too long ago."""
        connection = self._by_id[connection_id]
        frames = self._of_anybody(connection, cursor)
        if frames is None:
            old = self.owned(connection.user_id, old_id, "recycled_session")
            if self._bites("resume_refused_own", connection.user_id, old_id):
                raise Refused("NOT_FOUND", "there is no such connection")
            if old.ended_s is None and old is not connection and old.user_id == connection.user_id:
                old.link.close(1001, b"resumed by another connection")
            frames = old.after(cursor)
        got = {id(frame) for frame in connection.kept}
        frames = self._replay(connection.user_id, [frame for frame in frames if id(frame) not in got])
        connection.note(frames)
        return frames

    def owned(self, user_id: str, connection_id: str, fault: str) -> Connection:
        """Refused NOT_FOUND for one that is not known, FORBIDDEN for another user's, if nobody forgets to ask."""
        connection = self._by_id.get(connection_id)
        if connection is None or self._is_over(connection):
            raise Refused("NOT_FOUND", "there is no such connection")
        if connection.user_id != user_id and not self._bites(fault, user_id, connection_id):
            raise Refused("FORBIDDEN", "this connection is not yours")
        return connection

    def open_ones(self, user_id: str | None = None) -> list[Connection]:
        """Of a user, or all; oldest first."""
        return [
            one for one in self._by_id.values() if one.ended_s is None and (user_id is None or one.user_id == user_id)
        ]

    def _replay(self, user_id: str, frames: list[bytes]) -> list[bytes]:
        """What was missed, as it is sent: one of them twice, or not at all, by a fault."""
        middle = len(frames) // 2
        if frames and self._bites("resume_duplicates", user_id, "what was missed"):
            frames = [*frames[: middle + 1], *frames[middle:]]
        if frames and self._bites("resume_skips", user_id, "what was missed"):
            frames = [*frames[:middle], *frames[middle + 1 :]]
        return frames

    def _of_anybody(self, connection: Connection, cursor: int) -> list[bytes] | None:
        """With `resume_any_cursor`: what the process has said behind that event, whoever it was for."""
        if self._everybodys is None or all(address == connection.address for address, _ in self._everybodys):
            return None
        if not self._bites("resume_any_cursor", connection.user_id, connection.id):
            return None
        behind = min(max(0, self._everybodys_count - cursor), len(self._everybodys))
        return [frame for _, frame in list(self._everybodys)[len(self._everybodys) - behind :]]

    def _forget(self, connection: Connection) -> None:
        self._ended.remove(connection)
        self._leave(connection)
        del self._by_id[connection.id]

    def _leave(self, connection: Connection) -> None:
        here = self._at[connection.address]
        here.remove(connection)
        if not here:
            del self._at[connection.address]

    def _is_over(self, connection: Connection) -> bool:
        return connection.ended_s is not None and self._clock_s() - connection.ended_s > RESUME_S
