"""Twin: one person on two devices, who says two things at once. Channels 15 and 6."""

from __future__ import annotations

from locust import task

from crosstalk.live_run import LiveRun, Thread
from crosstalk.probing.second_sockets import Pair, second_socket
from crosstalk.session import NotReady
from users.partner import Juggler


class Twin(Juggler):
    """Someone with two sockets, who asks on the first: by the target's policy the second gets the same, or nothing.

    Where the dialect promises neither, nothing is compared. Two runs go on at the same time, in two threads: each must
    get its own. What comes on the first socket is judged like any other run.
    """

    weight = 1
    turns = 3

    @task  # type: ignore[untyped-decorator]
    def conversation(self) -> None:
        """Two threads on the first socket, with the second one listened to."""
        dialect = self.generator.settings.dialect
        threads = [self.new_thread(), self.new_thread()]
        try:
            if dialect.socket_per != "user" or not dialect.frames_name_runs:
                self.ask(self.prompt(), threads[0])
                return
            if dialect.fan_out is None:
                self._say_two_things(threads)
                return
            first = self.connect()
            with second_socket(self.generator, self.person) as second:
                pair = Pair(self.generator, self.person, first, second)
                for _ in range(self.turns):
                    if self.generator.stopping.is_set() or not (first.is_ready and second.is_ready):
                        break
                    pair.listen()
                    for violation in pair.judge(*self._say_two_things(threads)):
                        last = pair.there[-1][1] if pair.there else b""
                        self.generator.notes(self.person).violation(violation, frame=last)
        except NotReady:
            pass  # its row says why; the next conversation tries again
        finally:
            for thread in threads:
                self.delete(thread)

    def _say_two_things(self, threads: list[Thread]) -> list[LiveRun]:
        self.begin(self.prompt(), threads[0])
        run = self.ask(self.prompt(), threads[1])
        other = self.rest()
        return [run, other] if other is not None else [run]
