"""What could make a target laxer runs alone, at the end: a burst of forged tokens, each of which must be refused.

Some authentication layers open up after too many failures (a circuit breaker that fails open). Nobody else is connected
when this is tried.
"""

from __future__ import annotations

from crosstalk.generator import Generator
from crosstalk.session import NotReady

BURST = 5


def forged_burst(generator: Generator, number: int) -> int:
    """Show `BURST` forged tokens, one after the other; returns how many were accepted. Each leaves its row.

    :param number: of the account whose name the tokens bear.
    """
    person = generator.person("afterwards", number)
    accepted = 0
    for _ in range(BURST):
        session = generator.session(person, purpose="bad_token")
        try:
            session.go_to(generator.make_place(person))
            session.open()
            accepted += 1
        except NotReady:
            pass  # as it should be: its row says how
        finally:
            session.close()
    generator.leave_for_good(person)
    return accepted
