"""Names are looked up anew each time, but once for all who ask at the same time."""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event as Flag

import crosstalk.stream
from crosstalk.stream import resolve

ANSWER = [(stdlib_socket.AF_INET, stdlib_socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]


class Resolver:
    """Stands in for the system's: counts who asks, and answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun, self.may_answer = Flag(), Flag()
        self.answer: Callable[[], list] = lambda: ANSWER

    def __call__(self, host: str, _port: int, **_: object) -> list:
        self.asked.append(host)
        self.begun.set()
        assert self.may_answer.wait(5)
        return self.answer()


@pytest.fixture
def resolver(monkeypatch) -> Resolver:
    resolver = Resolver()
    monkeypatch.setattr(crosstalk.stream.socket, "getaddrinfo", resolver)
    return resolver


def asking(count: int, host: str = "chat.example") -> list[gevent.Greenlet]:
    users = [gevent.spawn(resolve, host, 443) for _ in range(count)]
    gevent.idle()
    return users


def test_all_who_ask_at_the_same_time_share_a_lookup(resolver):
    users = [*asking(20), *asking(1, "other.example")]
    resolver.may_answer.set()
    gevent.joinall(users, timeout=5)
    assert [user.value for user in users] == [["192.0.2.7"]] * 21
    assert resolver.asked == ["chat.example", "other.example"]


def test_who_asks_later_asks_anew(resolver):
    resolver.may_answer.set()
    assert resolve("chat.example", 443) == resolve("chat.example", 443) == ["192.0.2.7"]
    assert resolver.asked == ["chat.example"] * 2


def test_all_of_them_are_told_of_a_failure(resolver):
    def fail() -> list:
        raise stdlib_socket.gaierror(-2, "Name or service not known")

    resolver.answer = fail
    users = asking(3)
    resolver.may_answer.set()
    gevent.joinall(users, timeout=5)
    assert [type(user.exception) for user in users] == [stdlib_socket.gaierror] * 3
    assert len(resolver.asked) == 1


def test_when_the_one_who_asks_is_stopped_another_asks(resolver):
    first, *others = asking(3)
    first.kill()
    gevent.idle()
    resolver.may_answer.set()
    gevent.joinall(others, timeout=5)
    assert [user.value for user in others] == [["192.0.2.7"]] * 2
    assert len(resolver.asked) == 2


def test_an_address_is_not_looked_up(resolver):
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert resolve("::1", 80) == ["::1"]
    assert resolver.asked == []
