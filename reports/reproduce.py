"""`python -m reports reproduce VIOLATION`: drive the neighbourhood of a leak again, make it small, write `repro.py`.

In the way of the data: rows of a record → a story → starts of a script → a smaller story → `repro.py`. Driving uses the
very script that is handed out, so that what was counted is what its reader will see.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from crosstalk.clock import clock
from crosstalk.config import Account, ConfigError, Settings, addresses, check_target, load_settings, token_secret
from crosstalk.record.columns import rows_of
from crosstalk.record.parts import Record, RecordError
from crosstalk.target import BackendFailed, ReferenceBackend
from crosstalk.tools.check_dialect_live import option_parser
from reports.evidence import ordered
from reports.material import locate, open_record
from reports.redact import redact
from reports.reproduce_drive import Driver, NotThere
from reports.reproduce_kinds import NotReproducible, Row
from reports.reproduce_script import Way, script, write
from reports.reproduce_shrink import Count, Rule, Shrink, rounds_for
from reports.reproduce_story import Said, Story, story_of, the_pair

#: a script of more users is read by nobody; so many rounds may make up for some of them
FEW, ROUNDS_OF_FEW = 3, 8
#: where a reference backend stands that somebody starts by hand, as the README does
BY_HAND = "ws://127.0.0.1:8000"
EXIT_REPRODUCED, EXIT_WRITE, EXIT_USAGE, EXIT_NOT_AGAIN, EXIT_NOT_THERE = 0, 1, 2, 4, 5


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for. `host`: "" is the target of the record; `more`: options of a load test."""

    violation: str
    folder: Path
    host: str
    reference: bool
    tries: int
    budget_s: float
    out: Path | None
    more: tuple[str, ...]


def reproduce(wish: Wish) -> int:
    """Drive, shrink, write; says what it does, a line a step. Returns the exit code.

    :raises RecordError: the record cannot be read, or holds no such violation.
    """
    try:
        return _reproduce(wish)
    except (NotReproducible, ConfigError) as problem:
        _complain(str(problem))
        return EXIT_USAGE
    except (NotThere, BackendFailed) as problem:
        _complain(f"the target is not there: {problem}")
        return EXIT_NOT_THERE


def _reproduce(wish: Wish) -> int:
    folder = locate(wish.folder)
    record = open_record(folder)
    violation = _named(wish.violation, record)
    runs, connections = rows_of(record.table("runs")), rows_of(record.table("connections"))
    settings = load_settings(_options(record.run.get("load_test") or {}, wish.more))
    frames = rows_of(record.table("frames"))
    story = story_of(violation, runs, connections, frames, _said(record, settings))
    pair = the_pair(story, violation, runs)
    _say(
        f"{violation['violation']}: {violation['observer']} received {violation['came']} "
        f"({violation['name']}, channel {violation['channel']})"
    )
    deadline_ns = clock.now_ns() + int(wish.budget_s * 1e9)
    with _target(wish, record, settings) as (host, secrets), tempfile.TemporaryDirectory() as scratch:
        driver = Driver(
            _way(settings, host, _run_key(frames)), secrets, Path(scratch), _say, lambda: clock.now_ns() < deadline_ns
        )
        found = _smallest(driver, story, pair, wish.tries)
        if found is None:
            _say("it did not leak again")
            return EXIT_NOT_AGAIN
        smallest, count = found
        if not driver.may_go_on():
            _say(f"--budget-s {wish.budget_s:g} is used up: this is the smallest so far")
        out = wish.out or folder / "repro.py"
        gone = not wish.host and _is_reference(wish, record)  # the backend of these tries ends here
        later = BY_HAND if gone else host
        way = replace(driver.way, host=later)
        write(str(out), script(smallest, way, title=_title(violation, count, smallest)))
    _say(f"{count}, with {smallest.size}")
    _say(f"written  {out}   start it: python {out} --host {later}")
    if gone:
        _say("         against a backend that you start with the same faults and JWT_SECRET_KEY")
    return EXIT_REPRODUCED if count.leaks else EXIT_NOT_AGAIN


def _smallest(driver: Driver, story: Story, pair: Story, tries: int) -> tuple[Story, Count] | None:
    """The smallest story that leaks, and how often it does; None where nothing leaked.

    The pair first: most leaks need no more, and it is quick. What leaks seldom, or needs many users, is played in
    rounds: then a start of few has as many opportunities as one of many.
    """
    _say("owner and observer alone")
    count = driver.count(pair, tries)
    start = pair
    if not count.leaks:
        _say("all that went on around it")
        start, count = story, driver.count(story, tries)
    if not count.leaks and driver.may_go_on():
        _say("all that went on around it, in rounds")
        start = replace(story, rounds=ROUNDS_OF_FEW)
        count = driver.count(start, min(3, tries))
    if not count.leaks:
        return None
    start, count = _in_rounds(driver, start, count, tries)
    start = _shrunk(driver, start, count, tries)
    if len(start.users) > FEW and start.rounds == 1:
        _say(f"more than {FEW} users are needed: in rounds, fewer may do")
        start = _shrunk(driver, replace(start, rounds=ROUNDS_OF_FEW), count, tries)
    _say("the smallest, once more")
    count = driver.count(start, tries)
    return (start, count) if count.leaks else None


def _in_rounds(driver: Driver, story: Story, count: Count, tries: int) -> tuple[Story, Count]:
    if (rounds := rounds_for(count)) == 1 or story.rounds > 1:
        return story, count
    more = replace(story, rounds=rounds)
    again = driver.count(more, tries)
    return (more, again) if again.leaks else (story, count)


def _shrunk(driver: Driver, story: Story, count: Count, tries: int) -> Story:
    rule = Rule.after(count, tries)
    return Shrink(lambda smaller: driver.judge(smaller, rule), driver.may_go_on, _say).smallest(story)


def _named(name: str, record: Record) -> Row:
    """:raises RecordError: there is no such violation."""
    rows = ordered(record.table("violations"))
    if name == "gravest" and rows:
        return rows[0]
    for row in rows:
        if row["violation"] == name:
            return row
    leaks = [str(row["violation"]) for row in rows if row["judgement"] == "isolation"][:3]
    hint = f"there are {', '.join(leaks)}" if leaks else "no leak is on record"
    raise RecordError(f"{record.folder} holds no violation {name!r}; {hint}")


def _options(load_test: Mapping[str, Any], more: Sequence[str]) -> Any:
    """The options of a load test: those of the record, and those that were given now, which win."""
    recorded = [("--environment", "environment"), ("--dialect", "dialect"), ("--auth", "auth")]
    known = [word for option, key in recorded if load_test.get(key) for word in (option, str(load_test[key]))]
    parser = option_parser("reports reproduce", "Options of a load test, after those of reproduce.")
    parser.add_argument("--host", default="")
    return parser.parse_args([*known, *more])


def _is_reference(wish: Wish, record: Record) -> bool:
    """Is the reference backend driven, one that is started for it?"""
    return wish.reference or bool((record.run.get("target") or {}).get("reference"))


def _said(record: Record, settings: Settings) -> Said:
    """The prompts of the record; of the prompts file, where the record has none."""
    families: dict[str, Any] = record.run.get("prompts") or settings.prompts.said()
    return Said({name: (tuple(map(str, entry["texts"])), str(entry["reference"])) for name, entry in families.items()})


@contextmanager
def _target(wish: Wish, record: Record, settings: Settings) -> Iterator[tuple[str, dict[str, str]]]:
    """The host, and the variables with the secret for it.

    :raises ConfigError: it may not be driven, or nothing is there to sign tokens with. :raises BackendFailed:
    """
    load_test, target = record.run.get("load_test") or {}, record.run.get("target") or {}
    if not wish.host and _is_reference(wish, record):
        faults, seed = str(load_test.get("faults") or ""), int(load_test.get("seed") or 1)
        _say(f"the reference backend, seed {seed}, faults {faults or 'none'}")
        backend = ReferenceBackend(seed=seed, faults=faults, log=os.devnull, environment=settings.environment.name)
        try:
            yield _socket_host(backend.url), {"JWT_SECRET_KEY": backend.token_secret}
        finally:
            backend.stop()
        return
    host = wish.host or str(target.get("url") or "")
    if os.environ.get("REPRO_TOKENS"):
        secrets = {}
    elif tokens := [account.token for account in settings.accounts if account.token]:
        secrets = {"REPRO_TOKENS": " ".join(tokens)}
    elif settings.environment.token.algorithm == "HS256" and (secret := token_secret(settings.environment.name)):
        secrets = {"JWT_SECRET_KEY": secret}
    else:
        raise ConfigError("set JWT_SECRET_KEY to the target's secret (HS256), or REPRO_TOKENS to one token a user")
    if not secrets.get("JWT_SECRET_KEY"):  # no token is minted: who signs them is not asked
        settings = _with_accounts(settings)
    check_target(settings, host, 2)
    if settings.route.insecure or settings.route.proxy:
        raise ConfigError("--insecure and proxies are not for a script that is handed on; leave them out")
    if settings.route.ca_file:
        secrets |= {"SSL_CERT_FILE": settings.route.ca_file, "WEBSOCKET_CLIENT_CA_BUNDLE": settings.route.ca_file}
    _say(f"the target {_socket_host(host)}")
    yield _socket_host(host), secrets


def _with_accounts(settings: Settings) -> Settings:
    return settings if settings.accounts else replace(settings, accounts=(Account("shown by REPRO_TOKENS"),))


def _way(settings: Settings, host: str, run_key: str) -> Way:
    found = addresses(settings.environment.places, host, settings.dialect)
    rules = settings.environment.token
    rest = "" if urlsplit(found.rest).netloc == urlsplit(host).netloc else found.rest
    return Way(
        dialect=settings.dialect,
        host=host,
        path=urlsplit(found.socket).path,
        transport=settings.transport,
        rest=rest,
        claims={
            "iss": rules.issuer,
            "aud": rules.audience,
            "env": settings.environment.name,
            "token_type": "access",
            "permissions": [],
        },
        life_s=rules.life_s,
        headers=settings.environment.headers,
        run_key=run_key,
    )


def _socket_host(url: str) -> str:
    """Scheme and host alone, for sockets. What else stood in the URL (a path, a key) is no part of a script."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    return urlunsplit((parts.scheme.replace("http", "ws"), parts.netloc, "", "", ""))


def _run_key(frames: Iterable[Row]) -> str:
    """The field in which frames name their run: the commonest whose value is the run's id."""
    found: dict[str, int] = {}
    for row in frames:
        if row["direction"] != "in" or not row["run"]:
            continue
        try:
            fields = orjson.loads(row["body"])
        except orjson.JSONDecodeError:
            continue
        for key, value in fields.items() if isinstance(fields, dict) else ():
            if value == row["run"]:
                found[key] = found.get(key, 0) + 1
    return max(found, key=lambda key: found[key], default="")


def _title(violation: Row, count: Count, story: Story) -> str:
    name, channel = violation["name"], violation["channel"]
    return redact(
        f"A leak between users: {name}, channel {channel}; {count} starts, with {story.size}.\n"
        f"Made from violation {violation['violation']}: {violation['observer']} received {violation['came']}."
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _complain(text: str) -> None:
    print(f"python -m reports reproduce: {text}", file=sys.stderr)
