"""What is written in C says what its equal in Python says, of the same texts."""

from __future__ import annotations

import base64
import importlib.machinery
import importlib.util
import os
import random
import shutil
import string
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosstalk.checks import quick, strings, transforms
from tests.checks.test_deep import canary_of
from tests.checks.test_quick import OWN, WAYS, a_deep, run_with, something_hidden

SOURCE = Path(__file__).parents[2] / "crosstalk/checks/fast.c"
rngs = st.integers(0, 2**32).map(random.Random)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module in C, made of the source as it is now, with warnings as errors."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("there is no C compiler")
    made = tmp_path_factory.mktemp("fast") / "fast.so"
    include = sysconfig.get_path("include")
    options = ["-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-shared", "-fPIC", f"-I{include}"]
    subprocess.run([compiler, *options, str(SOURCE), "-o", str(made)], check=True)
    loader = importlib.machinery.ExtensionFileLoader("crosstalk.checks.fast", str(made))
    spec = importlib.util.spec_from_file_location("crosstalk.checks.fast", made, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def read_both(fast, parts):
    """What is read in C, and in Python."""
    found = []
    for way in (fast, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strings, "fast", way)
            found.append(strings.read(parts))
    return found


def told(said):
    """All of what was read, as it can be compared."""
    if said is None:
        return None
    texts = [one if isinstance(one, str) else (list(one.values), one.different) for one in said.texts]
    fields = [(list(one.values), one.different) for one in said.fields]
    numbers = sorted(said.numbers, key=repr)
    return list(said.names), texts, fields, sorted(said.byte_lists), numbers, said.quotes


names = st.sampled_from([*string.ascii_lowercase, "content", "ü", "a b", ""])
leaves = (
    st.sampled_from(
        ["", "x", "9", "²", "2026-11-20T09:17:47Z", "2026-11-20T09:17:48Z", '{"q":"deeper"}', "[1]", "ü", "𝔵"]
    )
    | st.text(max_size=3)
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from(
        [0, 255, 256, -1, 10**15, -(10**15), 10**15 - 1, 1e14, 1e15, -1e15, 0.5, 1e300, True, False, None]
    )
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(names, inner, max_size=4)
        | st.lists(st.integers(0, 257), max_size=4)
    ),
    max_leaves=12,
)
documents = st.lists(st.dictionaries(names, values, max_size=5) | st.lists(values, max_size=4), min_size=1, max_size=6)


@settings(max_examples=1500, deadline=None)
@given(parts=documents)
def test_documents_are_read_in_c_as_in_python(fast, parts):
    in_c, in_python = read_both(fast, [orjson.dumps(one) for one in parts])
    assert told(in_c) == told(in_python)


@settings(max_examples=300, deadline=None)
@given(rng=rngs)
def test_transcripts_are_read_in_c_as_in_python(fast, rng):
    in_c, in_python = read_both(fast, run_with(something_hidden(rng), rng))
    assert told(in_c) == told(in_python)


@pytest.mark.parametrize("depth", [98, 99, 100, 101, 102, 103])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_both_stop_at_the_same_depth(fast, depth, begin, end):
    in_c, in_python = read_both(fast, [(begin * depth + '"x"' + end * depth).encode()])
    assert told(in_c) == told(in_python)


def test_objects_of_many_names_in_any_order_are_read_by_their_names(fast):
    rng, rows = random.Random(5), []
    for number in range(40):
        row = {f"name {one}": f"{one} {number}" for one in range(60)}
        some = rng.sample(list(row.items()), rng.randrange(20, 60))
        rows.append(orjson.dumps(dict(some)))
    in_c, in_python = read_both(fast, rows)
    assert in_c is not None and len(in_c.fields) == 60
    assert told(in_c) == told(in_python)


# --- closed ---------------------------------------------------------------------------------------------------------

ALPHABETS = (
    b"0123456789abcdef",
    b"nopqrs0234567",
    b"0123456789 ,",
    b"ABCDabcd0189 ",
    b"ab1, ",
    b"x0k X",
    string.printable.encode(),
)


@st.composite
def torn(draw):
    """A canary in disguise between words, cut or torn; or letters of one alphabet."""
    rng = draw(rngs)
    if rng.random() < 0.4:
        alphabet = rng.choice(ALPHABETS)
        return bytes(rng.choice(alphabet) for _ in range(rng.randrange(160)))
    text = rng.choice(WAYS)(something_hidden(rng), rng) if rng.random() < 0.5 else something_hidden(rng)
    raw = text.encode(errors="replace")
    raw = raw[rng.randrange(3) : len(raw) - rng.randrange(3)]
    if rng.random() < 0.5:
        raw = transforms.rot13(raw)
    if rng.random() < 0.5:
        raw = raw[::-1]
    return b"see " + raw + b" and so on"


@settings(max_examples=3000, deadline=None)
@given(view=torn())
def test_what_is_surely_closed_in_c_is_closed(fast, view):
    if fast.is_surely_closed(view):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(quick, "fast", None)
            assert quick.is_closed(view, quick.Known(1))


def as_base64(piece, before):
    return base64.b64encode(b"\x80" * before + piece + b"\x80" * 3).rstrip(b"=")


def as_hex(piece, before):
    return b"8" * before + piece.hex().encode()


@pytest.mark.parametrize("turn", [bytes, transforms.backwards, transforms.rot13])
@pytest.mark.parametrize("encoded", [as_base64, as_hex])
def test_the_shortest_piece_that_counts_is_not_surely_closed_wherever_it_begins(fast, encoded, turn):
    """Its letters stand apart, so that it is no word."""
    rng = random.Random(3)
    for before in range(4):
        for _ in range(50):
            piece = canary_of(rng).encode()[: transforms.SHORTEST]
            view = b" ".join(bytes([letter]) for letter in turn(encoded(piece, before)))
            assert not quick.is_closed(view, quick.Known(1))
            assert not fast.is_surely_closed(view)


OPEN = (
    b"6374" * 14, transforms.rot13(b"6a" * 28), b"a" * 45, b"a" * 20 + b"\r\n" + b"a" * 25, b"99, " * 28,
    b"63-74-6c-6b-61-61-61-61-61", b"x63-74-6c-6b-61-61-61-617", b"0x " + b"23 " * 28, "ü".encode(), b"50% off",
    b"a\\nb", b"x=y", b"a&b", b"\x01", b"0.x." * 28 + b"0", b"0.k." * 28, b"9,9" * 28,
)  # fmt: skip


@pytest.mark.parametrize("open_", OPEN)
def test_what_may_hold_something_is_not_surely_closed(fast, open_):
    assert not fast.is_surely_closed(open_)


def test_plain_words_and_ids_are_surely_closed(fast):
    """Or it would be of no use: what nearly all runs say."""
    words = b"You asked with reference ctlkk3faaaaaabaaaabbabcdefghijklmno and so it is; see step 3 of 4 (1.5 s)"
    assert fast.is_surely_closed(words)
    assert fast.is_surely_closed(b"")


# --- words ----------------------------------------------------------------------------------------------------------


@settings(max_examples=500, deadline=None)
@given(
    text=st.binary(max_size=60) | st.text("ab7 +_\n.", max_size=60).map(str.encode),
    rng=rngs,
    shortest=st.integers(1, 9),
)
def test_words_that_are_not_known_are_found_in_c_as_in_python(fast, text, rng, shortest):
    words = sorted(quick.words_in(text))
    known: quick.Known[bytes] = quick.Known(2)
    for _ in range(3):
        known.remember(rng.sample(words, rng.randrange(len(words) + 1)))
    found = []
    for way in (fast, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(quick, "fast", way)
            found.append(known.unknown_words(text, shortest))
    assert found[0] == found[1]


# --- all together ---------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(rng=rngs)
def test_the_quick_way_in_c_and_the_full_search_find_the_same(fast, rng):
    frames = run_with(something_hidden(rng), rng)
    searches = []
    for way in (fast, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strings, "fast", way)
            patch.setattr(quick, "fast", way)
            one = a_deep()
            searches.append((one.search_parts(frames, OWN), one.memory.words._new))
    (in_c, words_in_c), (in_python, words_in_python) = searches
    assert in_c == in_python
    assert words_in_c == words_in_python


def test_values_of_the_wrong_kind_are_a_mistake_of_ours(fast):
    for call in (
        lambda: fast.is_surely_closed("text"),
        lambda: fast.unknown_words("x", 1, [], set()),
        lambda: fast.read_documents((), {}, [], [], [], [], strings.Joined, strings._are_instants),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(IndexError):
        fast.read_documents([], {}, [], [], [], [], strings.Joined, strings._are_instants)
