"""JSON over HTTP: bodies read and answered, refusals turned into statuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from crosstalk.backend.store import Refused

PAGE_MAX = 1_000
# A constant that disagrees with the token's `exp`, as the platform's does: clients must read `exp`.
EXPIRES_IN_S = 900
_STATUS_OF = {
    "NOT_FOUND": 404,
    "NO_SUCH_AGENT": 404,
    "FORBIDDEN": 403,
    "RUN_ENDED": 409,
    "RUN_TAKEN": 409,
    "TOO_MANY_RUNS": 429,
    "RESTARTING": 503,
}


@web.middleware
async def answer_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refusals and HTTP errors become ``{"detail": …}``."""
    try:
        return await handler(request)
    except Refused as refusal:
        return answer({"detail": str(refusal)}, status=_STATUS_OF.get(refusal.code, 422))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return answer({"detail": error.text or error.reason}, status=error.status, headers=headers)


async def read_body(request: web.Request, *, needed: bool = True) -> dict[str, Any]:
    """The object of a body, {} for an empty one that is not `needed`; 422 for anything else."""
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


def text_of(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise web.HTTPUnprocessableEntity(text=f"{key} must be a string that is not empty")
    return value


def object_of(body: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under a key, {} where there is none."""
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise web.HTTPUnprocessableEntity(text=f"{key} must be an object")
    return value


def page_of(request: web.Request) -> tuple[int, int]:
    """(limit, offset) of the query."""
    limit, offset = request.query.get("limit", "50"), request.query.get("offset", "0")
    if not (limit.isdecimal() and offset.isdecimal() and 1 <= int(limit) <= PAGE_MAX and int(offset) < 1 << 31):
        raise web.HTTPUnprocessableEntity(text=f"limit must be 1 to {PAGE_MAX}, offset at least 0")
    return int(limit), int(offset)


def answer(value: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")


def tokens_answer(user_id: str, email: str, access_token: str, refresh_token: str) -> web.Response:
    """The answer to every way of signing in."""
    return answer(
        {
            "access_token": access_token,
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": EXPIRES_IN_S,
            "user": {"id": user_id, "email": email},
        }
    )
