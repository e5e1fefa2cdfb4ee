"""Who is connected where, and the one process-wide router that a fault puts in their place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from crosstalk.backend.events import Address


class Outlet(Protocol):
    """A connected socket, as far as runs care."""

    user_id: str
    address: Address

    @property
    def alive(self) -> bool: ...

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: bytes = b"") -> None: ...


class Outlets:
    """The sockets of every address. `keeps_handlers`: a handler per connection is gained and none ever dropped."""

    def __init__(self, *, keeps_handlers: bool) -> None:
        self._at: dict[Address, list[Outlet]] = {}
        self._keeps_handlers = keeps_handlers
        self._handlers: list[Outlet] = []

    def join(self, socket: Outlet) -> None:
        self._at.setdefault(socket.address, []).append(socket)
        self._handlers.append(socket)

    def leave(self, socket: Outlet) -> None:
        sockets = self._at.get(socket.address, [])
        if socket in sockets:
            sockets.remove(socket)
            if not sockets:
                del self._at[socket.address]
            if not self._keeps_handlers:
                self._handlers.remove(socket)

    def at(self, address: Address) -> tuple[Outlet, ...]:
        return tuple(self._at.get(address, ()))

    @property
    def handler_count(self) -> int:
        return len(self._handlers)

    def first_handler(self, shape: str) -> Outlet | None:
        """The oldest handler whose socket still lives: every dead one is walked past, each time."""
        return next((one for one in self._handlers if one.address.shape == shape and one.alive), None)

    def latest_handler(self, shape: str) -> Outlet | None:
        """The newest living socket of a shape."""
        return next((one for one in reversed(self._handlers) if one.address.shape == shape and one.alive), None)

    def of_another(self, user_id: str, shape: str, seen_last: Iterable[str]) -> Outlet | None:
        """A socket of the first of these users who is connected, or of any other user where none of those is."""
        connected = {one.user_id: one for at, ones in self._at.items() if at.shape == shape for one in ones}
        connected.pop(user_id, None)
        for other in seen_last:
            if other in connected:
                return connected[other]
        return next(iter(connected.values()), None)

    def of_all_others(self, user_id: str, shape: str) -> list[Outlet]:
        return [one for at, ones in self._at.items() if at.shape == shape for one in ones if one.user_id != user_id]
