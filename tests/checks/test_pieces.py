"""Pieces without a head: what is long enough, or stands alone with a digit, is whose it is; chance is not."""

import base64
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crosstalk.checks.canary import HEAD_LENGTH, LENGTH, Site
from crosstalk.checks.deep import Deep
from crosstalk.checks.pieces import Pieces
from tests.helpers import keyring

KEYS = keyring()


def canary_of(owner, ordinal=1):
    return KEYS.make(owner=owner, ordinal=ordinal, site=Site.PROMPT)


def index(count=300, **options):
    pieces = Pieces(**options)
    for owner in range(count):
        canary = canary_of(owner)
        pieces.add(canary.encode(), KEYS.read(canary))
    return pieces


PIECES = index()
DEEP = Deep(KEYS, PIECES)
owners = st.integers(0, 299)
#: of mac letters
firsts, lasts = st.integers(1, LENGTH - 7), st.integers(HEAD_LENGTH + 7, LENGTH)


def found(text, pieces=PIECES):
    return [
        (hit.canary.decode(), hit.label.owner, hit.label.verified, hit.start) for hit in pieces.search(text.encode())
    ]


@given(owner=owners, first=firsts, last=lasts)
def test_a_piece_with_35_bits_of_the_mac_is_found_and_its_owner_named(owner, first, last):
    canary = canary_of(owner)
    assume(last - max(first, HEAD_LENGTH) >= 7)
    piece = canary[first:last]
    [(letters, whose, verified, start)] = found(f"see {piece}, please")
    assert (letters, whose, start) == (piece, owner, 4)
    assert verified is (len(piece) >= 9 or (len(piece) == 8 and not piece.isalpha()))


@given(
    owner=owners,
    first=firsts,
    last=lasts,
    before=st.text("0189_-é", max_size=3),
    after=st.text("0189_-é", max_size=3),
)
def test_what_stands_beside_a_piece_hides_only_the_short_ones(owner, first, last, before, after):
    assume(last - max(first, HEAD_LENGTH) >= 7)
    piece = canary_of(owner)[first:last]
    hits = [hit for hit in found(before + piece + after) if hit[1] == owner]
    assert hits, (before, piece, after)
    beside = (before[-1:] + after[:1]).encode()
    alone = not any(chr(byte).isalnum() for byte in beside if byte < 128)
    if len(piece) < 9 and not before and not alone:
        assert not hits[0][2]
    if len(piece) >= 9:
        assert hits[0][2]


@given(owner=owners, rng=st.integers(0, 999).map(random.Random))
def test_case_hides_no_piece(owner, rng):
    piece = canary_of(owner)[HEAD_LENGTH + 2 :]
    turned = "".join(rng.choice((letter.upper(), letter)) for letter in piece)
    [hit] = PIECES.search(f"({turned})".encode())
    assert (hit.canary.decode(), hit.folded, hit.label.partial) == (piece, turned != piece, True)


@pytest.mark.parametrize("length", range(1, 7))
def test_less_than_35_bits_are_nothing(length):
    assert found(canary_of(5)[-length:]) == []
    assert found(canary_of(5)[HEAD_LENGTH - 9 : HEAD_LENGTH + length]) == []


def test_a_head_is_none_of_its_business():
    canary = canary_of(7)
    assert found(canary) == found(canary[:31]) == found(canary + "abc") == []


@pytest.mark.parametrize("at", range(HEAD_LENGTH))
def test_a_garbled_head_does_not_hide_whose_the_mac_is(at):
    canary = canary_of(9)
    garbled = canary[:at] + ("7" if canary[at] != "7" else "a") + canary[at + 1 :]
    [one] = [one for one in DEEP.search(f"see {garbled}".encode()).hits if one.hit.label.verified]
    assert (one.hit.label.owner, one.steps, one.hit.label.partial) == (9, ("piece",), True)
    assert canary.endswith(one.hit.canary.decode())


@given(owner=owners, places=st.sets(st.integers(0, LENGTH - 1), min_size=1, max_size=2))
def test_one_or_two_garbled_letters_hide_nothing(owner, places):
    canary = canary_of(owner)
    garbled = "".join(("7" if letter != "7" else "a") if at in places else letter for at, letter in enumerate(canary))
    runs = "".join("." if at in places else "x" for at in range(HEAD_LENGTH, LENGTH)).split(".")
    # a head with a wrong letter, and two wrong letters... of which one parts the mac into pieces of less than 7
    assume(max(map(len, runs)) >= 7 or min(places) >= HEAD_LENGTH)
    whose = [
        one.hit.label.owner for one in DEEP.search(f'{{"a":"see {garbled} x"}}'.encode()).hits if one.hit.label.verified
    ]
    assert whose == [owner]


@given(owner=owners, cut=st.integers(5, 24))
def test_pieces_in_base64_and_split_over_fields_are_found(owner, cut):
    piece = canary_of(owner)[cut:]
    text = f"the answer to your question is {piece}, as said"
    hidden = base64.b64encode(text.encode()).decode()
    [one] = DEEP.search(f'{{"content":"{hidden}"}}'.encode()).hits
    assert (one.hit.label.owner, one.steps) == (owner, ("base64", "piece"))
    frames = [f'{{"content":"{text[at : at + 6]}"}}'.encode() for at in range(0, len(text), 6)]
    assert [one.hit.label.owner for one in DEEP.search_parts(frames).hits if len(piece) >= 9] == [owner] * (
        len(piece) >= 9
    )


def test_a_whole_canary_and_a_piece_of_it_are_one_hit():
    canary = canary_of(3)
    [one] = DEEP.search(f"{canary} and {canary[12:]}".encode()).hits
    assert (one.steps, one.hit.label.partial) == ((), False)


def test_the_oldest_are_forgotten_and_counted():
    pieces = index(count=30, limit=10)
    assert (len(pieces), pieces.evicted, len(pieces._windows)) == (10, 20, 90)
    assert found(canary_of(19)[10:], pieces) == []
    assert [hit[1] for hit in found(canary_of(20)[10:], pieces)] == [20]


def test_what_is_added_again_is_as_new():
    pieces = index(count=10, limit=10)
    for owner in (0, 50):
        pieces.add(canary_of(owner).encode(), KEYS.read(canary_of(owner)))
    assert [bool(found(canary_of(owner)[10:], pieces)) for owner in (0, 1, 50)] == [True, False, True]


def test_misuse_is_ours():
    with pytest.raises(ValueError, match="at least one"):
        Pieces(limit=0)
    with pytest.raises(ValueError, match="36 letters, got 5"):
        Pieces().add(b"ctlka", KEYS.read(canary_of(1)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32).map(random.Random))
def test_it_never_raises_on_chance(rng):
    assert [hit for hit in PIECES.search(rng.randbytes(20_000)) if hit.label.verified] == []


def test_a_megabyte_of_chance_is_no_piece_of_thousands_of_canaries():
    pieces, rng = index(count=4000), random.Random(11)
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    letters = "".join(rng.choices(alphabet, k=700_000)).encode()
    words = " ".join("".join(rng.choices(alphabet, k=rng.randrange(3, 12))) for _ in range(40_000)).encode()
    numbers = " ".join(f"{rng.getrandbits(32):08x}-{rng.getrandbits(28):07x}" for _ in range(20_000)).encode()
    hits = [hit for text in (letters, words, numbers) for hit in pieces.search(text)]
    assert [hit for hit in hits if hit.label.verified] == []
    assert [one.hit for one in Deep(KEYS, pieces).search(words).weak] == pieces.search(words)
