"""Every way in which the `netra` protocol names an object, a function, or something that it answers with an error."""

from __future__ import annotations

from collections.abc import Iterator

from crosstalk.wire.dialect import Attempt, Belongings
from crosstalk.wire.surfaces import administration, by_frame, by_http, framed

#: where a frame may have its ids
PLACES = ("payload", "frame")
#: what is said where an attempt has to say something
WORDS = "hello"


def ways_to_reach(of: Belongings) -> Iterator[Attempt]:
    """Reading first, then following, then what adds or changes, and at the end what destroys."""
    yield from _read(of)
    yield from _follow(of)
    yield from _change(of)
    yield from _destroy(of)


def functions() -> Iterator[Attempt]:
    for name in ("admin_list_users", "debug_state"):
        yield by_frame("call", "function", f"frame {name}", name, {})
    yield from administration("a word to all")


def provocations(reference: str) -> Iterator[str]:
    """Each is answered by an error frame, and none of them starts, changes or ends anything."""
    yield framed(f"no_such_type_{reference}", payload=reference)
    yield f'{{"type": "execute_agent", "payload": {{"user_request": "{reference}"'
    yield f'["{reference}"]'
    yield framed("execute_agent", payload={"user_request": " ", "context": {"reference": reference}})
    yield framed("execute_agent", payload={"user_request": "hello", "thread_id": reference * 8})
    yield framed("execute_agent", payload={"user_request": "hello", "run_id": [reference]})
    yield framed("get_thread_history", payload={"thread_id": f"thread-{reference}"})
    yield framed("subscribe_thread", payload={"thread_id": f"thread-{reference}"})
    yield framed("stop_agent", payload={"run_id": f"run-{reference}"})
    yield framed("get_run", payload={"run_id": f"run-{reference}"})
    yield framed("resume", payload={"connection_id": f"main_{reference}", "last_event": 0})
    yield framed("resume", payload={"connection_id": "main_0", "last_event": reference})


def _read(of: Belongings) -> Iterator[Attempt]:
    if of.thread_id:
        yield by_http("read", "thread", "path", "GET", f"/api/threads/{of.thread_id}")
        yield by_http("list", "message", "path", "GET", f"/api/threads/{of.thread_id}/messages")
        yield by_http("list", "message", "query", "GET", f"/api/messages?thread_id={of.thread_id}")
        for place in PLACES:
            yield by_frame("list", "message", place, "get_thread_history", {"thread_id": of.thread_id})
    if of.message_id:
        yield by_http("read", "message", "path", "GET", f"/api/messages/{of.message_id}")
    if of.run_id:
        yield by_http("read", "run", "path", "GET", f"/api/runs/{of.run_id}")
        yield by_http("read", "run", "query", "GET", f"/api/agents/status?run_id={of.run_id}")
        for place in PLACES:
            yield by_frame("read", "run", place, "get_run", {"run_id": of.run_id})
    if of.user_id:
        yield by_http("read", "user", "path", "GET", f"/api/users/{of.user_id}")
        yield by_http("list", "thread", "query", "GET", f"/api/threads?user_id={of.user_id}")
        for place in PLACES:
            yield by_frame("list", "thread", place, "list_threads", {"user_id": of.user_id})
    if of.connection_id:
        yield by_http("read", "connection", "path", "GET", f"/api/connections/{of.connection_id}")


def _follow(of: Belongings) -> Iterator[Attempt]:
    if of.thread_id:
        for place in PLACES:
            yield by_frame("subscribe", "thread", place, "subscribe_thread", {"thread_id": of.thread_id})
        for place in PLACES:
            yield by_frame("open", "thread", place, "switch_thread", {"thread_id": of.thread_id})


def _change(of: Belongings) -> Iterator[Attempt]:
    if not of.thread_id:
        return
    thread = f"/api/threads/{of.thread_id}"
    yield by_http("continue", "thread", "path", "POST", f"{thread}/messages", {"content": WORDS})
    said: dict[str, object] = {"type": "supervisor", "message": WORDS, "thread_id": of.thread_id}
    yield by_http("continue", "thread", "body", "POST", "/api/agents/execute", said)
    for place in PLACES:
        fields = {"user_request": WORDS, "thread_id": of.thread_id}
        yield by_frame("continue", "thread", place, "execute_agent", fields)
    yield by_frame("continue", "thread", "payload", "user_message", {"content": WORDS, "thread_id": of.thread_id})
    yield by_http("rename", "thread", "path", "PUT", thread, {"title": WORDS})


def _destroy(of: Belongings) -> Iterator[Attempt]:
    if of.run_id:
        yield by_http("cancel", "run", "body", "POST", "/api/agents/stop", {"run_id": of.run_id})
        yield by_http("cancel", "run", "body", "POST", "/api/agents/cancel", {"run_id": of.run_id})
        for place in PLACES:
            yield by_frame("cancel", "run", place, "stop_agent", {"run_id": of.run_id})
    if of.connection_id:
        yield by_http("delete", "connection", "path", "DELETE", f"/api/connections/{of.connection_id}")
    if of.thread_id:
        yield by_http("delete", "thread", "path", "DELETE", f"/api/threads/{of.thread_id}")
        for place in PLACES:
            yield by_frame("delete", "thread", place, "delete_thread", {"thread_id": of.thread_id})
