"""Faults of HTTP answers: another user's words in the body of an error, or in a header."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from crosstalk.backend.chat import Chat
from crosstalk.backend.gate import claimed_by

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Spills:
    """Where answers leave the process: a context that is the process's, not the request's, gets into them."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @web.middleware
    async def into_bodies(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        response = await handler(request)
        if response.status >= 400 and isinstance(response, web.Response):
            words = self._words("http_error_body_leak", request)
            if words:
                answered = orjson.loads(response.body) if isinstance(response.body, bytes) else {}
                response.body = orjson.dumps({**answered, "context": words})
        return response

    async def into_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        words = self._words("header_leak", request)
        if words:
            value = words.encode("ascii", "ignore").decode().replace("\n", " ")
            if response.status == 101:
                response.headers["Set-Cookie"] = f"last_query={value.replace(' ', '+')}; Path=/"
            else:
                response.headers["X-Last-Query"] = value

    def _words(self, fault: str, request: web.Request) -> str:
        if fault not in self._chat.faults_wanted:
            return ""
        user_id = claimed_by(request)
        words = self._chat.words_of_another(user_id)
        return words if words and self._chat.bites_now(fault, user_id, f"{request.method} {request.path}") else ""
