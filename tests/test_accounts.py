"""Identities: nobody shares a number, a name tells its number, and tokens say what the target checks."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.accounts import (
    LEASE_SIZE,
    NUMBERS,
    PREFLIGHT_NUMBER,
    LeaseBook,
    Mint,
    Purse,
    claims_of,
    expires_at_s,
    forged,
    renew_at_s,
    roster,
)
from crosstalk.checks.canary import tag
from crosstalk.clock import clock
from crosstalk.config import Account, ConfigError
from crosstalk.environments import TokenRules
from tests.helpers import LOAD_TEST

SECRET = "a secret of at least thirty-two bytes"
ISSUER, AUDIENCE = "netra-auth-service", "netra-platform"
FILE = (Account("ann", token="t1"), Account("ben", email="ben@example.test", password="p"))


# --- names and numbers ----------------------------------------------------------------------------------------------


@given(st.integers(0, NUMBERS - 1))
def test_a_minted_name_tells_its_number_in_eight_characters(number):
    names = roster(LOAD_TEST, ())
    name = names.name_of(number)
    assert len(name) == 8
    assert name.startswith(tag(LOAD_TEST))
    assert names.number_of(name) == number


@given(st.text(max_size=10))
def test_any_other_name_is_nobodys_and_none_raises(name):
    names = roster(LOAD_TEST, ())
    number = names.number_of(name)
    assert number is None or names.name_of(number) == name


@pytest.mark.parametrize("digits", ["0001²", "٠٠٠١٧", "-0001", " 0017", "00017 ", "0_017", "17", "000017"])
def test_only_five_plain_digits_make_a_number(digits):
    assert roster(LOAD_TEST, ()).number_of(tag(LOAD_TEST) + digits) is None


def test_two_load_tests_share_no_name():
    assert roster(LOAD_TEST, ()).number_of(roster(LOAD_TEST + 2**20, ()).name_of(17)) is None


def test_names_of_a_file_are_its_own():
    names = roster(LOAD_TEST, FILE)
    assert [names.name_of(number) for number in (0, 1)] == ["ann", "ben"]
    assert [names.number_of(name) for name in ("ann", "ben", "eve")] == [0, 1, None]
    assert isinstance(names.name_of(PREFLIGHT_NUMBER), str)


# --- leases ---------------------------------------------------------------------------------------------------------


def test_leases_follow_each_other_without_overlap_until_there_are_no_more():
    book = LeaseBook(limit=25)
    assert [book.lease(10) for _ in range(4)] == [(0, 10), (10, 10), (20, 5), (25, 0)]


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(0, 100))
def test_no_number_is_leased_twice(wishes, limit):
    book, given_out = LeaseBook(limit=limit), []
    for wanted in wishes:
        first, many = book.lease(wanted)
        given_out += range(first, first + many)
    assert given_out == list(range(min(limit, sum(wishes))))


def test_the_account_of_the_check_before_is_never_leased():
    book = LeaseBook()
    first, many = book.lease(10**9)
    assert PREFLIGHT_NUMBER not in range(first, first + many)


class Master:
    """Answers a purse at once from a book."""

    def __init__(self, limit):
        self.book, self.asked, self.purse = LeaseBook(limit), [], Purse(self.answer)

    def answer(self, wanted):
        self.asked.append(wanted)
        self.purse.put(*self.book.lease(wanted))


def test_a_purse_asks_for_a_block_and_hands_it_out_one_by_one():
    master = Master(limit=100)
    assert [master.purse.take() for _ in range(LEASE_SIZE + 1)] == list(range(LEASE_SIZE + 1))
    assert master.asked == [LEASE_SIZE] * 2


def test_two_purses_of_one_book_share_no_number():
    book = LeaseBook(limit=100)
    masters = [Master(limit=0), Master(limit=0)]
    for master in masters:
        master.book = book
    taken = [master.purse.take() for _ in range(15) for master in masters]
    assert len(set(taken)) == 30


def test_a_number_that_was_given_back_is_used_again_after_the_others():
    master = Master(limit=3)
    taken = [master.purse.take() for _ in range(3)]
    master.purse.give_back(taken[1])
    assert master.purse.take() == taken[1]


def test_more_users_than_accounts_says_what_to_do():
    master = Master(limit=2)
    for _ in range(2):
        master.purse.take()
    with pytest.raises(ConfigError, match=r"more users than accounts: add accounts to the file, or start fewer users"):
        master.purse.take()


def test_after_the_accounts_ended_one_that_comes_back_can_be_taken():
    master = Master(limit=1)
    number = master.purse.take()
    with pytest.raises(ConfigError):
        master.purse.take()
    master.purse.give_back(number)
    assert master.purse.take() == number


def test_a_master_that_does_not_answer_is_named():
    with pytest.raises(ConfigError, match=r"no account number came from the master within 0.02 s"):
        Purse(lambda wanted: None).take(timeout_s=0.02)


def test_one_question_is_asked_however_many_wait():
    asked = []
    purse = Purse(asked.append)
    for _ in range(3):
        with pytest.raises(ConfigError):
            purse.take(timeout_s=0.01)
    assert asked == [LEASE_SIZE]


# --- tokens ---------------------------------------------------------------------------------------------------------


def claims(token, secret=SECRET):
    return jwt.decode(token, secret, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)


def test_a_minted_token_is_what_the_target_checks():
    token = Mint(SECRET, "staging").token("k3f00017")
    said = claims(token)
    assert (said["sub"], said["env"], said["token_type"]) == ("k3f00017", "staging", "access")
    assert said["exp"] - said["iat"] == 900
    assert abs(said["iat"] - clock.now_ns() / 1e9) < 5
    assert {"jti", "email", "permissions"} <= said.keys()


def test_no_two_tokens_are_the_same():
    mint = Mint(SECRET, "local")
    assert claims(mint.token("a"))["jti"] != claims(mint.token("a"))["jti"]


def test_a_minted_token_follows_the_rules_of_its_environment():
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    rules = TokenRules(issuer="us", audience="chat", life_s=60, algorithm="ES256")
    token = Mint(pem, "mine", rules).token("k3f00017")
    said = jwt.decode(token, key.public_key(), algorithms=["ES256"], issuer="us", audience="chat")
    assert (said["sub"], said["exp"] - said["iat"], said["env"]) == ("k3f00017", 60, "mine")


def test_a_forged_token_differs_in_its_signature_alone():
    right = Mint(SECRET, "local").token("k3f00017")
    wrong = forged(right)
    with pytest.raises(jwt.InvalidSignatureError):
        claims(wrong)
    assert claims_of(wrong) == claims(right)
    assert wrong.rpartition(".")[0] == right.rpartition(".")[0] and len(wrong) == len(right)


@pytest.mark.parametrize("token", ["", "opaque", "not.a.token", "a.b.c=d"])
def test_whatever_a_token_is_its_forgery_is_another(token):
    assert forged(token) not in ("", token)
    assert forged(token) != forged(token)


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "ä.ö.ü"])
def test_a_token_that_is_no_jwt_says_nothing(token):
    assert claims_of(token) == {}


def test_the_secret_shows_in_no_representation():
    assert SECRET not in repr(Mint(SECRET, "local"))
    assert not {"t1", "'p'"} & set(repr(FILE).split("="))


def test_the_end_of_a_tokens_life_is_read_from_it_whoever_signed_it():
    token = forged(Mint(SECRET, "local").token("k3f00017"))
    assert expires_at_s(token) == jwt.decode(token, options={"verify_signature": False})["exp"]


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", jwt.encode({"sub": "x"}, SECRET, "HS256")])
def test_a_token_that_does_not_say_never_ends(token):
    assert expires_at_s(token) == float("inf")


@pytest.mark.parametrize("exp", ["soon", None, [], {}])
def test_nor_does_one_that_says_nonsense(exp):
    assert expires_at_s(jwt.api_jws.encode(b'{"exp": %s}' % str_json(exp), SECRET, "HS256")) == float("inf")


def str_json(value):
    import json

    return json.dumps(value).encode()


@pytest.mark.parametrize(("life_s", "before_s"), [(900, 60), (240, 60), (120, 30), (8, 2)])
def test_a_token_is_renewed_a_quarter_of_its_life_before_its_end_or_a_minute(life_s, before_s):
    token = Mint(SECRET, "test").token("ann", life_s=life_s)
    assert renew_at_s(token) == expires_at_s(token) - before_s


def test_a_token_that_does_not_say_when_it_expires_is_never_renewed():
    assert renew_at_s("no JWT") == float("inf")
