"""Connector: tries every way in which sockets begin, live in silence and end. Family "connection"."""

from __future__ import annotations

from locust import tag, task

from crosstalk.journey import Journey
from crosstalk.journeys import silence, sockets
from crosstalk.journeys.declared import declared
from crosstalk.journeys.sockets import Trial
from crosstalk.journeys.spares import Spares
from crosstalk.live_run import Thread
from crosstalk.user import ChatUser

PARTS = (sockets.fan_in, sockets.sockets_up_to_the_cap, sockets.subprotocols, sockets.close_codes, silence.silence)


class Connector(ChatUser):
    """Someone whose client connects anew, opens as many sockets as it may, and then sits still.

    What it tries, it tries on further sockets, which are thrown away; its own stays, and has a run.
    """

    weight = 1
    family = "connection"

    @tag("connection")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def connects(self) -> None:
        """One journey: a run, and all of it. The socket of the run is watched meanwhile: nothing may come late."""
        thread = self.new_thread()
        try:
            with self.journey() as journey:
                socket_per = self.generator.settings.dialect.socket_per
                if socket_per == "user":
                    self._come_back(journey)
                with journey.step("run", go_on=True) as step:
                    step.well(self.ask(self.generator.settings.prompts.choose(self.person.rng), thread))
                if socket_per == "user":
                    self._try_everything(journey, thread)
                else:
                    journey.not_offered("several sockets", "a socket of this protocol is of a thread or a run")
        finally:
            self.delete(thread)

    def _come_back(self, journey: Journey) -> None:
        """Leave, and connect again at once, as after a change of networks."""
        with journey.step("connect", go_on=True) as step:
            self.hang_up()
            attempts = self.person.connections
            session = self.connect()
            attempts = self.person.connections - attempts
            times, progress = session.way_up
            step.connection = session.name
            step.expect(attempts == 1, "a connection that is ready at the first attempt", f"it took {attempts}")
            step.time_ns = (progress.ready_ns or times.begun_ns) - times.begun_ns

    def _try_everything(self, journey: Journey, thread: Thread) -> None:
        generator, person = self.generator, self.person
        with Spares(generator, person) as spares:
            trial = Trial(generator, person, journey, self.connect(), spares, declared(generator, person))
            sockets.speaks_before_ready(trial, generator.settings.prompts.choose(person.rng), thread)
            for part in PARTS:
                if generator.stopping.is_set():
                    break
                part(trial)
