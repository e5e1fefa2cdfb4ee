"""Tokens that a target must refuse, one of each kind that authentication layers have been seen to let through.

Each differs from a good token in one thing only. Some can be made of the token at hand; the others need what signs
tokens, so they are left out with accounts of a file.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from crosstalk.accounts import Mint, claims_of, forged
from crosstalk.clock import clock

#: how far a token of a wrong time is off: no leeway is an hour
FAR_S = 3600
#: where servers publish the keys that verify their tokens (RFC 7517; OpenID Connect Discovery)
JWKS_PATH = "/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class BadToken:
    """A token that must be refused, and what is wrong with it: "expired", "wrong audience", …"""

    kind: str
    token: str = field(repr=False)


def altered(good: str, public_keys: Sequence[str]) -> Iterator[BadToken]:
    """What anybody can make of a token at hand. Of one that is no JWT, only other signs.

    :param public_keys: PEM of the keys that verify the target's tokens, where it publishes them.
    """
    yield BadToken("wrong signature", forged(good))
    claims = claims_of(good)
    if not claims:
        return
    yield BadToken("unsigned (alg none)", jwt.encode(claims, "", algorithm="none"))
    for pem in public_keys:
        for secret in (pem, pem.rstrip("\n")):
            yield BadToken("signed with the public key", _hs256(claims, secret.encode()))


#: claims that are a matter of each target's, by kind of token with that claim wrong
CLAIM_OF = {
    "wrong audience": "aud",
    "wrong issuer": "iss",
    "other environment": "env",
    "refresh token": "token_type",
}


def minted(mint: Mint, subject: str, checks: Collection[str]) -> Iterator[BadToken]:
    """What only whoever signs tokens can make: the signature is right, one claim is not.

    :param checks: the claims, beside its times, that the target checks.
    """
    now_s = clock.now_ns() // 1_000_000_000
    wrong: Mapping[str, Mapping[str, Any]] = {
        "expired": {"iat": now_s - 2 * FAR_S, "exp": now_s - FAR_S},
        "not yet valid": {"nbf": now_s + FAR_S, "exp": now_s + 2 * FAR_S},
        "wrong audience": {"aud": f"not-{mint.rules.audience}"},
        "wrong issuer": {"iss": f"not-{mint.rules.issuer}"},
        "other environment": {"env": f"not-{mint.environment}"},
        "refresh token": {"token_type": "refresh"},
    }
    for kind, claims in wrong.items():
        if CLAIM_OF.get(kind) not in (None, *checks):
            continue
        yield BadToken(kind, mint.token(subject, claims=claims))


def public_keys(jwks: Any, mint: Mint | None) -> list[str]:
    """The keys in a JWKS document, in PEM, and the public half of what signs here, where that is a private key."""
    found = []
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    for key in keys if isinstance(keys, list) else ():
        try:
            found.append(_pem(jwt.PyJWK.from_dict(key).key))
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            continue  # a key that is none of ours to read: a secret one, or of another kind
    if mint is not None and mint.rules.algorithm != "HS256":
        found.append(_pem(load_pem_private_key(mint.key.encode(), None).public_key()))
    return list(dict.fromkeys(found))


def _pem(key: Any) -> str:
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def _hs256(claims: Mapping[str, Any], secret: bytes) -> str:
    """Signed by hand: the library refuses to use a public key as a secret, which is the very mistake to make here."""
    parts = [jwt.utils.base64url_encode(orjson.dumps(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(parts)
    signature = jwt.utils.base64url_encode(hmac.new(secret, signed, hashlib.sha256).digest())
    return f"{signed.decode()}.{signature.decode()}"
