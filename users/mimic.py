"""Mimic: says what everybody says, at the same instant, under the same ids. Channels 10, 11 and 19."""

from __future__ import annotations

from locust import task

from crosstalk.prompts import COLLIDING_IDS
from crosstalk.user import ChatUser


class Mimic(ChatUser):
    """One of many alike: a prompt that is meant to collide, in a fresh thread, released together with the others'.

    Which kind it is (the same words with another private context, a question for what only others said, the same run
    and message ids) the prompts file says: its families with `probe`. Where there are none, any prompt is said.
    """

    weight = 3
    #: so many are released by one flag
    crowd = 4
    patience_s = 0.5
    _collisions = 0

    @task  # type: ignore[untyped-decorator]
    def turn(self) -> None:
        """One colliding run, and its thread is gone again."""
        generator, person = self.generator, self.person
        prompt = generator.settings.prompts.probing(person.rng, ids_from=generator.settings.dialect.ids_from)
        thread = person.new_thread(ids_from=generator.settings.dialect.ids_from)
        if generator.settings.dialect.socket_per == "user":
            self.connect()
        generator.gathering("crowd", self.crowd).wait(self.patience_s)
        self.held_up()
        self.ask(prompt, thread, colliding=self._same_id() if prompt.probe == COLLIDING_IDS else "")
        self.delete(thread)

    def _same_id(self) -> str:
        """The next of the ids that all mimics of a load test go through: words that no user says twice.

        An account of a file may have said those of an earlier load test.
        """
        self._collisions += 1
        return f"same-words-{self.generator.begin.load_test}-{self._collisions}"
