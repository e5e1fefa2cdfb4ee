"""Sign-in by OAuth 2 (authorization code, RFC 6749): the auth service's half, and a provider of its own under /oauth/.

``GET /auth/login`` → ``GET /oauth/authorize`` → ``GET /auth/callback`` → tokens. The provider is one for tests: it
believes `login_hint`, asks nobody, and knows everybody; without a hint it shows a page that needs a human. The state is
bound to the browser by a cookie, and good once; a code is good once, for a minute, and is exchanged within the process.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from aiohttp import web

from crosstalk.backend.bodies import answer, tokens_answer
from crosstalk.backend.tokens import TokenService, is_user_id

AUTHORIZE, BEGIN, CALLBACK = "/oauth/authorize", "/auth/login", "/auth/callback"
CLIENT_ID = "crosstalk"
STATE_COOKIE = "oauth_state"
STATE_LIFE_S, CODE_LIFE_S = 600.0, 60.0
#: with oauth_slow: longer than anybody may wait for a sign-in
SLOW_S = 2.5


@dataclass(frozen=True, slots=True)
class Grant:
    """Whom a code stands for, and where it was sent. `expires_s` is monotonic."""

    user_id: str
    redirect_uri: str
    expires_s: float

    @property
    def email(self) -> str:
        return f"{self.user_id}@crosstalk.test"


class Provider:
    """Gives out codes and exchanges them, each once. State: the codes of the last minute, used ones too."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._codes: dict[str, Grant] = {}
        self._used: set[str] = set()
        self._clock_s = clock_s

    def grant(self, user_id: str, redirect_uri: str) -> str:
        now_s = self._clock_s()
        while self._codes and (oldest := next(iter(self._codes))) and self._codes[oldest].expires_s <= now_s:
            del self._codes[oldest]
            self._used.discard(oldest)
        code = secrets.token_urlsafe(24)
        self._codes[code] = Grant(user_id, redirect_uri, now_s + CODE_LIFE_S)
        return code

    def whose(self, code: str) -> str:
        """The user of a code, used or not; "" for one that was never given out, or long ago."""
        grant = self._codes.get(code)
        return grant.user_id if grant else ""

    def exchange(self, code: str, redirect_uri: str, used_too: Callable[[], bool]) -> Grant | None:
        """`used_too`: whether a code that was used is taken once more."""
        grant = self._codes.get(code)
        if grant is None or grant.redirect_uri != redirect_uri or grant.expires_s <= self._clock_s():
            return None
        if code in self._used and not used_too():
            return None
        self._used.add(code)
        return grant


class OAuth:
    """The endpoints. `bites(fault, user_id, what)` decides faults. State: sign-ins under way, who came in last."""

    def __init__(
        self, tokens: TokenService, bites: Callable[[str, str, str], bool], *, time_scale: float = 1.0
    ) -> None:
        self._tokens = tokens
        self._bites = bites
        self._slow_s = SLOW_S * time_scale
        self._provider = Provider()
        self._states: dict[str, float] = {}  # → until when it is good
        self._last: Grant | None = None

    def routes(self) -> list[web.RouteDef]:
        return [web.get(BEGIN, self.begin), web.get(AUTHORIZE, self.authorize), web.get(CALLBACK, self.callback)]

    async def begin(self, request: web.Request) -> web.Response:
        """Send the browser to the provider, with a state that only this browser can bring back."""
        now_s = time.monotonic()
        while self._states and (oldest := next(iter(self._states))) and self._states[oldest] <= now_s:
            del self._states[oldest]
        state = secrets.token_urlsafe(24)
        self._states[state] = now_s + STATE_LIFE_S
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": _callback_of(request),
            "scope": "openid email",
            "state": state,
        }
        if hint := request.query.get("login_hint"):
            query["login_hint"] = hint
        response = _redirect(AUTHORIZE, query)
        response.set_cookie(STATE_COOKIE, state, path="/auth", httponly=True, samesite="Lax")
        return response

    async def authorize(self, request: web.Request) -> web.Response:
        """The provider's page. A client or an address that is not registered is never redirected to."""
        query = request.query
        redirect_uri, state = query.get("redirect_uri", ""), {"state": query["state"]} if "state" in query else {}
        if query.get("client_id") != CLIENT_ID or redirect_uri != _callback_of(request):
            raise web.HTTPBadRequest(text="this client is not registered with this redirect_uri")
        if query.get("response_type") != "code":
            return _redirect(redirect_uri, {"error": "unsupported_response_type", **state})
        hint = query.get("login_hint")
        if hint is None:
            return web.Response(text=_page(dict(query)), content_type="text/html")
        user_id = hint.partition("@")[0]
        if not is_user_id(user_id):
            return _redirect(redirect_uri, {"error": "access_denied", **state})
        return _redirect(redirect_uri, {"code": self._provider.grant(user_id, redirect_uri), **state})

    async def callback(self, request: web.Request) -> web.Response:
        """Tokens for a good code that comes with this browser's own state."""
        code = request.query.get("code", "")
        user_id, what = self._provider.whose(code), f"GET {CALLBACK}"
        if not self._takes_state(request) and not self._bites("oauth_state_ignored", user_id, what):
            raise web.HTTPBadRequest(text="the state is not that of a sign-in which this browser began")
        grant = self._provider.exchange(
            code, _callback_of(request), lambda: self._bites("oauth_code_reused", user_id, what)
        )
        if grant is None:
            raise web.HTTPBadRequest(text="the code is not good, or was used before")
        last, self._last = self._last, grant
        if self._bites("oauth_slow", user_id, what):
            await asyncio.sleep(self._slow_s)
        another = last is not None and last.user_id != user_id
        if last and another and self._bites("oauth_other_user", user_id, what):
            grant = last
        response = tokens_answer(grant.user_id, grant.email, *self._tokens.mint_pair(grant.user_id, grant.email))
        response.del_cookie(STATE_COOKIE, path="/auth")
        return response

    def _takes_state(self, request: web.Request) -> bool:
        """Whether the state is one that this browser was given, and not used; it is used now."""
        state, of_browser = request.query.get("state", ""), request.cookies.get(STATE_COOKIE, "")
        if not state or not hmac.compare_digest(state.encode(), of_browser.encode()):
            return False
        return self._states.pop(state, 0.0) > time.monotonic()


def _callback_of(request: web.Request) -> str:
    """The one address that is registered for the client."""
    return str(request.url.origin().with_path(CALLBACK))


def _redirect(address: str, query: dict[str, str]) -> web.Response:
    response = answer({}, status=302)
    response.headers["Location"] = f"{address}?{urlencode(query)}"
    return response


def _page(query: dict[str, str]) -> str:
    fields = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in query.items())
    asked = '<label>E-mail <input name="login_hint" type="email" required></label> <button>Sign in</button>'
    return f"<!doctype html><title>Sign in</title><form action={AUTHORIZE}>{fields}{asked}</form>"
