"""Every class of error, provoked with a reference of one's own in the input; channel 21."""

from __future__ import annotations

from crosstalk.checks.canary import Site
from crosstalk.generator import Generator
from crosstalk.person import Person
from crosstalk.probing.second_sockets import second_socket
from crosstalk.wire.event import Kind

ERRORS = frozenset({Kind.ERROR, Kind.REFUSED, Kind.REJECTED, Kind.MALFORMED})


def provoke(generator: Generator, person: Person) -> int:
    """Send each frame that a target answers with an error, on sockets to be thrown away; how many brought one.

    What comes back is looked at where it arrives: an error that repeats what another provoked is a violation. A target
    that closes its socket on an error is right to do so, so each frame finds a socket that is ready.

    :raises NotReady: there is no socket to be had.
    """
    person.ordinal += 1
    reference = person.observer.plant(ordinal=person.ordinal, site=Site.PROMPT)
    dialect, errors = generator.settings.dialect, 0
    waiting = list(dialect.provoke(reference))
    if waiting and (not_a_token := dialect.authenticate_again(f"no.token.{reference}")) is not None:
        waiting.append(not_a_token)  # what ends a socket, and has a close reason
    while waiting:
        with second_socket(generator, person) as session:
            while waiting and session.is_ready:
                events = session.exchange(waiting.pop(0))
                came = not session.is_ready or any(event.kind in ERRORS for event, _ in events)
                errors += came
                generator.exposures.observe(21, own_live=person.observer.runs_live)
                generator.exposures.control(21, expected=1, seen=int(came))
    return errors
