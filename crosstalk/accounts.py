"""Identities and tokens: who a simulated user is, and what it shows at the door.

Account *numbers* are unique in a load test: the process that keeps the record leases them in blocks (`LeaseBook`), each
worker hands them out one by one (`Purse`). A number's name is `<tag of the load test><five digits>`, eight characters,
so that two load tests never share an account and a welcome that shows eight characters shows all; or the entry of an
accounts file.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from gevent.event import Event as Flag

from crosstalk.checks.canary import names_in, tag
from crosstalk.checks.isolation import Roster
from crosstalk.clock import clock
from crosstalk.credentials import Account
from crosstalk.environments import TokenRules
from crosstalk.files import ConfigError

LEASE_SIZE = 10
NUMBERS = 100_000
#: the number whose account the readiness check uses
PREFLIGHT_NUMBER = NUMBERS - 1
#: a token is renewed when less than this is left of its life, or less than this share of it
RENEW_BEFORE_S, RENEW_BEFORE_SHARE = 60, 0.25
#: what names of accounts are made of
_JOINTS = re.compile(r"[_.]")
_WORD = re.compile(rb"[A-Za-z0-9_.@+-]{8,128}")


def roster(load_test: int, accounts: tuple[Account, ...]) -> Roster:
    """Names of the numbers, and back."""
    if accounts:
        numbers = {account.name: number for number, account in enumerate(accounts)}
        labels = {name.casefold(): name for name in numbers if _cannot_be_chance(name)}
        return Roster(
            lambda n: accounts[n].name if n < len(accounts) else f"account {n}",
            numbers.get,
            lambda text: sorted({labels[word] for word in _words_of(text) if word in labels}) if labels else (),
        )
    prefix = tag(load_test)

    def number_of(name: str) -> int | None:
        digits = name.removeprefix(prefix)
        known = name.startswith(prefix) and len(digits) == 5 and digits.isascii() and digits.isdigit()
        return int(digits) if known else None

    return Roster(
        lambda n: f"{prefix}{n:05}",
        number_of,
        lambda text: [name.decode() for name in names_in(text, prefix.encode())],
    )


def _cannot_be_chance(name: str) -> bool:
    """Is an account's name long enough, and not a word?"""
    return len(name) >= 8 and ("@" in name or any(letter.isdigit() for letter in name))


def _words_of(text: bytes) -> Iterator[str]:
    """What may be a name in a text, in small letters: also what stands before the @ of an address, or in a path."""
    for found in _WORD.findall(text):
        word = found.decode().casefold().strip("._@+-")
        yield word
        yield word.partition("@")[0]
        yield from _JOINTS.split(word)


@dataclass(slots=True)
class LeaseBook:
    """Who may use which numbers. `limit`: how many accounts there are."""

    limit: int = PREFLIGHT_NUMBER
    _next: int = 0

    def lease(self, wanted: int) -> tuple[int, int]:
        """(first, count); count is less than wanted, down to 0, where the accounts end."""
        first = self._next
        count = max(0, min(wanted, self.limit - first))
        self._next += count
        return first, count


@dataclass(slots=True)
class Purse:
    """A worker's numbers. `ask(wanted)` requests a lease; `put` brings its answer."""

    ask: Callable[[int], None]
    _free: deque[int] = field(default_factory=deque)
    _returned: deque[int] = field(default_factory=deque)
    _filled: Flag = field(default_factory=Flag)
    _asked: bool = False
    _exhausted: bool = False

    def put(self, first: int, count: int) -> None:
        self._free.extend(range(first, first + count))
        self._asked, self._exhausted = False, count == 0
        self._filled.set()

    def take(self, timeout_s: float = 10.0, *, fresh: bool = False) -> int:
        """A number that nobody else has: one that nobody had before, or one that was given back.

        :param fresh: not one that was given back.
        :raises ConfigError: there are fewer accounts than users, or no answer came.
        """
        deadline_ns = clock.now_ns() + int(timeout_s * 1e9)
        while not self._free and (fresh or not self._returned):
            if self._exhausted:
                raise ConfigError("more users than accounts: add accounts to the file, or start fewer users")
            if not self._asked:
                self._asked = True
                self._filled.clear()
                self.ask(LEASE_SIZE)
            if not self._free and not self._filled.wait((deadline_ns - clock.now_ns()) / 1e9):
                raise ConfigError(f"no account number came from the master within {timeout_s:g} s")
        return (self._free or self._returned).popleft()

    def give_back(self, number: int) -> None:
        self._returned.append(number)


@dataclass(frozen=True, slots=True)
class Mint:
    """Makes access tokens: signs them with the environment's secret, or its private key, by its rules."""

    key: str = field(repr=False)
    environment: str
    rules: TokenRules = field(default_factory=TokenRules)

    def token(self, subject: str, *, life_s: int | None = None, claims: Mapping[str, Any] | None = None) -> str:
        """A token for this subject.

        :param life_s: of this one, if not as the rules say.
        :param claims: what is to be otherwise in it; it need not be right.
        """
        now_s = clock.now_ns() // 1_000_000_000
        all_claims: dict[str, Any] = {
            "sub": subject,
            "iat": now_s,
            "exp": now_s + (self.rules.life_s if life_s is None else life_s),
            "iss": self.rules.issuer,
            "aud": self.rules.audience,
            "jti": uuid.uuid4().hex,
            "env": self.environment,
            "token_type": "access",
            "email": f"{subject}@crosstalk.test",
            "permissions": [],
            **(claims or {}),
        }
        return jwt.encode(all_claims, self.key, algorithm=self.rules.algorithm)


def forged(token: str) -> str:
    """The same token with a signature that is not: every claim is right, and still it must be refused.

    Of a token that is no JWT, as many other signs.
    """
    signed, dot, signature = token.rpartition(".")
    if dot:
        size = len(jwt.utils.base64url_decode(signature)) if _is_base64(signature) else 0
        return f"{signed}.{jwt.utils.base64url_encode(secrets.token_bytes(size or 32)).decode()}"
    return secrets.token_hex(max(16, len(token)))[: max(16, len(token))]


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified; nothing for one that is no JWT."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims
    except (jwt.PyJWTError, ValueError):
        return {}


def expires_at_s(token: str) -> float:
    """`exp` of a token, unverified; infinity for a token that is no JWT or has none."""
    try:
        return float(claims_of(token).get("exp", "inf"))
    except (TypeError, ValueError):  # an `exp` that is no number
        return float("inf")


def renew_at_s(token: str) -> float:
    """When a token is to be renewed, in unix seconds; infinity for one that does not say when it expires."""
    claims, expires_s = claims_of(token), expires_at_s(token)
    issued = claims.get("iat")
    life_s = expires_s - issued if isinstance(issued, int | float) else float("inf")
    return expires_s - min(RENEW_BEFORE_S, RENEW_BEFORE_SHARE * max(life_s, 0.0))


def _is_base64(text: str) -> bool:
    try:
        jwt.utils.base64url_decode(text)
    except ValueError:
        return False
    return True
