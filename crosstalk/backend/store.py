"""Threads, their messages, runs and profiles: in memory, each object with one owner, all of it bounded."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MESSAGES_A_THREAD_MAX = 500
THREADS_A_USER_MAX = 1_000
RUNS_MAX = 50_000
PROFILES_MAX = 10_000


class Refused(Exception):
    """A request that a correct backend turns down. `code` is for machines; the text names nothing of anybody else's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Thread:
    """A conversation of one user. Times are unix seconds."""

    id: str
    owner: str
    title: str
    created_s: float
    updated_s: float
    metadata: dict[str, Any] = field(default_factory=dict)
    messages: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MESSAGES_A_THREAD_MAX))

    def add(self, role: str, content: str, run_id: str | None) -> dict[str, Any]:
        self.updated_s = time.time()
        message = {
            "id": f"msg-{uuid.uuid4().hex}",
            "thread_id": self.id,
            "role": role,
            "content": content,
            "run_id": run_id,
            "created_at": self.updated_s,
        }
        self.messages.append(message)
        return message

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "created_at": self.created_s,
            "updated_at": self.updated_s,
            "message_count": len(self.messages),
            "metadata": self.metadata,
        }


@dataclass(slots=True)
class RunRecord:
    """What is known of a run beside its events. `status`: running, completed, failed or cancelled."""

    id: str
    owner: str
    thread_id: str
    status: str = "running"
    answer: str | None = None

    def described(self) -> dict[str, Any]:
        return {"id": self.id, "thread_id": self.thread_id, "status": self.status, "answer": self.answer}


class Store:
    """All threads, messages, runs and profiles of the process. Every way to an object asks who wants it.

    Ids of threads are one namespace for all users, because a thread is made once and then named by its id alone. Ids of
    runs are a namespace for each user: two users may choose the same, and neither learns of the other's.
    """

    def __init__(self) -> None:
        self._threads: dict[str, Thread] = {}
        self._by_owner: dict[str, dict[str, Thread]] = {}
        self._runs: dict[tuple[str, str], RunRecord] = {}
        self._profiles: dict[str, dict[str, Any]] = {}

    # --- threads ----------------------------------------------------------------------------------------------------

    def find_thread(self, thread_id: str) -> Thread | None:
        """Whoever's it is: for those who ask for its owner next."""
        return self._threads.get(thread_id)

    def thread(self, user_id: str, thread_id: str) -> Thread:
        """An existing thread of this user; Refused FORBIDDEN for somebody else's, NOT_FOUND for none."""
        thread = self._threads.get(thread_id)
        if thread is None:
            raise Refused("NOT_FOUND", "there is no such thread")
        if thread.owner != user_id:
            raise Refused("FORBIDDEN", "this thread is not yours")
        return thread

    def open_thread(self, user_id: str, thread_id: str | None, *, title: str = "") -> Thread:
        """This user's thread of that id, made where the id was never seen, or a new one where none is given."""
        if thread_id is not None and thread_id in self._threads:
            return self.thread(user_id, thread_id)
        now_s = time.time()
        thread = Thread(thread_id or f"thread-{uuid.uuid4().hex}", user_id, title, now_s, now_s)
        owned = self._by_owner.setdefault(user_id, {})
        if len(owned) >= THREADS_A_USER_MAX:
            del self._threads[oldest := next(iter(owned))], owned[oldest]
        self._threads[thread.id] = owned[thread.id] = thread
        return thread

    def threads_of(self, user_id: str) -> list[Thread]:
        """Newest first."""
        return list(reversed(self._by_owner.get(user_id, {}).values()))

    def all_threads(self) -> list[Thread]:
        """Of all users, newest first."""
        return list(reversed(self._threads.values()))

    def delete_thread(self, thread: Thread) -> None:
        owned = self._by_owner[thread.owner]
        del self._threads[thread.id], owned[thread.id]
        if not owned:
            del self._by_owner[thread.owner]

    def lose_newest_message(self, user_id: str) -> None:
        """Of whatever thread was used last (a fault's)."""
        used = max(self.threads_of(user_id), key=lambda thread: thread.updated_s, default=None)
        if used is not None and used.messages:
            used.messages.pop()

    # --- messages ---------------------------------------------------------------------------------------------------

    def message(self, user_id: str, message_id: str) -> dict[str, Any]:
        """A message in a thread of this user; Refused NOT_FOUND for any other."""
        return _message_of(self.threads_of(user_id), message_id)

    def any_message(self, message_id: str) -> dict[str, Any]:
        """Whoever's it is."""
        return _message_of(self.all_threads(), message_id)

    # --- runs -------------------------------------------------------------------------------------------------------

    def check_new_run(self, user_id: str, run_id: str) -> None:
        """Refused where this user has used the run id before."""
        if (user_id, run_id) in self._runs:
            raise Refused("RUN_ID_USED", "this run_id was used before")

    def add_run(self, user_id: str, run_id: str, thread_id: str) -> RunRecord:
        if len(self._runs) >= RUNS_MAX:
            del self._runs[next(iter(self._runs))]
        self._runs[user_id, run_id] = record = RunRecord(run_id, user_id, thread_id)
        return record

    def run(self, user_id: str, run_id: str) -> RunRecord:
        """A run of this user; Refused NOT_FOUND for any other."""
        record = self._runs.get((user_id, run_id))
        if record is None:
            raise Refused("NOT_FOUND", "there is no such run")
        return record

    def any_run(self, run_id: str) -> RunRecord | None:
        """The newest run of that id, whoever's it is."""
        return next((record for (_, one), record in reversed(self._runs.items()) if one == run_id), None)

    # --- profiles ---------------------------------------------------------------------------------------------------

    def note_profile(self, user_id: str, profile: Mapping[str, Any]) -> None:
        """What a user's client last said of its user."""
        if profile:
            if len(self._profiles) >= PROFILES_MAX:
                del self._profiles[next(iter(self._profiles))]
            self._profiles[user_id] = dict(profile)

    def profile(self, user_id: str) -> dict[str, Any]:
        return {"id": user_id, "profile": self._profiles.get(user_id, {}), "threads": len(self.threads_of(user_id))}

    def users(self) -> list[str]:
        """Who has a thread or a profile."""
        return sorted({*self._by_owner, *self._profiles})


def _message_of(threads: Iterable[Thread], message_id: str) -> dict[str, Any]:
    for thread in threads:
        for message in thread.messages:
            if message["id"] == message_id:
                return message
    raise Refused("NOT_FOUND", "there is no such message")
