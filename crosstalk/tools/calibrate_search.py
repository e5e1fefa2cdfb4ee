"""Finding the largest load that is held: double until one is not, then halve the distance. Pure."""

from __future__ import annotations

from collections.abc import Callable


def largest(holds: Callable[[int], bool], *, first: int, most: int, precision: float = 1.15, halvings: int = 2) -> int:
    """The largest number of users that holds, as far as it was searched; 0 when not even a few do.

    A load that fails for the first time is tried once more: another program may have been in its way. Once a load has
    failed twice, the distance to the largest that held is halved until it is within `precision`, or often enough.

    :param holds: measures one load.
    """
    held, failed, users = 0, 0, first
    while users <= most:
        if holds(users) or holds(users):
            held, users = users, users * 2
            continue
        failed = users
        break
    if not held:  # begin smaller: down to a sixteenth
        held, failed = _below(holds, failed or first)
    for _ in range(halvings):
        if not failed or not held or failed <= max(held * precision, held + 1):
            break
        middle = (held + failed) // 2
        if holds(middle):
            held = middle
        else:
            failed = middle
    return held


def _below(holds: Callable[[int], bool], failed: int) -> tuple[int, int]:
    users = failed
    for _ in range(4):
        users //= 2
        if users and holds(users):
            return users, failed
        failed = users
    return 0, failed
