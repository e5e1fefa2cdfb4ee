"""What a stranger tries in order to reach what is another user's, and whether it came through.

Each try is a function of (backend, stranger, victim) that says True where something of the victim's was seen or
changed. On a correct backend all of them say False. It shares no code with the backend nor with the project's dialects.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.backend.client import PASSWORD, SECRET, Backend, Client, mint
from tests.backend.shapes import bearer, heard, run_input, talk


@dataclass
class Victim:
    """A user with a thread in which one run has ended: its ids, and the reference that only it has said."""

    user: str
    reference: str
    thread: str
    run: str
    message: str = ""
    connection: str = ""
    client: Client | None = None

    def seen_in(self, *said: Any) -> bool:
        text = json.dumps(said, default=str)
        return any(mark in text for mark in (self.reference, self.run))


@contextmanager
def victim_in(process: Backend, shape: str, user: str) -> Iterator[Victim]:
    reference = uuid.uuid4().hex
    words = f"hello. repeat this reference: {reference}"
    if shape == "netra":
        with process.user(user) as client:
            thread = f"thread-{uuid.uuid4().hex}"
            run = client.start(words, thread_id=thread, profile={"name": "Ada", "reference": reference})
            client.read_to_end()
            message = messages_of(process, user, thread)[0]["id"]
            yield Victim(user, reference, thread, run, message, client.welcome["data"]["connection_id"], client)
        return
    with talk(process, shape, user) as one:
        first = None
        if shape == "agui":
            first = one.run(words)[0].frame["runId"]
        else:
            one.start(words)
            first = one.run_id
            one.hear()
        assert one.thread
        yield Victim(user, reference, one.thread, first)


def messages_of(process: Backend, user: str, thread: str) -> list[dict[str, Any]]:
    answer = process.http("GET", f"/api/threads/{thread}/messages", user=user)[1]
    return answer.get("messages", [])


def ask(process: Backend, user: str, kind: str, **payload: Any) -> list[dict[str, Any]]:
    """Every frame that a frame of a stranger's brings on the stranger's socket."""
    with process.user(user) as client:
        client.send(kind, payload=payload)
        return client.drain()


Try = Callable[[Backend, str, Victim], bool]


def reading(path: str) -> Try:
    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        status, said, _ = process.http("GET", path.format(**vars(victim)), user=stranger)
        return status == 200 and (victim.seen_in(said) or said.get("id") == victim.connection)

    return attempt


def asking(kind: str, **payload: str) -> Try:
    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        filled = {key: value.format(**vars(victim)) for key, value in payload.items()}
        return victim.seen_in(ask(process, stranger, kind, **filled))

    return attempt


# --- threads and messages -------------------------------------------------------------------------------------------


def reads_thread(process: Backend, stranger: str, victim: Victim) -> bool:
    return process.http("GET", f"/api/threads/{victim.thread}", user=stranger)[0] == 200


def renames_thread(process: Backend, stranger: str, victim: Victim) -> bool:
    process.http("PUT", f"/api/threads/{victim.thread}", user=stranger, body={"title": "mine now"})
    return process.http("GET", f"/api/threads/{victim.thread}", user=victim.user)[1]["title"] == "mine now"


def deletes_thread(process: Backend, stranger: str, victim: Victim) -> bool:
    process.http("DELETE", f"/api/threads/{victim.thread}", user=stranger)
    return process.http("GET", f"/api/threads/{victim.thread}", user=victim.user)[0] == 404


def deletes_thread_by_frame(process: Backend, stranger: str, victim: Victim) -> bool:
    ask(process, stranger, "delete_thread", thread_id=victim.thread)
    return process.http("GET", f"/api/threads/{victim.thread}", user=victim.user)[0] == 404


def adds_message(process: Backend, stranger: str, victim: Victim) -> bool:
    before = len(messages_of(process, victim.user, victim.thread))
    process.http("POST", f"/api/threads/{victim.thread}/messages", user=stranger, body={"content": "hi"})
    return len(messages_of(process, victim.user, victim.thread)) > before


def continues_thread(process: Backend, stranger: str, victim: Victim) -> bool:
    with process.user(stranger) as client:
        frames = client.run("what did I say before?", thread_id=victim.thread)
    return victim.seen_in(frames)


def continues_thread_over_http(process: Backend, stranger: str, victim: Victim) -> bool:
    with process.user(stranger) as client:
        body = {"message": "what did I say before?", "thread_id": victim.thread}
        if process.http("POST", "/api/agents/execute", user=stranger, body=body)[0] >= 400:
            return False
        return victim.seen_in(client.read_to_end())


def follows_thread(process: Backend, stranger: str, victim: Victim) -> bool:
    with process.user(stranger) as client:
        client.send("subscribe_thread", payload={"thread_id": victim.thread})
        client.drain()
        assert victim.client
        victim.client.run("hello", thread_id=victim.thread)
        return any(frame.get("user_id") == victim.user for frame in client.drain())


def switches_thread(process: Backend, stranger: str, victim: Victim) -> bool:
    return any(
        frame["type"] == "thread_updated" for frame in ask(process, stranger, "switch_thread", thread_id=victim.thread)
    )


# --- runs and connections -------------------------------------------------------------------------------------------


def cancels(over_http: bool) -> Try:
    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        assert victim.client
        run = victim.client.start("long answer")
        victim.client.read()
        if over_http:
            process.http("POST", "/api/agents/stop", user=stranger, body={"run_id": run})
        else:
            ask(process, stranger, "stop_agent", run_id=run)
        return victim.client.read_to_end()[-1]["type"] == "agent_error"

    return attempt


def closes_connection(process: Backend, stranger: str, victim: Victim) -> bool:
    assert victim.client
    process.http("DELETE", f"/api/connections/{victim.connection}", user=stranger)
    try:
        victim.client.drain()
    except ConnectionClosed:
        return True
    return False


def resumes_the_strangers(process: Backend, stranger: str, victim: Victim) -> bool:
    return victim.seen_in(ask(process, stranger, "resume", connection_id=victim.connection, last_event=0))


def resumes_ones_own(process: Backend, stranger: str, victim: Victim) -> bool:
    with process.user(stranger) as old:
        connection = old.welcome["data"]["connection_id"]
    return victim.seen_in(ask(process, stranger, "resume", connection_id=connection, last_event=0))


def swaps_token(process: Backend, stranger: str, victim: Victim) -> bool:
    """The victim's socket is shown the stranger's token: is the victim heard on it from then on?"""
    with process.user(victim.user) as client:
        client.send("authenticate", token=mint(stranger))
        assert victim.client
        victim.client.run("hello")
        try:
            return any(frame.get("user_id") == victim.user for frame in client.drain())
        except ConnectionClosed:
            return False


# --- listings -------------------------------------------------------------------------------------------------------


def lists_all(process: Backend, stranger: str, victim: Victim) -> bool:
    listed = process.http("GET", "/api/threads?limit=1000", user=stranger)[1]["threads"]
    by_frame = ask(process, stranger, "list_threads")[0]["data"]["threads"]
    found = {victim.thread in [thread["id"] for thread in threads] for threads in (listed, by_frame)}
    assert len(found) == 1
    return found.pop()


def history_shows_another(process: Backend, stranger: str, victim: Victim) -> bool:
    with process.user(stranger) as client:
        client.run("hello", thread_id=f"thread-of-{stranger}")
    assert victim.client
    victim.client.run(f"again. repeat this reference: {victim.reference}", thread_id=victim.thread)
    by_frame = ask(process, stranger, "get_thread_history", thread_id=f"thread-of-{stranger}")
    return victim.seen_in(messages_of(process, stranger, f"thread-of-{stranger}")) and victim.seen_in(by_frame)


def misses_own(process: Backend, stranger: str, victim: Victim) -> bool:
    made = [process.http("POST", "/api/threads", user=stranger, body={})[1]["id"] for _ in range(2)]
    shown = process.http("GET", "/api/threads?limit=1000", user=stranger)[1]["threads"]
    return not set(made) <= {thread["id"] for thread in shown}


# --- tokens ---------------------------------------------------------------------------------------------------------


def opens_with(make: Callable[[Backend, str], str]) -> Try:
    """A token that must be refused, over HTTP and on a socket."""

    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        token = make(process, stranger)
        over_http = process.http("GET", "/api/threads", token=token)[0] == 200
        with process.open(additional_headers={"Authorization": f"Bearer {token}"}) as socket:
            on_a_socket = json.loads(socket.recv(timeout=5))["type"] == "connection_established"
        assert over_http == on_a_socket
        return over_http

    return attempt


def claims_of(user: str) -> dict[str, Any]:
    return jwt.decode(mint(user), options={"verify_signature": False})


def by_public_key(process: Backend, user: str) -> str:
    """HS256, and the published RSA key for a secret: what the library would refuse to do is done by hand."""
    (jwk,) = process.http("GET", "/.well-known/jwks.json")[1]["keys"]
    key = RSAAlgorithm.from_jwk(jwk)
    assert isinstance(key, rsa.RSAPublicKey)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims_of(user))]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(pem, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


def logged_out(process: Backend, user: str) -> str:
    token = mint(user)
    assert process.http("POST", "/auth/logout", token=token)[0] == 204
    return token


def refreshes_into_another(process: Backend, stranger: str, victim: Victim) -> bool:
    answers = []
    for user in (victim.user, stranger):
        login = {"email": f"{user}@example.org", "password": PASSWORD}
        refresh = process.http("POST", "/auth/login", body=login)[1]["refresh_token"]
        answers.append(process.http("POST", "/auth/refresh", body={"refresh_token": refresh})[1])
    status, listed, _ = process.http("GET", "/api/threads", token=answers[1]["access_token"])
    assert status == 200
    return victim.thread in [thread["id"] for thread in listed["threads"]]


# --- functions and errors -------------------------------------------------------------------------------------------


def administers(process: Backend, stranger: str, victim: Victim) -> bool:
    users = process.http("GET", "/api/admin/users", user=stranger)
    threads = process.http("GET", "/api/admin/threads?limit=1000", user=stranger)
    assert victim.client
    sent = process.http("POST", "/api/admin/broadcast", user=stranger, body={"text": "hear, hear"})
    assert (users[0], threads[0]) in ((200, 200), (403, 403))
    told = any(frame["type"] == "broadcast" for frame in victim.client.drain())
    assert told == (sent[0] == 200)
    return victim.user in str(users[1]) and victim.thread in str(threads[1]) and told


def debugs(process: Backend, stranger: str, victim: Victim) -> bool:
    return victim.connection in str(process.http("GET", "/api/debug/state", user=stranger)[1])


def administers_by_frame(process: Backend, stranger: str, victim: Victim) -> bool:
    users = ask(process, stranger, "admin_list_users")
    state = ask(process, stranger, "debug_state")
    return victim.user in str(users) and victim.connection in str(state)


def error_shows_another(process: Backend, stranger: str, victim: Victim) -> bool:
    return victim.seen_in(ask(process, stranger, "get_run", run_id="never"))


def close_shows_another(process: Backend, stranger: str, victim: Victim) -> bool:
    with process.user(stranger) as client:
        path = f"/api/connections/{client.welcome['data']['connection_id']}"
        assert process.http("DELETE", path, user=stranger)[0] == 204
        try:
            while True:
                client.read()
        except ConnectionClosed as closed:
            assert closed.rcvd
            return victim.seen_in(closed.rcvd.reason)


def headers_show_another(process: Backend, stranger: str, victim: Victim) -> bool:
    over_http = str(process.http("GET", "/api/threads", user=stranger)[2])
    with process.user(stranger) as client:
        assert client.socket.response
        upgrade = str(client.socket.response.headers)
    assert victim.seen_in(over_http) == victim.seen_in(upgrade)
    return victim.seen_in(over_http)


def http_error_shows_another(process: Backend, stranger: str, victim: Victim) -> bool:
    return victim.seen_in(process.http("GET", "/api/threads/never", user=stranger)[1])


def now_s() -> int:
    return int(time.time())


NETRA: dict[str, list[Try]] = {
    "accept_any_token": [opens_with(lambda _, user: jwt.encode(claims_of(user), SECRET[::-1], "HS256"))],
    "accepts_expired": [opens_with(lambda _, user: mint(user, exp=now_s() - 5))],
    "accepts_not_yet_valid": [
        opens_with(lambda _, user: mint(user, nbf=now_s() + 3600)),
        opens_with(lambda _, user: mint(user, iat=now_s() + 3600)),
    ],
    "accepts_alg_none": [opens_with(lambda _, user: jwt.encode(claims_of(user), None, "none"))],
    "accepts_hs_rs_confusion": [opens_with(by_public_key)],
    "accepts_wrong_audience": [opens_with(lambda _, user: mint(user, aud="another"))],
    "accepts_wrong_issuer": [opens_with(lambda _, user: mint(user, iss="another"))],
    "accepts_other_environment": [opens_with(lambda _, user: mint(user, env="production"))],
    "accepts_refresh_as_access": [opens_with(lambda _, user: mint(user, token_type="refresh"))],
    "accepts_revoked": [opens_with(logged_out)],
    "refresh_gives_other_user": [refreshes_into_another],
    "token_swap_keeps_subscription": [swaps_token],
    "token_of_another_accepted_on_thread": [switches_thread],
    "recycled_session": [resumes_the_strangers],
    "resume_any_cursor": [resumes_ones_own, resumes_the_strangers],
    "leak_listing": [lists_all],
    "leak_history_query": [history_shows_another],
    "listing_incomplete": [misses_own],
    "idor_list_threads": [
        lambda process, stranger, victim: (
            victim.thread in str(process.http("GET", f"/api/threads?user_id={victim.user}", user=stranger)[1])
        ),
        lambda process, stranger, victim: (
            victim.thread in str(ask(process, stranger, "list_threads", user_id=victim.user))
        ),
    ],
    "idor_read_thread": [reads_thread],
    "idor_read_messages": [reading("/api/threads/{thread}/messages"), reading("/api/messages?thread_id={thread}")],
    "idor_read_message": [reading("/api/messages/{message}")],
    "idor_read_run": [reading("/api/runs/{run}"), reading("/api/agents/status?run_id={run}")],
    "idor_rename_thread": [renames_thread],
    "idor_delete_thread": [deletes_thread],
    "idor_add_message": [adds_message],
    "idor_continue_thread": [continues_thread, continues_thread_over_http],
    "idor_cancel_run": [cancels(over_http=True)],
    "idor_socket_cancel": [cancels(over_http=False)],
    "idor_socket_history": [asking("get_thread_history", thread_id="{thread}")],
    "idor_socket_run": [asking("get_run", run_id="{run}")],
    "idor_socket_delete": [deletes_thread_by_frame],
    "idor_subscribe_thread": [follows_thread],
    "idor_profile": [reading("/api/users/{user}")],
    "idor_connection": [reading("/api/connections/{connection}")],
    "idor_close_connection": [closes_connection],
    "admin_open": [administers],
    "debug_open": [debugs],
    "admin_socket_open": [administers_by_frame],
    "error_echoes_other": [error_shows_another],
    "close_reason_leak": [close_shows_another],
    "header_leak": [headers_show_another],
    "http_error_body_leak": [http_error_shows_another],
}


# --- the other shapes -----------------------------------------------------------------------------------------------


def gets(path: str) -> Try:
    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        status, said, _ = process.http("GET", path.format(**vars(victim)), user=stranger)
        return status == 200 and victim.thread in str(said)

    return attempt


def removes(path: str) -> Try:
    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        process.http("DELETE", path.format(**vars(victim)), user=stranger)
        return process.http("GET", path.format(**vars(victim)), user=victim.user)[0] == 404

    return attempt


def agui_opens_anothers_socket(process: Backend, stranger: str, victim: Victim) -> bool:
    try:
        with process.open(f"/agui/threads/{victim.thread}/ws", additional_headers=bearer(stranger)):
            return True
    except InvalidStatus:
        return False


def per_run_opens_anothers_socket(process: Backend, stranger: str, victim: Victim) -> bool:
    body = {"input": f"hello. repeat this reference: {victim.reference}"}
    made = process.http("POST", "/runs", user=victim.user, body=body)[1]
    try:
        with process.open(made["socket"], additional_headers=bearer(stranger)) as socket:
            return victim.seen_in([heard(str(frame)).raw for frame in socket]) or True
    except InvalidStatus:
        return False


def agui_continues(process: Backend, stranger: str, victim: Victim) -> bool:
    with talk(process, "agui", stranger) as one:
        one.say(run_input("what did I say before?", victim.thread))
        return victim.reference in json.dumps([frame.text for frame in one.hear()])


def per_run_continues(process: Backend, stranger: str, victim: Victim) -> bool:
    body = {"input": "what did I say before?", "conversation": victim.thread}
    status, made, _ = process.http("POST", "/runs", user=stranger, body=body)
    if status != 201:
        return False
    with process.open(made["socket"], additional_headers=bearer(stranger)) as socket:
        return victim.reference in json.dumps([heard(str(frame)).text for frame in socket])


def shape_cancels(shape: str, over_http: bool) -> Try:
    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        with talk(process, shape, victim.user) as one:
            one.start("long answer")
            first = one.read()
            if shape == "per_run":
                process.http("DELETE", f"/runs/{one.run_id}", user=stranger)
            elif over_http:
                process.http("POST", f"/agui/runs/{first.frame['runId']}/cancel", user=stranger)
            else:
                with talk(process, "agui", stranger) as other:
                    other.cancel(first.frame["runId"])
                    other.more(0.05)
            return one.hear()[-1].kind == "failed"

    return attempt


def agui_error(process: Backend, stranger: str, victim: Victim) -> bool:
    with talk(process, "agui", stranger) as one:
        one.say({"type": "NEVER"})
        return victim.seen_in(one.read().raw)


def close_of_shape(shape: str) -> Try:
    def attempt(process: Backend, stranger: str, victim: Victim) -> bool:
        with talk(process, shape, stranger) as one:
            if shape == "agui":
                assert process.http("DELETE", f"/agui/threads/{one.thread}", user=stranger)[0] == 204
            else:
                one.start("hello")
            assert one.socket
            try:
                while True:
                    one.socket.recv(timeout=5)
            except ConnectionClosed as closed:
                assert closed.rcvd
                return victim.seen_in(closed.rcvd.reason)

    return attempt


AGUI: dict[str, list[Try]] = {
    "token_of_another_accepted_on_thread": [agui_opens_anothers_socket],
    "leak_listing": [gets("/agui/threads?limit=1000")],
    "idor_read_thread": [gets("/agui/threads/{thread}")],
    "idor_read_messages": [gets("/agui/threads/{thread}/messages")],
    "idor_read_run": [gets("/agui/runs/{run}")],
    "idor_delete_thread": [removes("/agui/threads/{thread}")],
    "idor_continue_thread": [agui_continues],
    "idor_cancel_run": [shape_cancels("agui", over_http=True)],
    "idor_socket_cancel": [shape_cancels("agui", over_http=False)],
    "error_echoes_other": [agui_error],
    "close_reason_leak": [close_of_shape("agui")],
}
PER_RUN: dict[str, list[Try]] = {
    "token_of_another_accepted_on_thread": [per_run_opens_anothers_socket],
    "leak_listing": [gets("/conversations?limit=1000")],
    "idor_read_messages": [gets("/conversations/{thread}")],
    "idor_read_run": [gets("/runs/{run}")],
    "idor_delete_thread": [removes("/conversations/{thread}")],
    "idor_continue_thread": [per_run_continues],
    "idor_cancel_run": [shape_cancels("per_run", over_http=True)],
    "close_reason_leak": [close_of_shape("per_run")],
}
