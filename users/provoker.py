"""Provoker: makes every mistake that a target answers with an error, with a reference of its own in it. Channel 21."""

from __future__ import annotations

from contextlib import suppress

from locust import task

from crosstalk.probing.provoking import provoke
from crosstalk.session import NotReady
from users.regular import Regular


class Provoker(Regular):
    """Someone whose client is broken: what errors, close reasons and headers say then must not be another's."""

    weight = 1

    @task  # type: ignore[untyped-decorator]
    def mistakes(self) -> None:
        """All of them once, on sockets to be thrown away."""
        if self.generator.settings.dialect.socket_per != "user":
            return
        with suppress(NotReady):  # its row says why; the next time tries again
            provoke(self.generator, self.person)
