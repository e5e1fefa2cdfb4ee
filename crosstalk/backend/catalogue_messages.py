"""Faults of threads and their messages: what a list, a page, a history or a switch gets wrong."""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_NO_PAGES = {"agui": "no: its lists come whole", "per_run": "no: its lists come whole"}
_NO_TITLES = {"agui": "no: titles are taken from prompts", "per_run": "no: titles are taken from prompts"}
_NO_SWITCH = {"agui": "no: a thread has a socket of its own", "per_run": "no: a run has a socket of its own"}
_NETRA_SOCKET = {"agui": "no: known by its user's socket", "per_run": "no: known by its user's socket"}

MESSAGES: tuple[Fault, ...] = (
    Fault(
        "paging_repeats",
        "a page begins with the last entry of the page before",
        "a request: a page behind the first",
        "step messages/pages",
        _NO_PAGES,
    ),
    Fault(
        "paging_skips",
        "a page leaves out its first entry",
        "a request: a page behind the first",
        "step messages/pages",
        _NO_PAGES,
    ),
    Fault("history_reversed", "a history is told newest first", "a request: a history", "step messages/history"),
    Fault(
        "message_lost_after_reconnect",
        "the newest message is lost with its user's socket",
        "a socket: its end",
        "step messages/history after a reconnect",
        _NETRA_SOCKET,
    ),
    Fault(
        "deleted_thread_listed",
        "a deleted thread stays in the list",
        "a request: a deletion",
        "step messages/gone from the list",
    ),
    Fault(
        "deleted_thread_readable",
        "a deleted thread can be read all the same",
        "a request: a deletion",
        "step messages/history refused",
    ),
    Fault(
        "switch_ignored",
        "a second switch of threads changes nothing: prompts go to the thread before",
        "a socket: a switch",
        "step messages/switch",
        _NO_SWITCH,
    ),
    Fault("title_lost", "a new thread has no title", "a request: a new thread", "step messages/create", _NO_TITLES),
)
