"""Sluggish: does not read for a while in mid-stream. What piles up for it must not reach, or hold up, anybody else."""

from __future__ import annotations

import gevent
from locust import task

from users.partner import Juggler


class Sluggish(Juggler):
    """Someone on a bad line: the socket is open and nothing is read for up to two seconds, then all of it at once."""

    weight = 1
    unread_s_min = 0.3
    unread_s_max = 2.0

    @task  # type: ignore[untyped-decorator]
    def turn(self) -> None:
        """A run whose events lie in the kernel's buffers for a while."""
        thread = self.new_thread()
        run = self.begin(self.prompt("long"), thread)
        session = self.session
        if run is not None and session is not None and session.is_ready:
            session.pause_reading()
            gevent.sleep(self.person.rng.uniform(self.unread_s_min, self.unread_s_max))
            session.resume_reading()
        self.rest()
        self.delete(thread)
