"""The circuit breaker between insights and what they are made of."""

from hypothesis import given
from hypothesis import strategies as st

from crosstalk.backend.insights import FAILURES_MAX, OPEN_S, Breaker
from tests.backend.client import backend

A, B = "ins00001", "ins00002"


def insights(process, user, *, away=False):
    status, body, headers = process.http("GET", "/api/insights" + ("?dependency=away" if away else ""), user=user)
    return status, body.get("breaker"), headers.get("Retry-After")


@given(st.lists(st.sampled_from(["fail", "succeed", "wait"]), max_size=40))
def test_a_breaker_is_open_after_failures_in_a_row_and_for_a_while(history):
    now, opened, failures = [0.0], None, 0
    breaker = Breaker(lambda: now[0])
    for word in history:
        if word == "wait":
            now[0] += OPEN_S
        elif breaker.wait_s():
            continue  # nothing is let through
        elif word == "fail":
            breaker.failed()
            failures += 1
            opened = now[0] if failures >= FAILURES_MAX or opened is not None else None
        else:
            breaker.succeeded()
            opened, failures = None, 0
        assert breaker.state == ("closed" if opened is None else "open" if now[0] < opened + OPEN_S else "half_open")


def test_it_opens_and_says_how_long_and_closes_again(clean):
    assert insights(clean, A) == (200, "closed", None)
    assert [insights(clean, A, away=True)[0] for _ in range(FAILURES_MAX)] == [502] * FAILURES_MAX
    assert insights(clean, A) == (503, "open", "1")
    assert insights(clean, B) == (200, "closed", None)  # each user has a breaker of their own
    while (seen := insights(clean, A))[0] == 503:
        assert seen[1:] == ("open", "1")
    assert seen == (200, "closed", None)


def test_insights_need_a_token(clean):
    assert clean.http("GET", "/api/insights")[0] == 401


def test_breaker_never_opens():
    with backend("--fault", "breaker_never_opens:1:1") as process:
        assert {insights(process, A, away=True)[0] for _ in range(FAILURES_MAX + 3)} == {502}
        assert [insights(process, B, away=True)[0] for _ in range(FAILURES_MAX + 1)][-1] == 503


def test_breaker_never_closes():
    with backend("--fault", "breaker_never_closes:1:1") as process:
        for user in (A, B):
            while insights(process, user, away=True)[0] == 502:
                pass
        while insights(process, B)[0] == 503:  # bounded: the breaker is open for a second
            assert insights(process, A)[0] == 503
        assert insights(process, B)[0] == 200
        assert insights(process, A)[0] == 503
