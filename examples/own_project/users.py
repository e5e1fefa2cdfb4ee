"""Who uses this backend: a colleague who asks three things in a row and then begins anew."""

from locust import task

from crosstalk.live_run import Thread
from crosstalk.user import ChatUser


class Colleague(ChatUser):
    questions = 3

    @task  # type: ignore[untyped-decorator]
    def conversation(self) -> None:
        """This backend has no threads: one is only what the questions of a conversation have in common."""
        thread: Thread = self.person.new_thread(ids_from="server")
        for _ in range(self.questions):
            self.ask(self.generator.settings.prompts.choose(self.person.rng), thread)
            self.wait()
