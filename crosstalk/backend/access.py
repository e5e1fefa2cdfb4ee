"""The way from a request to an object: who wants it is asked here, so each fault of access has its place here.

A handler names the fault by which it would forget to ask. The account that decides is that of the user who reaches.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from crosstalk.backend.store import Refused, RunRecord, Store, Thread


class Access:
    """Own objects, Refused for any other. `bites(fault, user_id, what)` decides whether nobody asks this time."""

    def __init__(self, store: Store, bites: Callable[[str, str, str], bool]) -> None:
        self._store = store
        self._bites = bites

    def thread(self, user_id: str, thread_id: str, fault: str) -> Thread:
        thread = self._store.find_thread(thread_id)
        if thread is not None and thread.owner != user_id and self._bites(fault, user_id, thread_id):
            return thread
        return self._store.thread(user_id, thread_id)

    def open_thread(self, user_id: str, thread_id: str | None, fault: str, *, title: str = "") -> Thread:
        """As `Store.open_thread`: a new one where the id was never seen."""
        if thread_id is not None and self._store.find_thread(thread_id) is not None:
            return self.thread(user_id, thread_id, fault)
        return self._store.open_thread(user_id, thread_id, title=title)

    def run(self, user_id: str, run_id: str, fault: str) -> RunRecord:
        try:
            return self._store.run(user_id, run_id)
        except Refused:
            record = self._store.any_run(run_id)
            if record is None or not self._bites(fault, user_id, run_id):
                raise
            return record

    def message(self, user_id: str, message_id: str, fault: str) -> dict[str, Any]:
        try:
            return self._store.message(user_id, message_id)
        except Refused:
            message = self._store.any_message(message_id)
            if not self._bites(fault, user_id, message_id):
                raise
            return message

    def profile(self, user_id: str, wanted: str, fault: str) -> dict[str, Any]:
        if wanted != user_id and not (wanted in self._store.users() and self._bites(fault, user_id, wanted)):
            raise Refused("FORBIDDEN", "this profile is not yours")
        return self._store.profile(wanted)

    def threads(self, user_id: str, wanted: object = None) -> list[Thread]:
        """The threads of a user, newest first. `wanted`: whose, where the request says so; None: one's own."""
        if wanted is not None and wanted != user_id:
            others = self._store.threads_of(wanted) if isinstance(wanted, str) else []
            if not others or not self._bites("idor_list_threads", user_id, str(wanted)):
                raise Refused("FORBIDDEN", "these threads are not yours")
            return others
        threads = self._store.threads_of(user_id)
        everybodys = self._store.all_threads()
        if len(everybodys) > len(threads) and self._bites("leak_listing", user_id, "its threads"):
            return everybodys
        if threads and self._bites("listing_incomplete", user_id, threads[-1].id):
            return threads[:-1]
        return threads

    def messages(self, user_id: str, thread: Thread) -> list[dict[str, Any]]:
        """The messages of a thread that this user may see, oldest first."""
        messages = list(thread.messages)
        stranger = self._thread_with_messages(user_id)
        if stranger is not None and self._bites("leak_history_query", user_id, thread.id):
            return sorted([*messages, *stranger.messages], key=itemgetter("created_at"))
        return messages

    def _thread_with_messages(self, user_id: str) -> Thread | None:
        """The newest of another user."""
        return next((one for one in self._store.all_threads() if one.owner != user_id and one.messages), None)
