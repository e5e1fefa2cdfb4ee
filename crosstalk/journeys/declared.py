"""What the target of a load test declares of its limits: what it says itself, but for what environments.toml says."""

from __future__ import annotations

from crosstalk.generator import Generator
from crosstalk.person import Person
from crosstalk.wire.promises import Promises


def declared(generator: Generator, person: Person) -> Promises:
    """The target is asked each time: what it says may change with a deployment."""
    known = generator.settings.environment.promises
    call = generator.settings.dialect.limits()
    if call is None:
        return known
    answer = generator.call(person, call, name="limits")
    return known.over(generator.settings.dialect.promised(answer.body)) if isinstance(answer.body, dict) else known
