"""Records and their pages, made once for all tests of the reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.build import build
from reports.material import Material, open_record
from reports.page import page
from reports.verdict import judged
from tests.reports.records import make


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Material]:
    """`material(**options of make)`: a record and its verdict; the same options are made once."""
    made: dict[str, Material] = {}

    def of(**options: Any) -> Material:
        key = repr(sorted(options.items()))
        if key not in made:
            folder = make(tmp_path_factory.mktemp("load_test") / "20250915-smoke", **options)
            record = open_record(folder)
            verdict, tally = judged(record)
            made[key] = Material(folder, record, verdict, tally)
        return made[key]

    return of


@pytest.fixture(scope="session")
def sections(material: Callable[..., Material]) -> Callable[..., dict[str, str]]:
    """`sections(**options)`: the page's sections by id, and what stands before the first of them as "first"."""

    def of(**options: Any) -> dict[str, str]:
        problems: list[str] = []
        text = page(material(**options), {}, problems)
        assert problems == []
        return split(text)

    return of


@pytest.fixture(scope="session")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a load test with a leak, a missing event, timeouts, hostile frames, and all of its reports."""
    folder = tmp_path_factory.mktemp("results") / "20250915-leak"
    make(folder, leak=True, missing=True, timeouts=2, hostile=True)
    assert build(folder) == []
    return folder


def split(text: str) -> dict[str, str]:
    found = dict(re.findall(r'(?s)<section id="([^"]+)"[^>]*>(.*?)</section>', text))
    return {**found, "first": text[text.index("<main>") : text.index("<section")]}
