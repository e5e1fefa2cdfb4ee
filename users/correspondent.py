"""Correspondent: keeps several threads, looks them up, leafs through them, loses the connection, and deletes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from locust import tag, task

from crosstalk.journey import Journey
from crosstalk.journeys.threads import GONE, Desk
from crosstalk.live_run import LiveRun, Thread
from users.partner import Juggler


class Correspondent(Juggler):
    """Someone who trusts that what was written stays where it was put, and that what was thrown away is gone."""

    family = "messages"
    weight = 1

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._runs: dict[int, list[LiveRun]] = {}  # by the thread's first ordinal: those that ended well

    @tag("messages")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def correspondence(self) -> None:
        """Two threads, from the first message to the deletion of both."""
        first, second = self.new_thread(), self.new_thread()
        self._runs = {first.first_ordinal: [], second.first_ordinal: []}
        desk = Desk(self.generator, self.person)
        try:
            with self.journey() as journey:
                self._write(journey, desk, first)
                self._leaf(journey, desk, first)
                self._by_frame(journey, desk, first)
                self._switch(journey, desk, first, second)
                self._lose_connection(journey, desk, first, second)
                self._throw_away(journey, desk, first, second)
        finally:
            for thread in (first, second):
                self.delete(thread)

    def _say(self, thread: Thread, prompt: str = "question") -> LiveRun:
        run = self.ask(self.prompt(prompt), thread)
        if run.outcome == "ok":
            self._well(thread).append(run)
        return run

    def _write(self, journey: Journey, desk: Desk, thread: Thread) -> None:
        """A thread with a title and two turns: it is listed, and its history is what was said, oldest first."""
        dialect = self.generator.settings.dialect
        title = f"Letters of {self.person.name}, {thread.first_ordinal}"
        call = dialect.open_thread(thread.thread_id, title) if thread.thread_id else None
        if call is None:
            journey.not_offered("create", "threads are made by their first prompt, and have no title of the client's")
        else:
            with journey.step("create", go_on=True) as step:
                desk.read(step, call)
                titles = dialect.titles(desk.listed(step))
                shown = titles.get(thread.thread_id, "no such thread in the list")
                step.expect(shown == title, title, shown or "no title")
        for prompt in ("lookup", "question"):
            with journey.step("turn") as step:
                step.well(self._say(thread, prompt))
        if dialect.list_threads() is None or dialect.history(thread.thread_id) is None:
            journey.not_offered("list", "this protocol lists no threads, or has no histories")
            return
        with journey.step("list", go_on=True) as step:
            listed = list(dialect.listed(desk.listed(step)))
            step.expect(thread.thread_id in listed, f"{thread.thread_id} in the list", f"{len(listed)} others")
        with journey.step("history", go_on=True) as step:
            desk.expect_history(step, thread.thread_id, self._well(thread), whole=True)

    def _leaf(self, journey: Journey, desk: Desk, thread: Thread) -> None:
        """Page by page, the list and a history are what they are as a whole; also while messages are added."""
        if self.generator.settings.dialect.page_of_history(thread.thread_id, limit=1, offset=0) is None:
            journey.not_offered("pages", "this protocol gives lists as a whole")
            return
        with journey.step("pages", go_on=True) as step:
            desk.expect_pages_of_history(step, thread.thread_id)
        with journey.step("pages while messages are added", go_on=True) as step:
            desk.expect_pages_of_history(step, thread.thread_id, adding=3)
        with journey.step("pages of threads", go_on=True) as step:
            desk.expect_pages_of_threads(step)

    def _by_frame(self, journey: Journey, desk: Desk, thread: Thread) -> None:
        """List and history, asked for on the socket."""
        dialect = self.generator.settings.dialect
        wants_list, wants_history = dialect.thread_frame("list"), dialect.thread_frame("history", thread.thread_id)
        if wants_list is None or wants_history is None:
            journey.not_offered("list by frame", "this protocol tells of threads over HTTP only")
            return
        with journey.step("list by frame", go_on=True) as step:
            listed = list(dialect.listed(desk.exchange(step, self.connect(), wants_list)))
            step.expect(thread.thread_id in listed, f"{thread.thread_id} in the list", f"{len(listed)} others")
        with journey.step("history by frame", go_on=True) as step:
            told = desk.exchange(step, self.connect(), wants_history)
            desk.expect_told(step, thread.thread_id, told, self._well(thread))

    def _switch(self, journey: Journey, desk: Desk, first: Thread, second: Thread) -> None:
        """After a switch, what names no thread goes to the one that was switched to, and to no other."""
        dialect = self.generator.settings.dialect
        frames = [dialect.thread_frame("switch", thread.thread_id) or "" for thread in (first, second)]
        if not all(frames):
            with journey.step("turn in a second thread") as step:
                step.well(self._say(second))
            journey.not_offered("switch", "this protocol has no current thread")
            return
        with journey.step("switch", go_on=True) as step:
            for frame in frames:
                desk.exchange(step, self.connect(), frame)
            nameless = replace(second, thread_id="")
            run = step.of(self.ask(self.prompt("handoff"), nameless))
            second.turns = nameless.turns
            if run.check.ended:
                desk.expect_history(step, second.thread_id, [run], whole=True)
            self._well(second).append(step.well(run))

    def _lose_connection(self, journey: Journey, desk: Desk, thread: Thread, other: Thread) -> None:
        """The socket is dropped without a word, and opened again: thread, messages and memory are there."""
        generator = self.generator
        dialect = generator.settings.dialect
        if dialect.socket_per == "run":
            journey.not_offered("history after a reconnect", "each run has a socket of its own")
            return
        if self.session is not None:
            self.session.reset()
        with journey.step("history after a reconnect", go_on=True) as step:
            self.connect(thread if dialect.socket_per == "thread" else None)
            if dialect.list_threads() is not None:
                listed = list(dialect.listed(desk.listed(step)))
                for one in filter(self._well, (thread, other)):
                    step.expect(one.thread_id in listed, f"{one.thread_id} in the list", f"{len(listed)} others")
                    desk.expect_history(step, one.thread_id, self._well(one))
        if "memory" not in generator.settings.prompts.families or not generator.begin.nonce_required:
            journey.not_offered("memory after a reconnect", "no prompt asks for what was said before")
            return
        with journey.step("memory after a reconnect", go_on=True) as step:
            earlier = [run.nonce.decode() for run in self._well(thread) if run.prompt.reference == "prompt"]
            run = step.well(self._say(thread, "memory"))
            answer = "".join(run.check.text) + run.check.final_text
            lost = [nonce for nonce in earlier if nonce not in answer]
            step.expect(not lost, f"{len(earlier)} references of earlier turns", f"{len(lost)} of them missing")

    def _throw_away(self, journey: Journey, desk: Desk, first: Thread, second: Thread) -> None:
        """A deleted thread is gone, by its list, its history and its id; the other one is as it was."""
        dialect, gone = self.generator.settings.dialect, second.thread_id
        call, history = dialect.delete_thread(gone), dialect.history(gone)
        if call is None or history is None or dialect.list_threads() is None or not gone:
            journey.not_offered("delete", "this protocol deletes no threads, or has no histories")
            return
        if self._thread is second:
            self.hang_up()  # a socket of its own would be closed by the target
        with journey.step("delete") as step:
            step.answered(self.generator.call(self.person, call), 200, 204)
        with journey.step("gone from the list", go_on=True) as step:
            step.expect(gone not in dialect.listed(desk.listed(step)), "a list without it", f"{gone} in the list")
        with journey.step("history refused", go_on=True) as step:
            step.answered(self.generator.call(self.person, history, fine=GONE), *GONE)
        self._refused_by_frame(journey, desk, gone)
        with journey.step("others untouched", go_on=True) as step:
            desk.expect_history(step, first.thread_id, self._well(first))
        frame = dialect.thread_frame("delete", first.thread_id)
        if frame is None:
            return
        with journey.step("delete by frame", go_on=True) as step:
            desk.exchange(step, self.connect(), frame)
            listed = list(dialect.listed(desk.listed(step)))
            step.expect(first.thread_id not in listed, "a list without it", f"{first.thread_id} in the list")

    def _refused_by_frame(self, journey: Journey, desk: Desk, gone: str) -> None:
        frame = self.generator.settings.dialect.thread_frame("history", gone)
        if frame is not None:
            with journey.step("id refused", go_on=True) as step:
                desk.expect_nothing(step, self.connect(), frame)

    def _well(self, thread: Thread) -> list[LiveRun]:
        return self._runs[thread.first_ordinal]
