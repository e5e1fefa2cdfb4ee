"""What the preflight judges by itself: lines for machines, variables, certificates, events and the plan."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from crosstalk.checks.run import RunCheck
from crosstalk.config import Route, load_settings
from crosstalk.environments import Environment, with_options
from crosstalk.hosts import Addresses
from crosstalk.ready import FAIL, OK, WARN, Line
from crosstalk.tools.preflight_machine import files_line, processor_line, variables
from crosstalk.tools.preflight_network import certificate_line, doors, network
from crosstalk.tools.preflight_plan import environment_rows, plan
from crosstalk.tools.preflight_run import events_of
from crosstalk.wire.lifecycle import FIVE_EVENTS
from tests.helpers import Authority, parsed

ROOT = Path(__file__).resolve().parents[1]
KNOWN = {"LOCUST_ENVIRONMENT", "LOCUST_USERS", "LOCUST_HOST"}


@pytest.mark.parametrize(
    ("limit", "users", "state"), [(240, 20, OK), (239, 20, FAIL), (1024, 1000, FAIL), (99999, 1000, OK)]
)
def test_files_are_enough_or_not(limit, users, state):
    line = files_line(limit, users)
    assert line.state == state
    assert (f"ulimit -Hn {200 + 2 * users}" in line.advice) == (state == FAIL)


@pytest.mark.parametrize(("busy", "state"), [(0, OK), (50, OK), (51, WARN)])
def test_a_busy_machine_is_worth_a_word(busy, state):
    assert processor_line(busy, 4).state == state


def settings(*options, host="http://h", environ=None):
    arguments = parsed(*options, locustfile="scenarios/smoke.py")
    arguments.host = host
    return load_settings(arguments, environ or {})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"JWT_SECRET_KEY": "hush"}, []),
        (
            {"JWT_SECRET_LOCAL": "hush", "JWT_SECRET": "hush"},
            ["JWT_SECRET is set, and not used: JWT_SECRET_LOCAL goes"],
        ),
        ({"JWT_SECRET_STAGING": "hush"}, ["JWT_SECRET_STAGING is set, and the environment is local"]),
        ({"JWT_SECRET_LOCAL": "", "JWT_SECRET": "hush"}, ["JWT_SECRET_LOCAL is set and empty"]),
        ({"LOCUST_USRES": "hush", "LOCUST_USERS": "5"}, ["LOCUST_USRES is set, and no option is called so"]),
        ({"CROSSTALK_CANARY": "hush"}, ["CROSSTALK_CANARY is set, and nothing reads it"]),
        ({"LOGIN_PASSWORD": "hush"}, ["LOGIN_PASSWORD is set"]),
        ({"HTTPS_PROXY": "hush"}, ["HTTPS_PROXY is set, and not used"]),
        ({"CROSSTALK_PROXY_CREDENTIALS": "http://hush"}, ["CROSSTALK_PROXY_CREDENTIALS looks like a URL"]),
    ],
)
def test_variables_that_do_nothing_are_named(environ, said):
    lines = list(variables(environ, settings(), "http://h", KNOWN))
    if not said:
        assert [line.state for line in lines] == [OK]
        return
    assert [line.state for line in lines] == [WARN] * len(said)
    for line, start in zip(lines, said, strict=True):
        assert line.seen.startswith(start)
        assert "hush" not in str(line)


def test_a_secret_is_of_no_use_to_the_reference_backend():
    [line] = variables({"JWT_SECRET_KEY": "hush"}, settings(host=""), "", KNOWN)
    assert line.state == WARN and "the reference backend has a secret of its own" in line.seen


@pytest.mark.parametrize(("days", "state"), [(0, WARN), (-10, WARN), (13, WARN), (14, OK)])
def test_days_left_of_a_certificate(tmp_path, days, state):
    certificate = x509.load_pem_x509_certificate(Authority(tmp_path).file.read_bytes())  # a day left
    until_s = certificate.not_valid_after_utc.timestamp()
    line = certificate_line(SimpleNamespace(__str__=lambda: "h"), certificate, until_s - days * 86_400 - 60)
    assert line.state == state and f"{days} days left" in line.seen
    assert certificate.not_valid_after_utc > datetime.now(UTC)


def test_doors_are_each_looked_at_once():
    one = doors(Addresses("wss://h/ws", "https://h", "https://a:8443/base"))
    assert [(door.host, door.port, door.tls, door.use) for door in one] == [
        ("h", 443, True, "socket"),
        ("a", 8443, True, "sign-in"),
    ]


def test_a_name_that_cannot_be_asked_for_is_a_line():
    lines = list(network(Addresses(f"ws://{'a' * 70}.test/ws", "http://h", "http://h"), Route()))
    assert [(line.state, line.name, line.fatal) for line in lines] == [(FAIL, "name", True)]


def test_events_are_told_by_kind_with_their_times():
    run = SimpleNamespace(check=RunCheck(FIVE_EVENTS, ()), sent_ns=10**9)
    run.check.counts.chunks, run.check.times.last_chunk_ns = 12, 1_480_000_000
    seen = [("started", 10.0), ("thinking", 200.0), ("thinking", 300.0), ("first chunk", 210.0), ("completed", 500.0)]
    assert events_of(seen, run) == (
        "started 0.01 s, thinking ×2 0.20–0.30 s, first chunk 0.21 s of 12, the last 0.48 s, completed 0.50 s"
    )
    assert events_of([], run) == "none"


def test_every_line_is_documented():
    said = (ROOT / "docs/preflight.md").read_text()
    files = [ROOT / "crosstalk/ready.py", *(ROOT / "crosstalk/tools").glob("preflight*.py")]
    found = [re.findall(r'Line\(\s*(?:OK|WARN|FAIL)[^,"]*,\s*"([^"]+)"', file.read_text()) for file in files]
    names = {name for some in found for name in some}
    assert {"TLS", "token", "run", "idle", "file descriptors"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in said] == []


def test_a_line_says_its_name_what_was_seen_and_what_to_do():
    assert str(Line(OK, "health", "HTTP 200, healthy")) == "health: HTTP 200, healthy"
    assert str(Line(FAIL, "TCP", "nobody answers", "is it running?")) == "TCP: nobody answers; is it running?"


def test_the_plan_says_of_every_key_where_it_comes_from():
    table = Environment("mine", (), 5, 8, 10, max_users=7)
    options = parsed("--proxy", "http://p:1")
    options.host = "http://h"
    rows = environment_rows(with_options(table, options), table, "e.toml", {"proxy": "command line", "host": "l.conf"})
    found = {key: (value, source) for key, value, source in rows}
    assert found["max_users"] == (7, "e.toml [mine]")
    assert found["http_proxy"] == ("http://p:1", "--proxy: command line")
    assert found["host"] == ("http://h", "--host: l.conf")
    assert found["token_life_s"] == (900, "default")


def test_the_plan_names_variables_and_never_their_values():
    environ = {"KEY": "hush", "JWT_SECRET_KEY": "hush"}
    options = parsed("--header", "X-A=KEY", locustfile="scenarios/smoke.py")
    options.host = "http://h"
    text = "\n".join(plan(load_settings(options, environ), options, {"auth": "default"}, environ))
    assert "JWT_SECRET_KEY" in text and "X-A" in text and "ws://h/ws" in text
    assert "hush" not in text
    missing = "\n".join(plan(load_settings(options, environ), options, {}, {}))
    assert "MISSING: JWT_SECRET_LOCAL or JWT_SECRET_KEY or JWT_SECRET" in missing
