"""Preflight: what else would work where the way in does not, and how long a silent socket is kept."""

from __future__ import annotations

from collections.abc import Iterator

import gevent

from crosstalk.clock import clock
from crosstalk.environments import Environment
from crosstalk.options import TRANSPORTS
from crosstalk.ready import FAIL, OK, WARN, Check, Line
from crosstalk.session import NotReady, Session

#: how long all attempts together may take
TRIES_S = 3.0
#: where backends often have their socket
PATHS = ("/ws", "/websocket", "/ws/chat", "/chat/ws", "/api/ws", "/api/v1/ws", "/socket")
LOOK_EVERY_S = 0.05


def hints(check: Check) -> Iterator[Line]:
    """After a refusal: tries the other transports, or, where nothing is found at the path, other paths."""
    problem, dialect = check.problem, check.settings.dialect
    if problem is None or problem.wrong_identity or problem.stage not in ("upgrade", "authenticate", "ready"):
        return
    if check.unhealthy or check.session is None or dialect.socket_per != "user":
        return  # a target that is not well refuses everything; a socket per thread is made by a call, not found
    if "HTTP 404" in problem.reason:
        yield from _paths(check)
    elif any(sign in problem.reason for sign in ("1008", "HTTP 401", "HTTP 403")) or problem.stage == "authenticate":
        yield from _transports(check)


def probe_idle(check: Check, seconds: float) -> Iterator[Line]:
    """Say nothing on a fresh socket that is ready, and see how long it is kept."""
    session = check.generator.session(check.who(), purpose="preflight")
    try:
        session.go_to(check.generator.make_place(check.who()))
        session.open()
        yield from _wait(session, check.settings.environment, seconds)
    except NotReady as problem:
        yield Line(FAIL, "idle", str(problem), "a second connection of the same account is refused: is that meant?")
    finally:
        session.close()


def _wait(session: Session, environment: Environment, seconds: float) -> Iterator[Line]:
    before, _ = session.heard
    begun_ns = clock.now_ns()
    spoke_s: float | None = None
    while (silent_s := (clock.now_ns() - begun_ns) / 1e9) < seconds:
        count, closing = session.heard
        if closing.at_ns is not None:
            yield _cut(silent_s, f"close {closing.code} {closing.reason}".strip(), environment)
            return
        if count > before and spoke_s is None:
            spoke_s = silent_s
        gevent.sleep(LOOK_EVERY_S)
    heard = f"; it spoke unasked after {spoke_s:.0f} s" if spoke_s is not None else ""
    seen = f"still open after {seconds:g} s of silence{heard}; declared {environment.receive_timeout_s:g} s"
    if seconds <= environment.run_timeout_s:
        yield Line(WARN, "idle", seen, f"agents may take {environment.run_timeout_s:g} s: probe for longer than that")
    else:
        yield Line(OK, "idle", seen)


def _cut(after_s: float, how: str, environment: Environment) -> Line:
    seen = f"declared {environment.receive_timeout_s:g} s, observed {after_s:.0f} s ({how})"
    if after_s < environment.run_timeout_s:
        to_do = (
            f"agents may take {environment.run_timeout_s:g} s, so slow runs would lose their socket: raise the "
            "server's receive timeout, or that of a proxy on the way"
        )
        return Line(FAIL, "idle", seen, to_do)
    if after_s < environment.receive_timeout_s - 1:
        return Line(WARN, "idle", seen, "correct receive_timeout_s in environments.toml")
    return Line(OK, "idle", seen)


def _transports(check: Check) -> Iterator[Line]:
    others = [one for one in TRANSPORTS if one != check.settings.transport]
    tried = _try_all({one: (one, "") for one in others}, check)
    working = [one for one, outcome in tried.items() if outcome == ""]
    if working:
        seen = f"{check.settings.transport} is refused, {' and '.join(working)} would be accepted"
        yield Line(WARN, "transport", seen, f"say --auth {working[0]}")
    else:
        seen = f"{', '.join(others)} tried too, all refused"
        yield Line(WARN, "transport", seen, "so it is the token: its secret, issuer, audience, or the account")


def _paths(check: Check) -> Iterator[Line]:
    here = check.settings.environment.places.socket_path or check.settings.dialect.socket_path
    tried = _try_all({path: ("", path) for path in PATHS if path != here}, check)
    found = [path for path, outcome in tried.items() if "HTTP 404" not in outcome and "no answer" not in outcome]
    if found:
        yield Line(WARN, "socket path", f"something answers at {', '.join(found)}", f"try --socket-path {found[0]}")
    else:
        yield Line(WARN, "socket path", f"nothing at {', '.join(tried)} either", "ask who runs it for the path")


def _try_all(ways: dict[str, tuple[str, str]], check: Check) -> dict[str, str]:
    """Open a connection each way, all at once: "" where it became ready, else why not."""
    tries = {name: gevent.spawn(_try, check, *way) for name, way in ways.items()}
    gevent.joinall(list(tries.values()), timeout=TRIES_S)
    outcomes = {
        name: one.value if one.ready() and one.successful() else "no answer in time" for name, one in tries.items()
    }
    gevent.killall(list(tries.values()))
    return outcomes


def _try(check: Check, transport: str, path: str) -> str:
    session = check.generator.session(check.who(), purpose="preflight", transport=transport)
    try:
        session.go_to(path)
        session.open()
        return ""
    except NotReady as problem:
        return problem.reason or problem.stage
    finally:
        session.close()
