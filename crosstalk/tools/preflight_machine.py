"""Preflight: this machine (file descriptors, processors) and the variables that are set for nothing, or missing."""

from __future__ import annotations

import os
import resource
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

import psutil

from crosstalk.config import Settings, secret_names
from crosstalk.credentials import PROXY_CREDENTIALS
from crosstalk.ready import FAIL, OK, WARN, Line

#: a user has a socket, and calls over HTTP beside it; a process has some of its own
FILES_PER_USER, FILES_OWN = 2, 200
BUSY_PERCENT_MAX = 50.0
LOOK_S = 0.5
OTHERS_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def machine(users: int) -> Iterator[Line]:
    """What this machine has for a load test of so many users."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield files_line(hard if hard != resource.RLIM_INFINITY else 2**31, users)
    yield processor_line(psutil.cpu_percent(interval=LOOK_S), os.cpu_count() or 1)


def files_line(limit: int, users: int) -> Line:
    needed = FILES_OWN + FILES_PER_USER * users
    seen = f"{limit:,} for this process; {users:,} users need about {needed:,}"
    if limit < needed:
        return Line(FAIL, "file descriptors", seen, f"raise the hard limit: ulimit -Hn {needed}")
    return Line(OK, "file descriptors", seen)


def processor_line(busy_percent: float, cores: int) -> Line:
    seen = f"{cores} cores, {busy_percent:.0f} % busy now"
    if busy_percent > BUSY_PERCENT_MAX:
        return Line(WARN, "processors", seen, "end what else runs here: times would be those of this machine")
    return Line(OK, "processors", seen)


def variables(environ: Mapping[str, str], settings: Settings, target: str, known: Collection[str]) -> Iterator[Line]:
    """What is set and does nothing: a secret of another environment, a misspelt option.

    :param known: the LOCUST_ variables that options read.
    """
    findings = [*_secrets(environ, settings, target), *_names(environ, known, target)]
    if settings.route.proxy is None:
        findings += [
            Line(WARN, "variable", f"{name} is set, and not used", "a proxy is named with --proxy URL, or not used")
            for name in OTHERS_PROXIES
            if environ.get(name)
        ]
    yield from findings or [Line(OK, "variables", "none is set for nothing, none is missing")]


def _secrets(environ: Mapping[str, str], settings: Settings, target: str) -> Iterator[Line]:
    name = settings.environment.name
    mine = secret_names(name)
    minted = bool(target) and not settings.accounts and settings.token_function is None
    minted = minted and settings.environment.token.algorithm == "HS256"
    used = next((one for one in mine if environ.get(one)), "") if minted else ""
    there = [one for one in environ if one == "JWT_SECRET" or one.startswith("JWT_SECRET_")]
    for one in sorted(there):
        if one == used:
            continue
        if not environ[one]:
            yield Line(WARN, "variable", f"{one} is set and empty", "give it the target's secret, or unset it")
        elif one not in mine:
            yield Line(
                WARN, "variable", f"{one} is set, and the environment is {name}", "say --environment, or unset it"
            )
        elif used:
            yield Line(WARN, "variable", f"{one} is set, and not used: {used} goes before it", "unset one of the two")
        else:
            why = "no token is signed with a secret here" if target else "the reference backend has a secret of its own"
            yield Line(
                WARN, "variable", f"{one} is set, and not used: {why}", "unset it, or name the target with --host"
            )


def _names(environ: Mapping[str, str], known: Collection[str], target: str) -> Iterator[Line]:
    for name in sorted(environ):
        if name.startswith("LOCUST_") and name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else "no option reads it"
            yield Line(WARN, "variable", f"{name} is set, and no option is called so", hint)
        elif name.startswith("CROSSTALK_") and name not in ("CROSSTALK_CANARY_SECRET", PROXY_CREDENTIALS):
            yield Line(WARN, "variable", f"{name} is set, and nothing reads it", "see docs/options.md for what is read")
    if target and environ.get("LOGIN_PASSWORD"):
        seen = "LOGIN_PASSWORD is set, and is for the reference backend alone"
        yield Line(WARN, "variable", seen, "passwords of accounts stand in the file of --accounts")
    if environ.get(PROXY_CREDENTIALS) and "://" in environ[PROXY_CREDENTIALS]:
        yield Line(WARN, "variable", f"{PROXY_CREDENTIALS} looks like a URL", "expected user:password")
