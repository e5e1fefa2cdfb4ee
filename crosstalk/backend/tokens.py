"""Tokens: minted at login and refresh, verified for every request and socket."""

from __future__ import annotations

import base64
import binascii
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

import jwt

ISSUER = "netra-auth-service"
AUDIENCE = "netra-platform"
SECRET_BYTES_MIN = 32
ISSUED_AHEAD_S_MAX = 60
REFRESH_LIFE_S = 7 * 24 * 3600
LIFE_MINUTES = {"production": 15, "staging": 30, "development": 120, "test": 5}
LIFE_MINUTES_ELSEWHERE = 120

_USER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RAW_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_CARRIERS = ("jwt.", "jwt-auth.", "bearer.")


class BadToken(Exception):
    """The token proves nothing. The message never holds any part of it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a valid token speaks for. `expires_s` and `issued_s` are unix seconds."""

    user_id: str
    email: str
    token_id: str
    issued_s: float
    expires_s: float


class TokenService:
    """Mints and verifies the tokens of one environment. State: the refresh tokens that were used, until they expire."""

    def __init__(self, secret: str, environment: str | None) -> None:
        self._secret = secret
        self._environment = environment
        self._spent: dict[str, float] = {}

    def mint_pair(self, user_id: str, email: str) -> tuple[str, str]:
        """A new access token and a new refresh token."""
        life_s = LIFE_MINUTES.get(self._environment or "", LIFE_MINUTES_ELSEWHERE) * 60
        return self._mint(user_id, email, "access", life_s), self._mint(user_id, email, "refresh", REFRESH_LIFE_S)

    def rotate(self, refresh_token: str) -> tuple[Identity, str, str]:
        """Exchange a refresh token for a new pair; the old one is dead from then on."""
        identity = self.verify(refresh_token, token_type="refresh")
        if not identity.token_id:
            raise BadToken("the refresh token has no jti")
        if identity.token_id in self._spent:
            raise BadToken("the refresh token was used before")
        now_s = time.time()
        if len(self._spent) >= 100_000:
            self._spent = {key: expires_s for key, expires_s in self._spent.items() if expires_s > now_s}
        self._spent[identity.token_id] = identity.expires_s
        return identity, *self.mint_pair(identity.user_id, identity.email)

    def verify(self, token: str, *, token_type: str = "access") -> Identity:
        """Check signature, times, issuer, audience, type, user id, and the environment where both sides name one."""
        try:
            # `iat` is checked below: the library knows one leeway for all times, and `exp` has none here.
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": ["sub", "exp", "iat"], "verify_iat": False},
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise BadToken(type(error).__name__) from None
        issued_s, user_id = claims["iat"], claims["sub"]
        if isinstance(issued_s, bool) or not isinstance(issued_s, int | float):
            raise BadToken("iat is not a number")
        if issued_s > time.time() + ISSUED_AHEAD_S_MAX:
            raise BadToken("iat is too far ahead")
        if claims.get("token_type") != token_type:
            raise BadToken(f"not a token of type {token_type}")
        if not isinstance(user_id, str) or not is_user_id(user_id):
            raise BadToken("sub is not a user id")
        if self._environment and "env" in claims and claims["env"] != self._environment:
            raise BadToken("the token is of another environment")
        email, token_id = str(claims.get("email", "")), str(claims.get("jti", ""))
        return Identity(user_id, email, token_id, float(issued_s), float(claims["exp"]))

    def _mint(self, user_id: str, email: str, token_type: str, life_s: int) -> str:
        now_s = int(time.time())
        claims: dict[str, Any] = {
            "sub": user_id,
            "iat": now_s,
            "exp": now_s + life_s,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": str(uuid.uuid4()),
            "token_type": token_type,
            "email": email,
            "permissions": ["chat"],
        }
        if self._environment:
            claims["env"] = self._environment
        return jwt.encode(claims, self._secret, algorithm="HS256")


def is_user_id(text: str) -> bool:
    """Whether the text has a shape that passes for a user id: 1 to 64 letters, digits, dots, dashes, underscores."""
    return _USER_ID.fullmatch(text) is not None


def claimed_user(token: str | None) -> str:
    """Whom a token names, believed or not; "" where it names nobody. For faults only: it proves nothing."""
    try:
        claims = jwt.decode(token or "", options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError):
        return ""
    user_id = claims.get("sub")
    return user_id if isinstance(user_id, str) and is_user_id(user_id) else ""


def bearer_token(authorization: str | None) -> str | None:
    """The token of an Authorization header, None where there is no such header, "" where it is not a bearer's."""
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def subprotocol_token(offered: list[str]) -> tuple[str | None, str | None]:
    """The first offered subprotocol item that carries a token, and that token; raw or base64url."""
    for item in offered:
        for carrier in _CARRIERS:
            if item.startswith(carrier):
                return item, _unwrap(item[len(carrier) :])
    return None, None


def _unwrap(text: str) -> str:
    if _RAW_TOKEN.fullmatch(text):
        return text
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
