"""Users of whom the tags leave no task are left out; a tag that nobody knows is a mistake that names all others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crosstalk.config import ConfigError
from crosstalk.selection import leave_out

ROOT = Path(__file__).resolve().parents[1]


def task(*tags: str) -> Any:
    """A task as Locust's `@tag` leaves it."""
    return SimpleNamespace(locust_tag_set=set(tags)) if tags else SimpleNamespace()


def user(name: str, *tasks: Any) -> Any:
    return type(name, (), {"tasks": list(tasks)})


SIGNER = user("Signer", task("sign_in"))
BOTH = user("Both", task("sign_in", "slow"), task("limits"))
UNTAGGED = user("Regular", task())
NESTED = user("Nested", SimpleNamespace(tasks=[task("streaming")]), task())
EMPTY = user("Empty")


@pytest.mark.parametrize(
    ("tags", "excluded", "left"),
    [
        (None, None, "Signer Both Regular Nested Empty"),
        ([], [], "Signer Both Regular Nested Empty"),
        (["sign_in"], None, "Signer Both Empty"),
        (["limits"], None, "Both Empty"),
        (["streaming", "limits"], None, "Both Nested Empty"),
        (None, ["sign_in"], "Both Regular Nested Empty"),
        (None, ["sign_in", "limits"], "Regular Nested Empty"),
        (["sign_in"], ["slow"], "Signer Empty"),
    ],
)
def test_those_without_a_task_left_are_left_out(tags: list[str], excluded: list[str], left: str) -> None:
    classes = [SIGNER, BOTH, UNTAGGED, NESTED, EMPTY]
    gone = leave_out(classes, tags, excluded)
    assert [one.__name__ for one in classes] == left.split()
    assert set(gone) | set(classes) == {SIGNER, BOTH, UNTAGGED, NESTED, EMPTY}


@pytest.mark.parametrize(("option", "tags"), [("--tags", (["signin"], None)), ("--exclude-tags", (None, ["signin"]))])
def test_a_tag_that_nobody_knows_names_those_there_are(option: str, tags: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{option} signin: .*there are: limits, sign_in, slow, streaming"):
        leave_out([SIGNER, BOTH, NESTED], *tags)
    with pytest.raises(ConfigError, match="there are: none at all"):
        leave_out([UNTAGGED], *tags)


def test_a_choice_that_leaves_nobody_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"--tags sign_in --exclude-tags sign_in: no user .* has a task left"):
        leave_out([SIGNER, UNTAGGED], ["sign_in"], ["sign_in"])


LOCUSTS_OWN = """
from types import SimpleNamespace
from locust import User, tag, task
from locust.user.task import filter_tasks_by_tags
from crosstalk.selection import leave_out

def made():
    class A(User):
        @tag("sign_in")
        @task
        def one(self): pass
    class B(A):
        @tag("slow", "sign_in")
        @task
        def two(self): pass
        @tag("limits")
        @task
        def three(self): pass
    class C(User):
        @task
        def one(self): pass
    return [A, B, C]

for tags, excluded in ((["sign_in"], []), (["limits"], ["slow"]), ([], ["sign_in"]), (["slow"], ["limits"])):
    kept, filtered = made(), made()
    leave_out(kept, tags, excluded)
    for user in filtered:
        filter_tasks_by_tags(user, set(tags) or None, set(excluded) or None)
    print([one.__name__ for one in kept] == [one.__name__ for one in filtered if one.tasks], len(kept))
"""


def test_what_is_left_is_what_locust_leaves() -> None:
    """The same rule as Locust's own filter, on real users; in a process of its own, which Locust may patch."""
    done = subprocess.run([sys.executable, "-c", LOCUSTS_OWN], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split("\n")[:-1] == ["True 2", "True 1", "True 2", "True 1"]
