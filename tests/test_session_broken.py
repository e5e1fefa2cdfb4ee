"""A server that breaks RFC 6455, or ends in mid-message: the violation it is, and what is found in its last words."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

import tests.helpers
from crosstalk.accounts import roster
from crosstalk.connection import Inbox
from crosstalk.credentials import Account
from tests.helpers import CLOSE, PING, TEXT, close_bytes, frame_bytes, server, user_name
from tests.test_session import ME, OTHER, Desk, ask, chat, cut_short, ended, theirs, url

BEGUN = b"\x01\x02{}"  # a text that is to go on
CHAR = b'"\xc3\x28"'  # no UTF-8


@pytest.fixture
def desk() -> Iterator[Desk]:
    inbox = Inbox()
    yield Desk(inbox)
    inbox._greenlet.kill()


def cut(desk: Desk, last: bytes) -> list[tuple[int, bytes]]:
    """A run that these bytes end; returns what the server still heard."""
    heard: list[tuple[int, bytes]] = []

    def end(peer) -> None:
        peer.send(last)
        peer.sock.shutdown(socket.SHUT_WR)
        heard.extend(peer.read_to_end())

    with server(chat(cut_short(end))) as here:
        session = desk.session(url(here))
        session.open()
        assert ask(desk, session).outcome == "disconnected"
        session.close()
        ended(here)
    return heard


@pytest.mark.parametrize(
    ("sent", "code", "section"),
    [
        (b"\x81\x82mask\x16\x1c", 1002, "5.1"),
        (b"\xc1\x02{}", 1002, "5.2"),
        (b"\x83\x02{}", 1002, "5.2"),
        (b"\x81\x7e\x00\x02{}", 1002, "5.2"),
        (b"\x81\x7f\x80" + bytes(7), 1002, "5.2"),
        (b"\x80\x02{}", 1002, "5.4"),
        (BEGUN + frame_bytes(TEXT, b"{}"), 1002, "5.4"),
        (b"\x09\x00", 1002, "5.5"),
        (b"\x89\x7e\x00\x7e" + bytes(126), 1002, "5.5"),
        (frame_bytes(CLOSE, b"\x03"), 1002, "5.5.1"),
        (frame_bytes(CLOSE, b"\x03\xe8\xff"), 1007, "5.5.1"),
        (close_bytes(1006), 1002, "7.4"),
        (frame_bytes(TEXT, CHAR), 1007, "8.1"),
        (b"\x01\x02" + CHAR[:2] + frame_bytes(PING) + b"\x80\x02" + CHAR[2:], 1007, "8.1"),
        (b"\x82\x7f" + struct.pack("!Q", 1 << 40), 1009, "10.4"),
    ],
)
def test_a_servers_breach_of_the_protocol_is_malformed_and_names_the_section_of_the_rule(desk, sent, code, section):
    heard = cut(desk, sent)
    [row] = desk.rows("violations")
    assert (row["judgement"], row["name"]) == ("delivery", "malformed")
    assert row["expected"] == "frames that follow RFC 6455"
    assert row["came"].endswith(f" (RFC 6455, {section})")
    assert row["frame"] != ""
    [connection] = desk.rows("connections")
    assert (connection["close_code"], connection["closed_by"]) == (code, "peer")
    assert heard[-1] == (CLOSE, struct.pack("!H", code))


UNFINISHED = "message that never ended"
LEAKS = {
    "a close in mid-message": (lambda leak: b"\x01\x24" + leak + close_bytes(1001), UNFINISHED),
    "fragments that never end": (lambda leak: b"\x01\x10" + leak[:16] + b"\x00\x14" + leak[16:], UNFINISHED),
    "a frame cut short": (lambda leak: b"\x81\x7e\x01\x00" + leak, UNFINISHED),
    "behind a close": (lambda leak: close_bytes(1000) + frame_bytes(TEXT, leak), "frames behind the close frame"),
    "a frame that breaks a rule": (lambda leak: b"\xc1\x24" + leak, "frame that breaks the protocol"),
    "fragments before a breach": (lambda leak: b"\x01\x24" + leak + b"\xc0\x00", "frame that breaks the protocol"),
    "behind a breach": (lambda leak: b"\x83\x00" + frame_bytes(TEXT, leak), "frame that breaks the protocol"),
}  # fmt: skip


@pytest.mark.parametrize(("last", "where"), LEAKS.values(), ids=LEAKS)
def test_what_belongs_to_another_is_found_in_what_is_in_no_message(desk, last, where):
    cut(desk, last(theirs(desk).encode()))
    [row] = [row for row in desk.rows("violations") if row["judgement"] == "isolation"]
    assert (row["name"], row["owner"], row["field"]) == ("foreign_content", user_name(OTHER), where)


def own_accounts(monkeypatch) -> str:
    """Accounts whose names begin alike; returns one's own, which begins as the other's whole name."""
    names = [f"nobody-{number:03}" for number in range(ME)] + ["loadtest-17", "loadtest-1"]
    accounts = tuple(Account(name) for name in names)
    monkeypatch.setattr(tests.helpers, "ROSTER", roster(1, accounts))
    return names[ME]


@pytest.mark.parametrize(
    ("more", "accused"), [(b"", []), (b'"', ["foreign_id"])], ids=["cut in a name", "another's name"]
)
@pytest.mark.parametrize("head", [b"\x81\x7e\x01\x00", b"\xc1\x7e\x01\x00"], ids=["cut short", "breach"])
def test_a_name_of_ones_own_that_is_cut_short_is_not_taken_for_anothers(desk, monkeypatch, head, more, accused):
    mine = own_accounts(monkeypatch)
    cut(desk, head + b'{"user_id": "' + mine[:-1].encode() + more)
    assert [row["name"] for row in desk.rows("violations") if row["judgement"] == "isolation"] == accused
