"""Which users take part where tasks are chosen by tag (`--tags`, `--exclude-tags`), before Locust filters their tasks.

Locust takes tasks away and leaves users without any in the load test, where each of them crashes as it starts. Here
those users are left out, so that a family of journeys can be played alone: its users take all the places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from crosstalk.config import ConfigError


def leave_out(
    user_classes: list[type], chosen: Iterable[str] | None, excluded: Iterable[str] | None
) -> tuple[type, ...]:
    """Remove from the list, which is Locust's own, every user of whom the tags leave no task; those that were removed.

    A user that has no task to begin with stays: that mistake is not the tags'.

    :raises ConfigError: a tag that no task has, or a choice that leaves nobody.
    """
    wanted, unwanted = frozenset(chosen or ()), frozenset(excluded or ())
    if not wanted and not unwanted:
        return ()
    known = sorted({tag for user in user_classes for tag in _tags_of(user)})
    for option, tags in (("--tags", wanted), ("--exclude-tags", unwanted)):
        if unknown := sorted(tags - set(known)):
            there = ", ".join(known) or "none at all"
            raise ConfigError(
                f"{option} {' '.join(unknown)}: no task of this scenario has that tag; there are: {there}"
            )
    left = [user for user in user_classes if not getattr(user, "tasks", None) or _has_task(user, wanted, unwanted)]
    if not left:
        said = " ".join([*(["--tags", *sorted(wanted)] if wanted else []), *_excluding(unwanted)])
        raise ConfigError(f"{said}: no user of this scenario has a task left")
    gone = tuple(user for user in user_classes if user not in left)
    user_classes[:] = left
    return gone


def _excluding(unwanted: frozenset[str]) -> list[str]:
    return ["--exclude-tags", *sorted(unwanted)] if unwanted else []


def _has_task(holder: Any, wanted: frozenset[str], unwanted: frozenset[str]) -> bool:
    """Locust's own rule: a task set is as good as its tasks; a task needs a wanted tag, and no unwanted one."""
    for task in _tasks(holder):
        if hasattr(task, "tasks"):
            if _has_task(task, wanted, unwanted):
                return True
        elif (not wanted or wanted & _own_tags(task)) and not unwanted & _own_tags(task):
            return True
    return False


def _tags_of(holder: Any) -> set[str]:
    found: set[str] = set()
    for task in _tasks(holder):
        found |= _tags_of(task) if hasattr(task, "tasks") else _own_tags(task)
    return found


def _tasks(holder: Any) -> Sequence[Any]:
    return getattr(holder, "tasks", None) or ()


def _own_tags(task: Any) -> set[str]:
    return set(getattr(task, "locust_tag_set", ()))
