"""Crosstalk's own options, beside Locust's. Every value is a string or a number: they travel to workers.

Secrets are no options: they come from environment variables or files (see config.py).
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

DIALECTS = {
    "netra": "crosstalk.wire.netra:Netra",
    "agui": "crosstalk.wire.agui:Agui",
    "per_run": "crosstalk.wire.per_run:PerRun",
}
TRANSPORTS = ("header", "subprotocol", "query", "message")
ARRIVALS = ("think", "constant", "poisson", "sessions")


def add_options(parser: Any) -> None:
    """Add them to Locust's parser (a listener of `init_command_line_parser`)."""
    add = parser.add_argument
    add(
        "--environment",
        default="local",
        metavar="NAME",
        env_var="LOCUST_ENVIRONMENT",
        help="local, test, staging, production, or a table of environments.toml: timeouts, hosts and limits",
    )
    add(
        "--dialect",
        default="netra",
        metavar="NAME",
        env_var="LOCUST_DIALECT",
        help=f"the backend's protocol: {', '.join(DIALECTS)}, path/file.py:Class, or module:Class",
    )
    add("--auth", default="header", choices=TRANSPORTS, env_var="LOCUST_AUTH", help="how a token travels to the socket")
    add(
        "--accounts",
        default="",
        metavar="FILE",
        env_var="LOCUST_ACCOUNTS",
        help="accounts to use (CSV or JSON: user_id with token, or email with password); empty: accounts are minted",
    )
    add(
        "--token-life",
        type=_count,
        default=0,
        metavar="S",
        env_var="LOCUST_TOKEN_LIFE",
        help="life of minted tokens in seconds; the reference backend then closes sockets whose token has expired; "
        "0: as environments.toml says",
    )
    _add_arrivals(add)
    add(
        "--limits",
        default="",
        metavar="FILE",
        env_var="LOCUST_LIMITS",
        help="limits to judge by; empty: scenarios/limits/<environment>.toml",
    )
    add(
        "--required-channels",
        default="",
        metavar="LIST",
        env_var="LOCUST_REQUIRED_CHANNELS",
        help="channels of isolation that must be exercised: all that the dialect can, or numbers with commas; empty: "
        "those that the limits name",
    )
    add(
        "--prompts",
        default="",
        metavar="FILE",
        env_var="LOCUST_PROMPTS",
        help="what users say; empty: scenarios/prompts.toml",
    )
    add(
        "--results",
        default="results",
        metavar="DIR",
        env_var="LOCUST_RESULTS",
        include_in_web_ui=False,
        help="where records and reports go",
    )
    add(
        "--keep-results",
        type=_count,
        default=30,
        metavar="N",
        env_var="LOCUST_KEEP_RESULTS",
        include_in_web_ui=False,
        help="older results are removed beyond this many; 0 keeps all",
    )
    add(
        "--keep-text",
        default="evidence",
        choices=("evidence", "no"),
        env_var="LOCUST_KEEP_TEXT",
        include_in_web_ui=False,
        help="keep prompt and answer text of evidence, or none at all",
    )
    add(
        "--baseline",
        default="",
        metavar="DIR",
        env_var="LOCUST_BASELINE",
        include_in_web_ui=False,
        help="results to compare with; empty: the previous ones of the same scenario and target",
    )
    add(
        "--seed",
        type=_count,
        default=0,
        metavar="N",
        env_var="LOCUST_SEED",
        help="seed of everything random; 0: a new one, which is printed",
    )
    add(
        "--fail-fast",
        action="store_true",
        env_var="LOCUST_FAIL_FAST",
        help="stop at the first violation or failed run; the report is complete all the same",
    )
    add(
        "--no-cleanup",
        action="store_true",
        env_var="LOCUST_NO_CLEANUP",
        help="leave the threads that users made on the target; else each is deleted when its user has done with it",
    )
    add(
        "--until-judged",
        type=_seconds,
        default=0.0,
        metavar="MAX",
        env_var="LOCUST_UNTIL_JUDGED",
        help="stop as soon as every limit is decided, after MAX seconds at the latest; 0: off",
    )
    add(
        "--max-runs",
        type=_count,
        default=0,
        metavar="N",
        env_var="LOCUST_MAX_RUNS",
        help="stop after about N runs; 0: no bound",
    )
    add(
        "--max-connections",
        type=_count,
        default=0,
        metavar="N",
        env_var="LOCUST_MAX_CONNECTIONS",
        help="never have more than N users connected in a process; 0: no bound",
    )
    add(
        "--header",
        action="append",
        default=[],
        metavar="NAME=ENVVAR",
        env_var="LOCUST_HEADER",
        include_in_web_ui=False,
        help="an extra header for HTTP and upgrade; its value is read from ENVVAR",
    )
    add(
        "--ca",
        default="",
        metavar="FILE",
        env_var="LOCUST_CA",
        include_in_web_ui=False,
        help="certificate authority of the target",
    )
    _add_way(add)
    add(
        "--revision",
        default="",
        metavar="TEXT",
        env_var="LOCUST_REVISION",
        include_in_web_ui=False,
        help="the target's revision, where it does not say so itself",
    )
    add(
        "--yes",
        default="",
        metavar="HOST",
        env_var="LOCUST_YES",
        include_in_web_ui=False,
        help="allow this host although the environment does not list it",
    )
    add(
        "--log-query",
        default="",
        metavar="TEMPLATE",
        env_var="LOCUST_LOG_QUERY",
        include_in_web_ui=False,
        help="a query for the server's logs, filled in for each failure: {trace_id} {run_id} {connection_id} {user_id} "
        "{from} {to}",
    )
    add(
        "--memory-trace",
        type=_seconds,
        default=0.0,
        metavar="S",
        env_var="LOCUST_MEMORY_TRACE",
        help="look every S seconds how much memory the harness's own heap and the target hold, for their slopes; costs "
        "CPU; 0: off",
    )
    add(
        "--faults",
        default="",
        metavar="NAME[:RATE[:WHEN]],…",
        env_var="LOCUST_FAULTS",
        help="what the reference backend is to do wrong (python -m crosstalk.backend --list-faults)",
    )
    add(
        "--occasions",
        default="",
        metavar="NAME[:after=S[+for=S]],…",
        env_var="LOCUST_OCCASIONS",
        help="what the reference backend is to go through, and be right (python -m crosstalk.backend --list-occasions)",
    )


def _add_arrivals(add: Callable[..., Any]) -> None:
    """What starts a turn."""
    add(
        "--arrivals",
        default="think",
        choices=ARRIVALS,
        env_var="LOCUST_ARRIVALS",
        help="what starts a turn: a pause after the last one (think), each user's schedule (constant, poisson), or "
        "people who come, converse and leave (sessions)",
    )
    add(
        "--turn-interval",
        type=_seconds,
        default=0.0,
        metavar="S",
        env_var="LOCUST_TURN_INTERVAL",
        help="constant and poisson: mean seconds between two intended starts of a user",
    )
    add(
        "--session-rate",
        type=_rate,
        default=0.0,
        metavar="N",
        env_var="LOCUST_SESSION_RATE",
        help="sessions: people who come per second, on average, to all processes together",
    )
    add(
        "--think-time",
        type=_seconds,
        default=1.0,
        metavar="S",
        env_var="LOCUST_THINK_TIME",
        help="mean pause of a user between two turns, in seconds (think and sessions)",
    )


def _add_way(add: Callable[..., Any]) -> None:
    """Where the target is and how one gets there: each goes before a key of environments.toml."""
    for name, metavar, says in (
        ("--socket-url", "URL", "where sockets are; empty: at the host"),
        ("--rest-url", "URL", "where HTTP calls go; empty: to the host"),
        ("--auth-url", "URL", "where accounts sign in; empty: where HTTP calls go"),
        ("--socket-path", "PATH", "the path of the socket; empty: the dialect's"),
        ("--client-certificate", "FILE", "a certificate to show to the target"),
        ("--client-key", "FILE", "its private key; empty: in the same file"),
        (
            "--proxy",
            "URL",
            "an HTTP proxy on the way, http://HOST:PORT; its user:password in CROSSTALK_PROXY_CREDENTIALS",
        ),
    ):
        variable = f"LOCUST_{name[2:].upper().replace('-', '_')}"
        add(name, default="", metavar=metavar, env_var=variable, include_in_web_ui=False, help=says)
    add(
        "--cookie",
        action="append",
        default=[],
        metavar="NAME=ENVVAR",
        env_var="LOCUST_COOKIE",
        include_in_web_ui=False,
        help="a cookie for HTTP and upgrade; its value is read from ENVVAR",
    )
    add(
        "--insecure",
        action="store_true",
        env_var="LOCUST_INSECURE",
        include_in_web_ui=False,
        help="verify no certificate; said on every start and in every report",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise ArgumentTypeError(f"expected seconds, 0 or more, got {text!r}")
    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise ArgumentTypeError(f"expected a number per second, 0 or more, got {text!r}")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")
    return int(text)
