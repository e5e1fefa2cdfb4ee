"""Every reading that a violation may name is done again, and ends in the canary or is not shown."""

from __future__ import annotations

import base64
import codecs
import html
import json
import quopri
import urllib.parse
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.deep import Deep
from reports.trace_decode import READINGS, around, joined, steps, words
from tests.reports.rows import KEYRING, canary

CANARY = canary(3, 9)
HIDE: dict[str, Callable[[str], str]] = {
    "case": str.upper,
    "nfkc": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in text),
    "reversed": lambda text: text[::-1],
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "url": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "html": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "json": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "separators": "\u200b-".join,
    "bytes": lambda text: ", ".join(str(byte) for byte in text.encode()),
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
}


@pytest.mark.parametrize("name", list(HIDE))
def test_one_step(name: str) -> None:
    hidden = HIDE[name](f"a {CANARY} b" if name != "separators" else CANARY)
    found = steps(name, hidden)
    assert found is not None
    assert [step.name for step in found] == [name]
    assert CANARY in found[-1].text.lower()


PAIRS = [(a, b) for a in ("base64", "url", "hex", "reversed") for b in HIDE if a != b]


@pytest.mark.parametrize(("outer", "inner"), [pair for pair in PAIRS if pair != ("reversed", "nfkc")])
def test_two_steps_outermost_first(outer: str, inner: str) -> None:
    found = steps(f"{outer}+{inner}", HIDE[outer](HIDE[inner](CANARY)))
    assert found is not None
    assert [step.name for step in found] == [outer, inner]
    assert CANARY in found[-1].text.lower()


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_what_the_deep_search_says_of_two_steps_is_done_again(outer: str, inner: str) -> None:
    """In its words and its order: full-width letters become ASCII before they are read backwards."""
    text = HIDE[outer](HIDE[inner](CANARY))
    [one] = Deep(KEYRING).search(json.dumps({"text": text}).encode()).hits
    assert one.steps and ((outer, inner) != ("reversed", "nfkc") or one.steps == ("nfkc", "reversed"))
    found = steps("+".join(one.steps), text, [CANARY])
    assert found is not None, one.steps
    assert [step.name for step in found] == list(one.steps)


def test_what_was_deflated_first_comes_out_of_base64() -> None:
    found = steps("base64+deflate", base64.b64encode(zlib.compress(f"so {CANARY} it is".encode())).decode())
    assert found is not None
    assert found[-1].text == f"so {CANARY} it is"


def test_the_canary_must_be_one_that_was_planted() -> None:
    """The observer's own reference may stand there in base64 as well: that is no proof."""
    hidden = HIDE["base64"](f"mine {CANARY}")
    assert steps("base64", hidden, [CANARY.upper()]) is not None
    assert steps("base64", hidden, [canary(4, 9)]) is None
    assert steps("partial", CANARY[:28], [CANARY]) is not None
    assert steps("partial", CANARY[:28], [canary(4, 9)]) is None


def test_what_is_left_of_a_canary_without_its_head_or_with_wrong_letters() -> None:
    assert steps("piece", f"so {CANARY[24:]}", [CANARY]) is not None
    assert steps("piece", f"so {CANARY[24:]}", [canary(4, 9)]) is None
    assert steps("piece", f"so {CANARY[24:]}") is None
    assert steps("garbled", CANARY[:30] + "1" + CANARY[31:], [CANARY]) is not None
    assert steps("garbled", CANARY[:30] + "1" + CANARY[31:], [canary(4, 9)]) is None


def test_a_canary_in_chunks_is_read_from_all_frames() -> None:
    bodies = [json.dumps({"chunk": CANARY[at : at + 5], "n": at}) for at in range(0, 36, 5)]
    assert steps("split", "".join(bodies), [CANARY]) is None
    assert steps("split", joined(bodies), [CANARY]) is not None


@given(st.integers(0, 5), st.integers(0, 40))
def test_base64_at_any_alignment_among_other_letters(before: int, after: int) -> None:
    inside = base64.b64encode(("z" * before + CANARY).encode()).decode().rstrip("=")
    found = steps("base64", f"id {inside}{'A' * after}")
    assert found is not None
    assert CANARY in found[-1].text


@given(st.text(max_size=200), st.lists(st.sampled_from([*READINGS, "unheard of"]), max_size=3))
def test_any_text_ends_in_a_canary_or_in_nothing(text: str, names: list[str]) -> None:
    found = steps("+".join(names), text)
    assert found is None
    told = steps("+".join(names), json.dumps(CANARY) + html.escape(text))
    assert told is None or "ctlk" in (told[-1].text.lower() if told else CANARY)


def test_words() -> None:
    assert words("plain") == words("") == []
    assert words("partial+case") == ["partial", "case"]
    assert steps("never heard of", CANARY) is None


def test_what_is_worth_showing() -> None:
    text = "x" * 5000 + CANARY + "y" * 5000
    assert CANARY in around(text)
    assert len(around(text)) < 700
    assert around("short") == "short"


def test_the_helpers_of_this_test_hide_the_canary() -> None:
    for name, hide in HIDE.items():
        assert CANARY not in hide(CANARY), name
    assert urllib.parse.unquote(HIDE["url"](CANARY)) == CANARY
    assert quopri.decodestring(HIDE["quoted-printable"](CANARY)).decode() == CANARY
