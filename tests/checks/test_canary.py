"""Canaries: what is made is read back, what was changed or cut is not taken for whole, and chance makes none."""

import base64
import hmac
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosstalk.checks.canary import (
    HEAD_LENGTH,
    LENGTH,
    ORDINAL_MAX,
    OWNER_MAX,
    PARTIAL_MAC_LENGTH,
    PHANTOM_FIRST,
    PREFIX,
    SCOPES,
    Keyring,
    Label,
    Site,
    load_test_name,
    names_in,
    new_load_test,
    only_known,
    tag,
    uuids_in,
)
from tests.helpers import LOAD_TEST, SECRET, keyring

KEYS = keyring()
CANARY = KEYS.make(owner=17, ordinal=4, site=Site.PROMPT)
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
owners, ordinals, sites = st.integers(0, OWNER_MAX), st.integers(0, ORDINAL_MAX), st.sampled_from(Site)


def found(text: str | bytes, keys: Keyring = KEYS):
    return keys.find(text if isinstance(text, bytes) else text.encode())


def whole(hits):
    return [hit.canary.decode() for hit in hits if hit.label.verified and not hit.label.partial]


# --- made and read --------------------------------------------------------------------------------------------------


@given(owner=owners, ordinal=ordinals, site=sites, load_test=st.integers(0, 2**30 - 1))
def test_what_is_made_is_read_back(owner, ordinal, site, load_test):
    keys = keyring(load_test=load_test)
    canary = keys.make(owner=owner, ordinal=ordinal, site=site)
    assert (len(canary), canary[: len(PREFIX)], set(canary) <= set(ALPHABET)) == (LENGTH, PREFIX, True)
    label = Label(load_test, owner, ordinal, site, verified=True)
    assert keys.read(canary) == label
    [hit] = keys.find(b"... " + canary.encode() + b" ...")
    assert (hit.label, hit.start, hit.canary, hit.folded) == (label, 4, canary.encode(), False)


def test_the_same_place_has_the_same_canary_and_another_place_another():
    places = [(17, 4, Site.PROMPT), (18, 4, Site.PROMPT), (17, 5, Site.PROMPT), (17, 4, Site.CONTEXT)]
    made = [KEYS.make(owner=owner, ordinal=ordinal, site=site) for owner, ordinal, site in places]
    assert len(set(made)) == len(places)
    assert made[0] == CANARY == keyring().make(owner=17, ordinal=4, site=Site.PROMPT)


@given(owner=owners, ordinal=ordinals, load_test=st.integers(0, 2**30 - 1))
def test_the_mac_is_the_beginning_of_an_hmac_in_base32(owner, ordinal, load_test):
    canary = keyring(load_test=load_test).make(owner=owner, ordinal=ordinal, site=Site.RUN)
    key = hmac.digest(SECRET, b"crosstalk canary key " + load_test.to_bytes(4, "big"), "sha256")
    digest = hmac.digest(key, canary[:HEAD_LENGTH].encode(), "sha256")
    assert canary[HEAD_LENGTH:] == base64.b32encode(digest).decode().lower()[: LENGTH - HEAD_LENGTH]


def test_the_mac_has_at_least_64_bits():
    assert (LENGTH - HEAD_LENGTH) * 5 >= 64


@pytest.mark.parametrize("wrong", [{"owner": OWNER_MAX + 1}, {"ordinal": ORDINAL_MAX + 1}])
def test_a_number_that_does_not_fit_is_our_mistake(wrong):
    with pytest.raises(ValueError, match="does not fit"):
        KEYS.make(**{"owner": 1, "ordinal": 1, "site": Site.PROMPT, **wrong})


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="at least 16 bytes, got 15"):
        Keyring(b"x" * 15, 1)


def test_every_site_has_a_scope_and_a_name():
    assert SCOPES.keys() == set(Site)
    assert [keyring().read(KEYS.make(owner=1, ordinal=1, site=site)).site_name for site in (Site.PROMPT, Site.RUN)] == [
        "prompt",
        "run",
    ]


# --- changed, cut, folded -------------------------------------------------------------------------------------------


@given(at=st.integers(0, LENGTH - 1), letter=st.sampled_from(ALPHABET + "018-_ é"))
def test_one_changed_character_is_never_taken_for_a_whole_canary(at, letter):
    changed = CANARY[:at] + letter + CANARY[at + 1 :]
    if changed == CANARY:
        return
    assert whole(found(changed)) == []
    label = KEYS.read(changed)
    assert label is None or not label.verified or label.partial


@given(at=st.integers(0, HEAD_LENGTH + PARTIAL_MAC_LENGTH - 1), letter=st.sampled_from(ALPHABET))
def test_a_changed_owner_or_early_mac_is_not_verified_at_all(at, letter):
    changed = CANARY[:at] + letter + CANARY[at + 1 :]
    if changed != CANARY:
        assert not any(hit.label.verified for hit in found(changed))


def test_a_canary_with_a_wrong_mac_is_found_but_not_verified():
    [hit] = found(CANARY[:HEAD_LENGTH] + "a" * 15)
    assert (hit.label.owner, hit.label.verified) == (17, False)


@pytest.mark.parametrize("length", range(len(PREFIX), LENGTH))
def test_a_canary_cut_at_its_end_counts_down_to_35_bits_of_its_mac(length):
    hits = found(f"see {CANARY[:length]}, please")
    if length >= HEAD_LENGTH + 7:
        [hit] = hits
        assert (hit.label.owner, hit.label.verified, hit.label.partial) == (17, True, True)
    else:
        assert hits == []


@given(st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH))
def test_a_change_of_case_hides_nothing(upper):
    folded = "".join(letter.upper() if up else letter for letter, up in zip(CANARY, upper, strict=True))
    [hit] = found(folded)
    assert (hit.canary.decode(), hit.label.verified, hit.label.partial) == (CANARY, True, False)
    assert hit.folded is (folded != CANARY)
    assert KEYS.read(folded) == KEYS.read(CANARY)


# --- where it stands ------------------------------------------------------------------------------------------------


other_canaries = st.builds(
    lambda owner, ordinal, site: KEYS.make(owner=owner, ordinal=ordinal, site=site), owners, ordinals, sites
)


@given(canaries=st.lists(other_canaries, max_size=5), between=st.sampled_from(["", " ", ",", "a", "ctlk", "-", "\\n"]))
def test_all_of_several_are_found_also_without_a_space_between(canaries, between):
    assert whole(found(between.join(canaries))) == canaries


@pytest.mark.parametrize("before", [CANARY[:28], CANARY[:33], CANARY[:35], CANARY[:10], "ctlk", "ctl", "c", "CTLK"])
def test_a_whole_canary_is_found_right_after_a_piece_of_another(before):
    mine = KEYS.make(owner=18, ordinal=1, site=Site.PROMPT)
    hits = found(before + mine)
    assert whole(hits) == [mine]
    assert [hit.start for hit in hits if hit.canary == mine.encode()] == [len(before)]
    assert all(hit.label.verified for hit in hits), "the piece is no stranger of its own"
    assert len(hits) == (2 if len(before) >= 28 else 1)


def test_prefixes_without_end_are_few_hits_and_none_of_them_verified():
    hits = found(PREFIX * 50)
    assert not any(hit.label.verified for hit in hits)
    assert len(hits) <= len(PREFIX * 50) // 28


@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_it_is_found_in_the_middle_of_any_text(before, after):
    assert CANARY in whole(found(before + CANARY + after))


def test_a_whole_canary_is_one_hit_whatever_letters_follow():
    assert [hit.canary for hit in found(CANARY + "abcdefgh")] == [CANARY.encode()]


def test_chance_makes_none():
    rng = random.Random(7)
    assert KEYS.find(rng.randbytes(1_000_000)) == []
    letters = "".join(rng.choices(ALPHABET, k=1_000_000))
    assert not any(hit.label.verified for hit in found(letters))


def test_what_is_no_canary_reads_as_none():
    assert [
        KEYS.read(text) for text in ("", "run-1", CANARY[:-1], CANARY + "a", "x" + CANARY[1:], CANARY[:-1] + "1")
    ] == [None] * 6


# --- strangers ------------------------------------------------------------------------------------------------------

#: the first few are known
PEOPLE = [KEYS.make(owner=owner, ordinal=owner % 5, site=Site.RUN) for owner in range(12)]
KNOWN = frozenset(canary.encode() for canary in PEOPLE[:4])


def cut(canary, end):
    return canary[:end]


def garbled(canary, at):
    return canary[:at] + ("a" if canary[at] != "a" else "b") + canary[at + 1 :]


someones = st.sampled_from(PEOPLE)
pieces = st.one_of(
    someones,
    someones.map(str.upper),
    someones.map(str.title),
    st.builds(cut, someones, st.integers(1, LENGTH)),
    st.builds(garbled, someones, st.integers(0, LENGTH - 1)),
    st.sampled_from(["", " ", "ctlk", "ctl", "c", "run-", '","', "CTLKctlk", "abcdefg"]),
    st.text(ALPHABET, max_size=8),
)


@settings(max_examples=400)
@given(st.lists(pieces, max_size=8).map("".join))
def test_strangers_are_what_find_finds_but_for_the_known(text):
    frame, seen = text.encode(), set()
    hits = KEYS.find(frame)
    assert KEYS.strangers(frame, KNOWN, seen) == [hit for hit in hits if hit.canary not in KNOWN]
    assert seen == {hit.canary for hit in hits} & KNOWN
    assert KEYS.strangers(frame, frozenset()) == hits


@given(st.lists(someones, max_size=6), st.sampled_from(["", " ", '","', "x"]))
def test_all_strangers_of_a_frame_are_found(canaries, between):
    frame = between.join(canaries).encode()
    strangers = [hit.canary.decode() for hit in KEYS.strangers(frame, KNOWN)]
    assert strangers == [canary for canary in canaries if canary.encode() not in KNOWN]


def test_a_cut_canary_hides_no_letter_of_the_next_one():
    """The letter that was cut off is, by chance, the one that the next canary begins with."""
    first = next(canary for canary in map(CANARY_FOR, range(2000)) if canary[30] == "c")
    hits = found(first[:30] + CANARY)
    assert [hit.canary[:30].decode() for hit in hits if hit.label.partial] == [first[:30]]
    assert whole(hits) == [CANARY]


def CANARY_FOR(owner):
    return KEYS.make(owner=owner, ordinal=1, site=Site.PROMPT)


@given(st.lists(st.booleans(), min_size=15, max_size=15))
def test_mac_letters_are_counted_in_their_places(right):
    mac = "".join(
        letter if ok else ("a" if letter != "a" else "b") for letter, ok in zip(CANARY[21:], right, strict=True)
    )
    [hit] = found(CANARY[:HEAD_LENGTH] + mac)
    assert KEYS.mac_letters_right(hit) == sum(right)


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("nothing here", True),
        (CANARY, True),
        (f"see {CANARY.upper()}\n{CANARY}", True),
        (CANARY + CANARY, True),
        (PREFIX, False),
        (CANARY[:-1], False),
        (f"{CANARY} and {CANARY[:-1]}", False),
        (f"{CANARY[:12]}\n{CANARY}", False),
        (CANARY + KEYS.make(owner=18, ordinal=4, site=Site.PROMPT), False),
    ],
)
def test_only_known_canaries_are_told_at_once(text, only):
    """Whatever might be more is left to `strangers`."""
    known, seen = frozenset({CANARY.encode()}), set()
    assert only_known(text.encode(), known, seen) == only
    assert seen == ({CANARY.encode()} if only and CANARY in text.lower() else set())


@given(st.lists(pieces, max_size=8).map("".join))
def test_where_only_known_ones_are_told_there_are_no_strangers(text):
    frame, seen, also_seen = text.encode(), set(), set()
    if only_known(frame, KNOWN, seen):
        assert KEYS.strangers(frame, KNOWN, also_seen) == []
        assert seen == also_seen


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"user_id":"k3f00017"', ["k3f00017"]),
        ("k3f00017", ["k3f00017"]),
        ("K3F00017 and k3f00018@crosstalk.test, k3f00017_x", ["k3f00017", "k3f00018", "k3f00017"]),
        ("xk3f00017 k3f000171 k3f00017a 9k3f00017", []),
        ("k3f0001 k3f0001x k3fk3f00019", []),
        ("k3f k3f00020", ["k3f00020"]),
        ("k3f\u066000020", []),
        ("", []),
    ],
)
def test_names_of_accounts_stand_alone(text, names):
    assert [name.decode() for name in names_in(text.encode(), b"k3f")] == names


@given(st.lists(st.uuids(), max_size=4), st.sampled_from([" ", '","', "-", "--", "2026-11-20T", "x-y-"]))
def test_uuids_are_found(uuids, between):
    text = between + between.join(str(one) for one in uuids) + between
    assert uuids_in(text.upper().encode()) == [str(one).encode() for one in uuids]


def test_what_is_no_uuid_is_none():
    assert uuids_in(b"12345678-1234-1234-1234-12345678901 1234567-1234-1234-1234-123456789012 - -- ----") == []


# --- other load tests -----------------------------------------------------------------------------------------------


def test_what_another_load_test_left_behind_is_recognised_under_the_same_secret():
    theirs = keyring(load_test=LOAD_TEST + 1).make(owner=3, ordinal=9, site=Site.CONTEXT)
    [hit] = found(theirs)
    assert hit.label == Label(LOAD_TEST + 1, 3, 9, Site.CONTEXT, verified=True)


def test_under_another_secret_it_is_not_verified():
    theirs = keyring(secret=b"somebody else's secret").make(owner=3, ordinal=9, site=Site.CONTEXT)
    [hit] = found(theirs)
    assert (hit.label.verified, hit.label.load_test) == (False, LOAD_TEST)


def test_many_strangers_do_not_displace_our_own_key():
    for load_test in range(600):
        theirs = keyring(load_test=load_test).make(owner=1, ordinal=1, site=Site.PROMPT)
        assert KEYS.read(theirs).verified
    assert KEYS.read(CANARY).verified
    assert len(KEYS._keys) <= 300


def test_the_secret_is_not_in_the_canary_nor_its_key():
    assert SECRET not in CANARY.encode()


# --- load tests and their accounts ----------------------------------------------------------------------------------


@given(st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_a_load_tests_tag_starts_with_a_letter_and_its_name_with_the_tag(rng):
    load_test = new_load_test(rng)
    assert 0 <= load_test < 2**30
    assert tag(load_test)[0].isalpha()
    assert len(tag(load_test)) == 3
    assert load_test_name(load_test).startswith(tag(load_test))
    assert CANARY_OF(load_test)[len(PREFIX) :].startswith(load_test_name(load_test))


def CANARY_OF(load_test):
    return keyring(load_test=load_test).make(owner=1, ordinal=1, site=Site.PROMPT)


def test_load_tests_differ():
    rng = random.Random(1)
    assert len({new_load_test(rng) for _ in range(200)}) == 200


def test_phantoms_are_owners_that_no_account_has():
    assert PHANTOM_FIRST > 100_000
    assert PHANTOM_FIRST + 4095 <= OWNER_MAX
