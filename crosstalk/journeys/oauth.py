"""Sign-in by OAuth 2 (authorization code, RFC 6749) as a browser does it, redirect by redirect, without a human.

A redirect is followed on the target's own hosts only. Each sign-in has a browser of its own: its cookies and its state
are nobody else's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit, urlunsplit

from crosstalk.environments import OAuth
from crosstalk.generator import Generator
from crosstalk.hosts import name_of
from crosstalk.http import Answer
from crosstalk.journey import Step
from crosstalk.journeys.signing_in import Tokens, ask, email_of, received, refused
from crosstalk.person import Person

REDIRECTS_MAX = 8
#: letters of a state that nobody guesses: RFC 6749 §10.10 asks for less than 2^-128, which 22 of base64 hold; some
#: services make shorter ones, and what is clearly none at all is told
STATE_LETTERS_MIN = 16
#: how a callback goes wrong: what comes in place of the state that this browser was given
WRONG_STATES = ("none", "a made-up one", "one of another browser", "a used one")
#: statuses from 400 up that refuse a callback
REFUSALS = (400, 401, 403, 422)
#: the comma between two Set-Cookie headers that stand in one line, and not the one in a date
_BETWEEN_COOKIES = re.compile(r",\s*(?=[^;,=\s]+=)")


@dataclass(slots=True)
class Browser:
    """One visit of one person's: it keeps cookies, by host, and forgets them with the visit."""

    generator: Generator
    person: Person
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    def get(self, url: str, *, name: str, fine: tuple[int, ...] = ()) -> Answer:
        here = self.cookies.setdefault(name_of(url), {})
        answer = ask(self.generator, self.person, "GET", url, name=name, cookies=here, fine=fine)
        for text in _BETWEEN_COOKIES.split(answer.headers.get("Set-Cookie", "")):
            cookie, equals, value = text.partition(";")[0].strip().partition("=")
            if value in ("", '""'):
                here.pop(cookie, None)
            elif equals:
                here[cookie] = value
        return answer

    def may_go_to(self, url: str) -> bool:
        """Is that one of the target's own hosts?"""
        addresses = self.generator.addresses
        known = (addresses.auth, addresses.rest, *self.generator.settings.environment.hosts)
        return urlsplit(url).scheme in ("http", "https") and name_of(url) in {name_of(one) for one in known}


@dataclass(frozen=True, slots=True)
class Returned:
    """Where the provider sends the browser back to, and has not been yet."""

    browser: Browser
    url: str
    code: str
    state: str

    def visit(self, *, code: str | None = None, state: str | None = None, fine: tuple[int, ...] = ()) -> Answer:
        """Go there, with another code or state than those that came; state "": with none."""
        parts = urlsplit(self.url)
        query = parse_qs(parts.query) | {"code": [self.code if code is None else code]}
        query["state"] = [self.state if state is None else state]
        if not query["state"][0]:
            del query["state"]
        url = urlunsplit(parts._replace(query=urlencode(query, doseq=True)))
        return self.browser.get(url, name="oauth callback", fine=fine)


def sign_in(generator: Generator, person: Person, rules: OAuth, step: Step) -> Tokens:
    """All of it, up to this person's own tokens.

    :raises Unmet: it did not come to that.
    """
    return received(generator, person, step, authorized(generator, person, rules, step).visit())


def wrong_state(generator: Generator, person: Person, rules: OAuth, step: Step, turn: int) -> None:
    """A good code with a state that is not this browser's own, or was used: the next of `WRONG_STATES` at each turn.

    :raises Unmet: it is taken.
    """
    wrong = WRONG_STATES[turn % len(WRONG_STATES)]
    returned = authorized(generator, person, rules, step)
    other = authorized(generator, person, rules, step)
    step.expect(other.state != returned.state, "a state of its own for each sign-in", "the same one twice")
    if wrong == "a used one":
        before = Browser(generator, person, {host: {**here} for host, here in returned.browser.cookies.items()})
        received(generator, person, step, returned.visit())
        returned = replace(returned, browser=before, code=other.code)
        state = returned.state
    else:
        state = {"none": "", "a made-up one": f"{returned.state[::-1]}x"}.get(wrong, other.state)
    refused(generator, step, returned.visit(state=state, fine=REFUSALS), f"a state that is {wrong}")


def used_code(generator: Generator, person: Person, rules: OAuth, step: Step) -> None:
    """A code twice. Of a sign-in of its own: a target may well revoke what it gave for a code that comes again.

    :raises Unmet: it is taken.
    """
    first = authorized(generator, person, rules, step)
    received(generator, person, step, first.visit())
    second = authorized(generator, person, rules, step)
    refused(generator, step, second.visit(code=first.code, fine=REFUSALS), "a code that was used")


def authorized(generator: Generator, person: Person, rules: OAuth, step: Step) -> Returned:
    """From the first request to the address that the provider sends back to.

    :raises Unmet: it led elsewhere, without a state of its own, or the state did not come back.
    """
    browser, state = Browser(generator, person), ""
    home = generator.addresses.auth + "/"
    join = "&" if "?" in rules.path else "?"
    said = join + urlencode({rules.hint: email_of(generator, person)}) if rules.hint else ""
    url = urljoin(home, rules.path.lstrip("/")) + said
    callback = urlsplit(urljoin(home, rules.callback_path.lstrip("/"))).path
    for _ in range(REDIRECTS_MAX):
        answer = browser.get(url, name="oauth redirect")
        to = answer.headers.get("Location", "")
        came = answer.error or f"HTTP {answer.status} of {urlsplit(url).path}"
        step.expect(300 <= answer.status < 400 and bool(to), "a redirect, as no human is there", came)
        url = urljoin(url, to)
        own = "a redirect within the target's own hosts (`hosts` of its environment)"
        step.expect(browser.may_go_to(url), own, f"one to {name_of(url) or 'nowhere'}")
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        if urlsplit(url).path == callback:
            step.expect("error" not in query, "a code", f"error={query.get('error')}")
            step.expect(bool(query.get("code")), "a code", "a callback without one")
            step.expect(query.get("state") == state, "the state that was sent", "another one, or none")
            return Returned(browser, url, query["code"], state)
        if not state:
            state = query.get("state", "")
            short = f"{len(state)} letters"
            step.expect(len(state) >= STATE_LETTERS_MIN, f"a state of {STATE_LETTERS_MIN} letters or more", short)
    step.expect(False, f"the callback after at most {REDIRECTS_MAX} redirects", "more of them")
    raise AssertionError("unreachable")
