"""A plain user that loses every tenth event that it should count."""

from __future__ import annotations

from array import array

from bench.peers import plain_locust


class _Losing(array):  # type: ignore[type-arg]
    calls = 0

    def append(self, value: int) -> None:
        self.calls += 1
        if self.calls % 10:
            super().append(value)


plain_locust._delays_ns = _Losing("q")


class LosingUser(plain_locust.PlainUser):
    pass
