"""How a person signs in: by password, by refresh, and out again. What comes back is read here, and judged by a step.

Where the target is a reference backend of this load test's own, each minted account has a password that both sides
derive from the secret of its tokens (docs/reference-backend.md); elsewhere passwords are those of the accounts file.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from crosstalk.accounts import claims_of
from crosstalk.afterwards import foreign_token
from crosstalk.environments import Login, OAuth
from crosstalk.generator import Generator
from crosstalk.http import Answer, text_at
from crosstalk.journey import Step
from crosstalk.person import Person


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in brought. `refresh` "": nothing to renew it by."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)


def email_of(generator: Generator, person: Person) -> str:
    accounts = generator.settings.accounts
    return accounts[person.number].email if accounts else f"{person.name}@crosstalk.test"


def password_of(generator: Generator, person: Person) -> str:
    """The password of this person; "" where it has none that is known here."""
    if generator.settings.accounts:
        return generator.settings.accounts[person.number].password
    secret = generator.begin.token_secret
    if not secret:
        return ""
    return hmac.new(secret.encode(), f"password of {person.name}".encode(), hashlib.sha256).hexdigest()[:32]


def oauth_of(generator: Generator) -> OAuth | None:
    """How one signs in by OAuth there without a human; None: not at all."""
    if generator.begin.token_secret:
        return OAuth("/auth/login")
    rules = generator.settings.environment.oauth
    return rules if rules.path else None


def ask(
    generator: Generator, person: Person, method: str, path: str, *, name: str, json: Mapping[str, Any] | None = None,
    cookies: Mapping[str, str] | None = None, fine: tuple[int, ...] = (),
) -> Answer:  # fmt: skip
    """An HTTP call to the auth service. What belongs to others in its answer is a violation.

    :param fine: statuses from 400 up that are a right answer.
    """
    answer = generator.auth.call(method, path, json=json, cookies=cookies)
    error = "" if answer.status in fine else answer.error
    generator.milestone("HTTP", name, answer.time_ms, answer.size_bytes, error)
    generator.look(person, answer, where=f"answer to the {name}")
    return answer


def log_in(generator: Generator, person: Person, password: str, *, fine: tuple[int, ...] = ()) -> Answer:
    login = generator.settings.environment.login
    said = {login.email_field: email_of(generator, person), login.password_field: password}
    return ask(generator, person, "POST", login.path, name="login", json=said, fine=fine)


def refresh(generator: Generator, person: Person, token: str, *, fine: tuple[int, ...] = ()) -> Answer:
    path = generator.settings.environment.login.refresh_path
    return ask(generator, person, "POST", path, name="refresh", json={"refresh_token": token}, fine=fine)


def tokens_in(answer: Answer, login: Login) -> Tokens | None:
    """The tokens of an answer: in its body, or in the address to which it redirects. None where there are none."""
    if 200 <= answer.status < 300 and (access := text_at(answer.body, login.token_field)):
        return Tokens(access, text_at(answer.body, "refresh_token"))
    if 300 <= answer.status < 400:
        parts = urlsplit(answer.headers.get("Location", ""))
        said = {**parse_qs(parts.query), **parse_qs(parts.fragment)}
        found = {
            name: said[name][0] for name in (login.token_field, "token", "refresh_token", "refresh") if name in said
        }
        access = found.get(login.token_field) or found.get("token", "")
        if access:
            return Tokens(access, found.get("refresh_token") or found.get("refresh", ""))
    return None


def received(generator: Generator, person: Person, step: Step, answer: Answer) -> Tokens:
    """The tokens of an answer, which must be there, and this person's.

    :raises Unmet: there are none, or they are another's, which is a violation as well.
    """
    tokens = tokens_in(answer, generator.settings.environment.login)
    if tokens is None:
        step.expect(False, "tokens", answer.error or f"HTTP {answer.status} without {_field(generator)}")
    assert tokens is not None
    generator.exposures.observe(12, own_live=person.observer.runs_live)
    subject = str(claims_of(tokens.access).get("sub", person.name))
    if subject != person.name:
        generator.notes(person).violation(foreign_token(person.name, subject))
    step.expect(subject == person.name, f"a token of {person.name}", f"a token of {subject}")
    return tokens


def refused(generator: Generator, step: Step, answer: Answer, what: str) -> None:
    """This must have been refused: neither tokens nor any other welcome, and no fault of the server's.

    :raises Unmet: it was not.
    """
    if tokens_in(answer, generator.settings.environment.login) is not None:
        step.expect(False, f"a refusal of {what}", f"tokens, HTTP {answer.status}")
    well = 300 <= answer.status < 500
    step.expect(well, f"a refusal of {what}", f"HTTP {answer.status}" if answer.status else answer.error)


def _field(generator: Generator) -> str:
    return generator.settings.environment.login.token_field
