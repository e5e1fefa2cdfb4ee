"""Credentials: accounts of a file, secrets and named values of the environment. None of them shows in a `repr`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import orjson

from crosstalk.environments import TokenRules
from crosstalk.files import ConfigError, read_text

PROXY_CREDENTIALS = "CROSSTALK_PROXY_CREDENTIALS"


@dataclass(frozen=True, slots=True)
class Account:
    """Credentials of a simulated person: a token, or email and password, or the name alone where tokens are made."""

    name: str
    email: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def load_accounts(path: Path, *, names_suffice: bool = False) -> tuple[Account, ...]:
    """Accounts of a CSV (with a header line) or JSON file (a list of objects).

    Each has user_id and token, or email and password.

    :param names_suffice: a user_id alone will do, because its token is made by a function.
    :raises ConfigError:
    """
    text = read_text(path, "--accounts")
    try:
        entries = orjson.loads(text) if text.lstrip().startswith("[") else list(csv.DictReader(io.StringIO(text)))
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}: not readable as JSON: {error}") from None
    accounts = []
    for number, entry in enumerate(entries, 1):
        values = entry if isinstance(entry, dict) else {}
        known = {key: str(values.get(key) or "") for key in ("user_id", "email", "password", "token")}
        name = known["user_id"] or known["email"].partition("@")[0]
        shown = known["token"] or (known["email"] and known["password"])
        if not name or not (shown or (names_suffice and known["user_id"])):
            raise ConfigError(f"{path}: entry {number}: expected user_id and token, or email and password")
        accounts.append(Account(name, known["email"], known["password"], known["token"]))
    if len({account.name for account in accounts}) != len(accounts):
        raise ConfigError(f"{path}: an account stands there twice; each simulated user needs one of its own")
    if not accounts:
        raise ConfigError(f"{path}: no accounts; expected a header line and one line an account")
    return tuple(accounts)


def named_values(pairs: Mapping[str, str], said_by: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of {name: environment variable}.

    :raises ConfigError: a variable is not set.
    """
    for name, variable in pairs.items():
        if variable not in environ:
            raise ConfigError(f"{said_by} {name}: the environment variable {variable} is not set")
    return {name: environ[variable] for name, variable in pairs.items()}


def pairs_of(texts: list[str], option: str) -> dict[str, str]:
    """`NAME=ENVVAR` of an option that may stand there several times.

    :raises ConfigError: it is no such pair.
    """
    pairs = {}
    for text in texts:
        name, equals, variable = text.partition("=")
        if not equals or not name or not variable:
            raise ConfigError(f"{option} {text!r}: expected NAME=ENVVAR, the environment variable that holds the value")
        pairs[name] = variable
    return pairs


def signing_key(environment: str, rules: TokenRules, environ: Mapping[str, str] = os.environ) -> str:
    """What tokens are signed with: the environment's secret, or the private key of its file.

    :raises ConfigError: there is none, or it cannot sign by the algorithm.
    """
    if rules.algorithm == "HS256":
        return require_secret(environment, environ)
    key = read_text(Path(rules.key_file), "token_key_file")
    try:
        jwt.encode({}, key, algorithm=rules.algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ConfigError(
            f"token_key_file {rules.key_file}: expected a private key for {rules.algorithm} in PEM, without a password"
        ) from None
    return key


def token_secret(environment: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The secret that signs tokens here: JWT_SECRET_<ENVIRONMENT>, JWT_SECRET_KEY, JWT_SECRET, in this order."""
    return next((environ[name] for name in secret_names(environment) if environ.get(name)), None)


def require_secret(environment: str, environ: Mapping[str, str] = os.environ) -> str:
    """:raises ConfigError: there is no secret to sign tokens with."""
    secret = token_secret(environment, environ)
    if secret is None:
        first, second, third = secret_names(environment)
        raise ConfigError(
            f"no secret to sign tokens with: set {first} (or {second}, {third}) to the target's, "
            "or name accounts of its own with --accounts FILE"
        )
    return secret


def secret_names(environment: str) -> tuple[str, str, str]:
    return (f"JWT_SECRET_{environment.upper().replace('-', '_')}", "JWT_SECRET_KEY", "JWT_SECRET")


def canary_secret(results: Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """What canaries are derived from: CROSSTALK_CANARY_SECRET, or a file that is made once in `results`."""
    if given := environ.get("CROSSTALK_CANARY_SECRET"):
        if len(given) < 16:
            raise ConfigError("CROSSTALK_CANARY_SECRET needs at least 16 characters")
        return given.encode()
    path = results / ".canary-secret"
    try:
        results.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"results folder {results} cannot be written: {error.strerror}; name another with --results"
        ) from None
    if len(secret) < 16:
        raise ConfigError(f"{path}: expected a secret of at least 16 bytes, got {len(secret)}; remove it")
    return secret


def _make_secret(path: Path) -> None:
    """Appears whole or not at all, and only once: another load test may make it in this very moment."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(32).hex().encode())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
