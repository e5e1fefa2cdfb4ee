"""The only HTTP client: sign-in, health, and the objects that a user leaves behind."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from crosstalk.clock import clock
from crosstalk.wire.redact import redact


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` 0: nothing did, and `error` says why."""

    status: int
    body: Any  # decoded JSON, or None
    headers: Mapping[str, str]
    error: str
    time_ms: float
    size_bytes: int


class HttpClient:
    """Talks to one host. Never raises for what the target does; keeps no cookies, so users cannot share any.

    :param ca_file: authority of the target's certificate; empty: those of the system.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str], ca_file: str, rng: random.Random) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._verify: str | bool = ca_file or True
        self._rng = rng
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        self._session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        self._session.cookies.set_policy(_NoCookies())

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        json: Any = None,
        timeout_s: float = 10.0,
        trace_id: str = "",
    ) -> Answer:
        """One request, answered or not. `trace_id`: the trace that it belongs to; empty: one of its own."""
        headers = {**self._headers, "traceparent": self._traceparent(trace_id)}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        begun_ns = clock.now_ns()
        try:
            response = self._session.request(
                method, self._base_url + path, json=json, headers=headers, timeout=timeout_s, verify=self._verify,
                allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            return Answer(0, None, {}, _reason(error), _ms_since(begun_ns), 0)
        try:
            body = response.json()
        except ValueError:
            body = None
        status = response.status_code
        wrong = "" if status < 400 else f"HTTP {status}"
        return Answer(status, body, response.headers, wrong, _ms_since(begun_ns), len(response.content))

    def _traceparent(self, trace_id: str) -> str:
        return f"00-{trace_id or format(self._rng.getrandbits(128), '032x')}-{self._rng.getrandbits(64):016x}-01"


class _NoCookies(requests.cookies.cookielib.DefaultCookiePolicy):  # type: ignore[name-defined,misc]
    def set_ok(self, *_args: object) -> bool:
        return False


def _ms_since(begun_ns: int) -> float:
    return (clock.now_ns() - begun_ns) / 1e6


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS failed: {redact(str(error))[:200]}; name the authority with --ca"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "nobody answers"
    return redact(str(error))[:200] or type(error).__name__
