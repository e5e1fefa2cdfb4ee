"""Settings and files: what they mean, and for everything that can be wrong with them one line that says what to do."""

from __future__ import annotations

import os
import random
import ssl
import stat
from pathlib import Path

import pytest

import crosstalk.wire.netra
from crosstalk.config import (
    Account,
    ConfigError,
    Environment,
    canary_secret,
    check_host,
    http_url,
    load_accounts,
    load_dialect,
    load_prompts,
    load_settings,
    require_secret,
    socket_url,
    tls_context,
)
from crosstalk.options import DIALECTS
from crosstalk.wire.netra import Netra
from tests.helpers import parsed

ROOT = Path(__file__).resolve().parents[1]
STAGING = """
[local]
hosts = ["127.0.0.1"]
connect_timeout_s = 5
agent_timeout_s = 8
receive_timeout_s = 10

[staging]
connect_timeout_s = 10
agent_timeout_s = 30
receive_timeout_s = 35
cold_start_s = 5
"""
PROMPTS = '[greeting]\ntexts = ["Hello."]\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one's own: a locustfile and the files beside it."""
    (tmp_path / "limits").mkdir()
    (tmp_path / "locustfile.py").write_text("")
    (tmp_path / "environments.toml").write_text(STAGING)
    (tmp_path / "prompts.toml").write_text(PROMPTS)
    (tmp_path / "limits" / "staging.toml").write_text("# limits of staging")
    (tmp_path / "limits" / "local.toml").write_text("# limits of local")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(*arguments, environ=None):
    return load_settings(parsed(*arguments, locustfile="locustfile.py"), environ or {})


def refused(call, *arguments, **more):
    """What a ConfigError said: one line, without a traceback's leftovers."""
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **more)
    said = str(caught.value)
    assert said and "\n" not in said
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return said


# --- all of it ------------------------------------------------------------------------------------------------------


def test_the_projects_own_files_are_fit_to_use(monkeypatch):
    monkeypatch.chdir(ROOT)
    for environment in ("local", "test", "staging", "production"):
        found = load_settings(parsed("--environment", environment, locustfile="scenarios/smoke.py"), {})
        assert found.environment.name == environment
        assert found.environment.receive_timeout_s > found.environment.agent_timeout_s
        assert found.limits_text
        assert found.prompts.families


def test_settings_are_what_options_and_files_say(project):
    found = settings(
        "--environment", "staging", "--think-time", "0.5", "--seed", "7", "--yes", "host", "--keep-text", "no"
    )
    assert found.environment == Environment("staging", (), 10, 30, 35, 5)
    assert found.environment.run_timeout_s == 35
    assert isinstance(found.dialect, Netra)
    assert (found.think_time_s, found.seed, found.host_agreed, found.keep_text) == (0.5, 7, "host", False)
    assert (found.limits_text, found.limits_source) == ("# limits of staging", "staging.toml")
    assert found.accounts == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--arrivals", "constant"), "--arrivals constant: expected --turn-interval S seconds"),
        (("--arrivals", "poisson", "--turn-interval", "0.0001"), "0.001 or more, got 0.0001"),
        (("--arrivals", "sessions"), "--arrivals sessions: expected --session-rate N people per second"),
        (("--turn-interval", "2"), "--turn-interval is for --arrivals constant and poisson, not think"),
        (("--arrivals", "sessions", "--session-rate", "1", "--turn-interval", "2"), "not sessions: leave it out"),
        (
            ("--arrivals", "constant", "--turn-interval", "2", "--session-rate", "1"),
            "--session-rate is for --arrivals sess",
        ),
    ],
)
def test_an_arrival_process_needs_its_own_rate_and_takes_no_others(project, arguments, said):
    assert said in refused(settings, *arguments)


def test_arrivals_are_think_unless_asked_for(project):
    found = settings()
    assert (found.arrivals, found.turn_interval_s, found.session_rate) == ("think", 0, 0)
    found = settings("--arrivals", "poisson", "--turn-interval", "2.5")
    assert (found.arrivals, found.turn_interval_s, found.session_rate) == ("poisson", 2.5, 0)
    assert settings("--arrivals", "sessions", "--session-rate", "0.5").session_rate == 0.5


def test_an_environment_of_ones_own_has_the_limits_of_staging(project):
    (project / "environments.toml").write_text(
        STAGING + "\n[mine]\nconnect_timeout_s=1\nagent_timeout_s=1\nreceive_timeout_s=2\n"
    )
    assert settings("--environment", "mine").limits_source == "staging.toml"


def test_a_seed_is_drawn_where_none_is_given(project):
    assert settings().seed > 0
    assert len({settings().seed for _ in range(5)}) > 1


def test_no_secret_shows_in_what_settings_look_like(project):
    (project / "accounts.csv").write_text("user_id,token\nann,tok-ann-1\n")
    found = settings("--header", "X-Key=KEY", "--accounts", "accounts.csv", environ={"KEY": "hidden-value"})
    assert (found.headers, found.accounts[0].token) == ({"X-Key": "hidden-value"}, "tok-ann-1")
    assert "hidden-value" not in repr(found)
    assert "tok-ann-1" not in repr(found)


# --- environments ---------------------------------------------------------------------------------------------------


def test_an_unknown_environment_names_those_there_are_and_the_likely_one(project):
    assert "has local, staging; did you mean staging?" in refused(settings, "--environment", "stagging")
    assert "add a table [moon]" in refused(settings, "--environment", "moon")


@pytest.mark.parametrize(("agent", "receive"), [(30, 30), (30, 29)])
def test_a_receive_timeout_that_does_not_exceed_the_agents_is_refused_and_says_why(project, agent, receive):
    text = f"[local]\nconnect_timeout_s = 5\nagent_timeout_s = {agent}\nreceive_timeout_s = {receive}\n"
    (project / "environments.toml").write_text(text)
    said = refused(settings)
    assert f"receive_timeout_s {receive} must exceed agent_timeout_s {agent}" in said
    assert "every slow run looks like a dead socket" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[local]\nconnect_timeout_s = 5\nagent_timeout_s = 8\n", "receive_timeout_s"),
        ("[local]\nconnect_timeout_s = 5\nagent_timeout_s = 8\nreceive_timeout_s = 10\nspeed = 1\n", "speed"),
        ('[local]\nconnect_timeout_s = "soon"\nagent_timeout_s = 8\nreceive_timeout_s = 10\n', "soon"),
        ("local = 5\n", "[local]"),
        ("[local\n", "not readable as TOML"),
        ("", "--environment local"),
    ],
    ids=["missing", "unknown", "no number", "no table", "no TOML", "empty"],
)
def test_a_table_that_cannot_be_used_says_what_is_wrong(project, text, said):
    (project / "environments.toml").write_text(text)
    assert said in refused(settings)


# --- hosts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "socket", "http"),
    [
        ("http://h:8000", "ws://h:8000/ws", "http://h:8000"),
        ("https://h", "wss://h/ws", "https://h"),
        ("ws://h/", "ws://h/ws", "http://h"),
        ("wss://h/api/v1/websocket", "wss://h/api/v1/websocket", "https://h"),
        ("wss://h/chat?tenant=7", "wss://h/chat?tenant=7", "https://h"),
        ("h:8000", "ws://h:8000/ws", "http://h:8000"),
        ("127.0.0.1:1", "ws://127.0.0.1:1/ws", "http://127.0.0.1:1"),
        ("http://[::1]:8000", "ws://[::1]:8000/ws", "http://[::1]:8000"),
    ],
)
def test_a_host_is_a_socket_and_an_http_address(host, socket, http):
    assert (socket_url(host, Netra()), http_url(host)) == (socket, http)


@pytest.mark.parametrize(
    "host", ["ftp://h", "http://", "ws:///path", "", "http://h:port", "http://h:99999", "http://[::1"]
)
def test_what_is_no_host_says_what_was_expected(host):
    said = refused(socket_url, host, Netra())
    assert f"--host {host!r}: expected ws://, wss://, http:// or https:// and a host name" in said


def production(*hosts):
    return Environment("production", hosts, 10, 40, 45)


@pytest.mark.parametrize(
    "host",
    ["https://chat.example.com", "wss://chat.example.com/ws", "chat.example.com:443", "https://CHAT.example.com"],
)
def test_production_takes_its_own_hosts_and_those_that_were_agreed_to(host):
    check_host(host, production("chat.example.com"), "")
    check_host(host, production(), "chat.example.com")


@pytest.mark.parametrize("agreed", ["", "other.example.com", "yes"])
def test_production_takes_no_other_host_and_says_how_to_agree(agreed):
    said = refused(check_host, "https://chat.example.com:8443/ws", production("www.example.com"), agreed)
    assert "chat.example.com is not listed under [production] hosts" in said
    assert "--yes chat.example.com" in said


def test_several_hosts_may_be_agreed_to():
    for host in ("https://a.test", "wss://b.test/ws"):
        check_host(host, production(), "a.test,b.test")


def test_other_environments_take_any_host():
    check_host("https://anything", Environment("staging", (), 10, 30, 35), "")


# --- secrets --------------------------------------------------------------------------------------------------------


def test_the_environments_own_secret_comes_first():
    environ = {"JWT_SECRET_STAGING": "a", "JWT_SECRET_KEY": "b", "JWT_SECRET": "c"}
    for name in ("JWT_SECRET_STAGING", "JWT_SECRET_KEY", "JWT_SECRET"):
        assert require_secret("staging", environ) == environ.pop(name)


def test_an_empty_secret_is_none_and_that_of_another_environment_is_not_taken():
    environ = {"JWT_SECRET_STAGING": "", "JWT_SECRET_PRODUCTION": "p", "JWT_SECRET": "c"}
    assert require_secret("staging", environ) == "c"


def test_without_a_secret_the_three_names_and_the_other_way_are_told():
    said = refused(require_secret, "my-own", {"JWT_SECRET_STAGING": "s"})
    assert "set JWT_SECRET_MY_OWN (or JWT_SECRET_KEY, JWT_SECRET)" in said
    assert "--accounts FILE" in said


def test_the_canary_secret_is_made_once_and_is_ours_alone(tmp_path):
    results = tmp_path / "deep" / "results"
    first = canary_secret(results, {})
    assert len(first) >= 32
    assert canary_secret(results, {}) == first
    assert canary_secret(tmp_path / "other", {}) != first
    assert stat.S_IMODE((results / ".canary-secret").stat().st_mode) == 0o600
    assert [path.name for path in results.iterdir()] == [".canary-secret"]


def test_of_two_load_tests_that_make_the_canary_secret_at_once_both_take_the_first(tmp_path, monkeypatch):
    random_bytes = os.urandom

    def the_other_is_faster(size):
        (tmp_path / ".canary-secret").write_bytes(b"the other's secret")
        return random_bytes(size)

    monkeypatch.setattr(os, "urandom", the_other_is_faster)
    assert canary_secret(tmp_path, {}) == b"the other's secret"
    assert [path.name for path in tmp_path.iterdir()] == [".canary-secret"]


def test_a_canary_secret_that_is_given_leaves_no_file(tmp_path):
    assert canary_secret(tmp_path, {"CROSSTALK_CANARY_SECRET": "x" * 16}) == b"x" * 16
    assert list(tmp_path.iterdir()) == []


def test_a_canary_secret_that_is_too_short_says_how_long_it_must_be(tmp_path):
    said = refused(canary_secret, tmp_path, {"CROSSTALK_CANARY_SECRET": "x" * 15})
    assert "CROSSTALK_CANARY_SECRET needs at least 16 characters" in said


def test_a_canary_secret_that_was_damaged_says_what_to_do(tmp_path):
    (tmp_path / ".canary-secret").write_bytes(b"")
    said = refused(canary_secret, tmp_path, {})
    assert ".canary-secret" in said and "remove it" in said


def test_results_that_cannot_be_written_name_another_way(tmp_path):
    (tmp_path / "results").write_text("a file")
    said = refused(canary_secret, tmp_path / "results", {})
    assert "cannot be written" in said and "name another with --results" in said


# --- headers and certificates ---------------------------------------------------------------------------------------


def test_header_values_come_from_the_environment(project):
    found = settings("--header", "X-A=VAR_A", "--header", "X-B=VAR_B", environ={"VAR_A": "1", "VAR_B": "2=3"})
    assert found.headers == {"X-A": "1", "X-B": "2=3"}


@pytest.mark.parametrize("pair", ["X-A", "X-A=", "=VAR", ""])
def test_a_header_that_is_no_pair_says_what_was_expected(project, pair):
    assert f"--header {pair!r}: expected NAME=ENVVAR" in refused(settings, "--header", pair)


def test_a_header_whose_variable_is_not_set_names_it_and_not_its_value(project):
    assert "the environment variable VAR_A is not set" in refused(settings, "--header", "X-A=VAR_A")


@pytest.mark.parametrize("option", ["--ca", "--limits", "--prompts", "--accounts"])
def test_a_file_that_is_not_there_is_named_with_its_option(project, option):
    said = refused(settings, option, "nowhere.file")
    assert f"{option} nowhere.file: " in said
    assert "o such file" in said


def test_a_file_that_is_no_text_says_so(project):
    (project / "odd.toml").write_bytes(b"\xff\xfe\x00")
    assert "--limits odd.toml: expected a text file in UTF-8" in refused(settings, "--limits", "odd.toml")


def test_an_authority_that_is_no_certificate_is_refused_before_the_start(project):
    (project / "ca.pem").write_text("not a certificate")
    said = refused(tls_context, "ca.pem")
    assert "--ca ca.pem" in said and "PEM" in said
    assert isinstance(tls_context(""), ssl.SSLContext)


# --- dialects -------------------------------------------------------------------------------------------------------

OWN = "from crosstalk.wire.netra import Netra\nclass Mine(Netra):\n    name = 'mine'\nclass Other: ...\nNUMBER = 7\n"


def test_a_dialect_by_its_name_its_module_or_its_file(project):
    (project / "mine.py").write_text(OWN)
    assert type(load_dialect("netra")) is crosstalk.wire.netra.Netra
    assert type(load_dialect("crosstalk.wire.netra:Netra")) is Netra
    assert load_dialect("mine.py:Mine").name == "mine"
    assert load_dialect(f"{project}/mine.py:Mine").name == "mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nettra", "did you mean netra?"),
        ("whatever", f"expected {', '.join(DIALECTS)}, path/file.py:Class or module:Class"),
        ("nowhere.py:Mine", "cannot import nowhere.py: no such file"),
        ("no.such.module:Mine", "cannot import no.such.module"),
        ("mine.py:Yours", "mine.py has no class Yours"),
        ("mine.py:Other", "Other is not a subclass of crosstalk.wire.dialect.Dialect"),
        ("mine.py:NUMBER", "NUMBER is not a subclass"),
        ("broken.py:Mine", "cannot import broken.py"),
        ("wrong.py:Mine", "cannot import wrong.py: NameError: name 'undefined' is not defined"),
        (":Mine", "expected netra"),
    ],
)
def test_a_dialect_that_cannot_be_used_says_why(project, name, said):
    (project / "mine.py").write_text(OWN)
    (project / "broken.py").write_text("class Mine(:\n")
    (project / "wrong.py").write_text("undefined\n")
    told = refused(load_dialect, name)
    assert told.startswith(f"--dialect {name}: ")
    assert said in told


# --- prompts --------------------------------------------------------------------------------------------------------


def prompts_of(project, text):
    (project / "some.toml").write_text(text)
    return load_prompts(project / "some.toml")


def test_prompts_are_families_with_weights_expectations_and_a_place_for_the_reference(project):
    first = '[a]\ntexts = ["one", "two"]\nexpects = ["chunk", "tool_failed"]\nweight = 2\n'
    found = prompts_of(project, first + '[b]\ntexts = ["three"]\nreference = "context"\n')
    assert [(prompt.text, prompt.expects, prompt.reference) for prompt in found.families["a"]] == [
        ("one", ("chunk", "tool_failed"), "prompt"),
        ("two", ("chunk", "tool_failed"), "prompt"),
    ]
    assert found.families["b"][0].reference == "context"
    assert found.weights == {"a": 2.0, "b": 1.0}
    assert found.expectations() == {"a": ["chunk", "tool_failed"], "b": []}


def test_prompts_are_chosen_by_weight_and_a_seed_repeats_the_choice(project):
    found = prompts_of(
        project, '[a]\ntexts = ["one"]\nweight = 9\n[b]\ntexts = ["two"]\n[c]\ntexts = ["three"]\nweight = 0\n'
    )
    chosen = [found.choose(rng).text for rng in [random.Random(7)] for _ in range(1000)]
    again = [found.choose(rng).text for rng in [random.Random(7)] for _ in range(1000)]
    assert chosen == again
    assert 850 < chosen.count("one") < 950
    assert chosen.count("three") == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\n", 'some.toml: [a]: expected texts = ["…", …] with at least one prompt'),
        ("[a]\ntexts = []\n", "expected texts"),
        ("[a]\ntexts = [1]\n", "expected texts"),
        ('[a]\ntexts = "Hello."\n', "expected texts"),
        ("a = 1\n", "[a]: expected texts"),
        ('[a]\ntexts = ["x"]\nweigth = 2\n', "unknown key 'weigth'; known are texts, expects, weight, reference"),
        ('[a]\ntexts = ["x"]\nexpects = ["chunks"]\n', "expects 'chunks', which is no event; known are chunk"),
        ('[a]\ntexts = ["x"]\nexpects = "chunk"\n', "expects"),
        ('[a]\ntexts = ["x"]\nreference = "both"\n', 'reference = \'both\'; expected "prompt" or "context"'),
        ('[a]\ntexts = ["x"]\nweight = "heavy"\n', "weight = 'heavy'; expected a number, 0 or more"),
        ('[a]\ntexts = ["x"]\nweight = -1\n', "weight = -1; expected a number, 0 or more"),
        ('[a]\ntexts = ["x"]\nweight = 0\n', "no prompts"),
        ("", "no prompts; expected a table a family"),
        ("[a\n", "not readable as TOML"),
    ],
)
def test_prompts_that_cannot_be_used_say_where_and_what_was_expected(project, text, said):
    told = refused(prompts_of, project, text)
    assert "some.toml" in told
    assert said in told


# --- accounts -------------------------------------------------------------------------------------------------------


def accounts_of(project, text):
    (project / "accounts").write_text(text)
    return load_accounts(project / "accounts")


def test_accounts_of_a_csv_or_a_json_file(project):
    by_hand = (Account("ann", "", "", "t1"), Account("ben", "ben@x.test", "p", ""))
    assert accounts_of(project, "user_id,email,password,token\nann,,,t1\n,ben@x.test,p,\n") == by_hand
    assert (
        accounts_of(project, '[{"user_id": "ann", "token": "t1"}, {"email": "ben@x.test", "password": "p"}]') == by_hand
    )


def test_a_name_in_a_file_goes_before_the_email(project):
    assert accounts_of(project, "user_id,email,password\nann,a@x.test,p\n")[0].name == "ann"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no accounts; expected a header line and one line an account"),
        ("user_id,token\n", "no accounts"),
        ("[]", "no accounts"),
        ("user_id,token\nann,t1\nben,\n", "entry 2: expected user_id and token, or email and password"),
        ("email,password\na@x.test,\n", "entry 1: expected"),
        ("token\nt1\n", "entry 1: expected"),
        ("user_id,token\nann,t1\nann,t2\n", "an account stands there twice; each simulated user needs one of its own"),
        ("[{]", "not readable as JSON"),
        ('["ann"]', "entry 1: expected user_id and token, or email and password"),
    ],
)
def test_accounts_that_cannot_be_used_say_which_and_what_was_expected(project, text, said):
    told = refused(accounts_of, project, text)
    assert str(project / "accounts") in told
    assert said in told
    assert "t1" not in told.replace(str(project), ""), "no token is shown"
