"""The end of a socket whose token has expired, put off by every fresh token that is shown on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from crosstalk.backend.tokens import expiry_of

CLOSE_CODE, CLOSE_REASON = 1008, b"token expired"


class Expiry:
    """Closes a socket when the newest token shown on it expires. `moves` False: when the first one does (a fault)."""

    def __init__(self, close: Callable[[int, bytes], None], *, moves: bool = True) -> None:
        self._close = close
        self._moves = moves
        self._timer: asyncio.TimerHandle | None = None

    def shown(self, token: str) -> None:
        """A token was believed. One without an expiry ends nothing."""
        if self._timer is not None:
            if not self._moves:
                return
            self._timer.cancel()
            self._timer = None
        expires_s = expiry_of(token)
        if expires_s is not None:
            left_s = max(expires_s - time.time(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(left_s, self._close, CLOSE_CODE, CLOSE_REASON)

    def cancel(self) -> None:
        """The socket is gone."""
        if self._timer is not None:
            self._timer.cancel()
