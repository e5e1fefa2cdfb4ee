"""Pusher: asks more often, more at a time and less sensibly than is allowed. Family "limits"."""

from __future__ import annotations

from locust import tag, task

from crosstalk.journey import Journey
from crosstalk.journeys import allowances, messages_sent
from crosstalk.journeys.declared import declared
from crosstalk.journeys.spares import Spare, Spares
from crosstalk.live_run import Prompt, Thread
from crosstalk.user import ChatUser
from crosstalk.wire.promises import Promises


class Pusher(ChatUser):
    """Someone who comes to every limit that the target declares, first politely, then not, and is heard afterwards.

    What is said at a limit is said on further sockets, which are thrown away; its own stays, and has a run.
    """

    weight = 1
    family = "limits"

    @tag("limits")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def pushes(self) -> None:
        """One journey: a run, what makes no sense, the sizes, and the rate."""
        thread = self.new_thread()
        prompts, rng = self.generator.settings.prompts, self.person.rng
        try:
            with self.journey() as journey:
                with journey.step("run", go_on=True) as step:
                    step.well(self.ask(prompts.choose(rng), thread))
                if self.generator.settings.dialect.socket_per == "user":
                    self._try_everything(journey, prompts.choose(rng), thread)
                else:
                    journey.not_offered("largest message", "a socket of this protocol is of a thread or a run")
        finally:
            self.delete(thread)

    def _try_everything(self, journey: Journey, prompt: Prompt, thread: Thread) -> None:
        generator, person = self.generator, self.person
        self.connect()
        promises = declared(generator, person)
        with Spares(generator, person) as spares:
            messages_sent.nonsense(generator, journey, spares)
            messages_sent.unknown(generator, journey, spares, prompt, thread)
            messages_sent.sizes(generator, journey, spares, promises)
            if generator.stopping.is_set():
                return
            self._use_up_rates(journey, spares, promises)

    def _use_up_rates(self, journey: Journey, spares: Spares, promises: Promises) -> None:
        generator, person, dialect = self.generator, self.person, self.generator.settings.dialect
        known = promises.rate_amount > 0
        call = dialect.rate_limited() if known else None
        if call is None:
            allowances.not_offered(journey, "", "no rate of HTTP calls is declared")
        if not known or dialect.rate_limited_frame("") is None:
            allowances.not_offered(journey, allowances.ON_SOCKET, "no rate of frames is declared")
        if not known:
            return
        generator.stopping.wait(promises.rate_window_s)  # whatever was used up before is whole again
        session = self.connect()
        if call is not None:
            way = allowances.over_http(generator, person, call, promises, session.answers)
            allowances.use_up(generator, journey, way)
        if dialect.rate_limited_frame("") is not None:
            spare: Spare | None = None
            with journey.step(allowances.SOCKET, go_on=True):
                spare = spares.ready()
            if spare is not None:
                allowances.use_up(generator, journey, allowances.on_socket(generator, spare, promises))
