"""Tokens: minted at login and refresh, verified for every request and socket."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.algorithms import RSAAlgorithm

ISSUER = "netra-auth-service"
AUDIENCE = "netra-platform"
SECRET_BYTES_MIN = 32
ISSUED_AHEAD_S_MAX = 60
REFRESH_LIFE_S = 7 * 24 * 3600
LIFE_MINUTES = {"production": 15, "staging": 30, "development": 120, "test": 5}
LIFE_MINUTES_ELSEWHERE = 120
REMEMBERED_MAX = 100_000
#: what `TokenService.verify` checks of a token, each by itself
CHECKS = ("exp", "not before", "alg none", "HS/RS", "aud", "iss", "env", "type", "revoked")

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
    permissions: tuple[str, ...] = ()


class TokenService:
    """Mints and verifies the tokens of one environment: HS256 and nothing else.

    State: the tokens that were used up (refresh) or revoked (logout), until they expire.
    """

    def __init__(self, secret: str, environment: str | None, *, life_s: int | None = None) -> None:
        self._secret = secret
        self._environment = environment
        self._life_s = life_s or LIFE_MINUTES.get(environment or "", LIFE_MINUTES_ELSEWHERE) * 60
        self._spent: dict[str, float] = {}
        self._revoked: dict[str, float] = {}

    def mint_pair(self, user_id: str, email: str) -> tuple[str, str]:
        """A new access token and a new refresh token."""
        access = self._mint(user_id, email, "access", self._life_s)
        return access, self._mint(user_id, email, "refresh", REFRESH_LIFE_S)

    def rotate(
        self, refresh_token: str, *, used_too: Callable[[str], bool] = lambda _user_id: False
    ) -> tuple[Identity, str, str]:
        """Exchange a refresh token for a new pair; the old one is dead from then on, unless `used_too` says otherwise
        of its user."""
        identity = self.verify(refresh_token, token_type="refresh")
        if not identity.token_id:
            raise BadToken("the refresh token has no jti")
        if identity.token_id in self._spent and not used_too(identity.user_id):
            raise BadToken("the refresh token was used before")
        _remember(self._spent, identity.token_id, identity.expires_s)
        return identity, *self.mint_pair(identity.user_id, identity.email)

    def revoke(self, token: str) -> Identity:
        """From now on this access token proves nothing."""
        identity = self.verify(token)
        _remember(self._revoked, _digest(token), identity.expires_s)
        return identity

    @functools.cached_property
    def public_key(self) -> PublicKey:
        """An RS256 key that is published, as auth services do. No token here is signed with it: it is what a verifier
        that takes any algorithm confuses with the secret of HS256."""
        return PublicKey()

    def verify(self, token: str, *, token_type: str = "access", skipping: str = "") -> Identity:
        """Check signature, times, issuer, audience, type, user id, whether it was revoked, and the environment where
        both sides name one. `skipping`: the one check of `CHECKS` that is not made (faults only)."""
        claims = self._claims(token, skipping)
        issued_s, user_id = claims["iat"], claims["sub"]
        if isinstance(issued_s, bool) or not isinstance(issued_s, int | float):
            raise BadToken("iat is not a number")
        if issued_s > time.time() + ISSUED_AHEAD_S_MAX and skipping != "not before":
            raise BadToken("iat is too far ahead")
        if claims.get("token_type") != token_type and skipping != "type":
            raise BadToken(f"not a token of type {token_type}")
        if not isinstance(user_id, str) or not is_user_id(user_id):
            raise BadToken("sub is not a user id")
        if self._environment and claims.get("env", self._environment) != self._environment and skipping != "env":
            raise BadToken("the token is of another environment")
        if _digest(token) in self._revoked and skipping != "revoked":
            raise BadToken("the token was revoked")
        email, token_id = str(claims.get("email", "")), str(claims.get("jti", ""))
        given = claims.get("permissions")
        permissions = tuple(one for one in given if isinstance(one, str)) if isinstance(given, list) else ()
        return Identity(user_id, email, token_id, float(issued_s), float(claims["exp"]), permissions)

    def _claims(self, token: str, skipping: str) -> dict[str, Any]:
        signed = skipping == "alg none" and _is_unsigned(token)
        signed = signed or (skipping == "HS/RS" and self.public_key.is_secret_of(token))
        try:
            # `iat` is checked by the caller: the library knows one leeway for all times, and `exp` has none here.
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={
                    "require": ["sub", "exp", "iat"],
                    "verify_iat": False,
                    "verify_signature": not signed,
                    "verify_exp": skipping != "exp",
                    "verify_nbf": skipping != "not before",
                    "verify_iss": skipping != "iss",
                    "verify_aud": skipping != "aud",
                },
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise BadToken(type(error).__name__) from None
        return claims

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


class PublicKey:
    """An RSA key of which only the public half is shown. `pem`: as SubjectPublicKeyInfo, with its final newline."""

    def __init__(self) -> None:
        # they take their time to import, and few ask for the key
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        self.pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.jwk = {"kid": "crosstalk-1", "use": "sig", "alg": "RS256", **RSAAlgorithm.to_jwk(key, as_dict=True)}

    def is_secret_of(self, token: str) -> bool:
        """Whether the token is signed with HS256 and the published key for a secret."""
        signed, _, signature = token.rpartition(".")
        made = {hmac.digest(secret, signed.encode(), "sha256") for secret in (self.pem, self.pem.rstrip())}
        return _algorithm_of(token) == "HS256" and any(
            hmac.compare_digest(base64.urlsafe_b64encode(one).rstrip(b"=").decode(), signature) for one in made
        )


def _algorithm_of(token: str) -> str:
    try:
        return str(jwt.get_unverified_header(token).get("alg", ""))
    except jwt.InvalidTokenError:
        return ""


def _is_unsigned(token: str) -> bool:
    return _algorithm_of(token).lower() == "none"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _remember(table: dict[str, float], key: str, expires_s: float) -> None:
    """Keep a key until it expires; the expired ones go when there are many."""
    if len(table) >= REMEMBERED_MAX:
        now_s = time.time()
        for old in [one for one, until_s in table.items() if until_s <= now_s]:
            del table[old]
    table[key] = expires_s


def password_of(secret: str, user_id: str) -> str:
    """A user's own password. Whoever holds the secret can sign tokens of everybody, so this opens nothing more."""
    return hmac.new(secret.encode(), f"password of {user_id}".encode(), hashlib.sha256).hexdigest()[:32]


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


def expiry_of(token: str) -> float | None:
    """`exp` of a token that was believed, in unix seconds; None where it has none."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError):
        return None
    expires_s = claims.get("exp")
    return float(expires_s) if isinstance(expires_s, int | float) else None


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
