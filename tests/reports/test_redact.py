"""No token leaves the reports, whatever stands around it; what is not a token stays as it is."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.redact import TOKEN, redact, write
from tests.reports.rows import JWT

PLAIN = st.text(alphabet=st.characters(exclude_characters='"\\', exclude_categories=["Cs", "Cc"]), max_size=30)


@given(PLAIN, PLAIN)
def test_a_jwt_goes_wherever_it_stands(before: str, after: str) -> None:
    said = redact(f"{before} {JWT} {after}")
    assert JWT not in said
    assert JWT.rpartition(".")[2] not in said


@pytest.mark.parametrize("cut", [40, 60, 100])
def test_a_jwt_that_was_cut_off_goes_too(cut: int) -> None:
    assert redact(JWT[:cut]) == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        f'["jwt.{base64.urlsafe_b64encode(JWT.encode()).decode().rstrip("=")}"]',
        '{"authorization": "Bearer 0123456789abcdef0123"}',
        '{"refresh_token": "opaque-but-secret"}',
        "wss://example.test/ws?token=opaque-but-secret&x=1",
    ],
)
def test_other_places_of_a_token(text: str) -> None:
    said = redact(text)
    assert TOKEN in said
    for secret in ("opaque", "0123456789", "ZXlK"):
        assert secret not in said


@given(st.dictionaries(st.sampled_from(["token", "text", "password"]), PLAIN))
def test_json_stays_json(document: dict[str, str]) -> None:
    said = json.loads(redact(json.dumps(document, ensure_ascii=False)))
    assert set(said) == set(document)


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact(f'{{"token": "{JWT}", "text": "Bearer {JWT}"}}')
    assert redact(once) == once


def test_references_and_ids_are_left_alone() -> None:
    text = "ctlkaaaethaaaaaaaaabbkt7tojrmodflq6r run-7f3a k3f00017 thread-17"
    assert redact(text) == text


def test_what_is_written_is_redacted(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b.txt", f"came {JWT}")
    assert (tmp_path / "a" / "b.txt").read_text() == f"came {TOKEN}"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
