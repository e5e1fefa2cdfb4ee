"""The way up to a finished run, step by step: is this target ready, and if not, what is to be done?

Each step is a function that yields `Line`s. The short check before a load test (target.py) takes these, the preflight
tool (tools/preflight.py) has more of them around these; so both say the same. What a step finds wrong is a line, never
an exception.
"""

from __future__ import annotations

import email.utils
from collections.abc import Iterator
from dataclasses import dataclass, field

from crosstalk.accounts import claims_of
from crosstalk.checks.memory_groups import TARGET
from crosstalk.clock import clock
from crosstalk.config import ConfigError, Settings
from crosstalk.generator import Generator
from crosstalk.http import CERTIFICATE_WANTED, Answer
from crosstalk.person import Person
from crosstalk.record.batch import row
from crosstalk.session import NotReady, Session

OK, WARN, FAIL = "ok", "warn", "FAIL"
#: clocks further apart than this are worth a word; a Date header is exact to a second
SKEW_S_MAX = 2.0
#: a token with less life than this left is worth a word
TOKEN_LEFT_S_MIN = 60


@dataclass(frozen=True, slots=True)
class Line:
    """What a step saw, and what to do about it. `fatal`: no later step can succeed."""

    state: str
    name: str
    seen: str
    advice: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.seen}" + (f"; {self.advice}" if self.advice else "")


@dataclass(slots=True)
class Check:
    """What the steps share. Ended with `close`.

    :param number: of the account that is used.
    """

    generator: Generator
    number: int
    person: Person | None = None
    session: Session | None = None
    revision: str = ""
    source: str = ""
    told: str = ""  # what the target itself calls its revision
    problem: NotReady | None = None  # why no connection became ready
    unhealthy: bool = False
    certificate_wanted: bool = False
    milestones: list[tuple[str, float]] = field(default_factory=list)  # event and ms since its prompt; filled outside
    threads: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return self.generator.settings

    def who(self) -> Person:
        if self.person is None:
            self.person = self.generator.person("preflight", self.number)
        return self.person

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
        if self.person is not None:
            for thread_id in self.threads:
                self.generator.delete_thread(self.person, thread_id)
            self.generator.leave_for_good(self.person)


def health(check: Check) -> Iterator[Line]:
    """The target's own word about itself and its parts, and how far its clock is from ours."""
    settings = check.settings
    path = settings.dialect.health_path
    if not path:
        yield Line(OK, "health", "this dialect has no health answer")
        return
    answer = check.generator.http.call("GET", path, timeout_s=settings.environment.connect_timeout_s)
    check.certificate_wanted = answer.error == CERTIFICATE_WANTED
    if answer.status == 0:
        yield Line(WARN, "health", answer.error, f"is {path} answered at {check.generator.addresses.rest}?")
        return
    body = answer.body if isinstance(answer.body, dict) else {}
    parts = body.get("parts") or body.get("components") or {}
    degraded = [name for name, state in parts.items() if state != "healthy"] if isinstance(parts, dict) else []
    said = f"HTTP {answer.status}, {body.get('status', 'no status')}"
    said += f"; degraded: {', '.join(degraded)}" if degraded else ""
    check.unhealthy = answer.status >= 500
    if check.unhealthy:
        again = answer.headers.get("Retry-After", "")
        why = "".join(f"; {name}: {parts[name]}" for name in degraded)
        wait = f"; it asks to be tried again in {again} s" if again.isdigit() else ""
        yield Line(FAIL, "health", said, f"the target itself says that it is not well: see its log{why}{wait}")
    elif answer.status != 200:
        yield Line(WARN, "health", said, f"expected 200 from {path}: is this the chat backend?")
    elif degraded:
        yield Line(WARN, "health", said, "times measured now are those of a target that is not well")
    else:
        yield Line(OK, "health", said + (f"; {len(parts)} parts" if parts else ""))
    _find_revision(check, answer, path)
    yield from _skew(answer)


def token(check: Check) -> Iterator[Line]:
    """A token for the account, and what stands in it. The token itself is never shown."""
    settings = check.settings
    try:
        text = check.generator.token(check.who())
    except (NotReady, ConfigError) as problem:
        check.problem = problem if isinstance(problem, NotReady) else NotReady("authenticate", str(problem))
        where = f"do the accounts exist there, and is {check.generator.addresses.auth} where they sign in?"
        yield Line(FAIL, "token", str(problem), where if isinstance(problem, NotReady) else "", fatal=True)
        return
    claims = claims_of(text)
    if not claims:
        yield Line(OK, "token", f"{_source_of_token(check)}: no JWT, {len(text)} characters")
        return
    said = [f"{name} {claims[name]}" for name in ("sub", "iss", "aud", "env") if claims.get(name) is not None]
    expires = claims.get("exp")
    left_s = float(expires) - clock.now_ns() / 1e9 if isinstance(expires, int | float) else None
    if left_s is not None:
        said.append(f"exp in {left_s / 60:.0f} min" if left_s > 0 else f"expired {-left_s / 60:.0f} min ago")
    seen = f"{_source_of_token(check)}: {', '.join(said)}"
    if left_s is not None and left_s <= 0:
        check.problem = NotReady("authenticate", f"the token of {check.who().name} has expired")
        yield Line(FAIL, "token", seen, "get new tokens for the accounts", fatal=True)
    elif left_s is not None and left_s < TOKEN_LEFT_S_MIN:
        yield Line(WARN, "token", seen, "it may expire in mid-run: a longer life makes better tests")
    elif claims.get("sub") not in (None, check.who().name):
        yield Line(WARN, "token", seen, f"its account is called {check.who().name}: are the two the same user?")
    elif claims.get("env") not in (None, settings.environment.name):
        yield Line(WARN, "token", seen, f"the environment here is {settings.environment.name}")
    else:
        yield Line(OK, "token", seen)


def connection(check: Check) -> Iterator[Line]:
    """Upgrade, authentication, welcome, and the proof that the socket is this account's."""
    generator, begun_ns = check.generator, clock.now_ns()
    try:
        person = check.who()
        check.session = session = generator.session(person, purpose="preflight")
        session.go_to(generator.make_place(person))
        session.open()
    except (NotReady, ConfigError) as problem:
        check.problem = problem if isinstance(problem, NotReady) else NotReady("authenticate", str(problem))
        yield Line(FAIL, check.problem.stage, check.problem.reason, advice(check.problem, check), fatal=True)
        return
    times, progress = session.way_up
    way = f"by {check.settings.transport}"
    yield Line(OK, "upgrade", f"101 {way} in {_ms(begun_ns, times.upgraded_ns)}")
    yield Line(OK, "authentication", f"ready in {_ms(begun_ns, progress.ready_ns)}")
    trip = f", round trip {min(progress.pongs_ns) / 1e6:.2f} ms" if progress.pongs_ns else ""
    shown = {"full": f"{progress.identity_seen}, as in the token", "prefix": f"{progress.identity_seen}, in part"}
    seen = shown.get(progress.identity, "the socket names nobody") + trip
    if progress.identity == "full":
        yield Line(OK, "identity", seen)
    elif check.settings.dialect.welcome_names_user == "no":
        yield Line(OK, "identity", f"{seen}; this dialect names none, so content decides")
    else:
        yield Line(WARN, "identity", seen, "an answer to the probe would name the user in full")


def forged_token(check: Check) -> Iterator[Line]:
    """A backend that takes any token makes every other check worthless. Its own limit judges it in a load test."""
    generator = check.generator
    session = None
    try:
        session = generator.session(check.who(), purpose="bad_token")
        session.go_to(generator.make_place(check.who()))
        session.open()
        yield Line(
            FAIL, "forged token", "ACCEPTED; the target takes a token that it did not sign",
            "no check of isolation means anything there: turn signature verification on",
        )  # fmt: skip
    except NotReady as problem:
        # wrong identity: it was let in all the same
        said = "ACCEPTED" if problem.wrong_identity else "refused"
        yield Line(FAIL if problem.wrong_identity else OK, "forged token", f"{said} ({problem})")
    finally:
        if session is not None:
            session.close()


def advice(problem: NotReady, check: Check) -> str:
    """What the person at the keyboard can do about it."""
    settings, name, reason = check.settings, check.who().name, problem.reason
    if problem.wrong_identity:
        return "every later check would be void: is the target in a demo or test mode?"
    if check.certificate_wanted or "CERTIFICATE_REQUIRED" in reason:
        return "the target wants to see a certificate: name one with --client-certificate FILE"
    if check.unhealthy:
        return "its health says that it is not well: see its log, and try again when it is"
    if "1011" in reason:
        return f"the target failed within, or takes no user called {name}: see its log, or name --accounts FILE"
    if problem.stage == "upgrade" and ("HTTP 404" in reason or "HTTP 200" in reason):
        path = settings.environment.places.socket_path or settings.dialect.socket_path
        return f"nothing upgrades there: is {path} its socket path (--socket-path), and is it the chat backend?"
    return {
        "resolve": "check the host's name",
        "connect": "is it running, and is the port right?",
        "upgrade": f"is {settings.dialect.socket_path} its socket path, and --auth {settings.transport} its way?",
        "authenticate": "does the secret here equal the target's, and is the account known there?",
        "ready": f"does the target speak {settings.dialect_name}?",
    }.get(problem.stage, "")


def revision_told(generator: Generator) -> str:
    """What the target calls its revision now; "" when it does not say, or does not answer. Its memory is noted."""
    path = generator.settings.dialect.health_path
    if not path:
        return ""
    answer = generator.http.call("GET", path, timeout_s=generator.settings.environment.connect_timeout_s)
    body = answer.body if isinstance(answer.body, dict) else {}
    size = generator.settings.dialect.memory_told(body)
    if size is not None:
        generator.record("memory", row(
            "memory", worker=generator.worker, at_ns=clock.now_ns(), group=TARGET, file=path, bytes=size, blocks=0,
        ))  # fmt: skip
    return _revision_in(answer, path)[0]


def _find_revision(check: Check, answer: Answer, path: str) -> None:
    check.revision, check.source = _revision_in(answer, path)
    check.told = check.revision
    if check.settings.revision:
        check.revision, check.source = check.settings.revision, "--revision"


def _revision_in(answer: Answer, path: str) -> tuple[str, str]:
    """The target's own word, and where it stands."""
    body = answer.body if isinstance(answer.body, dict) else {}
    said = (
        (str(body.get("revision") or ""), f"{path} revision"),
        (answer.headers.get("X-Revision", ""), "header X-Revision"),
        (str(body.get("version") or ""), f"{path} version"),
    )
    return next(((revision, source) for revision, source in said if revision), ("", ""))


def _skew(answer: Answer) -> Iterator[Line]:
    try:
        said = email.utils.parsedate_to_datetime(answer.headers.get("Date", ""))
    except (TypeError, ValueError):
        yield Line(OK, "clock", "the target's answer has no Date")
        return
    # the header's second has begun up to a second before; the answer was on its way for about half its time
    skew_s = said.timestamp() + 0.5 - (clock.now_ns() / 1e9 - answer.time_ms / 2000)
    seen = f"the target's is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) > SKEW_S_MAX:
        yield Line(WARN, "clock", seen, "tokens are judged by its clock: set both by NTP")
    else:
        yield Line(OK, "clock", "the target's agrees within 2 s")


def _source_of_token(check: Check) -> str:
    settings = check.settings
    account = settings.accounts[check.number] if settings.accounts else None
    if account is not None and account.token:
        return "of the accounts file"
    if account is not None and account.password:
        return f"from {check.generator.addresses.auth}{settings.environment.login.path}"
    if settings.token_function is not None:
        return f"by {settings.environment.token.function}"
    return f"minted ({settings.environment.token.algorithm})"


def _ms(begun_ns: int, at_ns: int | None) -> str:
    return "no time" if at_ns is None else f"{(at_ns - begun_ns) / 1e6:.1f} ms"
