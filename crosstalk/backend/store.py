"""Threads, their messages, and who started which run: in memory, each object with one owner, all of it bounded."""

from __future__ import annotations

import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

MESSAGES_A_THREAD_MAX = 500
THREADS_A_USER_MAX = 1_000
RUN_IDS_MAX = 200_000


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


class Store:
    """All threads and run ids of the process. Every way to an object asks who wants it."""

    def __init__(self) -> None:
        self._threads: dict[str, Thread] = {}
        self._by_owner: dict[str, dict[str, Thread]] = {}
        self._run_owners: dict[str, str] = {}

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

    def delete_thread(self, user_id: str, thread_id: str) -> None:
        thread = self.thread(user_id, thread_id)
        owned = self._by_owner[user_id]
        del self._threads[thread.id], owned[thread.id]
        if not owned:
            del self._by_owner[user_id]

    def check_new_run(self, user_id: str, run_id: str) -> None:
        """Refused where the run id was used before, by this user or by another."""
        owner = self._run_owners.get(run_id)
        if owner == user_id:
            raise Refused("RUN_ID_USED", "this run_id was used before")
        if owner is not None:
            raise Refused("FORBIDDEN", "this run is not yours")

    def claim_run(self, user_id: str, run_id: str) -> None:
        if len(self._run_owners) >= RUN_IDS_MAX:
            del self._run_owners[next(iter(self._run_owners))]
        self._run_owners[run_id] = user_id

    def check_run(self, user_id: str, run_id: str) -> None:
        """Refused where the run is not one of this user's."""
        owner = self._run_owners.get(run_id)
        if owner is None:
            raise Refused("NOT_FOUND", "there is no such run")
        if owner != user_id:
            raise Refused("FORBIDDEN", "this run is not yours")
