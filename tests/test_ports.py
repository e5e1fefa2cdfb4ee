"""The port of a master: free with `--processes`, as said where somebody said one, and one line where it is taken."""

import os
import socket
import sys
from contextlib import suppress

import configargparse
import pytest

from crosstalk.ports import COUNT, FIRST, PortChoice, free_port

USUAL = 5557


def like_locusts():
    """The options of Locust's parser that matter here; to import its own would patch this process's sockets."""
    parser = configargparse.ArgumentParser()
    parser.add_argument("--processes", type=int, env_var="LOCUST_PROCESSES")
    for role in ("--master", "--worker"):
        parser.add_argument(role, action="store_true")
    parser.add_argument("--master-bind-host", default="*")
    parser.add_argument("--master-host", default="127.0.0.1")
    for port in ("--master-bind-port", "--master-port"):
        parser.add_argument(port, type=int, default=USUAL)
    return parser


@pytest.fixture
def ports(monkeypatch):
    """The master's port and the one that workers go to, for a command line."""

    def chosen(*arguments):
        monkeypatch.setattr(sys, "argv", ["locust", *arguments])
        parser = like_locusts()
        PortChoice()(parser)
        found = parser.parse_args(list(arguments))
        return found.master_bind_port, found.master_port

    return chosen


@pytest.fixture
def taken():
    with socket.socket() as held:
        held.bind(("127.0.0.1", free_port()))
        held.listen()
        yield held.getsockname()[1]


def test_processes_take_a_free_port_below_those_of_outgoing_connections(ports):
    bound, gone_to = ports("--processes", "2")
    assert bound == gone_to != USUAL
    assert FIRST <= bound < FIRST + COUNT <= 32_768


def test_the_variable_says_processes_too(ports, monkeypatch):
    monkeypatch.setenv("LOCUST_PROCESSES", "2")
    assert ports()[0] != USUAL


@pytest.mark.parametrize("option", ["--master-bind-port", "--master-port"])
def test_a_port_that_was_said_holds_for_both(ports, option):
    port = free_port()
    assert ports("--processes", "2", option, str(port)) == (port, port)


def test_the_usual_port_may_be_said(ports):
    with suppress(SystemExit):  # somebody else on this machine has it: then it was looked at
        assert ports("--processes", "2", "--master-bind-port", str(USUAL)) == (USUAL, USUAL)


def test_without_processes_the_usual_port_stays(ports):
    assert ports() == (USUAL, USUAL)
    assert ports("--worker") == (USUAL, USUAL)
    assert ports("--worker", "--processes", "2", "--master-host", "10.0.0.1") == (USUAL, USUAL)


@pytest.mark.parametrize("mode", [("--processes", "2"), ("--master",)])
def test_a_taken_port_is_one_line(ports, taken, mode, capsys):
    with pytest.raises(SystemExit) as ended:
        ports(*mode, "--master-bind-port", str(taken))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"crosstalk: port {taken} is taken") and said.count("\n") == 1


def test_a_taken_port_is_passed_over(monkeypatch):
    first = free_port()
    with socket.socket() as held:
        held.bind(("", first))
        held.listen()
        assert free_port() != first


def test_processes_that_ask_at_the_same_moment_get_different_ones(monkeypatch):
    mine, other = free_port(), os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    assert free_port() != mine


def test_parsers_that_locust_makes_later_find_the_port_in_use_and_say_nothing(monkeypatch):
    choice, port = PortChoice(), free_port()
    monkeypatch.setattr(sys, "argv", ["locust", "--master", "--master-bind-port", str(port)])
    first, second = like_locusts(), like_locusts()
    choice(first)
    with socket.create_server(("", port)):
        choice(second)


def test_help_is_not_disturbed(ports, capsys):
    with pytest.raises(SystemExit) as ended:
        ports("--help")
    assert ended.value.code == 0
    assert "--processes" in capsys.readouterr().out
