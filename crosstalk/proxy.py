"""An HTTP proxy on the way to the target: where it is, and how a WebSocket gets through it (a CONNECT tunnel)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from crosstalk.clock import clock
from crosstalk.files import ConfigError
from crosstalk.stream import Stream

#: an answer to CONNECT that is longer is no answer
HEAD_BYTES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it listens, and `user:password` if it wants them."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """With the credentials in it: for the HTTP client, and for nobody's eyes."""
        user, _, password = self.credentials.partition(":")
        who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if self.credentials else ""
        return f"http://{who}{_bracketed(self.host)}:{self.port}"

    @property
    def address(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"

    def request(self, host: str, port: int) -> bytes:
        """What asks for a tunnel to `host`."""
        there = f"{_bracketed(host)}:{port}"
        lines = [f"CONNECT {there} HTTP/1.1", f"Host: {there}"]
        if self.credentials:
            lines.append(f"Proxy-Authorization: Basic {b64encode(self.credentials.encode()).decode()}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class ProxyRefused(OSError):
    """The proxy makes no tunnel; the text says why."""


def parse_proxy(url: str, credentials: str) -> Proxy | None:
    """:raises ConfigError: it is no URL of a proxy, or has credentials in it."""
    if not url:
        return None
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        right = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and parts.path in ("", "/")
    except ValueError:
        right = False
    if right and (parts.username or parts.password):
        raise ConfigError(
            "--proxy: credentials do not belong in the URL; set CROSSTALK_PROXY_CREDENTIALS to user:password"
        )
    if not right:
        raise ConfigError(f"--proxy {url!r}: expected http://HOST:PORT")
    if credentials and ":" not in credentials:
        raise ConfigError("CROSSTALK_PROXY_CREDENTIALS: expected user:password")
    return Proxy(parts.hostname or "", parts.port or 80, credentials)


def tunnel(stream: Stream, proxy: Proxy, host: str, port: int, timeout_s: float) -> None:
    """Ask the proxy at the other end of `stream` for a way to `host`; afterwards the stream is that way.

    :raises ProxyRefused, OSError:
    """
    deadline_ns = clock.now_ns() + int(timeout_s * 1e9)
    stream.write(proxy.request(host, port))
    head = b""
    while b"\r\n\r\n" not in head:
        left_s = (deadline_ns - clock.now_ns()) / 1e9
        if left_s <= 0:
            raise ProxyRefused(f"the proxy {proxy.address} did not answer in time")
        data = stream.read(left_s).data
        head += data
        if not data or len(head) > HEAD_BYTES_MAX:
            raise ProxyRefused(f"the proxy {proxy.address} answered nothing that is HTTP")
    status = head.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status != [b"200"]:
        code = status[0].decode("ascii", "replace")[:3] if status else "no status"
        hint = "; set CROSSTALK_PROXY_CREDENTIALS to user:password" if code == "407" else ""
        raise ProxyRefused(f"the proxy {proxy.address} makes no tunnel to {host}:{port}: HTTP {code}{hint}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
