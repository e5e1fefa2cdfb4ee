"""What holds for all tests: which of them stay together, and in which order, when they run side by side."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# how long an example takes is a matter of what else the machine does
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
# the sources are what is tested, in every process that a test starts; test_compiled.py runs tests on what is compiled
os.environ.setdefault("CROSSTALK_PURE", "1")

ROOT = Path(__file__).resolve().parents[1]
#: of a fixture that the tests of a module share: a load test, a backend
SHARED = re.compile(r'^@pytest\.fixture\(scope="module"', re.M)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Load tests come first: they wait most of the time, and none is left for one process alone at the end."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whose module shares a fixture, stays with its module, so that the fixture is made once; all others go anywhere.

    The marks of `--dist loadgroup` are no way to say so: xdist 3.8 hands them over in the names of tests, which
    pytest 9.2 does not let it change, and so the groups are torn apart without a word.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    config.option.loadscopereorder = False
    return Together(config, log)


def scope(nodeid: str) -> str:
    """What is run by one process: a module, or a test by itself."""
    module = nodeid.partition("::")[0]
    return module if shares(module) else nodeid


@cache
def shares(module: str) -> bool:
    """Whether a module, or what its folder has for all modules, has a fixture of a module."""
    path = ROOT / module
    files = (path, path.with_name("conftest.py"))
    return any(SHARED.search(file.read_text(encoding="utf-8")) for file in files if file.exists())
