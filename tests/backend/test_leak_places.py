"""The places that leaks come from, by themselves: what is kept, for how long, and who gets it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.backend.catalogue import CATALOGUE
from crosstalk.backend.leak_forms import FORMS, piece_with
from crosstalk.backend.leak_transforms import TRANSFORMS
from crosstalk.backend.leftovers import ANSWERS_MAX, SEEN_MAX, Leftovers, Pool, Reply, Seen

REFERENCE = "ctlk" + "abcdefghijklmnopqrstuvwxyz234567"
ALIGNED = ("leak_base64", "leak_base64url", "leak_compressed", "leak_two_layers")
SAID = (REFERENCE,)


def asked(pool, user, *, trusts=True):
    """A connection, and who wrote the answer that is read from it."""
    connection = pool.take(user, lambda: trusts)
    return connection, connection.ask(Reply(user, f"for {user}")).user_id


@given(st.integers(0, 60), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_a_piece_holds_the_whole_reference_and_no_chunk_more(start, sizes):
    text = "." * start + REFERENCE + "." * 800
    cuts = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    pieces = tuple(text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True))
    index, piece = piece_with(REFERENCE, pieces)
    count = next(n for n in range(1, len(pieces) + 1) if REFERENCE in "".join(pieces[index : index + n]))
    assert piece == "".join(pieces[index : index + count])
    assert REFERENCE not in "".join(pieces[index + 1 : index + count])


def test_an_unread_answer_goes_to_the_next_user_once():
    pool = Pool()
    cancelled, reader = asked(pool, "a")
    assert reader == "a"
    pool.give_back(cancelled)
    taken, reader = asked(pool, "b")
    assert (taken, reader) == (cancelled, "a")
    assert asked(pool, "c")[1] == "c"


def test_ones_own_unread_answer_is_left_and_a_distrusted_one_stays():
    pool = Pool()
    pool.give_back(asked(pool, "a")[0])
    assert asked(pool, "a")[1] == "a"
    assert asked(pool, "b", trusts=False)[1] == "b"
    assert asked(pool, "b")[1] == "a"


def test_a_run_in_progress_comes_before_a_newer_one_that_has_ended():
    places = Leftovers()
    for number, user in enumerate("abca"):
        places.note_run(Seen(user, f"run-{number}", "t", references=SAID if number < 3 else ()))
    of_b = [places.of_another("b", active) for active in ((), [("a", "run-0")], [("a", "run-3")])]
    assert [seen.run_id for seen in of_b if seen] == ["run-2", "run-0", "run-2"]
    assert places.of_another("b", [("a", "run-3")], lambda seen: True).run_id == "run-3"
    assert places.newest_of("a").run_id == "run-3"
    assert places.newest_of("nobody") is None


def test_places_are_bounded():
    places = Leftovers()
    for number in range(ANSWERS_MAX + SEEN_MAX):
        places.note_run(Seen("a", f"run-{number}", "t", references=SAID))
        places.note_answer("run", f"{number}", "a", "text")
    assert sum(1 for _ in places.all_of_others("b")) == SEEN_MAX
    kept = [places.answer_of_another("run", f"{number}", "b") for number in range(ANSWERS_MAX + SEEN_MAX)]
    assert kept == [None] * SEEN_MAX + ["text"] * ANSWERS_MAX
    assert places.answer_of_another("prompt", f"{SEEN_MAX}", "b") is None
    assert places.answer_of_another("run", f"{SEEN_MAX}", "a") is None


@pytest.mark.parametrize("name", TRANSFORMS)
def test_no_transform_leaves_the_reference_as_it_is(name):
    looks = [TRANSFORMS[name](REFERENCE, alignment) for alignment in range(3)]
    assert not [look for look in looks if REFERENCE in look]
    assert len(set(looks)) == (3 if name in ALIGNED else 1)


def test_base64url_has_the_letters_that_base64_lacks():
    look = TRANSFORMS["leak_base64url"](REFERENCE, 1)
    assert "-" in look
    assert "_" in look
    assert "=" not in look


def test_every_form_is_in_the_catalogue():
    assert set(FORMS) < {fault.name for fault in CATALOGUE}
