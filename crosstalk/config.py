"""The only reader of settings and files: options, environment variables, TOML, accounts → one frozen `Settings`.

Everything that can be wrong with them is a `ConfigError`: one line that says what was expected, what came, what to do.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import os
import random
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from crosstalk.live_run import Prompt
from crosstalk.options import DIALECTS
from crosstalk.wire.dialect import Dialect
from crosstalk.wire.event import RUN_KINDS

#: where files are looked for when an option names none: the folder of the scenario, then ./scenarios
SCENARIOS = Path("scenarios")


class ConfigError(Exception):
    """A setting cannot be used. The text is for the person at the keyboard."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A table of environments.toml. Times in seconds."""

    name: str
    hosts: tuple[str, ...]
    connect_timeout_s: float
    agent_timeout_s: float
    receive_timeout_s: float
    cold_start_s: float = 0.0

    @property
    def run_timeout_s(self) -> float:
        """How long a run may take before it is given up."""
        return self.agent_timeout_s + self.cold_start_s


@dataclass(frozen=True, slots=True)
class Account:
    """Credentials of a simulated person. Exactly one of `token` and `password` where they come from a file."""

    name: str
    email: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What users say: families with weights."""

    families: Mapping[str, tuple[Prompt, ...]]
    weights: Mapping[str, float]

    def choose(self, rng: random.Random) -> Prompt:
        names = list(self.families)
        [name] = rng.choices(names, [self.weights[name] for name in names])
        return rng.choice(self.families[name])

    def expectations(self) -> dict[str, list[str]]:
        return {name: sorted(prompts[0].expects) for name, prompts in self.families.items()}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a load test was told. Secrets are not in here."""

    environment: Environment
    dialect: Dialect
    dialect_name: str
    transport: str
    prompts: Prompts
    limits_text: str
    limits_source: str
    accounts: tuple[Account, ...]  # empty: accounts are minted
    headers: Mapping[str, str] = field(repr=False)
    ca_file: str
    think_time_s: float
    results: Path
    keep_results: int
    keep_text: bool
    baseline: str
    seed: int
    fail_fast: bool
    until_judged_s: float
    max_runs: int
    max_connections: int
    revision: str
    faults: str
    host_agreed: str


def load_settings(options: Any, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read everything that the options name.

    :raises ConfigError:
    """
    folder = _scenario_folder(options)
    environment = _environment(options.environment, folder)
    limits_file = Path(options.limits) if options.limits else _find(f"limits/{environment.name}.toml", folder)
    if not options.limits and not limits_file.exists():
        limits_file = _find("limits/staging.toml", folder)  # an environment of one's own has the limits of staging
    return Settings(
        environment=environment,
        dialect=load_dialect(options.dialect),
        dialect_name=options.dialect,
        transport=options.auth,
        prompts=load_prompts(Path(options.prompts) if options.prompts else _find("prompts.toml", folder)),
        limits_text=_read(limits_file, "--limits"),
        limits_source=limits_file.name,
        accounts=load_accounts(Path(options.accounts)) if options.accounts else (),
        headers=_headers(options.header, environ),
        ca_file=_authority(options.ca),
        think_time_s=options.think_time,
        results=Path(options.results),
        keep_results=options.keep_results,
        keep_text=options.keep_text == "evidence",
        baseline=options.baseline,
        seed=options.seed or random.SystemRandom().randrange(1, 2**31),
        fail_fast=options.fail_fast,
        until_judged_s=options.until_judged,
        max_runs=options.max_runs,
        max_connections=options.max_connections,
        revision=options.revision,
        faults=options.faults,
        host_agreed=options.yes,
    )


def token_secret(environment: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The secret that signs tokens here: JWT_SECRET_<ENVIRONMENT>, JWT_SECRET_KEY, JWT_SECRET, in this order."""
    return next((environ[name] for name in secret_names(environment) if environ.get(name)), None)


def require_secret(environment: str, environ: Mapping[str, str] = os.environ) -> str:
    """:raises ConfigError: there is no secret to sign tokens with."""
    secret = token_secret(environment, environ)
    if secret is None:
        first, second, third = secret_names(environment)
        raise ConfigError(
            f"no secret to sign tokens with: set {first} (or {second}, {third}) to the target's, "
            "or name accounts of its own with --accounts FILE"
        )
    return secret


def secret_names(environment: str) -> tuple[str, str, str]:
    return (f"JWT_SECRET_{environment.upper().replace('-', '_')}", "JWT_SECRET_KEY", "JWT_SECRET")


def canary_secret(results: Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """What canaries are derived from: CROSSTALK_CANARY_SECRET, or a file that is made once in `results`."""
    if given := environ.get("CROSSTALK_CANARY_SECRET"):
        if len(given) < 16:
            raise ConfigError("CROSSTALK_CANARY_SECRET needs at least 16 characters")
        return given.encode()
    path = results / ".canary-secret"
    try:
        results.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"results folder {results} cannot be written: {error.strerror}; name another with --results"
        ) from None
    if len(secret) < 16:
        raise ConfigError(f"{path}: expected a secret of at least 16 bytes, got {len(secret)}; remove it")
    return secret


def _make_secret(path: Path) -> None:
    """Appears whole or not at all, and only once: another load test may make it in this very moment."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(32).hex().encode())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)


def socket_url(host: str, dialect: Dialect) -> str:
    """`http(s)://…` or `ws(s)://…` → the socket's URL; a path in the host wins over the dialect's.

    :raises ConfigError:
    """
    try:
        parts = urlsplit(host if "//" in host else f"http://{host}")
        scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
        usable = scheme is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        usable = False
    if not usable:
        raise ConfigError(f"--host {host!r}: expected ws://, wss://, http:// or https:// and a host name")
    path = parts.path if parts.path not in ("", "/") else dialect.socket_path
    return urlunsplit((scheme or "", parts.netloc, path, parts.query, ""))


def http_url(host: str) -> str:
    """The same host for HTTP, without a path."""
    parts = urlsplit(host if "//" in host else f"http://{host}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, "", "", ""))


def check_host(host: str, environment: Environment, agreed: str) -> None:
    """Production is not hit by a typing mistake: a host that it does not list needs `--yes HOST`.

    :raises ConfigError:
    """
    name = urlsplit(host if "//" in host else f"http://{host}").hostname or ""
    if environment.name == "production" and name not in environment.hosts and name != agreed:
        raise ConfigError(
            f"{name} is not listed under [production] hosts in environments.toml; if you mean it, say --yes {name}"
        )


def tls_context(ca_file: str) -> ssl.SSLContext:
    """:raises ConfigError:"""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise ConfigError(f"--ca {ca_file}: expected certificates in PEM: {error.reason}") from None


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
    try:
        module = (
            _module_of_file(Path(module_name)) if module_name.endswith(".py") else importlib.import_module(module_name)
        )
    except (ImportError, OSError, SyntaxError) as error:
        raise ConfigError(f"--dialect {name}: cannot import {module_name}: {error}") from None
    except Exception as error:  # whatever the file does when it is imported
        raise ConfigError(f"--dialect {name}: cannot import {module_name}: {type(error).__name__}: {error}") from None
    found = getattr(module, class_name, None)
    if found is None:
        raise ConfigError(f"--dialect {name}: {module_name} has no class {class_name}")
    if not (isinstance(found, type) and issubclass(found, Dialect)):
        raise ConfigError(f"--dialect {name}: {class_name} is not a subclass of crosstalk.wire.dialect.Dialect")
    return found()


def load_prompts(path: Path) -> Prompts:
    """:raises ConfigError:"""
    tables = _toml(path, "--prompts")
    known = {*map(str, RUN_KINDS), "tool_failed"}
    families, weights = {}, {}
    for name, table in tables.items():
        where = f"{path}: [{name}]"
        texts = table.get("texts") if isinstance(table, dict) else None
        if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
            raise ConfigError(f'{where}: expected texts = ["…", …] with at least one prompt')
        if unknown := table.keys() - {"texts", "expects", "weight", "reference"}:
            raise ConfigError(
                f"{where}: unknown key {sorted(unknown)[0]!r}; known are texts, expects, weight, reference"
            )
        expects = tuple(table.get("expects", ()))
        if wrong := [kind for kind in expects if kind not in known]:
            raise ConfigError(f"{where}: expects {wrong[0]!r}, which is no event; known are {', '.join(sorted(known))}")
        reference = table.get("reference", "prompt")
        if reference not in ("prompt", "context"):
            raise ConfigError(f'{where}: reference = {reference!r}; expected "prompt" or "context"')
        weight = table.get("weight", 1)
        if not isinstance(weight, int | float) or not weight >= 0:
            raise ConfigError(f"{where}: weight = {weight!r}; expected a number, 0 or more")
        families[name] = tuple(Prompt(name, text, expects, reference) for text in texts)
        weights[name] = float(weight)
    if not sum(weights.values()):
        raise ConfigError(f'{path}: no prompts; expected a table a family, each with texts = ["…"]')
    return Prompts(families, weights)


def load_accounts(path: Path) -> tuple[Account, ...]:
    """Accounts of a CSV (with a header line) or JSON file (a list of objects).

    Each has user_id and token, or email and password.

    :raises ConfigError:
    """
    text = _read(path, "--accounts")
    try:
        entries = orjson.loads(text) if text.lstrip().startswith("[") else list(csv.DictReader(io.StringIO(text)))
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}: not readable as JSON: {error}") from None
    accounts = []
    for number, entry in enumerate(entries, 1):
        values = entry if isinstance(entry, dict) else {}
        known = {key: str(values.get(key) or "") for key in ("user_id", "email", "password", "token")}
        name = known["user_id"] or known["email"].partition("@")[0]
        if not name or not (known["token"] or (known["email"] and known["password"])):
            raise ConfigError(f"{path}: entry {number}: expected user_id and token, or email and password")
        accounts.append(Account(name, known["email"], known["password"], known["token"]))
    if len({account.name for account in accounts}) != len(accounts):
        raise ConfigError(f"{path}: an account stands there twice; each simulated user needs one of its own")
    if not accounts:
        raise ConfigError(f"{path}: no accounts; expected a header line and one line an account")
    return tuple(accounts)


def _environment(name: str, folder: Path) -> Environment:
    tables = _toml(_find("environments.toml", folder), "environments.toml")
    if name not in tables:
        close = get_close_matches(name, tables, 1)
        hint = f"; did you mean {close[0]}?" if close else f"; add a table [{name}] for an environment of your own"
        raise ConfigError(f"--environment {name}: environments.toml has {', '.join(tables)}{hint}")
    if not isinstance(tables[name], dict):
        raise ConfigError(f"environments.toml: expected a table [{name}], got {name} = {tables[name]!r}")
    table = dict(tables[name])
    hosts = tuple(table.pop("hosts", ()))
    try:
        environment = Environment(name=name, hosts=hosts, **{key: float(value) for key, value in table.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"environments.toml: [{name}]: {error}".replace("Environment.__init__() ", "")) from None
    if environment.receive_timeout_s <= environment.agent_timeout_s:
        raise ConfigError(
            f"environments.toml: [{name}]: receive_timeout_s {environment.receive_timeout_s:g} must exceed "
            f"agent_timeout_s {environment.agent_timeout_s:g}: else every slow run looks like a dead socket"
        )
    return environment


def _headers(pairs: list[str], environ: Mapping[str, str]) -> dict[str, str]:
    headers = {}
    for pair in pairs:
        name, equals, variable = pair.partition("=")
        if not equals or not name or not variable:
            raise ConfigError(f"--header {pair!r}: expected NAME=ENVVAR, the environment variable that holds the value")
        if variable not in environ:
            raise ConfigError(f"--header {name}: the environment variable {variable} is not set")
        headers[name] = environ[variable]
    return headers


def _scenario_folder(options: Any) -> Path:
    """The folder of the first locustfile: a project of one's own keeps its prompts and limits there."""
    first = str(getattr(options, "locustfile", "") or "").split(",")[0]
    return Path(first).resolve().parent if first.endswith(".py") else Path.cwd()


def _find(name: str, folder: Path) -> Path:
    for candidate in (folder / name, folder / SCENARIOS / name, SCENARIOS / name):
        if candidate.exists():
            return candidate
    return SCENARIOS / name


def _authority(path: str) -> str:
    if path and not Path(path).is_file():
        raise ConfigError(f"--ca {path}: no such file")
    if path:
        tls_context(path)
    return path


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{option} {path}: expected a text file in UTF-8") from None


def _toml(path: Path, option: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path, option))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not readable as TOML: {error}") from None


def _module_of_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ImportError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
