"""A fresh token on a socket: taken in mid-run, refused where it is another's, and what it is good for afterwards."""

from __future__ import annotations

import time

import gevent
import pytest

from crosstalk.accounts import expires_at_s
from tests.backend.client import backend, mint
from tests.helpers import user_name
from tests.test_session import HELLO, ME, OTHER, desk  # noqa: F401  the fixture


def soon(life_s: int, number: int = ME) -> str:
    return mint(user_name(number), exp=int(time.time()) + life_s)


def ws(process) -> str:
    return process.url.replace("http", "ws", 1) + "/ws"


def ask(session, person):
    return session.ask(HELLO, person.new_thread(), intended_ns=None, warm_up=False)


def test_a_fresh_token_is_taken_while_a_run_goes_on(desk):  # noqa: F811
    with backend("--time-scale", "0.2", "--close-at-expiry") as process:
        session = desk.session(ws(process), token=soon(60))
        session.open()
        going = gevent.spawn(ask, session, desk.person())
        gevent.idle()
        fresh = soon(90)
        assert session.renew(fresh)
        assert session.expires_s == expires_at_s(fresh)
        assert going.get(timeout=10).outcome == "ok"
        session.close()
    assert desk.names("identity") == desk.names("delivery") == []


def test_a_socket_whose_token_was_renewed_outlives_the_one_before(desk):  # noqa: F811
    with backend("--time-scale", "0.05", "--close-at-expiry") as process:
        session = desk.session(ws(process), token=soon(2))
        session.open()
        old_s = session.expires_s
        assert session.renew(soon(60))
        gevent.sleep(max(old_s - time.time(), 0) + 0.3)  # bounded: until the token before has expired
        assert session.is_ready and ask(session, desk.person()).outcome == "ok"
        session.close()


def test_a_run_on_a_renewed_socket_is_not_excused_by_the_old_expiry(desk):  # noqa: F811
    """Before a renewal a close at the expiry cuts the run; after one it has lost the run."""
    with backend("--fault", "expiry_cuts_run", "--delay", "thinking=fixed:3000") as process:
        outcomes = []
        for fresh in ("", soon(60)):
            session = desk.session(ws(process), token=soon(2))
            session.open()
            if fresh:
                assert session.renew(fresh)
            outcomes.append(ask(session, desk.person()).outcome)
            session.close()
    assert outcomes == ["cut", "disconnected"]


@pytest.mark.parametrize("whose", ["another's", "nobody's"])
def test_a_token_that_is_not_ones_own_is_not_taken(desk, whose):  # noqa: F811
    with backend("--time-scale", "0.1") as process:
        session = desk.session(ws(process), token=soon(60))
        session.open()
        before_s = session.expires_s
        assert not session.renew(soon(90, OTHER) if whose == "another's" else "no token")
        assert session.expires_s == before_s
        session.close()
