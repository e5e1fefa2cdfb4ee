"""Environments: the tables of environments.toml, and what options change in the one that is used.

A table says where a target is, how to get in, how long things may take and how much it bears. No secret stands in it:
headers, cookies and passwords are named by the environment variable that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crosstalk.files import ConfigError, beside, find, read_toml
from crosstalk.wire.promises import Promises

ALGORITHMS = ("HS256", "RS256", "ES256")
#: claims beyond signature and times that a target may promise to check
CLAIMS = ("aud", "iss", "env", "token_type")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a target is. Empty: derived from `host`, which is empty for the reference backend."""

    host: str = ""
    socket_url: str = ""
    rest_url: str = ""
    auth_url: str = ""
    socket_path: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """How one gets there: whom to trust, what to show, and through which proxy. Paths of files."""

    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    insecure: bool = False
    http_proxy: str = ""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How access tokens are made. `function`: ours are not asked for at all, it makes them."""

    issuer: str = "netra-auth-service"
    audience: str = "netra-platform"
    life_s: int = 900
    algorithm: str = "HS256"
    key_file: str = ""
    function: str = ""
    checks: tuple[str, ...] | None = None  # claims that the target checks, of CLAIMS; None: what the dialect says


@dataclass(frozen=True, slots=True)
class Login:
    """How an account with a password signs in. A field of the answer may be a path with dots: `data.token`."""

    path: str = "/auth/login"
    email_field: str = "email"
    password_field: str = "password"
    token_field: str = "access_token"
    refresh_path: str = "/auth/refresh"


@dataclass(frozen=True, slots=True)
class OAuth:
    """How somebody signs in by a provider that needs no human. An empty `path`: there is none.

    `hint`: the parameter of the first request that tells the provider who is there, by e-mail address.
    """

    path: str = ""
    callback_path: str = "/auth/callback"
    hint: str = "login_hint"


@dataclass(frozen=True, slots=True)
class Environment:
    """A table of environments.toml. Times in seconds; 0 users or runs: no ceiling. `headers`, `cookies`: variables."""

    name: str
    hosts: tuple[str, ...]
    connect_timeout_s: float
    agent_timeout_s: float
    receive_timeout_s: float
    cold_start_s: float = 0.0
    max_users: int = 0
    max_runs: int = 0
    places: Places = field(default_factory=Places)
    passage: Passage = field(default_factory=Passage)
    token: TokenRules = field(default_factory=TokenRules)
    login: Login = field(default_factory=Login)
    oauth: OAuth = field(default_factory=OAuth)
    promises: Promises = field(default_factory=Promises)
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_timeout_s(self) -> float:
        """How long a run may take before it is given up."""
        return self.agent_timeout_s + self.cold_start_s

    def rows(self) -> dict[str, Any]:
        """Key of the table → value, of every key there is."""
        inner = {
            key: getattr(getattr(self, part), name) for part, keys in _GROUPS.items() for key, name in keys.items()
        }
        own = {name: getattr(self, name) for name in self.__slots__ if name != "name" and name not in _GROUPS}
        return {**own, **inner}


_PATHS = ("ca_file", "client_certificate", "client_key", "token_key_file")
_GROUPS: dict[str, dict[str, str]] = {  # part of Environment → key of the table → field of that part
    "places": {key: key for key in Places.__slots__},
    "passage": {key: key for key in Passage.__slots__},
    "token": {f"token_{key}": key for key in TokenRules.__slots__},
    "login": {"login_path": "path", "refresh_path": "refresh_path"}
    | {f"login_{key}": key for key in ("email_field", "password_field", "token_field")},
    "oauth": {f"oauth_{key}": key for key in OAuth.__slots__},
    "promises": {f"declared_{one.name}": one.name for one in fields(Promises)},
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    **{key: str for keys in _GROUPS.values() for key in keys},
    **{key: (int, float) if key.endswith("_s") else int for key in _GROUPS["promises"]},
    **dict.fromkeys(("connect_timeout_s", "agent_timeout_s", "receive_timeout_s", "cold_start_s"), (int, float)),
    **dict.fromkeys(("max_users", "max_runs", "token_life_s"), int),
    "insecure": bool,
    "hosts": list,
    "token_checks": list,
    "headers": dict,
    "cookies": dict,
}
_NEEDED = ("connect_timeout_s", "agent_timeout_s", "receive_timeout_s")
_NAMES = {
    str: "a text",
    int: "a whole number, 0 or more",
    bool: "true or false",
    list: "a list of names",
    dict: "a table",
}


def load_environment(name: str, folder: Path) -> tuple[Environment, Path]:
    """The table of that name, and the file in which it stands.

    :raises ConfigError:
    """
    file = find("environments.toml", folder)
    tables = read_toml(file, "environments.toml")
    if name not in tables:
        close = get_close_matches(name, tables, 1)
        hint = f"; did you mean {close[0]}?" if close else f"; add a table [{name}] for an environment of your own"
        raise ConfigError(f"--environment {name}: environments.toml has {', '.join(tables)}{hint}")
    if not isinstance(tables[name], dict):
        raise ConfigError(f"environments.toml: expected a table [{name}], got {name} = {tables[name]!r}")
    environment = environment_of(name, tables[name], file)
    if environment.receive_timeout_s <= environment.agent_timeout_s:
        raise ConfigError(
            f"environments.toml: [{name}]: receive_timeout_s {environment.receive_timeout_s:g} must exceed "
            f"agent_timeout_s {environment.agent_timeout_s:g}: else every slow run looks like a dead socket"
        )
    return environment, file


def environment_of(name: str, table: Mapping[str, Any], file: Path) -> Environment:
    """:raises ConfigError: a key is missing, unknown, or has a value of another kind."""
    where = f"environments.toml: [{name}]"
    for key, value in table.items():
        _check(where, key, value)
    if missing := [key for key in _NEEDED if key not in table]:
        raise ConfigError(f"{where}: {', '.join(missing)} missing")
    given: dict[str, Any] = {key: str(beside(file, value)) if key in _PATHS else value for key, value in table.items()}
    if function := given.get("token_function"):
        module, _, called = function.rpartition(":")
        given["token_function"] = f"{beside(file, module)}:{called}" if module.endswith(".py") else function
    if "token_checks" in given:
        given["token_checks"] = tuple(given["token_checks"])
    parts: dict[str, dict[str, Any]] = {
        group: {field_name: given.pop(key) for key, field_name in keys.items() if key in given}
        for group, keys in _GROUPS.items()
    }
    # a host that the table names by an address is one of its hosts too
    named = tuple(table[key] for key in ("host", "socket_url", "rest_url", "auth_url") if key in table)
    hosts = (*given.pop("hosts", ()), *named)
    plain: dict[str, Any] = {key: float(value) if key.endswith("_s") else value for key, value in given.items()}
    environment = Environment(
        name=name,
        hosts=hosts,
        **plain,
        places=Places(**parts["places"]),
        passage=Passage(**parts["passage"]),
        token=TokenRules(**parts["token"]),
        login=Login(**parts["login"]),
        oauth=OAuth(**parts["oauth"]),
        promises=Promises(**parts["promises"]),
    )
    _check_token(where, environment.token)
    return environment


def with_options(environment: Environment, options: Any) -> Environment:
    """What the command line says goes before the table.

    A host that is named there is another target than the table's: the table's `socket_url` and `rest_url` do not hold
    for it. Its `auth_url` does: tokens often come from elsewhere.
    """
    places, passage = environment.places, environment.passage
    host = getattr(options, "host", None) or ""
    if host and host != places.host:
        places = replace(places, host=host, socket_url="", rest_url="")
    said = {key: getattr(options, key) for key in ("socket_url", "rest_url", "auth_url", "socket_path")}
    places = replace(places, **{key: value for key, value in said.items() if value})
    places = replace(places, host=places.host or places.socket_url or places.rest_url)
    shown = {
        "ca_file": options.ca,
        "client_certificate": options.client_certificate,
        "client_key": options.client_key,
        "insecure": options.insecure,
        "http_proxy": options.proxy,
    }
    passage = replace(passage, **{key: value for key, value in shown.items() if value})
    environment = replace(environment, places=places, passage=passage)
    if life_s := getattr(options, "token_life", 0):
        environment = replace(environment, token=replace(environment.token, life_s=life_s))
    _check_target(environment)
    return environment


def ceiling(asked: int, highest: int, *, option: str, key: str, environment: str) -> int:
    """What holds where an option asks for a number and the environment has a highest one; 0: no bound.

    :raises ConfigError: more is asked for than the environment bears.
    """
    if highest and asked > highest:
        raise ConfigError(
            f"{option} {asked}: environment {environment} bears {highest} ({key} in environments.toml); "
            f"ask for {highest} or fewer, or raise {key} if you may"
        )
    return asked or highest


def _check(where: str, key: str, value: Any) -> None:
    expected = _TYPES.get(key)
    if expected is None:
        close = get_close_matches(key, _TYPES, 1)
        raise ConfigError(f"{where}: unknown key {key!r}" + (f"; did you mean {close[0]}?" if close else ""))
    right = isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
    if expected == (int, float):
        if not right or not 0 <= value < 1e7:
            raise ConfigError(f"{where}: {key} = {value!r}: expected seconds, 0 or more")
        return
    if expected is int:
        right = right and value >= 0
    elif expected in (list, dict):
        right = right and all(isinstance(one, str) for one in (value.values() if isinstance(value, dict) else value))
    if not right:
        hint = ' of texts: NAME = "ENVVAR"' if expected is dict else ""
        raise ConfigError(f"{where}: {key} = {value!r}: expected {_NAMES[expected]}{hint}")  # type: ignore[index]


def _check_token(where: str, token: TokenRules) -> None:
    if unknown := [claim for claim in token.checks or () if claim not in CLAIMS]:
        raise ConfigError(f"{where}: token_checks: {unknown[0]!r}: expected some of {', '.join(CLAIMS)}")
    if token.algorithm not in ALGORITHMS:
        raise ConfigError(f"{where}: token_algorithm = {token.algorithm!r}: expected {', '.join(ALGORITHMS)}")
    if token.life_s < 1:
        raise ConfigError(f"{where}: token_life_s = {token.life_s}: expected 1 or more")
    if (token.algorithm == "HS256") == bool(token.key_file):
        raise ConfigError(
            f"{where}: token_key_file is the private key of RS256 and ES256, and needed for them; HS256 is signed "
            "with a secret from the environment"
        )


def _check_target(environment: Environment) -> None:
    """What is only for a target of one's own would do nothing for the reference backend: said, not passed over."""
    if environment.places.host:
        return
    fresh = Environment("", (), 0, 0, 0)
    for part, keys in _GROUPS.items():
        mine, none = getattr(environment, part), getattr(fresh, part)
        for key, name in keys.items():
            if key not in ("ca_file", "origin", "token_life_s") and getattr(mine, name) != getattr(none, name):
                raise ConfigError(
                    f"{key} is for a target of your own, and none is named: say --host, or host = … under "
                    f"[{environment.name}] in environments.toml"
                )
