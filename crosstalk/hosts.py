"""Where a target's socket, objects and tokens are, whether one may go there, and what is trusted on the way."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from crosstalk.environments import Environment, Places
from crosstalk.files import ConfigError, require_file
from crosstalk.proxy import Proxy
from crosstalk.wire.dialect import Dialect

EXPECTED = "expected ws://, wss://, http:// or https:// and a host name"


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs of one target: of its socket, of what is asked over HTTP, and of what gives tokens."""

    socket: str
    rest: str
    auth: str


@dataclass(frozen=True, slots=True)
class Route:
    """How one gets there: the files that are trusted and shown, and the proxy."""

    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    insecure: bool = False
    proxy: Proxy | None = None


def addresses(places: Places, target: str, dialect: Dialect) -> Addresses:
    """:param target: the host that is driven. Another one than `places` names (a reference backend, a host that was
    typed into the web UI) has none of the addresses that stand beside that name.

    :raises ConfigError:
    """
    if target != places.host:
        places = Places(host=target)
    rest = base_url(places.rest_url, "rest_url") if places.rest_url else http_url(target)
    return Addresses(
        socket=socket_url(places.socket_url or target, dialect, socket_path=places.socket_path),
        rest=rest,
        auth=base_url(places.auth_url, "auth_url") if places.auth_url else rest,
    )


def socket_url(host: str, dialect: Dialect, *, socket_path: str = "") -> str:
    """`http(s)://…` or `ws(s)://…` → the socket's URL; `socket_path`, then a path in the host, win over the dialect's.

    :raises ConfigError:
    """
    scheme, netloc, path, query = _parts(host, "--host")
    path = socket_path or (path if path not in ("", "/") else dialect.socket_path)
    if not path.startswith("/"):
        raise ConfigError(f"socket_path {path!r}: expected a path that begins with /")
    return urlunsplit((scheme.replace("http", "ws"), netloc, path, query, ""))


def http_url(host: str) -> str:
    """The same host for HTTP, without a path."""
    parts = urlsplit(host if "//" in host else f"http://{host}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, "", "", ""))


def base_url(url: str, key: str) -> str:
    """A URL under which paths stand: its own path is kept, a slash at its end is not.

    :raises ConfigError:
    """
    scheme, netloc, path, _ = _parts(url, key)
    return urlunsplit((scheme, netloc, path.rstrip("/"), "", ""))


def check_host(host: str, environment: Environment, agreed: str) -> None:
    """Production is not hit by a typing mistake: a host that it does not list needs `--yes HOST`.

    :param host: a host or the URL of one.
    :param agreed: names of hosts, with commas between them.
    :raises ConfigError:
    """
    name = name_of(host)
    listed = {name_of(one) for one in environment.hosts}
    if environment.name == "production" and name not in listed and name not in agreed.split(","):
        raise ConfigError(
            f"{name} is not listed under [production] hosts in environments.toml; if you mean it, say --yes {name}"
        )


def name_of(host: str) -> str:
    """The bare name in a host or URL, in small letters."""
    bare_ipv6 = host.count(":") > 1 and "//" not in host and not host.startswith("[")
    return host.lower() if bare_ipv6 else urlsplit(host if "//" in host else f"http://{host}").hostname or ""


def check_files(route: Route) -> None:
    """:raises ConfigError: a file is not there, or not what it should be."""
    require_file(route.ca_file, "--ca")
    require_file(route.client_certificate, "--client-certificate")
    require_file(route.client_key, "--client-key")
    if route.client_key and not route.client_certificate:
        raise ConfigError("--client-key goes with --client-certificate FILE, which is not given")
    if route.insecure and route.ca_file:
        raise ConfigError("--insecure verifies no certificate, so --ca does nothing beside it: leave one of them out")
    tls_context(route.ca_file, route.client_certificate, route.client_key, insecure=route.insecure)


def tls_context(
    ca_file: str, client_certificate: str = "", client_key: str = "", *, insecure: bool = False
) -> ssl.SSLContext:
    """:raises ConfigError:"""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise ConfigError(f"--ca {ca_file}: expected certificates in PEM: {error.reason}") from None
    if client_certificate:
        try:
            context.load_cert_chain(client_certificate, client_key or None, password="")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "a key with a password cannot be used"
            raise ConfigError(
                f"--client-certificate {client_certificate}: expected a certificate and its private key in PEM "
                f"(the key in the same file, or named with --client-key): {reason}"
            ) from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _parts(url: str, said_by: str) -> tuple[str, str, str, str]:
    """Scheme (http or https), host and port, path, query."""
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        scheme = {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(parts.scheme)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        scheme, usable = None, False
    if scheme is None or not usable:
        raise ConfigError(f"{said_by} {url!r}: {EXPECTED}")
    if parts.username or parts.password:
        raise ConfigError(f"{said_by}: credentials do not belong in a URL; name accounts with --accounts FILE")
    return scheme, parts.netloc, parts.path, parts.query
