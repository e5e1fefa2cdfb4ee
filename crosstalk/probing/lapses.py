"""A token that expires in mid-run, made short on purpose. What the target does about it is its policy; what is not is
that the expired token still opens doors."""

from __future__ import annotations

from crosstalk.accounts import expires_at_s
from crosstalk.checks.violation import delivery
from crosstalk.clock import clock
from crosstalk.generator import Generator
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.person import Person

#: seconds in a token that is to expire in mid-run: `exp` counts whole ones
LIFE_S = 2


def lapse(generator: Generator, person: Person, prompt: Prompt, thread: Thread) -> LiveRun | None:
    """Ask so late in the life of a token that it expires in mid-run, then show it once more; None without a mint.

    A run that was cut because the target closed the socket at the expiry is not held against it.

    :raises NotReady: the short token was refused while it was good.
    """
    if generator.mint is None:
        return None
    token = generator.mint.token(person.name, life_s=LIFE_S)
    session = generator.session(person, purpose="probe", token=token)
    try:
        session.open()
        left_s = expires_at_s(token) - clock.now_ns() / 1e9
        generator.stopping.wait(max(left_s - 0.2, 0.0))
        run = session.ask(prompt, thread, intended_ns=None, warm_up=generator.warm_up)
        _shown_again(generator, person, token)
        return run
    finally:
        session.close()


def _shown_again(generator: Generator, person: Person, token: str) -> None:
    """The expired token over HTTP: it must be refused."""
    call = generator.settings.dialect.list_threads()
    if call is None or expires_at_s(token) * 1e9 > clock.now_ns():
        return
    answer = generator.call(person, call, name="expired token", fine=(401, 403), token=token)
    if 200 <= answer.status < 300:
        came = f"{call.method} {call.path.partition('?')[0]} was answered"
        violation = delivery("forged_token_accepted", expected="a refusal of: expired", came=came)
        generator.notes(person).violation(violation)
