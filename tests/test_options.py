"""Options: as the interface promises them, fit to travel to workers, and clear about what they do not accept."""

import json
import subprocess
import sys
from pathlib import Path

import configargparse
import pytest

from crosstalk.options import TRANSPORTS
from tests.helpers import parsed

ROOT = Path(__file__).resolve().parents[1]
PROMISED = {
    "environment", "dialect", "auth", "accounts", "think_time", "limits", "prompts", "results", "keep_results",
    "keep_text", "baseline", "seed", "fail_fast", "until_judged", "max_runs", "max_connections", "header", "ca",
    "revision", "yes", "faults", "socket_url", "rest_url", "auth_url", "socket_path", "client_certificate",
    "client_key", "proxy", "cookie", "insecure", "arrivals", "turn_interval", "session_rate",
}  # fmt: skip


def test_every_option_that_is_promised_is_there():
    assert vars(parsed()).keys() - {"locustfile"} >= PROMISED


def test_every_default_can_travel_to_a_worker():
    def travels(value):
        return isinstance(value, str | int | float | bool) or (isinstance(value, list) and all(map(travels, value)))

    assert {name: value for name, value in vars(parsed()).items() if not travels(value)} == {}


def test_defaults_are_the_reference_backends():
    options = parsed()
    assert (options.environment, options.dialect, options.auth, options.seed) == ("local", "netra", "header", 0)
    assert (options.accounts, options.faults, options.fail_fast, options.header) == ("", "", False, [])


@pytest.mark.parametrize("way", TRANSPORTS)
def test_every_way_of_a_token_can_be_named(way):
    assert parsed("--auth", way).auth == way


def test_an_option_may_come_from_the_environment():
    env = {
        "LOCUST_ENVIRONMENT": "staging",
        "LOCUST_THINK_TIME": "0.25",
        "LOCUST_MAX_RUNS": "7",
        "LOCUST_FAIL_FAST": "true",
    }
    options = parsed(env=env)
    assert (options.environment, options.think_time, options.max_runs, options.fail_fast) == ("staging", 0.25, 7, True)


@pytest.mark.parametrize("option", ["header", "cookie"])
def test_headers_and_cookies_add_up(option):
    assert getattr(parsed(f"--{option}", "X-A=A", f"--{option}", "X-B=B"), option) == ["X-A=A", "X-B=B"]


def test_places_and_ways_come_from_the_environment_too():
    options = parsed(env={"LOCUST_SOCKET_URL": "ws://h", "LOCUST_INSECURE": "true", "LOCUST_CLIENT_KEY": "k.pem"})
    assert (options.socket_url, options.insecure, options.client_key) == ("ws://h", True, "k.pem")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--think-time", "-1"), "expected seconds, 0 or more, got '-1'"),
        (("--think-time", "soon"), "expected seconds, 0 or more, got 'soon'"),
        (("--think-time", "nan"), "expected seconds, 0 or more, got 'nan'"),
        (("--session-rate", "-1"), "expected a number per second, 0 or more, got '-1'"),
        (("--session-rate", "nan"), "expected a number per second, 0 or more, got 'nan'"),
        (("--turn-interval", "often"), "expected seconds, 0 or more, got 'often'"),
        (("--arrivals", "by train"), "invalid choice"),
        (("--until-judged", "inf"), "expected seconds, 0 or more, got 'inf'"),
        (("--max-runs", "-3"), "expected a whole number, 0 or more, got '-3'"),
        (("--seed", "1.5"), "expected a whole number, 0 or more, got '1.5'"),
        (("--max-connections", "²"), "expected a whole number, 0 or more, got '²'"),
        (("--auth", "carrier pigeon"), "invalid choice"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_and_says_what_was_expected(arguments, said):
    with pytest.raises(configargparse.argparse.ArgumentError, match=said):
        parsed(*arguments)


def test_locusts_own_parser_takes_them_and_no_file_or_path_is_in_the_web_form():
    script = """
import json
from locust.argument_parser import get_parser
from crosstalk.options import add_options
import locust.argument_parser
parser = get_parser()
before = set(vars(parser.parse_args([])))
add_options(parser)
options = parser.parse_args(["--think-time", "0.5", "--header", "X-A=A"])
print(json.dumps([sorted(set(vars(options)) - before), options.think_time, sorted(parser.args_included_in_web_ui)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    ours, think_time, in_web_ui = json.loads(done.stdout)
    assert set(ours) >= PROMISED
    assert think_time == 0.5
    assert not {
        "results", "header", "ca", "yes", "baseline", "cookie", "proxy", "insecure", "socket_url", "client_key"
    } & set(in_web_ui)  # fmt: skip
