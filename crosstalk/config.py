"""The only reader of settings: options, environment variables and the files that they name → one frozen `Settings`.

Everything that can be wrong with them is a `ConfigError`: one line that says what was expected, what came, what to do.
The parts: environments.py, prompts.py, credentials.py, hosts.py and, for all of them, files.py.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crosstalk.checks.exercisable import required
from crosstalk.credentials import (
    PROXY_CREDENTIALS,
    Account,
    canary_secret,
    load_accounts,
    named_values,
    pairs_of,
    require_secret,
    secret_names,
    signing_key,
    token_secret,
)
from crosstalk.environments import Environment, TokenRules, ceiling, load_environment, with_options
from crosstalk.files import ConfigError, find, load_object, read_text, scenario_folder
from crosstalk.hosts import (
    Addresses,
    Route,
    addresses,
    check_files,
    check_host,
    http_url,
    name_of,
    socket_url,
    tls_context,
)
from crosstalk.options import DIALECTS
from crosstalk.prompts import Prompts, load_prompts
from crosstalk.proxy import parse_proxy
from crosstalk.wire.dialect import Dialect

__all__ = [
    "Account", "Addresses", "ConfigError", "Environment", "Prompts", "Route", "Settings", "TokenRules", "addresses",
    "canary_secret", "check_host", "check_target", "http_url", "load_accounts", "load_dialect", "load_prompts",
    "load_settings", "name_of", "require_secret", "secret_names", "signing_key", "socket_url", "tls_context",
    "token_secret",
]  # fmt: skip

#: makes the token of the account with this name
TokenFunction = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a load test was told. Secrets show in no `repr` of it."""

    environment: Environment
    dialect: Dialect
    dialect_name: str
    transport: str
    prompts: Prompts
    limits_text: str
    limits_source: str
    required_channels: tuple[int, ...] | None  # None: those that the limits name
    accounts: tuple[Account, ...]  # empty: accounts are minted
    headers: Mapping[str, str] = field(repr=False)  # cookies and origin among them
    route: Route
    token_function: TokenFunction | None
    arrivals: str
    turn_interval_s: float  # 0 without a schedule
    session_rate: float  # people per second; 0 without sessions
    think_time_s: float
    results: Path
    keep_results: int
    keep_text: bool
    baseline: str
    seed: int
    fail_fast: bool
    cleanup: bool
    until_judged_s: float
    max_runs: int
    max_connections: int
    revision: str
    log_query: str
    faults: str
    occasions: str
    host_agreed: str

    memory_trace_s: float  # 0: off

    @property
    def token_life_s(self) -> int:
        """Life of minted tokens, where it is another than usual; else 0."""
        life_s = self.environment.token.life_s
        return life_s if life_s != TokenRules().life_s else 0

    @property
    def target(self) -> str:
        """The host to drive; "" is the reference backend."""
        return self.environment.places.host

    @property
    def warnings(self) -> tuple[str, ...]:
        """What everybody should know who reads a result made with these settings."""
        if not self.route.insecure:
            return ()
        return ("INSECURE: no certificate was verified (--insecure): whoever answered may not be the target",)


def load_settings(options: Any, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read everything that the options name.

    :raises ConfigError:
    """
    folder = scenario_folder(options)
    table, file = load_environment(options.environment, folder)
    environment = with_options(table, options)
    limits_file = Path(options.limits) if options.limits else find(f"limits/{environment.name}.toml", folder)
    if not options.limits and not limits_file.exists():
        limits_file = find("limits/staging.toml", folder)  # an environment of one's own has the limits of staging
    _check_arrivals(options)
    function = load_token_function(environment.token.function)
    dialect = load_dialect(options.dialect)
    prompts_file = Path(options.prompts) if options.prompts else find("prompts.toml", folder)
    return Settings(
        environment=environment,
        dialect=dialect,
        dialect_name=options.dialect,
        transport=options.auth,
        prompts=load_prompts(prompts_file),
        limits_text=read_text(limits_file, "--limits"),
        limits_source=limits_file.name,
        required_channels=_required_channels(options.required_channels, dialect),
        accounts=_accounts(options.accounts, function),
        headers=_headers(environment, options, file, environ),
        route=_route(environment, environ),
        token_function=function,
        arrivals=options.arrivals,
        turn_interval_s=options.turn_interval,
        session_rate=options.session_rate,
        think_time_s=options.think_time,
        results=Path(options.results),
        keep_results=options.keep_results,
        keep_text=options.keep_text == "evidence",
        baseline=options.baseline,
        seed=options.seed or random.SystemRandom().randrange(1, 2**31),
        fail_fast=options.fail_fast,
        cleanup=not options.no_cleanup,
        until_judged_s=options.until_judged,
        max_runs=ceiling(
            options.max_runs, environment.max_runs, option="--max-runs", key="max_runs", environment=environment.name
        ),
        max_connections=options.max_connections,
        revision=options.revision,
        log_query=options.log_query,
        faults=options.faults,
        occasions=options.occasions,
        host_agreed=options.yes,
        memory_trace_s=options.memory_trace,
    )


def check_target(settings: Settings, target: str, users: int, environ: Mapping[str, str] = os.environ) -> None:
    """Before anything is sent: may `users` users go to `target`, and is there what they need to get in?

    :param target: "" for the reference backend.
    :raises ConfigError:
    """
    ceiling(
        users,
        settings.environment.max_users,
        option="--users",
        key="max_users",
        environment=settings.environment.name,
    )
    if not target:
        return
    found = addresses(settings.environment.places, target, settings.dialect)
    for url in (found.socket, found.rest, found.auth):
        check_host(url, settings.environment, settings.host_agreed)
    if not settings.accounts and settings.token_function is None:
        signing_key(settings.environment.name, settings.environment.token, environ)
    for option, given in (("--faults", settings.faults), ("--occasions", settings.occasions)):
        if given:
            raise ConfigError(f"{option} is for the reference backend; leave --host out to use it")


def _check_arrivals(options: Any) -> None:
    """An arrival process needs its own rate, and takes no other's.

    :raises ConfigError:
    """
    process = options.arrivals
    for option, value, processes, unit in (
        ("--turn-interval", options.turn_interval, ("constant", "poisson"), "S seconds between two turns of a user"),
        ("--session-rate", options.session_rate, ("sessions",), "N people per second"),
    ):
        if process in processes and value < 1e-3:
            raise ConfigError(f"--arrivals {process}: expected {option} {unit}, 0.001 or more, got {value:g}")
        if process not in processes and value:
            raise ConfigError(f"{option} is for --arrivals {' and '.join(processes)}, not {process}: leave it out")


def load_dialect(name: str) -> Dialect:
    """`netra`, `path/file.py:Class` or `module:Class`.

    :raises ConfigError:
    """
    where = DIALECTS.get(name, name)
    module_name, colon, class_name = where.rpartition(":")
    if not (colon and module_name):
        close = get_close_matches(name, DIALECTS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"--dialect {name}: expected {', '.join(DIALECTS)}, path/file.py:Class or module:Class{hint}")
    found = load_object(module_name, class_name, said_by=f"--dialect {name}", kind="class")
    if not (isinstance(found, type) and issubclass(found, Dialect)):
        raise ConfigError(f"--dialect {name}: {class_name} is not a subclass of crosstalk.wire.dialect.Dialect")
    return found()


def load_token_function(name: str) -> TokenFunction | None:
    """`path/file.py:function` or `module:function`; None where none is named.

    :raises ConfigError:
    """
    if not name:
        return None
    said_by = f"token_function {name}"
    module_name, colon, function_name = name.rpartition(":")
    if not (colon and module_name):
        raise ConfigError(f"{said_by}: expected path/file.py:function or module:function")
    found = load_object(module_name, function_name, said_by=said_by, kind="function")
    if not callable(found):
        raise ConfigError(f"{said_by}: {function_name} is no function")

    def token_of(account: str) -> str:
        try:
            token = found(account)
        except Exception as error:  # whatever it does: it is not ours
            raise ConfigError(f"{said_by}: {type(error).__name__} for account {account}: {error}") from None
        if not (isinstance(token, str) and token):
            raise ConfigError(f"{said_by}: expected a token, a text, got {type(token).__name__} for account {account}")
        return token

    return token_of


def _accounts(path: str, function: TokenFunction | None) -> tuple[Account, ...]:
    return load_accounts(Path(path), names_suffice=function is not None) if path else ()


def _required_channels(text: str, dialect: Dialect) -> tuple[int, ...] | None:
    try:
        return required(text, dialect)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _headers(environment: Environment, options: Any, file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What every request and every upgrade carries. Options go before the table."""
    table = f"{file.name}: [{environment.name}]"
    headers = named_values(environment.headers, f"{table} headers:", environ)
    headers |= named_values(pairs_of(options.header, "--header"), "--header", environ)
    cookies = named_values(environment.cookies, f"{table} cookies:", environ)
    cookies |= named_values(pairs_of(options.cookie, "--cookie"), "--cookie", environ)
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    if environment.places.origin:
        headers["Origin"] = environment.places.origin
    for name, value in headers.items():
        if "\r" in value or "\n" in value:
            raise ConfigError(f"header or cookie {name}: its value has a line break, which no header can carry")
    return headers


def _route(environment: Environment, environ: Mapping[str, str]) -> Route:
    passage = environment.passage
    route = Route(
        ca_file=passage.ca_file,
        client_certificate=passage.client_certificate,
        client_key=passage.client_key,
        insecure=passage.insecure,
        proxy=parse_proxy(passage.http_proxy, environ.get(PROXY_CREDENTIALS, "")),
    )
    check_files(route)
    return route
