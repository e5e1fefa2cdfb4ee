"""HTTP beside the socket: the auth service, and the threads of the user whom the token names."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from crosstalk.backend.access import Access
from crosstalk.backend.bodies import answer, page_of, read_body, text_of, tokens_answer
from crosstalk.backend.gate import Gate
from crosstalk.backend.options import Settings
from crosstalk.backend.store import Store, Thread
from crosstalk.backend.tokens import BadToken, Identity, TokenService, bearer_token, is_user_id, password_of


class Rest:
    """The HTTP endpoints."""

    def __init__(
        self,
        settings: Settings,
        tokens: TokenService,
        gate: Gate,
        store: Store,
        access: Access,
        bites: Callable[[str, str, str], bool],
        end_runs: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._gate = gate
        self._store = store
        self._access = access
        self._bites = bites
        self._end_runs = end_runs
        self._refreshed_last: Identity | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/auth/login", self.login),
            web.post("/auth/refresh", self.refresh),
            web.post("/auth/validate", self.validate),
            web.get("/auth/verify", self.verify),
            web.post("/auth/logout", self.logout),
            web.get("/.well-known/jwks.json", self.keys),
            web.get("/api/threads", self.list_threads),
            web.post("/api/threads", self.make_thread),
            web.get("/api/threads/{id}", self.show_thread),
            web.put("/api/threads/{id}", self.change_thread),
            web.delete("/api/threads/{id}", self.delete_thread),
            web.get("/api/threads/{id}/messages", self.list_messages),
            web.post("/api/threads/{id}/messages", self.add_message),
        ]

    async def login(self, request: web.Request) -> web.Response:
        """The local part of the e-mail is the user; its password is its own, or one for all."""
        body = await read_body(request)
        email, password = text_of(body, "email"), text_of(body, "password")
        user_id, at, domain = email.partition("@")
        if not at or not domain or not is_user_id(user_id):
            raise web.HTTPUnprocessableEntity(text="email must be USER@DOMAIN with a user id before the @")
        if self._knows(user_id, password):
            if self._bites("login_refused", user_id, "POST /auth/login"):
                raise web.HTTPUnauthorized(text="wrong e-mail or password")
        elif not self._bites("login_wrong_password_accepted", user_id, "POST /auth/login"):
            if self._settings.login_password is None:
                raise web.HTTPForbidden(text="not this user's own password, and LOGIN_PASSWORD is not set for all")
            raise web.HTTPUnauthorized(text="wrong e-mail or password")
        return tokens_answer(user_id, email, *self._tokens.mint_pair(user_id, email))

    def _knows(self, user_id: str, password: str) -> bool:
        known = (self._settings.login_password, password_of(self._settings.secret, user_id))
        return any(hmac.compare_digest(password.encode(), one.encode()) for one in known if one is not None)

    async def refresh(self, request: web.Request) -> web.Response:
        token = text_of(await read_body(request), "refresh_token")
        try:
            identity, access_token, refresh_token = self._tokens.rotate(
                token, used_too=lambda user_id: self._bites("refresh_reusable", user_id, "POST /auth/refresh")
            )
        except BadToken:
            raise web.HTTPUnauthorized(text="the refresh token is not valid") from None
        self._end_runs(identity.user_id)
        if self._bites("refresh_gives_dead_token", identity.user_id, "POST /auth/refresh"):
            self._tokens.revoke(access_token)
        last, self._refreshed_last = self._refreshed_last, identity
        another = last is not None and last.user_id != identity.user_id
        if last and another and self._bites("refresh_gives_other_user", identity.user_id, "POST /auth/refresh"):
            return tokens_answer(last.user_id, last.email, *self._tokens.mint_pair(last.user_id, last.email))
        return tokens_answer(identity.user_id, identity.email, access_token, refresh_token)

    async def validate(self, request: web.Request) -> web.Response:
        return self._judge(text_of(await read_body(request), "token"))

    async def verify(self, request: web.Request) -> web.Response:
        token = bearer_token(request.headers.get("Authorization"))
        if token is None:
            raise web.HTTPUnauthorized(text="no Authorization header")
        return self._judge(token)

    async def logout(self, request: web.Request) -> web.Response:
        """The token that this is asked with proves nothing from now on; sockets that are open stay."""
        self._gate.user_of(request)
        with suppress(BadToken):  # one that was taken by a fault
            self._tokens.revoke(bearer_token(request.headers.get("Authorization")) or "")
        return web.Response(status=204)

    async def keys(self, _request: web.Request) -> web.Response:
        return answer({"keys": [self._tokens.public_key.jwk]})

    async def list_threads(self, request: web.Request) -> web.Response:
        """One's own; `user_id` in the query may name nobody else."""
        user_id = self._gate.user_of(request)
        threads = self._access.threads(user_id, request.query.get("user_id"))
        limit, offset = page_of(request)
        shown = [thread.described() for thread in self._access.page(user_id, threads, limit, offset)]
        return answer({"threads": shown, "total": len(threads), "limit": limit, "offset": offset})

    async def make_thread(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        body = await read_body(request, needed=False)
        given = body.get("id", body.get("thread_id"))
        if given is not None and not (isinstance(given, str) and 0 < len(given) <= 128):
            raise web.HTTPUnprocessableEntity(text="id must be a string of 1 to 128 characters")
        title, metadata = _changes(body)
        if title and self._bites("title_lost", user_id, "a new thread"):
            title = ""
        thread = self._store.open_thread(user_id, given, title=title or "")
        thread.metadata.update(metadata)
        return answer(thread.described(), status=201)

    async def show_thread(self, request: web.Request) -> web.Response:
        return answer(self._thread(request, "idor_read_thread").described())

    async def change_thread(self, request: web.Request) -> web.Response:
        thread = self._thread(request, "idor_rename_thread")
        title, metadata = _changes(await read_body(request))
        thread.title = thread.title if title is None else title
        thread.metadata.update(metadata)
        thread.updated_s = time.time()
        return answer(thread.described())

    async def delete_thread(self, request: web.Request) -> web.Response:
        self._access.delete(self._thread(request, "idor_delete_thread"))
        return web.Response(status=204)

    async def list_messages(self, request: web.Request) -> web.Response:
        thread = self._thread(request, "idor_read_messages")
        limit, offset = page_of(request)
        user_id = self._gate.user_of(request)
        messages = self._access.messages(user_id, thread)
        shown = self._access.page(user_id, messages, limit, offset)
        page = {"thread_id": thread.id, "messages": shown, "total": len(messages), "limit": limit, "offset": offset}
        return answer(page)

    async def add_message(self, request: web.Request) -> web.Response:
        thread = self._thread(request, "idor_add_message")
        return answer(thread.add("user", text_of(await read_body(request), "content"), None), status=201)

    def _thread(self, request: web.Request, fault: str) -> Thread:
        return self._access.thread(self._gate.user_of(request), request.match_info["id"], fault)

    def _judge(self, token: str) -> web.Response:
        try:
            identity: Identity = self._tokens.verify(token)
        except BadToken:
            return answer({"valid": False})
        return answer(
            {
                "valid": True,
                "user_id": identity.user_id,
                "email": identity.email,
                "issued_at": identity.issued_s,
                "expires_at": identity.expires_s,
            }
        )


def _changes(body: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    title, metadata = body.get("title"), body.get("metadata", {})
    if not (title is None or isinstance(title, str)) or not isinstance(metadata, dict):
        raise web.HTTPUnprocessableEntity(text="title must be a string, metadata an object")
    return title, metadata
