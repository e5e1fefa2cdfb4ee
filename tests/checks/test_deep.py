"""Canaries under any two transforms, in any place of a document, split or not: found and named; chance: never."""

import base64
import itertools
import json
import random
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosstalk.checks import deep, transforms
from crosstalk.checks.canary import OWNER_MAX, Site, names_in
from crosstalk.checks.deep import Deep
from crosstalk.checks.isolation import run_id, thread_id
from tests.checks.disguises import DISGUISES, MORE, deflated
from tests.helpers import frame, keyring

KEYS = keyring()
RUN, THREAD = run_id(KEYS, owner=5, ordinal=1), thread_id(KEYS, owner=5, ordinal=1)
OWN = frozenset({RUN.removeprefix("run-").encode(), THREAD.removeprefix("thread-").encode()})
DEEP = Deep(KEYS)
WORDS = ["the", "answer", "of", "an", "agent", "about", "costs,", "plans", "&", "options:", "100", "%", "sure;", "see"]
WORDS += ["below", "(or", "ask)", "ünder", "“quotes”", "a\\b", "x=1"]
#: a change of case loses bits of base64, so nothing can undo it
LOST = {("base64", "case")}
ESCAPES = {"url", "html", "json", "quoted-printable"}
rngs = st.integers(0, 2**32).map(random.Random)


def canary_of(rng):
    return KEYS.make(
        owner=rng.randrange(6, OWNER_MAX - 5000), ordinal=rng.randrange(2**25), site=rng.choice(list(Site)[:4])
    )


def prose(rng, most=12):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(most)))


def hidden(ways, rng, inner_prose=True):
    """(canary, text): in the first way, and the result, with words around it, in the next."""
    canary = canary_of(rng)
    text = canary
    for number, way in enumerate(ways):
        if number and inner_prose:
            text = f"{prose(rng, 4)} {text} {prose(rng, 4)}"
        text = way(text, rng)
    return canary, text


def document(rng, text, depth=0):
    """A random JSON document with the text in a random place of it: a value, or a name."""
    around = {
        prose(rng, 3) or "k": rng.choice((1, None, True, prose(rng), 2.5, [prose(rng), 3], {}))
        for _ in range(rng.randrange(4))
    }
    kind = rng.choice(("value", "name", "list", "deeper", "deeper") if depth < 4 else ("value", "name"))
    if kind == "value":
        around["content"] = f"{prose(rng)} {text} {prose(rng)}"
    elif kind == "name":
        around[text] = prose(rng)
    elif kind == "list":
        return [*around, text, prose(rng), around]
    else:
        around[rng.choice(("data", "items", "x"))] = document(rng, text, depth + 1)
    items = list(around.items())
    rng.shuffle(items)
    return dict(items)


def as_frame(rng, text):
    return json.dumps(document(rng, text), ensure_ascii=rng.random() < 0.5).encode()


def frames_of(rng, text):
    """The text as the chunks of a run, 1 to 12, as the frames that carry them."""
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(12)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [
        frame("agent_chunk", run=RUN, thread=THREAD, user="k3f00005", content=chunk, index=index, task_id=RUN)
        for index, chunk in enumerate(chunks)
    ]


def steps_to(found, canary):
    """How the canary was hidden, as found; None where it was not found in full."""
    for one in found.hits:
        if one.hit.canary == canary.encode():
            assert one.hit.label == KEYS.read(canary)
            return one.steps
    return None


def names_it(name, steps):
    """A change of case has no name beside base64's; escapes that a chunk begins amid are read as their digits."""
    return name in steps or name == "case" or (name in ESCAPES and "hex" in steps)


def ways_of(name):
    return DISGUISES.get(name, ()) + MORE.get(name, ())


# --- one transform, and any two -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({*DISGUISES, *MORE}))
@settings(max_examples=40, deadline=None)
@given(rng=rngs)
def test_one_transform_anywhere_in_a_document_is_found_and_named(name, rng):
    canary, text = hidden([rng.choice(ways_of(name))], rng)
    steps = steps_to(DEEP.search(as_frame(rng, text), OWN), canary)
    assert steps is not None, text
    assert names_it(name, steps), (steps, text)


@pytest.mark.parametrize("name", sorted({*DISGUISES, *MORE}))
@settings(max_examples=40, deadline=None)
@given(rng=rngs)
def test_one_transform_split_over_frames_is_found_and_named(name, rng):
    canary, text = hidden([rng.choice(ways_of(name))], rng)
    found = DEEP.search_parts(frames_of(rng, text), OWN)
    steps = steps_to(found, canary)
    assert steps is not None, text
    assert names_it(name, steps), (steps, text)
    assert found.own == OWN


@pytest.mark.parametrize("outer", DISGUISES)
@pytest.mark.parametrize("inner", DISGUISES)
def test_any_two_transforms_are_found_in_a_document_and_split_over_frames(inner, outer):
    if (inner, outer) in LOST:
        pytest.skip("a change of case loses bits of base64")
    rng = random.Random(f"{inner} {outer}")
    for ways in [*itertools.product(DISGUISES[inner], DISGUISES[outer])] * 2:
        canary, text = hidden(ways, rng)
        steps = steps_to(DEEP.search(as_frame(rng, text), OWN), canary)
        assert steps is not None, text
        split = steps_to(DEEP.search_parts(frames_of(rng, text), OWN), canary)
        assert split is not None, text


@settings(max_examples=40, deadline=None)
@given(rng=rngs)
def test_what_is_compressed_and_then_written_as_text_is_found(rng):
    canary = canary_of(rng)
    packed = deflated(f"{prose(rng)} {canary} {prose(rng)}".encode(), rng)
    text = base64.b64encode(packed).decode() if rng.random() < 0.5 else packed.hex()
    assert "deflate" in steps_to(DEEP.search(as_frame(rng, text), OWN), canary)
    assert steps_to(DEEP.search(packed), canary) == ("deflate",)


@settings(max_examples=60, deadline=None)
@given(rng=rngs)
def test_chunks_that_were_each_transformed_by_itself_are_found(rng):
    canary = canary_of(rng)
    text = f"{prose(rng)} {canary} {prose(rng)}"
    chunks = [text[at : at + 5] for at in range(0, len(text), 5)]
    for change in (
        lambda chunk: chunk[::-1],
        lambda chunk: base64.b64encode(chunk.encode()).decode(),
        lambda chunk: base64.urlsafe_b64encode(chunk.encode()).decode().rstrip("=") + "=",
        lambda chunk: base64.b32encode(chunk.encode()).decode(),
        lambda chunk: chunk.encode().hex(),
    ):
        frames = [frame("agent_chunk", run=RUN, content=change(chunk)) for chunk in chunks]
        assert steps_to(DEEP.search_parts(frames, OWN), canary) is not None, frames


def test_a_byte_array_holds_a_canary_as_numbers():
    canary = canary_of(random.Random(1))
    data = {"type": "Buffer", "data": list(b"see " + canary.encode())}
    assert steps_to(DEEP.search(json.dumps(data).encode()), canary) is not None


@pytest.mark.parametrize("before", range(8))
def test_letters_right_before_an_encoded_text_do_not_hide_it(before):
    rng = random.Random(before)
    canary = canary_of(rng)
    for encoded in (base64.b32encode, base64.b64encode, bytes.hex):
        text = encoded(canary.encode())
        text = text if isinstance(text, str) else text.decode()
        assert steps_to(DEEP.search(f'{{"a":"{"AB2CD3EF"[:before]}{text}"}}'.encode()), canary) is not None, text


def test_strings_of_one_list_do_not_spoil_each_other():
    """Joined, the "1" and the first number make another number."""
    canary = canary_of(random.Random(1))
    strings = ["sure 1", " ".join(str(byte) for byte in canary.encode()), "2"]
    assert steps_to(DEEP.search(json.dumps(strings).encode()), canary) is not None


def test_utf_16_is_letters_with_nuls_between():
    canary = canary_of(random.Random(2))
    for encoding in ("utf-16-le", "utf-16-be", "utf-32"):
        assert steps_to(DEEP.search(f"see {canary} there".encode(encoding)), canary) == ("separators",)


# --- where it may stand ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "steps"),
    [
        (lambda c: [c], ()),
        (lambda c: [f'{{"a":"{c}"}}'], ()),
        (lambda c: [f'{{"a":"{c.upper()}"}}'], ("case",)),
        (lambda c: [c[:9], c[9:]], ("split",)),
        (lambda c: [f'{{"a":"{c[:9]}","x":1}}', f'{{"a":"{c[9:]}","x":2}}'], ("split",)),
        (lambda c: [f'{{"a":"{c[:30]}","x":"y"}}', f'{{"a":"{c[30:]}","x":"z"}}'], ("split",)),
        (lambda c: [f'{{"a":"{c[:9]}","b":"{c[9:]}"}}'], ("split",)),
        (lambda c: [json.dumps(list(c))], ("split",)),
        (lambda c: [json.dumps([{"t": letter, "n": n} for n, letter in enumerate(c)])], ("split",)),
        (lambda c: ["".join(f"data: {json.dumps({'d': c[n : n + 4]})}\n\n" for n in range(0, 36, 4))], ("split",)),
        (lambda c: ['data: {"d":"' + "".join(f"\\u{ord(x):04x}" for x in c) + '"}\n\n'], ("json",)),
        (lambda c: [json.dumps({"tool": json.dumps({"a": piece})}) for piece in (c[:9], c[9:])], ("split",)),
        (lambda c: [f'{{"a":"{c[::-1]}","a":"another"}}'], ("reversed",)),  # a parser keeps the last of two
        (lambda c: [f'{{"{c[::-1]}":1}}'], ("reversed",)),
        (lambda c: ['{"broken": "' + c[::-1]], ("reversed",)),
        (lambda c: ["[" * 5000 + f'"{c[::-1]}"' + "]" * 5000], ("reversed",)),
        (lambda c: ["\\ud800 " + c[::-1]], ("reversed",)),
        (lambda c: [c[:33] + "!"], ()),
    ],
)  # fmt: skip
def test_it_is_found_wherever_it_stands(parts, steps):
    canary = canary_of(random.Random(5))
    [hit] = DEEP.search_parts([part.encode() for part in parts(canary)]).hits
    assert (hit.steps, hit.hit.label.owner) == (steps, KEYS.read(canary).owner)


def test_own_canaries_are_no_strangers_also_when_they_are_hidden():
    for name, ways in DISGUISES.items():
        rng = random.Random(name)
        canary = canary_of(rng)
        found = DEEP.search(as_frame(rng, ways[0](canary, rng)), OWN | {canary.encode()})
        assert (found.hits, found.own) == ((), {canary.encode()}), name


def test_a_plain_stranger_with_a_wrong_mac_is_shown_and_a_hidden_one_is_not():
    wrong = canary_of(random.Random(3))[:21] + "a" * 15
    [hit] = DEEP.search(wrong.encode()).hits
    assert not hit.hit.label.verified
    assert DEEP.search(base64.b64encode(wrong.encode())).hits == ()


@pytest.mark.parametrize("places", [(21, 26), (21, 22), (25, 30, 34), (22, 27, 33)])
def test_a_whole_head_with_garbled_letters_in_its_mac_is_verified_by_the_others(places):
    canary = canary_of(random.Random(4))
    garbled = "".join("7a"[letter == "7"] if at in places else letter for at, letter in enumerate(canary))
    for text in (garbled.encode(), base64.b64encode(garbled.encode())):
        [one] = DEEP.search(text).hits
        assert (one.hit.label.owner, one.hit.label.verified, one.hit.label.partial) == (
            KEYS.read(canary).owner,
            True,
            True,
        )
        assert one.steps[-1:] == ("garbled",) or min(places) >= 28


# --- what must never happen -----------------------------------------------------------------------------------------


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_it_never_raises_and_finds_nothing_in_chance(data):
    for one in (data, b'{"a":"' + data + b'"}', b"%\\u&#=" + data, data * 9):
        assert DEEP.search(one).hits == ()


@given(st.text(alphabet='ctlkpgyx\\u0069%&#;x={}[]",: \x00é\ud83d\uff43', max_size=300))
@settings(max_examples=300, deadline=None)
def test_it_never_raises_on_broken_escapes(text):
    found = DEEP.search(text.encode(errors="surrogatepass"))
    assert not any(one.hit.label.verified for one in found.hits)


@pytest.mark.parametrize(
    "data",
    [b"&#" + b"9" * 9000 + b";", b"\\" * 5000, b"%" * 5000, b"=" * 5000, b"\\U99999999", b"\\u{ffffff}",
     b"\x78\x9c" * 900, b"[" * 100_000, b'{"a":' * 100_000, b"\xff" * 5000, b"", b"\x00" * 5000, b'["', b"null",
     b"\"\\ud800\"", b"999,999 " * 50, ("\\ud83d" * 50).encode(), b"A" * 4000 + b"=", b"\x1f\x8b\x08" + b"\x00" * 50],
)  # fmt: skip
def test_extremes_are_searched_without_a_word(data):
    assert DEEP.search(data).hits == ()
    assert DEEP.search_parts([data, data]).hits == ()


def test_what_is_beyond_the_budget_is_counted():
    canary = canary_of(random.Random(6)).encode()
    text = b"x " * 5000 + canary
    small = Deep(KEYS, budget_bytes=5000).search(text)
    assert (small.hits, small.bytes_looked_at) == ((), 5000)
    assert small.bytes_skipped >= len(text) - 5000
    whole = DEEP.search(text)
    assert (len(whole.hits), whole.bytes_skipped) == (1, 0)


def haystacks(size):
    """(name, text of about `size` bytes) of what load tests receive, without a canary in it."""
    rng = random.Random(size)
    yield "base32", "".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=size)).encode()
    yield "bytes", rng.randbytes(size)
    yield "base64", base64.b64encode(rng.randbytes(size * 3 // 4))
    yield "hex", rng.randbytes(size // 2).hex().encode()
    yield "uuid", " ".join(str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(size // 37)).encode()
    yield "words", " ".join(rng.choices(WORDS, k=size // 6)).encode()
    yield (
        "unicode",
        "".join(
            chr(rng.choice((rng.randrange(0x20, 0x250), rng.randrange(0xFF01, 0xFF5E)))) for _ in range(size // 2)
        ).encode(),
    )
    yield (
        "escapes",
        "".join(
            rng.choice(["%{0:02x}", "\\u00{0:02x}", "&#{0};", "={0:02X}", "{0},"]).format(rng.randrange(32, 127))
            for _ in range(size // 5)
        ).encode(),
    )


def test_megabytes_of_chance_are_no_canary():
    for name, text in haystacks(1_500_000):
        found = DEEP.search(text)
        # "ctlk" itself comes up in megabytes of its own alphabet: shown, and not verified
        assert [one for one in found.hits if one.hit.label.verified or name != "base32"] == [], name
        assert found.bytes_looked_at >= len(text)


# --- every decoder is needed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, _ in transforms.DECODERS if name not in ("separators", "deflate")])
def test_without_its_decoder_a_transform_is_missed(monkeypatch, name):
    """The tests above can fail: each decoder is what finds its own transform."""
    rng = random.Random(name)
    canary, text = hidden([ways_of(name)[0]], rng)
    data = json.dumps({"content": f"see {text} there"}).encode()
    assert steps_to(DEEP.search(data), canary) is not None
    monkeypatch.setattr(transforms, "DECODERS", tuple(one for one in transforms.DECODERS if one[0] != name))
    # escapes of hexadecimal digits can be read as those digits; nothing else stands in for another
    assert steps_to(DEEP.search(data), canary) in (
        (None,) if name not in ESCAPES else (None, ("hex",), ("hex", "separators"))
    )


def test_without_disguises_or_layers_they_are_missed(monkeypatch):
    rng = random.Random(8)
    canary, text = hidden([DISGUISES["base64"][0], DISGUISES["hex"][1]], rng)
    turned = [DISGUISES[name][0](canary, rng) for name in ("rot13", "reversed")]
    monkeypatch.setattr(deep, "LAYERS", 1)
    assert steps_to(DEEP.search(text.encode()), canary) is None
    monkeypatch.setattr(deep, "_DISGUISES", ())
    monkeypatch.setattr(deep, "LAYERS", 0)
    assert [steps_to(DEEP.search(one.encode()), canary) for one in turned] == [None, None]


# --- names of accounts ----------------------------------------------------------------------------------------------

NAMED = Deep(KEYS, names_in=lambda text: [name.decode() for name in names_in(text, b"k3f")])


@pytest.mark.parametrize("name", ["case", "base64", "hex", "url", "html", "json"])
@settings(max_examples=20, deadline=None)
@given(rng=rngs)
def test_a_name_is_found_also_in_a_token_that_is_too_short_for_a_canary(name, rng):
    before, after = rng.choice(("", "user:", "sub=")), rng.choice(("", "@x.test", ";"))
    written = f"{before}k3f00017{after}"
    plain = {"base64": base64.b64encode(written.encode()).decode(), "hex": written.encode().hex()}
    text = plain.get(name) or ways_of(name)[0](written, rng)
    found = NAMED.search_parts([json.dumps({"x": text, "user_id": "k3f00005"}).encode()])
    assert found.names.keys() == {"k3f00017", "k3f00005"}, text
    assert (found.names["k3f00005"], found.hits) == ((), ())


def test_names_of_one_field_are_told_apart_though_the_field_is_joined():
    frames = [frame("x", user=f"k3f0000{number}", run=RUN) for number in range(3)]
    assert NAMED.search_parts(frames).names == {f"k3f0000{number}": () for number in range(3)}
    assert DEEP.search_parts(frames).names == {}


def test_chance_makes_no_names():
    for name, text in haystacks(200_000):
        assert (NAMED.search(text).names, name) == ({}, name)
