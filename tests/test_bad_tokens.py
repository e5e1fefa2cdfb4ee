"""Bad tokens: each differs from a good one in one thing, and a verifier that does its work refuses each for it."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from crosstalk.accounts import Mint
from crosstalk.bad_tokens import altered, minted, public_keys
from crosstalk.environments import CLAIMS, TokenRules

SECRET = "a secret of at least thirty-two bytes"
MINT = Mint(SECRET, "test")
KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def verify(token: str, **loosened: object) -> dict[str, object]:
    """As a careful server does; `loosened` are the mistakes it makes."""
    options = {"require": ["sub", "exp", "iat"], **loosened}
    claims = jwt.decode(
        token, SECRET, algorithms=["HS256"], audience="netra-platform", issuer="netra-auth-service", options=options
    )
    assert claims["env"] == "test" and claims["token_type"] == "access"
    return claims


def test_the_good_one_is_good() -> None:
    assert verify(MINT.token("ann"))["sub"] == "ann"


def test_every_kind_is_refused_by_who_verifies_all() -> None:
    bad = [*altered(MINT.token("ann"), [PEM]), *minted(MINT, "ann", CLAIMS)]
    assert len({one.kind for one in bad}) == 9
    for one in bad:
        with pytest.raises((jwt.InvalidTokenError, AssertionError)):
            verify(one.token)


@pytest.mark.parametrize(
    ("kind", "skipped"),
    [
        ("expired", "verify_exp"),
        ("not yet valid", "verify_nbf"),
        ("wrong audience", "verify_aud"),
        ("wrong issuer", "verify_iss"),
    ],
)
def test_a_server_that_skips_one_check_takes_the_token_of_that_kind(kind: str, skipped: str) -> None:
    [token] = [one.token for one in minted(MINT, "ann", CLAIMS) if one.kind == kind]
    assert verify(token, **{skipped: False})["sub"] == "ann"


@pytest.mark.parametrize(
    ("claims", "more"),
    [((), set()), (("aud",), {"wrong audience"}), (("iss", "env"), {"wrong issuer", "other environment"})],
)
def test_only_claims_that_the_target_promises_to_check_are_wrong_in_a_token(claims: tuple[str], more: set[str]) -> None:
    assert {one.kind for one in minted(MINT, "ann", claims)} == {"expired", "not yet valid"} | more


def test_an_unsigned_token_says_who_it_is() -> None:
    [token] = [one.token for one in altered(MINT.token("ann"), []) if "none" in one.kind]
    assert jwt.get_unverified_header(token)["alg"] == "none" and token.endswith(".")
    assert jwt.decode(token, options={"verify_signature": False})["sub"] == "ann"


def test_the_public_key_as_a_secret() -> None:
    tokens = [one.token for one in altered(MINT.token("ann"), [PEM]) if "public key" in one.kind]
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    proved = 0
    for token in tokens:
        signed, _, signature = token.rpartition(".")
        raw = jwt.utils.base64url_decode(signature)
        proved += any(algorithm.verify(signed.encode(), secret, raw) for secret in (PEM.encode(), PEM.strip().encode()))
    assert proved == len(tokens) == 2


def test_keys_of_a_jwks_and_of_what_signs_here() -> None:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    asymmetric = Mint(private, "test", TokenRules(algorithm="RS256", key_file="x"))
    assert public_keys({"keys": [jwk, {"kty": "oct", "k": "c2VjcmV0"}, {}, "?"]}, None) == [PEM]
    assert public_keys(None, asymmetric) == [PEM]
    assert public_keys({"keys": [jwk]}, asymmetric) == [PEM]
    assert public_keys({"keys": "?"}, MINT) == []


def test_of_a_token_that_is_no_jwt_only_other_signs() -> None:
    assert [one.kind for one in altered("an-opaque-token", [PEM])] == ["wrong signature"]


def test_no_bad_token_shows_in_a_repr() -> None:
    [first, *_] = altered(MINT.token("ann"), [])
    assert first.token not in repr(first)


def test_claims_that_a_target_makes_nothing_of_are_not_tried() -> None:
    kinds = {one.kind for one in minted(MINT, "ann", ("aud",))}
    assert kinds == {"expired", "not yet valid", "wrong audience"}
