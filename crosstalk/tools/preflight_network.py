"""Preflight: names, TCP and TLS of every address that a load test would use."""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import gevent
from cryptography import x509
from cryptography.x509.oid import NameOID

from crosstalk.clock import clock
from crosstalk.config import Addresses, Route, tls_context
from crosstalk.proxy import tunnel
from crosstalk.ready import FAIL, OK, WARN, Line
from crosstalk.stream import Stream, connect, resolve

#: how long a name or a connection may take here
STEP_S = 3.0
DAYS_LEFT_MIN = 14
#: how long a server may take to refuse a client's certificate
LISTEN_S = 0.3


@dataclass(frozen=True, slots=True)
class Door:
    """A host and port that is connected to, and what for."""

    host: str
    port: int
    tls: bool
    use: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def doors(addresses: Addresses) -> list[Door]:
    """Each host and port once: first the socket's."""
    found: dict[tuple[str, int], Door] = {}
    for use, url in (("socket", addresses.socket), ("HTTP", addresses.rest), ("sign-in", addresses.auth)):
        parts = urlsplit(url)
        tls = parts.scheme in ("wss", "https")
        door = Door(parts.hostname or "", parts.port or (443 if tls else 80), tls, use)
        found.setdefault((door.host, door.port), door)
    return list(found.values())


def network(addresses: Addresses, route: Route) -> Iterator[Line]:
    """Name, TCP and TLS of each door; with a proxy, the proxy's own and the tunnels."""
    if route.proxy is not None:
        proxy = Door(route.proxy.host, route.proxy.port, False, "proxy")
        if not (yield from _name(proxy)):
            return
    for door in doors(addresses):
        if route.proxy is None and not (yield from _name(door)):
            return
        stream = yield from _tcp(door, route)
        if stream is None:
            return
        try:
            if door.tls and not (yield from _tls(door, stream, route)):
                return
        finally:
            stream.close()


def certificate_line(door: Door, certificate: x509.Certificate, now_s: float) -> Line:
    """Issuer, names and days left of a certificate that was accepted."""
    left = timedelta(seconds=certificate.not_valid_after_utc.timestamp() - now_s).days
    seen = f"{door}: for {', '.join(_names(certificate)) or 'no name'}, by {_issuer(certificate)}, {left} days left"
    if left < DAYS_LEFT_MIN:
        return Line(WARN, "TLS", seen, "renew the certificate")
    return Line(OK, "TLS", seen)


def _name(door: Door) -> Generator[Line, None, bool]:
    """Yields a line; returns whether the name has an address."""
    what = f"{door.host} ({door.use})"
    try:
        with gevent.Timeout(STEP_S):
            addresses = resolve(door.host, door.port)
    except gevent.Timeout:
        yield Line(FAIL, "name", f"{what}: no answer within {STEP_S:g} s", "is the network there?", fatal=True)
        return False
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        yield Line(FAIL, "name", f"{what} does not resolve: {said}", "check the host's name", fatal=True)
        return False
    yield Line(OK, "name", f"{what}: {', '.join(addresses)}")
    return True


def _tcp(door: Door, route: Route) -> Generator[Line, None, Stream | None]:
    """Yields a line; returns a connected stream, or None."""
    begun_ns = clock.now_ns()
    try:
        stream = _connect(door, route)
    except OSError as error:
        said = getattr(error, "strerror", None) or str(error) or "no answer in time"
        to_do = "is it running, and is the port right?" if route.proxy is None else "is the proxy right?"
        yield Line(FAIL, "TCP", f"nobody answers at {door} ({door.use}): {said}", to_do, fatal=True)
        return None
    way = f" through the proxy {route.proxy.address}" if route.proxy else ""
    yield Line(OK, "TCP", f"{door} ({door.use}){way} in {(clock.now_ns() - begun_ns) / 1e6:.1f} ms")
    return stream


def _connect(door: Door, route: Route) -> Stream:
    if route.proxy is None:
        return connect(door.host, door.port, STEP_S)
    stream = connect(route.proxy.host, route.proxy.port, STEP_S)
    try:
        tunnel(stream, route.proxy, door.host, door.port, STEP_S)
    except OSError:
        stream.close()
        raise
    return stream


def _tls(door: Door, stream: Stream, route: Route) -> Generator[Line, None, bool]:
    """Yields a line; returns whether the certificate is accepted."""
    context = tls_context(route.ca_file, route.client_certificate, route.client_key, insecure=route.insecure)
    try:
        stream.start_tls(context, door.host, STEP_S)
    except ssl.SSLCertVerificationError as error:
        yield _refused(door, route, error)
        return False
    except (ssl.SSLError, OSError) as error:
        said = getattr(error, "reason", None) or str(error)
        to_do = "is this the port for TLS? http:// and ws:// go without"
        if "CERTIFICATE_REQUIRED" in said or "HANDSHAKE_FAILURE" in said:
            to_do = "the target may want to see a certificate: --client-certificate FILE"
        yield Line(FAIL, "TLS", f"{door}: no TLS: {said}", to_do, fatal=True)
        return False
    if ended := _ended_at_once(stream):
        to_do = "the target may not like the one named with --client-certificate"
        if not route.client_certificate:
            to_do = "the target may want to see a certificate: --client-certificate FILE"
        yield Line(FAIL, "TLS", f"{door}: {ended}", to_do, fatal=True)
        return False
    line = certificate_line(door, x509.load_der_x509_certificate(stream.certificate()), clock.now_ns() / 1e9)
    if route.insecure:
        line = Line(WARN, "TLS", f"{line.seen}; NOT VERIFIED", "leave --insecure out: anybody may answer there")
    yield line
    return True


def _ended_at_once(stream: Stream) -> str:
    """In TLS 1.3 a server that wants a certificate says so only after the handshake. "": it did not."""
    try:
        data = stream.read(LISTEN_S).data
    except TimeoutError:
        return ""
    except OSError as error:
        return f"ended right after the handshake: {getattr(error, 'reason', None) or error.strerror or error}"
    return "" if data else "ended right after the handshake"


def _refused(door: Door, route: Route, error: ssl.SSLCertVerificationError) -> Line:
    """Why a certificate is not accepted, and, from a second look that trusts it, whose it is."""
    said = f"{door}: {error.verify_message}"
    to_do = "name its authority with --ca FILE"
    try:
        stream = _connect(door, route)
        try:
            trusting = tls_context("", route.client_certificate, route.client_key, insecure=True)
            stream.start_tls(trusting, door.host, STEP_S)
            certificate = x509.load_der_x509_certificate(stream.certificate())
        finally:
            stream.close()
    except (OSError, ValueError):
        return Line(FAIL, "TLS", said, to_do, fatal=True)
    names = _names(certificate)
    if error.verify_code in (62, 64):  # it names another host or address
        to_do = f"use one of its names as the host, or give the target a certificate for {door.host}"
    elif error.verify_code == 10:
        to_do = "renew the certificate"
    said += f"; the certificate is for {', '.join(names) or 'no name'}, by {_issuer(certificate)}"
    return Line(FAIL, "TLS", said, to_do, fatal=True)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(one.value) for one in found if isinstance(one, x509.DNSName | x509.IPAddress)]


def _issuer(certificate: x509.Certificate) -> str:
    for attribute in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := certificate.issuer.get_attributes_for_oid(attribute):
            return str(found[0].value)
    return certificate.issuer.rfc4514_string() or "an issuer without a name"
