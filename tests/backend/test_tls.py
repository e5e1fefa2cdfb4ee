"""TLS: a CA of its own, whose certificate clients are given; and a certificate that does not fit."""

import os
import ssl

import pytest
from websockets.exceptions import ConnectionClosed

from tests.backend.client import OneAtATime, backend
from tests.backend.shapes import SHAPES, kinds, talk
from tests.backend.test_process import ended


def trusting(ca, **options):
    """A context that verifies as strictly as it can."""
    context = ssl.create_default_context(cafile=ca)
    context.sslsocket_class = OneAtATime
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name, value in options.items():
        setattr(context, name, value)
    return context


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    ca = tmp_path_factory.mktemp("tls") / "ca.pem"
    with backend("--tls", "--ca-out", str(ca), "--time-scale", "0.1") as process:
        process.context = trusting(ca)
        yield process


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_speaks_tls(secure, shape):
    assert secure.url.startswith("https://127.0.0.1:")
    with talk(secure, shape, "k3f00017") as one:
        one.start("look up")
        assert one.socket.socket.version() in ("TLSv1.2", "TLSv1.3")
        assert kinds(one.hear())[-1] == "completed"


def test_http_speaks_tls_and_localhost_fits_too(secure):
    assert secure.http("GET", "/health")[1]["status"] == "healthy"
    address, secure.url = secure.url, secure.url.replace("127.0.0.1", "localhost")
    try:
        assert secure.http("GET", "/health")[0] == 200
    finally:
        secure.url = address


def test_a_stranger_to_the_ca_does_not_connect(secure):
    with pytest.raises(ssl.SSLCertVerificationError):
        _open(secure, ssl.create_default_context())


def _open(process, context):
    process.context, kept = context, process.context
    try:
        return process.open("/ws")
    finally:
        process.context = kept


def test_a_certificate_for_another_name_does_not_fit(tmp_path):
    ca = tmp_path / "ca.pem"
    with backend("--tls", "--ca-out", str(ca), "--tls-name", "chat.example.org") as process:
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            _open(process, trusting(ca))
        process.context = trusting(ca, check_hostname=False)
        with process.user("k3f00017") as client:
            assert client.welcome["type"] == "connection_established"
            process.process.stdin.close()
            with pytest.raises(ConnectionClosed) as closed:
                client.read()
            assert closed.value.rcvd.code == 1001


def test_each_process_has_a_ca_of_its_own_and_keys_stay_inside(tmp_path):
    files = [tmp_path / "one.pem", tmp_path / "two.pem"]
    for file in files:
        with backend("--tls", "--ca-out", str(file)):
            pass
    one, two = (file.read_text() for file in files)
    assert one != two
    assert "PRIVATE" not in one
    assert one.count("BEGIN CERTIFICATE") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tls"], "--ca-out FILE"),
        (["--ca-out", "x.pem"], "--tls"),
        (["--tls-name", "a.b"], "--tls-name"),
        (["--tls", "--ca-out", "x.pem", "--tls-name", "a b"], "not a host name"),
        (["--long"], "--list-faults"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(arguments, said):
    result = ended("--port", "0", *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


def test_a_ca_file_that_cannot_be_written_is_said(tmp_path):
    result = ended("--port", "0", "--tls", "--ca-out", os.fspath(tmp_path / "nowhere" / "ca.pem"))
    assert result.returncode == 1
    assert "cannot write the CA's certificate" in result.stderr
    assert result.stdout == ""
