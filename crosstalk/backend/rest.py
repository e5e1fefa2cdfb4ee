"""HTTP beside the socket: health, the auth service, and the threads of the user whom the token names."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from crosstalk.backend.options import Settings
from crosstalk.backend.store import Refused, Store
from crosstalk.backend.tokens import BadToken, Identity, TokenService, bearer_token, is_user_id

SERVICE = "crosstalk-backend"
VERSION = "1.0.0"
# A constant that disagrees with the token's `exp`, as the platform's does: clients must read `exp`.
EXPIRES_IN_S = 900
PAGE_MAX = 1_000
_STATUS_OF = {"NOT_FOUND": 404, "FORBIDDEN": 403}


@web.middleware
async def answer_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refusals and HTTP errors become ``{"detail": …}``."""
    try:
        return await handler(request)
    except Refused as refusal:
        return _json({"detail": str(refusal)}, status=_STATUS_OF.get(refusal.code, 422))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return _json({"detail": error.text or error.reason}, status=error.status, headers=headers)


class Rest:
    """The HTTP endpoints."""

    def __init__(self, settings: Settings, tokens: TokenService, store: Store) -> None:
        self._settings = settings
        self._tokens = tokens
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.post("/auth/login", self.login),
            web.post("/auth/refresh", self.refresh),
            web.post("/auth/validate", self.validate),
            web.get("/auth/verify", self.verify),
            web.get("/api/threads", self.list_threads),
            web.post("/api/threads", self.make_thread),
            web.get("/api/threads/{id}", self.show_thread),
            web.put("/api/threads/{id}", self.change_thread),
            web.delete("/api/threads/{id}", self.delete_thread),
            web.get("/api/threads/{id}/messages", self.list_messages),
            web.post("/api/threads/{id}/messages", self.add_message),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        return _json(
            {
                "status": "healthy",
                "service": SERVICE,
                "version": VERSION,
                "timestamp": time.time(),
                "revision": self._settings.revision,
                "environment": self._settings.environment,
                "parts": {"database": "healthy", "cache": "healthy", "agents": "healthy"},
            }
        )

    async def live(self, _request: web.Request) -> web.Response:
        return _json({"status": "alive", "timestamp": time.time()})

    async def ready(self, _request: web.Request) -> web.Response:
        return _json({"status": "ready", "timestamp": time.time()})

    async def login(self, request: web.Request) -> web.Response:
        """The local part of the e-mail is the user; the password is one for all."""
        body = await _body(request)
        email, password = _text(body, "email"), _text(body, "password")
        user_id, at, domain = email.partition("@")
        if not at or not domain or not is_user_id(user_id):
            raise web.HTTPUnprocessableEntity(text="email must be USER@DOMAIN with a user id before the @")
        expected = self._settings.login_password
        if expected is None:
            raise web.HTTPForbidden(text="logins are off: this backend was started without LOGIN_PASSWORD")
        if not hmac.compare_digest(password.encode(), expected.encode()):
            raise web.HTTPUnauthorized(text="wrong e-mail or password")
        return _tokens_answer(user_id, email, *self._tokens.mint_pair(user_id, email))

    async def refresh(self, request: web.Request) -> web.Response:
        token = _text(await _body(request), "refresh_token")
        try:
            identity, access_token, refresh_token = self._tokens.rotate(token)
        except BadToken:
            raise web.HTTPUnauthorized(text="the refresh token is not valid") from None
        return _tokens_answer(identity.user_id, identity.email, access_token, refresh_token)

    async def validate(self, request: web.Request) -> web.Response:
        return self._judge(_text(await _body(request), "token"))

    async def verify(self, request: web.Request) -> web.Response:
        token = bearer_token(request.headers.get("Authorization"))
        if token is None:
            raise web.HTTPUnauthorized(text="no Authorization header")
        return self._judge(token)

    async def list_threads(self, request: web.Request) -> web.Response:
        threads = self._store.threads_of(self._user(request))
        limit, offset = _page(request)
        shown = [thread.described() for thread in threads[offset : offset + limit]]
        return _json({"threads": shown, "total": len(threads), "limit": limit, "offset": offset})

    async def make_thread(self, request: web.Request) -> web.Response:
        user_id = self._user(request)
        body = await _body(request, needed=False)
        given = body.get("id", body.get("thread_id"))
        if given is not None and not (isinstance(given, str) and 0 < len(given) <= 128):
            raise web.HTTPUnprocessableEntity(text="id must be a string of 1 to 128 characters")
        title, metadata = _changes(body)
        thread = self._store.open_thread(user_id, given, title=title or "")
        thread.metadata.update(metadata)
        return _json(thread.described(), status=201)

    async def show_thread(self, request: web.Request) -> web.Response:
        return _json(self._store.thread(self._user(request), request.match_info["id"]).described())

    async def change_thread(self, request: web.Request) -> web.Response:
        user_id = self._user(request)
        thread = self._store.thread(user_id, request.match_info["id"])
        title, metadata = _changes(await _body(request))
        thread.title = thread.title if title is None else title
        thread.metadata.update(metadata)
        thread.updated_s = time.time()
        return _json(thread.described())

    async def delete_thread(self, request: web.Request) -> web.Response:
        self._store.delete_thread(self._user(request), request.match_info["id"])
        return web.Response(status=204)

    async def list_messages(self, request: web.Request) -> web.Response:
        thread = self._store.thread(self._user(request), request.match_info["id"])
        limit, offset = _page(request)
        messages = list(thread.messages)
        shown = messages[offset : offset + limit]
        page = {"thread_id": thread.id, "messages": shown, "total": len(messages), "limit": limit, "offset": offset}
        return _json(page)

    async def add_message(self, request: web.Request) -> web.Response:
        user_id = self._user(request)
        thread = self._store.thread(user_id, request.match_info["id"])
        return _json(thread.add("user", _text(await _body(request), "content"), None), status=201)

    def _user(self, request: web.Request) -> str:
        token = bearer_token(request.headers.get("Authorization"))
        try:
            return self._tokens.verify(token or "").user_id
        except BadToken:
            raise web.HTTPUnauthorized(text="a valid bearer token is needed") from None

    def _judge(self, token: str) -> web.Response:
        try:
            identity: Identity = self._tokens.verify(token)
        except BadToken:
            return _json({"valid": False})
        return _json(
            {
                "valid": True,
                "user_id": identity.user_id,
                "email": identity.email,
                "issued_at": identity.issued_s,
                "expires_at": identity.expires_s,
            }
        )


async def _body(request: web.Request, *, needed: bool = True) -> dict[str, Any]:
    raw = await request.read()
    if not raw and not needed:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPUnprocessableEntity(text="expected a JSON object")
    return body


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise web.HTTPUnprocessableEntity(text=f"{key} must be a string that is not empty")
    return value


def _changes(body: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    title, metadata = body.get("title"), body.get("metadata", {})
    if not (title is None or isinstance(title, str)) or not isinstance(metadata, dict):
        raise web.HTTPUnprocessableEntity(text="title must be a string, metadata an object")
    return title, metadata


def _page(request: web.Request) -> tuple[int, int]:
    limit, offset = request.query.get("limit", "50"), request.query.get("offset", "0")
    if not (limit.isdecimal() and offset.isdecimal() and 1 <= int(limit) <= PAGE_MAX and int(offset) < 1 << 31):
        raise web.HTTPUnprocessableEntity(text=f"limit must be 1 to {PAGE_MAX}, offset at least 0")
    return int(limit), int(offset)


def _tokens_answer(user_id: str, email: str, access_token: str, refresh_token: str) -> web.Response:
    return _json(
        {
            "access_token": access_token,
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": EXPIRES_IN_S,
            "user": {"id": user_id, "email": email},
        }
    )


def _json(value: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")
