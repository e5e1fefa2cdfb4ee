"""Preflight: the resolved plan of a load test, every setting with where it came from. Nothing is connected to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crosstalk.config import ConfigError, Settings, addresses, secret_names
from crosstalk.environments import Environment, load_environment
from crosstalk.files import scenario_folder

#: keys of the table whose option has another name
OPTIONS = {"ca_file": "ca", "http_proxy": "proxy"}


def plan(settings: Settings, options: Any, sources: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """Lines for the terminal. No secret stands in them: the variable that holds it is named.

    :param sources: option → where its value came from.
    """
    yield "what would be used; nothing was connected to"
    yield "\n[options]"
    for name in sorted(sources):
        yield _row(name, _shown(getattr(options, name, "")), sources[name])
    yield f"\n[environment {settings.environment.name}]"
    table, file = load_environment(settings.environment.name, scenario_folder(options))
    for key, value, source in environment_rows(settings.environment, table, str(file), sources):
        yield _row(key, _shown(value), source)
    yield "\n[target]"
    yield from _target(settings)
    yield "\n[tokens]"
    yield _row("from", *_tokens(settings, environ))
    yield _row("travel", settings.transport, sources.get("auth", "default"))
    yield _row("headers", ", ".join(sorted(settings.headers)) or "none", "their values from the environment")
    for warning in settings.warnings:
        yield f"\nwarn  {warning}"


def environment_rows(
    environment: Environment, table: Environment, file: str, sources: Mapping[str, str]
) -> Iterator[tuple[str, Any, str]]:
    """(key, value, where it came from) of every setting of an environment.

    :param table: the environment as its file has it, before options.
    """
    fresh, written = Environment(environment.name, (), -1, -1, -1).rows(), table.rows()
    for key, value in environment.rows().items():
        option = OPTIONS.get(key, key)
        if value != written[key]:
            source = sources.get(option, "default")
            source = f"--{option.replace('_', '-')}: {source}" if source != "default" else "derived"
        else:
            source = f"{file} [{environment.name}]" if value != fresh[key] else "default"
        yield key, value, source


def _target(settings: Settings) -> Iterator[str]:
    if not settings.target:
        yield _row("host", "the reference backend, started for this load test", "no host is named")
        return
    try:
        found = addresses(settings.environment.places, settings.target, settings.dialect)
    except ConfigError as problem:
        yield f"FAIL  {problem}"
        return
    places = settings.environment.places
    yield _row("sockets", found.socket, "socket_url" if places.socket_url else "derived from host")
    yield _row("HTTP", found.rest, "rest_url" if places.rest_url else "derived from host")
    yield _row("sign-in", found.auth, "auth_url" if places.auth_url else "where HTTP calls go")
    proxy = settings.route.proxy
    yield _row("proxy", proxy.address if proxy else "none", "with credentials" if proxy and proxy.credentials else "")


def _tokens(settings: Settings, environ: Mapping[str, str]) -> tuple[str, str]:
    rules = settings.environment.token
    if settings.accounts:
        return f"{len(settings.accounts)} accounts", "--accounts"
    if settings.token_function is not None:
        return rules.function, "token_function"
    if not settings.target:
        return "minted", "a secret of its own"
    if rules.algorithm != "HS256":
        return f"minted ({rules.algorithm})", rules.key_file
    names = secret_names(settings.environment.name)
    return "minted (HS256)", next((name for name in names if environ.get(name)), f"MISSING: {' or '.join(names)}")


def _shown(value: Any) -> str:
    if value in ("", None, (), [], {}):
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = ${variable}" for name, variable in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(name: str, value: str, source: str) -> str:
    return f"  {name:28} {value:44} {source}".rstrip()
