"""Lapsing: its token expires in mid-run. Whatever the target does about it, nobody else may be the worse for it."""

from __future__ import annotations

from contextlib import suppress

from locust import task

from crosstalk.probing.lapses import lapse
from crosstalk.session import NotReady
from users.regular import Regular


class Lapsing(Regular):
    """Someone who stays connected beyond the life of a token that was made short on purpose.

    Where tokens cannot be made here (accounts of a file), it is a Regular.
    """

    weight = 1

    @task  # type: ignore[untyped-decorator]
    def lapse(self) -> None:
        """A run that begins with a good token and ends with an expired one."""
        if self.generator.settings.dialect.socket_per != "user":
            return
        thread = self.new_thread()
        families = self.generator.settings.prompts.families
        prompt = families["long"][0] if "long" in families else self.generator.settings.prompts.choose(self.person.rng)
        self.hang_up()  # where all sockets of a user get its events, a second one would get them too
        with suppress(NotReady):  # its row says why; the next time tries again
            lapse(self.generator, self.person, prompt, thread)
        self.delete(thread)
