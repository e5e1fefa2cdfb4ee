"""The only HTTP client: sign-in, health, and the objects that a user leaves behind."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from json import loads
from typing import Any

import requests

from crosstalk.clock import clock
from crosstalk.hosts import Route
from crosstalk.wire.redact import redact

READ_BYTES = 64 * 1024
CERTIFICATE_WANTED = "TLS failed: the target wants to see a certificate; name one with --client-certificate FILE"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` 0: nothing did, and `error` says why."""

    status: int
    body: Any  # decoded JSON, or None
    headers: Mapping[str, str]
    error: str
    time_ms: float
    size_bytes: int
    raw: bytes = b""  # the body as it came, also where it broke off
    reason: str = ""  # the words behind the status


class HttpClient:
    """Talks to one host. Never raises for what the target does; keeps no cookies, so users cannot share any.

    :param base_url: what stands before every path.
    :param route: whom to trust, what to show, and by which proxy to go.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str], route: Route, rng: random.Random) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._verify: str | bool = False if route.insecure else route.ca_file or True
        self._certificate = (route.client_certificate, route.client_key or route.client_certificate)
        self._proxy = route.proxy
        self._proxies = {"http": route.proxy.url, "https": route.proxy.url} if route.proxy else {}
        self._rng = rng
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        self._session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        self._session.cookies.set_policy(_NoCookies())
        if route.insecure:  # it was asked for, and is said once, not with every request
            requests.packages.urllib3.disable_warnings()  # type: ignore[attr-defined]

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        json: Any = None,
        timeout_s: float = 10.0,
        trace_id: str = "",
        cookies: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, answered or not.

        :param path: or a whole URL, where a redirect led to another host of the target's.
        :param trace_id: the trace that it belongs to; empty: one of its own.
        :param cookies: of this request alone, beside those that every request carries.
        """
        # what is looked at for what belongs to others should come as it is
        headers = {"Accept-Encoding": "identity", **self._headers, "traceparent": self._traceparent(trace_id)}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if cookies:
            always = [headers["Cookie"]] if "Cookie" in headers else []
            headers["Cookie"] = "; ".join([*always, *(f"{name}={value}" for name, value in cookies.items())])
        url = path if "://" in path.partition("?")[0] else self._base_url + path
        begun_ns = clock.now_ns()
        try:
            response = self._session.request(
                method, url, json=json, headers=headers, timeout=timeout_s, verify=self._verify,
                cert=self._certificate if self._certificate[0] else None, proxies=self._proxies, allow_redirects=False,
                stream=True,
            )  # fmt: skip
        except requests.RequestException as error:
            return Answer(0, None, {}, self._reason(error), _ms_since(begun_ns), 0)
        with response:
            raw, broke = _read(response)
        status = response.status_code
        wrong = broke or ("" if status < 400 else f"HTTP {status}")
        text = _unpacked(raw, response.headers.get("Content-Encoding", ""))
        reason = response.reason or ""
        took_ms = _ms_since(begun_ns)
        return Answer(status, _json_of(text), response.headers, wrong, took_ms, len(raw), text, reason)

    def _reason(self, error: requests.RequestException) -> str:
        """Why nothing came back. The text of a proxy's error may hold its URL, so it is not passed on."""
        if isinstance(error, requests.exceptions.ProxyError) and self._proxy is not None:
            refused = "Tunnel connection failed" in str(error)
            what = "makes no tunnel" if refused else "does not answer as one"
            hint = "; set CROSSTALK_PROXY_CREDENTIALS to user:password" if "407" in str(error) else ""
            return f"the proxy {self._proxy.address} {what}{hint}"
        return _reason(error)

    def _traceparent(self, trace_id: str) -> str:
        return f"00-{trace_id or format(self._rng.getrandbits(128), '032x')}-{self._rng.getrandbits(64):016x}-01"


def _read(response: requests.Response) -> tuple[bytes, str]:
    """The body as far as it came, and why it came no further."""
    pieces: list[bytes] = []
    try:
        pieces.extend(response.raw.stream(READ_BYTES, decode_content=False))
    except (requests.packages.urllib3.exceptions.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        return b"".join(pieces), f"the body broke off: {type(error).__name__}"
    return b"".join(pieces), ""


def _unpacked(raw: bytes, encoding: str) -> bytes:
    """A body without gzip or deflate; as it is where it is not what its header says."""
    if encoding.lower() not in ("gzip", "deflate", "x-gzip"):
        return raw
    try:
        return zlib.decompressobj(47).decompress(raw)
    except zlib.error:
        return raw


def _json_of(text: bytes) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return None


class _NoCookies(requests.cookies.cookielib.DefaultCookiePolicy):  # type: ignore[name-defined,misc]
    def set_ok(self, *_args: object) -> bool:
        return False


def text_at(body: Any, path: str) -> str:
    """The text in a decoded JSON body under a path with dots (`data.token`); "" where there is none."""
    for key in path.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""


def _ms_since(begun_ns: int) -> float:
    return (clock.now_ns() - begun_ns) / 1e6


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_REQUIRED" in str(error):
        return CERTIFICATE_WANTED
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS failed: {redact(str(error))[:200]}; name the authority with --ca"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "nobody answers"
    return redact(str(error))[:200] or type(error).__name__
