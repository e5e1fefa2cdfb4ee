"""What is proved to hold nothing holds nothing: the quick way and the full search find the same."""

import base64
import itertools
import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosstalk.checks import quick, strings, transforms
from crosstalk.checks.canary import Site, names_in
from crosstalk.checks.deep import Deep
from crosstalk.checks.distil import distil
from crosstalk.checks.pieces import Pieces
from tests.checks.disguises import DISGUISES, MORE
from tests.checks.test_deep import KEYS, OWN, RUN, THREAD, WORDS, canary_of, document, hidden, prose
from tests.helpers import frame

rngs = st.integers(0, 2**32).map(random.Random)
WAYS = [way for ways in (*DISGUISES.values(), *MORE.values()) for way in ways]


def a_deep():
    pieces = Pieces()
    for owner in range(40):
        canary = KEYS.make(owner=owner, ordinal=9, site=Site.PROMPT)
        pieces.add(canary.encode(), KEYS.read(canary))
    return Deep(KEYS, pieces, names_in=lambda text: [name.decode() for name in names_in(text, b"k3f")])


#: its memory is that of all the examples before
DEEP = a_deep()


def chunks_of(text, rng, most=9):
    cuts = [0, *sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(most))), len(text)]
    return [text[a:b] for a, b in pairwise(cuts)]


def something_hidden(rng):
    """A canary, a piece of one that is in the index, a name, or nothing: hidden at most twice."""
    kind = rng.randrange(5)
    if kind < 2:
        ways = [rng.choice(WAYS) for _ in range(rng.randrange(3))]
        return hidden(ways, rng)[1]
    if kind == 2:
        canary = KEYS.make(owner=rng.randrange(40), ordinal=9, site=Site.PROMPT)
        start = rng.randrange(30)
        return canary[start : start + rng.randrange(7, 20)]
    if kind == 3:
        return base64.b64encode(b"user:k3f00012").decode() if rng.random() < 0.5 else "k3f00012"
    return prose(rng)


def run_with(text, rng):
    """Frames of a run: the text in one of them, or cut over fields, chunks, names and lists of them."""
    words = prose(rng, 60)
    about = {"run": RUN, "thread": THREAD, "user": "k3f00005", "at": "2026-11-20T09:17:47Z"}
    frames = [frame("agent_chunk", **about, content=piece, index=n) for n, piece in enumerate(chunks_of(words, rng))]
    kind = rng.randrange(6)
    pieces = chunks_of(text, rng, most=5)
    if kind == 0:
        frames += [frame("agent_chunk", run=RUN, content=piece, index=n) for n, piece in enumerate(pieces)]
    elif kind == 1:
        frames.append(json.dumps({f"f{n}": piece for n, piece in enumerate(pieces)}).encode())
    elif kind == 2:
        frames.append(json.dumps([[*pieces], {"n": 1}, {pieces[0]: "".join(pieces[1:])}]).encode())
    elif kind == 3:
        frames += [json.dumps({"arguments": json.dumps({"q": piece})}).encode() for piece in pieces]
    elif kind == 4:
        frames += [frame("agent_chunk", run=RUN, content=piece[::-1], index=n) for n, piece in enumerate(pieces)]
    else:
        frames.append(json.dumps(document(rng, text)).encode())
    at = rng.randrange(len(frames))
    return [*frames[at:], *frames[:at]] if rng.random() < 0.3 and kind in (1, 2, 5) else frames


def is_an_accident(steps):
    """A piece that grew by letters of the field beside it, when all signs of a text were deleted."""
    return "piece" in steps and "separators" in steps


@settings(max_examples=1500, deadline=None)
@given(rng=rngs)
def test_the_quick_way_and_the_full_search_find_the_same(rng):
    frames = run_with(something_hidden(rng), rng)
    for deep in (a_deep(), DEEP):
        quickly, fully = deep.search_parts(frames, OWN), deep.search_fully(frames, OWN)
        assert quickly.hits == fully.hits or all(is_an_accident(one.steps) for one in fully.hits)
        assert quickly.names.keys() >= fully.names.keys()  # and names that are split over strings
        assert quickly.own & OWN == fully.own & OWN


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_a_canary_of_ones_own_in_disguise_is_seen_and_is_a_strangers_to_the_next_observer(way):
    """Also when it came to its owner so often that anybody else's memory would have taken it for a phrase."""
    rng, deep = random.Random(way), a_deep()
    canary = canary_of(rng)
    text = WAYS[way](canary, rng)
    frames = [frame("agent_note", run=RUN, user="k3f00005", note=text), frame("agent_note", run=RUN, note="and more")]
    for _ in range(4):
        found = deep.search_parts(frames, OWN | {canary.encode()})
        assert (found.hits, canary.encode() in found.own) == ((), True)
    assert [one.hit.canary for one in deep.search_parts(frames, OWN).hits] == [canary.encode()]


def test_phrases_that_come_back_are_left_out_and_what_stands_between_them_is_not():
    deep, canary = a_deep(), canary_of(random.Random(1))
    phrases = ["looking it up", "asking the other team", "all done"]
    for _ in range(3):
        assert deep.search_parts([frame("agent_note", run=RUN, note=one) for one in phrases], OWN).hits == ()
    assert all(one in deep.memory.texts for one in phrases)
    cut = [canary[:13], phrases[0], canary[13:]]
    split = [frame("agent_note", run=RUN, note=one) for one in (phrases[0], canary[:13], canary[13:], phrases[1])]
    assert len(deep.search_parts(split, OWN).hits) == 1
    assert deep.search_parts([frame("agent_note", run=RUN, note="".join(cut))], OWN).hits == (
        deep.search_fully([frame("agent_note", run=RUN, note="".join(cut))], OWN).hits
    )


def test_nothing_with_a_digit_a_name_or_a_canary_becomes_a_phrase():
    deep = a_deep()
    ends = [
        "tlk is it",
        "lk and so",
        "this is ct",
        "see ctl",
        "ltc and",
        "tc and so",
        "so it kl",
        "and so klt",
        "gyx it is",
    ]
    texts = [*ends, "conn-3f2b8c1e9a7d4055", "k3f00012 was here", f"see {RUN}", "ask alice", "ok"]
    for _ in range(4):
        deep.search_parts([frame("agent_note", run=RUN, note=one) for one in texts], OWN)
    assert [one for one in texts if one in deep.memory.texts] == ["ask alice"]


# --- one proof after the other --------------------------------------------------------------------------------------


@st.composite
def views(draw):
    """Texts that hold an encoded one, torn in some way, between words; and texts of an alphabet."""
    rng = draw(rngs)
    if rng.random() < 0.2:
        return "".join(rng.choices("0123456789abcdefxABCx ,-nopqrs\n", k=rng.randrange(400))).encode()
    inner = (
        prose(rng, 12) if rng.random() < 0.5 else "".join(chr(rng.randrange(32, 127)) for _ in range(rng.randrange(90)))
    )
    text = rng.choice(WAYS)(inner, rng)
    turn = rng.choice((lambda view: view, transforms.rot13, transforms.backwards))
    lost = rng.randrange(len(text) + 1) if rng.random() < 0.3 else len(text)
    return turn(f"{prose(rng)} {text[:lost]}{prose(rng)}".encode())


@settings(max_examples=3000, deadline=None)
@given(view=views())
def test_what_is_closed_no_decoder_opens(view):
    if quick.is_closed(view, quick.Known(100)):
        for turned in (view, transforms.rot13(view), transforms.backwards(view)):
            for name, decode in transforms.DECODERS:
                assert decode(turned) == [], name


def test_words_are_closed():
    """The proof is of use: it holds for what agents mostly say. It may be wrong on the safe side, in 1 of 100 texts."""
    plain = [word for word in WORDS if word.isascii() and not set(word) & set("&%\\=")]
    said = [" ".join(random.Random(seed).choices(plain, k=200)) for seed in range(300)]
    texts = [f"{words} Call 2026-11-20T09:17:47.829961Z: 12 of 33 (0.5 EUR), id 5f0a-77." for words in said]
    assert sum(quick.is_closed(text.encode(), quick.Known(100)) for text in texts) >= 297


@settings(max_examples=1000, deadline=None)
@given(rng=rngs)
def test_a_beginning_that_lies_over_strings_is_straddled(rng):
    canary = canary_of(rng)
    text = rng.choice((canary, canary[::-1], transforms.rot13(canary.encode()).decode(), canary.upper()))
    place = next(at for at in map(text.lower().find, ("ctlk", "kltc", "pgyx", "xygp")) if at >= 0)
    cuts = sorted({place + 1 + rng.randrange(3) for _ in range(rng.randrange(1, 4))})
    pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    others = rng.sample(["status", "user id", "Done.", "t", "kl", "more"], k=3)
    assert quick.is_straddled([*others, *pieces], [])
    fields = [[piece, "and"] for piece in pieces]
    assert quick.is_straddled(others, fields)
    assert not quick.is_straddled(["status", "Done."], [["and", *pieces]]) or len(pieces) > 2


@settings(max_examples=300, deadline=None)
@given(rng=rngs)
def test_strings_are_those_that_the_full_search_reads(rng):
    frames = run_with(something_hidden(rng), rng)
    said, distilled = strings.read(frames), distil(frames)
    if said is None:
        assert distilled.others or b'\\\\"' in b"".join(frames)
        return
    every = {text for one in said.fields for text in one.values} | {one for one in said.texts if isinstance(one, str)}
    left_out = {text for text in distilled.in_order if text.startswith("2026-11-20T09")}
    assert every | {*said.names} | left_out == distilled.strings() - {"→", "[]"}
    joined = {"".join(one.values) for one in said.fields}
    assert joined == {"".join(chunks) for chunks in distilled.chunked()}


@pytest.mark.parametrize(
    "frames",
    [[b'{"a":"x","a":"y"}'], [b"no JSON"], [b'"text"'], [b"1"], [b'{"a":"x', b'y"}'],
     [b"[" * 150 + b"]" * 150], [b'{"a\\\\":1, "b":"x","b":"y"}'], [b"{},{}"], [b'{"a":1},{"a":2}', b'{"a":[', b"]}"]],
)  # fmt: skip
def test_what_a_parser_may_drop_is_not_read_by_columns(frames):
    assert strings.read(frames) is None


def test_on_a_plain_transcript_no_decoder_runs(monkeypatch):
    rng, deep, ran = random.Random(3), a_deep(), []

    def counted(name):
        def decode(_view):
            ran.append(name)
            return []

        return decode

    monkeypatch.setattr(transforms, "DECODERS", tuple((name, counted(name)) for name, _ in transforms.DECODERS))
    answer = (
        " ".join(rng.choices([word for word in WORDS if word.isalpha() and word.isascii()], k=80)) + f" {RUN[-36:]}"
    )
    frames = [frame("agent_chunk", run=RUN, thread=THREAD, user="k3f00005", content=answer[at : at + 20], index=at,
                    at=f"2026-11-20T09:17:{at % 60:02}.250Z") for at in range(0, len(answer), 20)]  # fmt: skip
    found = deep.search_parts([*frames, frame("agent_completed", run=RUN, result=answer)], OWN)
    assert (found.hits, found.own, ran) == ((), OWN, [])


def test_words_that_are_forgotten_are_looked_at_again():
    known = quick.Known(2)
    for word in (b"one", b"two", b"three"):
        known.remember([word])
    assert known.unknown({b"one", b"two", b"three", b"four"}) == {b"four"}
    for word in (b"five", b"six"):
        known.remember([word])
    assert b"one" not in known
    assert b"six" in known


#: without a rest in base64, which would be seen by its padding
SAID = b"nothing but words in here, only word"
#: whose letters, encoded, look like no other encoding
MORE_SAID = b"qpekrosqcraxoiphguopxpolsyehsey lvatwcfwqb"


@pytest.mark.parametrize(
    "view",
    [
        b"|".join(bytes([letter]) for letter in base64.b64encode(SAID)[::-1]),
        transforms.rot13(base64.b64encode(SAID)),
        "-".join(base64.b64encode(SAID).decode()).encode(),
        ", ".join("0x" + SAID[at : at + 4].hex() for at in range(0, 36, 4)).encode(),
        " ".join(f"{byte:02x}" for byte in "ünïcödé wörds ünd mörë wörds ünd mörë".encode()).encode(),
        " ".join(str(byte) for byte in SAID).encode(),
        "ｗｏｒｄｓ".encode(),
        b"words%20in%20here",
        b"words &amp; words",
        b"words=20in=20here",
        b"|".join(bytes([letter]) for letter in transforms.rot13(base64.b64encode(MORE_SAID))),
        b", ".join(b"0x" + MORE_SAID[at : at + 4].hex().encode() for at in range(0, 40, 4)),
        b" ".join(b"%02x" % byte for byte in "ｎｏｔｈｉｎｇ　ｂｕｔ　ｗｏｒｄｓ　ｉｎ　ｈｅｒｅ".encode()),
    ],
)  # fmt: skip
def test_what_a_decoder_opens_is_not_closed(view):
    turned = (view, transforms.rot13(view), transforms.backwards(view))
    assert any(decode(one) for one in turned for _, decode in transforms.DECODERS), "the example is none"
    assert not quick.is_closed(b"see " + view + b", please", quick.Known(100))


def test_only_known_canaries_explain_a_beginning():
    mine, other = (canary_of(random.Random(seed)).encode() for seed in (1, 2))
    for turn in (lambda one: one, transforms.backwards, transforms.rot13, lambda one: transforms.rot13(one)[::-1]):
        own = set()
        assert not quick.is_explained(b"see" + turn(other) + b"there", {mine}, own)
        assert quick.is_explained(b"see" + turn(mine) + b"there", {mine}, own) == (
            turn(mine)[:1] in b"c" or turn(mine)[-1:] == b"c"
        )
    assert quick.is_explained(b"see" + mine[:25], {mine}, set())
    assert not quick.is_explained(mine + other, {mine}, set())
    assert quick.is_straddled(["this is c", other.decode()[1:]], [])
    assert quick.is_straddled([], [["this is c"], ["t", "and"], [other.decode()[2:]]])
    assert not quick.is_straddled([], [["this is c", mine.decode()[1:]]], beside={b"\nk ", b" c\n"}, known={mine})
    assert quick.is_straddled([], [["this is so", other.decode()[1:]]], beside={b"\nk ", b" c\n"}, known={mine})


# --- nothing is poisoned by what was seen before --------------------------------------------------------------------


def planted(owner=7):
    """(deep, canary): one in the index of pieces, whose MAC begins with letters."""
    deep = a_deep()
    ordinal = next(
        number for number in itertools.count()
        if KEYS.make(owner=owner, ordinal=number, site=Site.PROMPT)[22:34].isalpha()
    )  # fmt: skip
    canary = KEYS.make(owner=owner, ordinal=ordinal, site=Site.PROMPT)
    deep._pieces.add(canary.encode(), KEYS.read(canary))
    return deep, canary


def note(text, **more):
    return frame("agent_note", run=RUN, note=text, **more)


@pytest.mark.parametrize("ways", [(22, 34), (24, 36), (22, 31, "."), (10, 36)])
def test_a_piece_of_ones_own_canary_is_a_strangers_to_the_next_observer(ways):
    deep, canary = planted()
    said = note(f"you said {canary[ways[0] : ways[1]]}{''.join(ways[2:])}")
    for frames in ([said, note("and more")], [said]):
        for _ in range(4):
            assert deep.search_parts(frames, OWN | {canary.encode()}).hits == ()
        assert [one.hit.label.owner for one in deep.search_parts(frames, OWN).hits] == [7]


def test_a_piece_of_ones_own_canary_in_chunks_is_a_strangers_to_the_next_observer():
    """Each of the chunks alone is nobody's and becomes a phrase."""
    deep, canary = planted()
    frames = [note(canary[at : at + 4]) for at in (22, 26, 30)]
    for _ in range(4):
        assert deep.search_parts(frames, OWN | {canary.encode()}).hits == ()
    assert all(canary[at : at + 4] in deep.memory.texts for at in (22, 26, 30))
    assert [one.hit.label.owner for one in deep.search_parts(frames, OWN).hits] == [7]


def test_ones_own_name_in_disguise_is_a_strangers_to_the_next_observer():
    deep = Deep(KEYS, names_in=lambda text: [name for name in ("alice", "bob") if name.encode() in text])
    encoded = base64.b64encode(b"user:alice!!").decode()
    assert not set(encoded) & set("0123456789=+/"), "the example is none"
    for _ in range(4):
        found = deep.search_parts([note(encoded), note("and more")], OWN)
        assert (found.hits, found.names) == ((), {"alice": ("base64",)})
    # one text of a field that always says the same, too
    for _ in range(4):
        assert deep.search_parts([note(encoded)], OWN).names == {"alice": ("base64",)}


def test_a_canary_that_cannot_be_verified_is_reported_each_time():
    deep = a_deep()
    garbled = canary_of(random.Random(5))[:21] + "abcdefghijklmno"
    for _ in range(4):
        found = deep.search_parts([note(f"see {garbled}")], OWN)
        assert [(one.hit.canary, one.hit.label.verified) for one in found.hits] == [(garbled.encode(), False)]


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r\n", "  "])
@pytest.mark.parametrize("way", ["separators", "base64", "json"])
def test_a_name_that_stands_twice_with_a_space_before_a_colon_is_looked_at(space, way):
    rng = random.Random(4)
    canary, text = hidden([DISGUISES[way][0]], rng)
    said = json.dumps(text)
    for frames in (
        [f'{{"a"{space}:{said},"a":"y"}}'.encode()],
        [f'{{"a":{said},"a":"y","b"{space}:1}}'.encode()],
        [f'{{"a":{said},"a":"y"}}'.encode(), f'{{"b"{space}:1}}'.encode()],
    ):
        assert strings.read(frames) is None
        for search in (a_deep().search_parts, a_deep().search_fully):
            assert [one.hit.canary for one in search(frames, OWN).hits] == [canary.encode()]


#: names and strings with quotes, backslashes and colons in them
_TEXTS = st.text('ab"\\:, \u00fc', max_size=4)
_SPACE = st.sampled_from(["", " ", "\n", "\t "])


def _as_json(value, draw):
    """Objects are lists of pairs: a name may stand twice. Written with spaces and escapes of all kinds."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))
    if isinstance(value, list):
        return f"[{','.join(draw(_SPACE) + _as_json(one, draw) for one in value)}]"
    if isinstance(value, tuple):
        pairs = [f"{draw(_SPACE)}{_as_json(name, draw)}{draw(_SPACE)}:{_as_json(one, draw)}" for name, one in value]
        return "{" + ",".join(pairs) + "}"
    return json.dumps(value)


def _says_a_name_twice(value):
    if isinstance(value, tuple):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(_says_a_name_twice(one) for _, one in value)
    return isinstance(value, list) and any(map(_says_a_name_twice, value))


_LEAVES = _TEXTS | st.integers(-9, 9) | st.booleans() | st.none()
_OBJECTS = st.recursive(
    st.lists(st.tuples(_TEXTS, _LEAVES), max_size=3).map(tuple),
    lambda inner: st.lists(st.tuples(_TEXTS, inner | _LEAVES), max_size=3).map(tuple) | st.lists(inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(data=st.data(), objects=st.lists(_OBJECTS, min_size=1, max_size=3))
def test_a_name_that_stands_twice_is_never_read_by_columns_and_anything_else_is_unless_quotes_are_unsure(data, objects):
    frames = [_as_json(one, data.draw).encode() for one in objects]
    said = strings.read(frames)
    if any(map(_says_a_name_twice, objects)):
        assert said is None
    else:
        assert said is not None or b'\\\\"' in b"".join(frames)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
def test_what_is_written_with_spaces_is_read_by_columns_too(separators):
    said = strings.read([json.dumps({"a": 'x"y', "b": {"c": '"ü":'}}, separators=separators).encode()])
    assert said is not None
    assert list(said.texts) == ['x"y', '"ü":']


def test_parts_that_are_documents_only_together_are_not():
    assert strings.read([b'{"a":"x', b'y"},{}']) is None


@pytest.mark.parametrize(
    "number", ["1763629067829961", "-1763629067829961", "0.8234567890123456", "-1763629067.829961",
               "12345678901234567e3", "340282366920938463463374607431768211455"],
)  # fmt: skip
def test_numbers_that_may_be_ids_are_among_what_was_searched(number):
    parts = [b'{"a":1,"b":0.5}', f'{{"a":{number},"b":1}}'.encode()]
    found = a_deep().search_parts(parts, OWN)
    assert number.encode() in (found.texts or (parts[1],))[-1]
    assert b"0.5" not in b"".join(found.texts)


@settings(max_examples=500, deadline=None)
@given(rng=rngs)
def test_what_its_owner_was_given_before_is_found_at_the_next_observer(rng):
    deep = a_deep()
    canary = KEYS.make(owner=rng.randrange(40), ordinal=9, site=Site.PROMPT)
    start, garbled = rng.randrange(29), rng.randrange(10, 36)
    name = base64.b64encode(b"user:k3f00012").decode().rstrip("=")
    text = rng.choice(
        (canary, canary[start : start + rng.randrange(7, 20)], canary[: rng.randrange(21, 36)], name,
         f"{canary[:garbled]}a{canary[garbled + 1 :]}")
    )  # fmt: skip
    for _ in range(rng.randrange(3)):
        text = rng.choice(WAYS)(text, rng)
    frames = run_with(text, rng)
    for _ in range(3):
        deep.search_parts(frames, OWN | {canary.encode()})
    quickly, fully = deep.search_parts(frames, OWN), deep.search_fully(frames, OWN)
    assert quickly.hits == fully.hits or all(is_an_accident(one.steps) for one in fully.hits)
    assert quickly.names.keys() >= fully.names.keys()


def test_pieces_that_are_alike_are_each_where_they_stand():
    canary = canary_of(random.Random(3))
    text = canary.encode().hex()
    pieces = [text[at : at + 2] for at in range(0, len(text), 2)]
    assert len(set(pieces)) < len(pieces), "the example is none"
    found = a_deep().search_parts([frame("agent_note", **{f"f{n}": one for n, one in enumerate(pieces)})], OWN)
    assert [one.hit.canary for one in found.hits] == [canary.encode()]


def test_texts_are_remembered_only_where_no_decoder_had_anything_to_open():
    deep = a_deep()
    for _ in range(4):
        deep.search_parts([note("looking it up"), note("100 %41 sure")], OWN)
    assert "looking it up" not in deep.memory.texts
    for _ in range(4):
        deep.search_parts([note("looking it up"), note("all done")], OWN)
    assert "looking it up" in deep.memory.texts


@pytest.mark.parametrize("place", [lambda one: {"b": one}, lambda one: [[1, one]], lambda one: {"a": [{"b": [one]}]}])
@pytest.mark.parametrize("way", [bytes, base64.b64encode, lambda one: one[::-1]])
def test_an_array_of_bytes_is_looked_at(place, way):
    canary = canary_of(random.Random(6)).encode()
    parts = [json.dumps({"x": place([*way(canary)])}).encode(), note("and more")]
    assert [one.hit.canary for one in a_deep().search_parts(parts, OWN).hits] == [canary]


def test_no_chunk_of_the_head_of_all_canaries_becomes_a_phrase():
    deep, head = a_deep(), KEYS.head
    chunks = [turn(head)[at : at + 5] for at in range(2, 8) for turn in (str, lambda one: one[::-1])]
    chunks += [transforms.rot13(one.encode()).decode() for one in chunks]
    for _ in range(4):
        deep.search_parts([note(one) for one in (*chunks, "looking it up")], OWN)
    assert "looking it up" in deep.memory.texts
    assert [one for one in chunks if one in deep.memory.texts] == []


def test_a_canary_that_begins_at_an_end_of_a_phrase_is_found():
    deep, canary = a_deep(), canary_of(random.Random(8))
    phrases = ["this is basic", "can it be"]
    for _ in range(3):
        deep.search_parts([note(one) for one in phrases], OWN)
    assert all(one in deep.memory.texts for one in phrases)
    for first, second in ((phrases[0], canary[1:]), (canary[:0:-1], phrases[1])):
        found = deep.search_parts([frame("agent_note", run=RUN, a=first, b=second)], OWN)
        assert [one.hit.canary for one in found.hits] == [canary.encode()]
