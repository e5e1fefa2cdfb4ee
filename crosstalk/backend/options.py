"""The command line and the environment of the backend, read once into frozen settings."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from crosstalk.backend.catalogue import list_faults, list_shapes
from crosstalk.backend.delays import Delay, parse_delays
from crosstalk.backend.faults import FaultSpec, parse_fault
from crosstalk.backend.occasions import Occasion, list_occasions, parse_occasion
from crosstalk.backend.tokens import SECRET_BYTES_MIN


@dataclass(frozen=True, slots=True)
class Settings:
    """What one backend process is told. `ca_out` is None without TLS. The secrets are kept out of `repr`."""

    host_address: str
    port: int
    seed: int
    faults: tuple[FaultSpec, ...]
    occasions: tuple[Occasion, ...]
    delays: Mapping[str, Delay]
    time_scale: float
    revision: str
    environment: str | None
    token_life_s: int | None
    closes_at_expiry: bool
    receive_timeout_s: float
    agent_timeout_s: float
    ping_interval_s: float
    message_bytes_max: int
    sockets_max: int
    ca_out: Path | None
    tls_name: str | None
    exit_with_stdin: bool
    secret: str = field(repr=False)
    login_password: str | None = field(repr=False)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong and ends with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"crosstalk.backend: {message}\n")


def read_settings(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings of a command line. Ends the process where it is wrong (2) or asks for a list (0)."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if options.long and not options.list_faults:
        parser.error("--long goes with --list-faults")
    if options.list_faults:
        print(list_shapes() if options.long else list_faults())
        sys.exit(0)
    try:
        faults = tuple(parse_fault(text) for text in options.fault)
        delays = parse_delays(options.delay)
        occasions = tuple(parse_occasion(text) for text in options.occasion)
    except ValueError as error:
        parser.error(str(error))
    if options.list_occasions:
        print(list_occasions())
        sys.exit(0)
    if options.tls != (options.ca_out is not None):
        parser.error("--tls and --ca-out FILE go together: FILE gets the certificate that clients must trust")
    if options.tls_name and not options.tls:
        parser.error("--tls-name names the certificate of --tls, which is not given")
    secret = environ.get("JWT_SECRET_KEY", "")
    if len(secret.encode()) < SECRET_BYTES_MIN:
        parser.error(f"the environment variable JWT_SECRET_KEY must hold a secret of at least {SECRET_BYTES_MIN} bytes")
    return Settings(
        host_address=options.host_address,
        port=options.port,
        seed=options.seed,
        faults=faults,
        occasions=occasions,
        delays=delays,
        time_scale=options.time_scale,
        revision=options.revision,
        environment=options.environment,
        token_life_s=options.token_life,
        closes_at_expiry=options.close_at_expiry,
        receive_timeout_s=options.receive_timeout,
        agent_timeout_s=options.agent_timeout,
        ping_interval_s=options.ping_interval,
        message_bytes_max=options.message_limit,
        sockets_max=options.socket_limit,
        ca_out=options.ca_out,
        tls_name=options.tls_name,
        exit_with_stdin=options.exit_with_stdin,
        secret=secret,
        login_password=environ.get("LOGIN_PASSWORD") or None,
    )


def _make_parser() -> _Parser:
    parser = _Parser(
        prog="python -m crosstalk.backend",
        description="An agent-chat backend that behaves exactly right unless told to be wrong.",
        epilog="Environment: JWT_SECRET_KEY, the secret of the tokens (at least 32 bytes); LOGIN_PASSWORD, the "
        "password of /auth/login for every user (unset: no logins).",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host-address", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default %(default)s)")
    add("--port", type=_port, default=8000, help="port to listen on; 0 takes a free one (default %(default)s)")
    add("--seed", type=int, default=0, help="decides plans, delays and fault draws (default %(default)s)")
    add("--fault", action="append", default=[], metavar="NAME[:RATE[:WHEN]]", help="be wrong; repeatable")
    add("--list-faults", action="store_true", help="print one fault a line and exit")
    add("--long", action="store_true", help="with --list-faults: in which shapes each one applies")
    add("--occasion", action="append", default=[], metavar="NAME[:after=S[+for=S]]", help="go through this, and be "
        "right all the same; repeatable")  # fmt: skip
    add("--list-occasions", action="store_true", help="print one occasion a line and exit")
    add("--delay", action="append", default=[], metavar="KIND=SPEC", help="accept, thinking, tool, chunk, complete, "
        "handoff or slow_tool = fixed:MS, uniform:LO,HI or lognormal:MEDIAN,SIGMA; repeatable")  # fmt: skip
    add("--time-scale", type=_number(0), default=1.0, metavar="X", help="multiply all delays, those "
        "of idle_cut and startup_slow too (default %(default)s)")  # fmt: skip
    add("--revision", default="", metavar="TEXT", help="shown in /health and the X-Revision header")
    add("--environment", metavar="NAME", help="sets the life of new tokens, and what an env claim must say")
    add("--token-life", type=_seconds, metavar="S", help="life of new access tokens (default: that of the environment)")
    add(
        "--close-at-expiry",
        action="store_true",
        help="close a socket with 1008 when the newest token shown on it expires",
    )
    add("--receive-timeout", type=_number(0.01), default=10.0, metavar="S", help="heartbeat when a socket received "
        "nothing for so long (default %(default)s)")  # fmt: skip
    add("--agent-timeout", type=_number(0.01), default=8.0, metavar="S", help="end of a run (default %(default)s)")
    add("--ping-interval", type=_number(0), default=30.0, metavar="S", help="RFC 6455 ping to a socket that was silent "
        "so long; dropped without a pong in half of it; 0 for never (default %(default)s)")  # fmt: skip
    add("--message-limit", type=_bytes, default=1 << 20, metavar="BYTES", help="longest client message that is read "
        "(default %(default)s)")  # fmt: skip
    add("--socket-limit", type=_count, default=10, metavar="N", help="sockets of one user at a time (netra); 0 for any "
        "number (default %(default)s)")  # fmt: skip
    add("--tls", action="store_true", help="serve https and wss with a certificate of a CA made for this process")
    add("--ca-out", type=Path, metavar="FILE", help="where to write the certificate of that CA; needed with --tls")
    add("--tls-name", type=_host_name, metavar="NAME", help="make the certificate for this host name or address only "
        "(default: localhost, 127.0.0.1 and ::1)")  # fmt: skip
    add("--exit-with-stdin", action="store_true", help="end when standard input closes")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds of at least 1")
    return int(text)


def _host_name(text: str) -> str:
    if not text.isascii() or not 0 < len(text) <= 253 or not all(char.isalnum() or char in ".-:*" for char in text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name or an address")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _bytes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes of at least 1")
    return int(text)


def _number(least: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of at least {least:g}")
        return number

    return read
