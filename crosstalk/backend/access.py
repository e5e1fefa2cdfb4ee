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
        self._still_listed: dict[str, list[Thread]] = {}  # deleted ones, by owner (a fault's)
        self._still_there: dict[str, Thread] = {}  # the same, by id

    def thread(self, user_id: str, thread_id: str, fault: str) -> Thread:
        thread = self._store.find_thread(thread_id)
        if thread is not None and thread.owner != user_id and self._bites(fault, user_id, thread_id):
            return thread
        deleted = self._still_there.get(thread_id)
        if thread is None and deleted is not None and deleted.owner == user_id:
            return deleted
        return self._store.thread(user_id, thread_id)

    def open_thread(self, user_id: str, thread_id: str | None, fault: str, *, title: str = "") -> Thread:
        """As `Store.open_thread`: a new one where the id was never seen."""
        if thread_id is not None and self._store.find_thread(thread_id) is not None:
            return self.thread(user_id, thread_id, fault)
        return self._store.open_thread(user_id, thread_id, title=title)

    def delete(self, thread: Thread) -> None:
        """The thread is gone, unless a fault leaves something of it."""
        if self._store.find_thread(thread.id) is not thread:
            return  # it was deleted before
        self._store.delete_thread(thread)
        if self._bites("deleted_thread_listed", thread.owner, thread.id):
            self._still_listed.setdefault(thread.owner, []).append(thread)
        if self._bites("deleted_thread_readable", thread.owner, thread.id):
            self._still_there[thread.id] = thread

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
        threads = [*self._store.threads_of(user_id), *self._still_listed.get(user_id, ())]
        everybodys = self._store.all_threads()
        if len(everybodys) > len(threads) and self._bites("leak_listing", user_id, "its threads"):
            return everybodys
        if threads and self._bites("listing_incomplete", user_id, threads[-1].id):
            return threads[:-1]
        return threads

    def messages(self, user_id: str, thread: Thread) -> list[dict[str, Any]]:
        """The messages of a thread that this user may see, oldest first."""
        messages = list(thread.messages)
        if len(messages) > 1 and self._bites("history_reversed", user_id, thread.id):
            messages.reverse()
        stranger = self._thread_with_messages(user_id)
        if stranger is not None and self._bites("leak_history_query", user_id, thread.id):
            return sorted([*messages, *stranger.messages], key=itemgetter("created_at"))
        return messages

    def page(self, user_id: str, entries: list[Any], limit: int, offset: int) -> list[Any]:
        """So many entries of a list, from that one on."""
        if offset and self._bites("paging_repeats", user_id, f"offset {offset}"):
            offset -= 1
        if offset and self._bites("paging_skips", user_id, f"offset {offset}"):
            offset += 1
        return entries[offset : offset + limit]

    def _thread_with_messages(self, user_id: str) -> Thread | None:
        """The newest of another user."""
        return next((one for one in self._store.all_threads() if one.owner != user_id and one.messages), None)
