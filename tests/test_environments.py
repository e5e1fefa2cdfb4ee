"""Environments: their keys, what options change in them, where a target is, and what must not go unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosstalk.config import ConfigError, addresses, check_target, load_settings, signing_key
from crosstalk.environments import Places, TokenRules
from crosstalk.hosts import Addresses, Route, check_files
from crosstalk.proxy import Proxy, parse_proxy
from crosstalk.wire.netra import Netra
from crosstalk.wire.promises import Promises
from tests.helpers import Authority, parsed

ROOT = Path(__file__).resolve().parents[1]
TIMES = "connect_timeout_s = 5\nagent_timeout_s = 8\nreceive_timeout_s = 10\n"
SECRET = {"JWT_SECRET_KEY": "s" * 32}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Settings of an environment `mine` with these keys, and options beside them."""
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "staging.toml").write_text("")
    (tmp_path / "prompts.toml").write_text('[greeting]\ntexts = ["Hello."]\n')
    (tmp_path / "locustfile.py").write_text("")
    monkeypatch.chdir(tmp_path)

    def settings(keys="", *options, host="", environ=None, name="mine"):
        (tmp_path / "environments.toml").write_text(f"[{name}]\n{TIMES}{keys}\n")
        arguments = parsed("--environment", name, *options, locustfile="locustfile.py")
        arguments.host = host
        return load_settings(arguments, environ or {})

    return settings


def refused(call, *arguments, **more):
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('hots = ["h"]', "unknown key 'hots'; did you mean host"),
        ("host = 7", "host = 7: expected a text"),
        ("max_users = -1", "max_users = -1: expected a whole number, 0 or more"),
        ("max_users = true", "expected a whole number"),
        ("max_runs = 1.5", "expected a whole number"),
        ('insecure = "yes"', "expected true or false"),
        ("headers = { X = 1 }", 'expected a table of texts: NAME = "ENVVAR"'),
        ("hosts = [1]", "expected a list of names"),
        ("cold_start_s = -1", "expected seconds, 0 or more"),
        ('token_algorithm = "none"', "expected HS256, RS256, ES256"),
        ('token_algorithm = "RS256"', "token_key_file is the private key of RS256"),
        ('token_key_file = "key.pem"', "HS256 is signed with a secret"),
        ("token_life_s = 0", "expected 1 or more"),
        ('token_checks = ["sub"]', "expected some of aud, iss, env, token_type"),
        ('token_checks = "aud"', "expected a list of names"),
    ],
)
def test_a_key_that_cannot_be_used_says_what_was_expected(table, keys, said):
    told = refused(table, keys, host="http://h")
    assert said in told and "environments.toml: [mine]" in told


def test_every_key_is_documented():
    text = (ROOT / "docs/options.md").read_text()
    from crosstalk.environments import _TYPES

    assert [key for key in _TYPES if f"`{key}`" not in text] == []


# --- places ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "found"),
    [
        (Places(), Addresses("ws://h:1/ws", "http://h:1", "http://h:1")),
        (Places(socket_path="/chat"), Addresses("ws://h:1/chat", "http://h:1", "http://h:1")),
        (Places(socket_url="wss://s"), Addresses("wss://s/ws", "http://h:1", "http://h:1")),
        (Places(socket_url="wss://s/deep"), Addresses("wss://s/deep", "http://h:1", "http://h:1")),
        (Places(rest_url="https://r/api/"), Addresses("ws://h:1/ws", "https://r/api", "https://r/api")),
        (Places(auth_url="https://a/base"), Addresses("ws://h:1/ws", "http://h:1", "https://a/base")),
    ],
)
def test_what_is_not_said_is_derived_from_the_host(places, found):
    named = Places("http://h:1", *(getattr(places, name) for name in Places.__slots__[1:]))
    assert addresses(named, "http://h:1", Netra()) == found
    derived = Addresses("ws://other/ws", "http://other", "http://other")
    assert addresses(named, "http://other", Netra()) == derived, "another host has none of this one's addresses"


def test_options_go_before_the_table_and_another_host_is_another_target(table):
    keys = 'host = "https://a.test"\nsocket_url = "wss://s.test"\nauth_url = "https://sign-in.test"\n'
    places = table(keys).environment.places
    assert (places.host, places.socket_url) == ("https://a.test", "wss://s.test")
    other = table(keys, host="https://b.test").environment.places
    assert (other.host, other.socket_url, other.auth_url) == ("https://b.test", "", "https://sign-in.test")
    said = table(keys, "--socket-url", "wss://t.test", host="https://b.test").environment.places
    assert (said.host, said.socket_url) == ("https://b.test", "wss://t.test")
    assert table("", "--socket-url", "wss://t.test").target == "wss://t.test"


def test_the_life_of_tokens_is_that_of_the_table_or_of_the_option(table):
    assert table().environment.token.life_s == 900
    assert (table("token_life_s = 60").environment.token.life_s, table("token_life_s = 60").token_life_s) == (60, 60)
    assert table("token_life_s = 60", "--token-life", "7").token_life_s == 7
    assert table().token_life_s == 0  # the reference backend need not be told


@pytest.mark.parametrize(
    ("keys", "options", "key"),
    [
        ('auth_url = "http://a"', (), "auth_url"),
        ("", ("--socket-path", "/x"), "socket_path"),
        ("", ("--proxy", "http://p:1"), "http_proxy"),
        ("", ("--insecure",), "insecure"),
        ('login_path = "/in"', (), "login_path"),
    ],
)
def test_what_would_do_nothing_for_the_reference_backend_is_refused(table, keys, options, key):
    assert f"{key} is for a target of your own" in refused(table, keys, *options)
    assert table(keys, *options, host="http://h")


@pytest.mark.parametrize("option", ["--socket-url", "--rest-url", "--auth-url"])
def test_production_agrees_to_every_address_and_lists_those_of_its_table(table, option):
    settings = table('host = "https://chat.test"', option, "https://other.test", name="production")
    assert "say --yes other.test" in refused(check_target, settings, settings.target, 1, SECRET)
    key = option[2:].replace("-", "_")
    listed = table(f'host = "https://chat.test"\n{key} = "https://other.test"', name="production")
    check_target(listed, listed.target, 1, SECRET)
    elsewhere = table('host = "https://chat.test"', host="https://typo.test", name="production")
    assert "say --yes typo.test" in refused(check_target, elsewhere, elsewhere.target, 1, SECRET)


@pytest.mark.parametrize(
    ("places", "said"), [("--rest-url", "ftp://r"), ("--auth-url", "http://"), ("--socket-url", "x://y")]
)
def test_an_address_that_is_none_says_what_was_expected(table, places, said):
    settings = table("", places, said, host="http://h")
    assert "expected ws://, wss://, http:// or https://" in refused(check_target, settings, "http://h", 1, SECRET)


def test_credentials_in_a_url_are_refused_and_not_shown(table):
    settings = table("", "--auth-url", "http://me:hush@a.test", host="http://h")
    assert "hush" not in refused(check_target, settings, "http://h", 1, SECRET)
    settings = table("", host="http://me:hush@a.test")
    assert "hush" not in refused(check_target, settings, settings.target, 1, SECRET)


# --- what travels along ---------------------------------------------------------------------------------------------


def test_headers_cookies_and_origin_become_headers_and_options_go_before_the_table(table):
    keys = 'origin = "https://app.test"\nheaders = { X-A = "A", X-B = "B" }\ncookies = { one = "A" }\n'
    environ = {"A": "a", "B": "b", "C": "c"}
    found = table(keys, "--header", "X-B=C", "--cookie", "two=B", environ=environ)
    assert found.headers == {"X-A": "a", "X-B": "c", "Cookie": "one=a; two=b", "Origin": "https://app.test"}


@pytest.mark.parametrize(
    ("keys", "options", "said"),
    [
        ('headers = { X-A = "A" }', (), "[mine] headers: X-A: the environment variable A is not set"),
        ('cookies = { one = "A" }', (), "[mine] cookies: one: the environment variable A is not set"),
        ("", ("--cookie", "one"), "--cookie 'one': expected NAME=ENVVAR"),
    ],
)
def test_a_value_that_is_not_there_is_named(table, keys, options, said):
    assert said in refused(table, keys, *options)


def test_a_value_with_a_line_break_is_refused(table):
    assert "line break" in refused(table, 'headers = { X-A = "A" }', environ={"A": "a\r\nX-B: b"})


# --- the way --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"), [("http://p:3128", ("p", 3128)), ("p:3128", ("p", 3128)), ("http://[::1]:9/", ("::1", 9))]
)
def test_a_proxy_is_a_host_and_a_port(url, found):
    proxy = parse_proxy(url, "me:it")
    assert proxy is not None and (proxy.host, proxy.port) == found
    assert "me:it" not in repr(proxy)


@pytest.mark.parametrize("url", ["https://p:1", "http://", "http://p:x", "http://p:1/path"])
def test_what_is_no_proxy_says_what_was_expected(url):
    assert "expected http://HOST:PORT" in refused(parse_proxy, url, "")


def test_credentials_of_a_proxy_come_from_the_environment_alone():
    said = refused(parse_proxy, "http://me:hush@p:1", "")
    assert "CROSSTALK_PROXY_CREDENTIALS" in said and "hush" not in said
    assert "expected user:password" in refused(parse_proxy, "http://p:1", "hush")


def test_a_tunnel_is_asked_for_with_credentials_and_brackets():
    asked = Proxy("p", 1, "me:it").request("::1", 443)
    assert asked.startswith(b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n")
    assert asked.endswith(b"Proxy-Authorization: Basic bWU6aXQ=\r\n\r\n")
    assert b"Authorization" not in Proxy("p", 1).request("h", 443)


def test_files_of_the_way_are_looked_at_before_the_start(tmp_path):
    authority = Authority(tmp_path)
    authority.server_context("h.test")
    pair = str(tmp_path / "server.pem")
    check_files(Route(ca_file=str(authority.file), client_certificate=pair))
    for route, said in (
        (Route(client_certificate="nowhere.pem"), "--client-certificate nowhere.pem: no such file"),
        (Route(client_certificate=pair, client_key="nowhere.pem"), "--client-key nowhere.pem: no such file"),
        (Route(client_key=pair), "--client-key goes with --client-certificate"),
        (Route(client_certificate=str(authority.file)), "expected a certificate and its private key in PEM"),
        (Route(insecure=True, ca_file=str(authority.file)), "--insecure verifies no certificate"),
    ):
        assert said in refused(check_files, route)


def test_insecure_warns_and_nothing_else_does(table):
    assert table("insecure = true", host="https://h").warnings[0].startswith("INSECURE")
    assert table("", host="https://h").warnings == ()


# --- tokens and ceilings --------------------------------------------------------------------------------------------


def test_a_key_that_cannot_sign_is_refused(tmp_path):
    file = tmp_path / "key.pem"
    file.write_text("no key")
    rules = TokenRules(algorithm="RS256", key_file=str(file))
    assert "expected a private key for RS256 in PEM" in refused(signing_key, "mine", rules, {})
    missing = TokenRules(algorithm="RS256", key_file="nowhere.pem")
    assert "token_key_file nowhere.pem: cannot be read" in refused(signing_key, "mine", missing, {})


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("tokens.py:missing", "has no function missing"),
        ("tokens.py:NUMBER", "NUMBER is no function"),
        ("nowhere.py:make", "cannot import"),
        ("make", "expected path/file.py:function or module:function"),
    ],
)
def test_a_token_function_that_cannot_be_used_says_why(table, tmp_path, function, said):
    (tmp_path / "tokens.py").write_text("NUMBER = 7\n")
    assert said in refused(table, f'token_function = "{function}"', host="http://h")


@pytest.mark.parametrize(("body", "said"), [("1 / 0", "ZeroDivisionError for account ann"), ("None", "got NoneType")])
def test_what_a_token_function_does_wrong_is_one_line(table, tmp_path, body, said):
    (tmp_path / "tokens.py").write_text(f"def make(name):\n    return {body}\n")
    function = table('token_function = "tokens.py:make"', host="http://h").token_function
    assert said in refused(function, "ann")


def test_with_a_token_function_a_name_is_an_account(table, tmp_path):
    (tmp_path / "tokens.py").write_text("def make(name):\n    return 'token of ' + name\n")
    (tmp_path / "accounts.csv").write_text("user_id\nann\n")
    found = table('token_function = "tokens.py:make"', "--accounts", "accounts.csv", host="http://h")
    assert [account.name for account in found.accounts] == ["ann"]
    assert found.token_function("ann") == "token of ann"
    assert "entry 1: expected" in refused(table, "", "--accounts", "accounts.csv", host="http://h")


@pytest.mark.parametrize(("asked", "holds"), [((), 9), (("--max-runs", "4"), 4), (("--max-runs", "9"), 9)])
def test_a_ceiling_holds_where_less_is_not_asked_for(table, asked, holds):
    assert table("max_runs = 9", *asked).max_runs == holds


def test_more_than_a_ceiling_is_refused(table):
    assert "--max-runs 10: environment mine bears 9" in refused(table, "max_runs = 9", "--max-runs", "10")
    settings = table("max_users = 3")
    check_target(settings, "", 3)
    assert "--users 4: environment mine bears 3" in refused(check_target, settings, "", 4)


# --- limits that a target is known to have ----------------------------------------------------------------------------


def test_declared_limits_are_read_and_are_none_by_default(table):
    keys = "declared_sockets_per_user = 3\ndeclared_idle_s = 35\ndeclared_rate_window_s = 0.5"
    promises = table(keys, host="wss://chat.example.org", environ=SECRET).environment.promises
    assert promises == Promises(sockets_per_user=3, idle_s=35.0, rate_window_s=0.5)
    assert table().environment.promises == Promises()


@pytest.mark.parametrize(
    "keys", ["declared_sockets_per_user = 2.5", 'declared_idle_s = "long"', "declared_idle_s = -1"]
)
def test_a_declared_limit_of_another_kind_is_refused(table, keys):
    assert "environments.toml: [mine]: declared_" in refused(table, keys)
