"""Whom a request speaks for. Every shape asks here, so every fault of identity has its one place here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from crosstalk.backend.tokens import BadToken, TokenService, bearer_token, claimed_user, subprotocol_token

DEMO_USER = "demo-user-001"
HASHED_IDS = 16
BAD_TOKENS_MAX = 3
NOBODY = "anonymous-user"
#: what this backend speaks; it answers with nothing that was not offered
SUBPROTOCOLS = ("agent-chat.v1",)
NOT_OFFERED = "agent-chat.v0"
ADMIN = "admin"
#: faults by which one check of `tokens.CHECKS` is not made
LAX = {
    "accepts_expired": "exp",
    "accepts_not_yet_valid": "not before",
    "accepts_alg_none": "alg none",
    "accepts_hs_rs_confusion": "HS/RS",
    "accepts_wrong_audience": "aud",
    "accepts_wrong_issuer": "iss",
    "accepts_other_environment": "env",
    "accepts_refresh_as_access": "type",
    "accepts_revoked": "revoked",
}


@dataclass(frozen=True, slots=True)
class Carried:
    """What an upgrade brought along: the token (None: it may follow in a message), the subprotocol to answer with, the
    user whom the token names, believed or not, and the way by which it came."""

    token: str | None
    protocols: tuple[str, ...]
    claimed: str
    way: str = "message"


class Gate:
    """Believes tokens. `bites(name, user_id, what)` decides the faults `wanted`. State: how many bad tokens came."""

    def __init__(
        self,
        tokens: TokenService,
        bites: Callable[[str, str, str], bool],
        *,
        wanted: Collection[str] = (),
        closes_at_expiry: bool = False,
    ) -> None:
        self.closes_at_expiry = closes_at_expiry  # sockets end when the newest token that was shown on them expires
        self._tokens = tokens
        self._bites = bites
        self._lax = {name: check for name, check in LAX.items() if name in wanted}
        self._bad_tokens = 0

    def carried(self, request: web.Request) -> Carried:
        """The token of an upgrade: from the header, else from a subprotocol item, else from the query."""
        offered = [item.strip() for item in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        offered = [item for item in offered if item]
        item, in_protocol = subprotocol_token(offered)
        given = _given(request, in_protocol)
        claimed = claimed_user(next(iter(given.values()), None))
        seen = {way: token for way, token in given.items() if not self._bites(f"{way}_ignored", claimed, request.path)}
        if item is None:
            answered = self._chosen(offered, claimed, request.path)
        else:
            answered = [item] if "subprotocol" in seen else []
        # One that was given and not seen is missing, not late: nobody waits for a message.
        missing = "" if given else None
        way, token = next(iter(seen.items()), ("message", missing))
        return Carried(token, tuple(answered), claimed, way)

    def _chosen(self, offered: list[str], claimed: str, what: str) -> list[str]:
        """The first subprotocol of those offered that is known here, if any."""
        if offered and self._bites("subprotocol_first_echoed", claimed, what):
            return offered[:1]
        return [one for one in offered if one in SUBPROTOCOLS][:1]

    def user_of(self, request: web.Request, *, as_socket: bool = False) -> str:
        """The user of an HTTP request; 401 without a good bearer token. `as_socket`: its sockets belong to the same
        objects, so it is known by the same name as they are."""
        token = bearer_token(request.headers.get("Authorization"))
        try:
            return self.identify(token or "", f"{request.method} {request.path}", as_socket=as_socket)
        except BadToken:
            raise web.HTTPUnauthorized(text="a valid bearer token is needed") from None

    def admin_of(self, request: web.Request, fault: str) -> str:
        """The user of a request for administration; 403 without the permission, unless by `fault` nobody asks."""
        user_id = self.user_of(request)
        try:
            permissions = self._tokens.verify(bearer_token(request.headers.get("Authorization")) or "").permissions
        except BadToken:  # taken by a fault
            permissions = ()
        if ADMIN not in permissions and not self._bites(fault, user_id, f"{request.method} {request.path}"):
            raise web.HTTPForbidden(text="this needs the permission admin")
        return user_id

    def identify(self, token: str, what: str, *, as_socket: bool = True, way: str = "") -> str:
        """The user id that a token proves, BadToken where it proves none.

        :param what: names the request in the log.
        :param way: how the token came to a socket; "": over HTTP.
        """
        try:
            user_id = self._tokens.verify(token).user_id
        except BadToken:
            user_id = self._believe(token, what, way)
            if not user_id:
                raise
        if self._bites("hashed_ids", user_id, what):
            number = int.from_bytes(hashlib.sha256(token.encode()).digest()) % HASHED_IDS
            return f"user-{number:04}"
        return DEMO_USER if as_socket and self._bites("demo_user", user_id, what) else user_id

    def _believe(self, token: str, what: str, way: str) -> str:
        """Whom a bad token is taken for: "" for nobody, as it should be."""
        self._bad_tokens += 1
        claimed = claimed_user(token)
        for name, check in self._lax.items():
            with suppress(BadToken):
                user_id = self._tokens.verify(token, skipping=check).user_id
                if self._bites(name, user_id, what):
                    return user_id
        if claimed and self._bites("accept_any_token", claimed, what):
            return claimed
        if claimed and way and self._bites(f"{way}_unverified", claimed, what):
            return claimed
        if self._bad_tokens > BAD_TOKENS_MAX and self._bites("permissive_breaker", claimed, what):
            return claimed or NOBODY
        return ""


def claimed_by(request: web.Request) -> str:
    """Whom the token of a request or an upgrade names, believed or not. For faults only."""
    offered = [item.strip() for item in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    _item, in_protocol = subprotocol_token([item for item in offered if item])
    return claimed_user(next(iter(_given(request, in_protocol).values()), None))


def _given(request: web.Request, in_protocol: str | None) -> dict[str, str]:
    """The tokens that a request carries, the first one first that counts."""
    found: Mapping[str, str | None] = {
        "header": bearer_token(request.headers.get("Authorization")),
        "subprotocol": in_protocol,
        "query": request.query.get("token"),
    }
    return {way: token for way, token in found.items() if token is not None}
