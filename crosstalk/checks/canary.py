"""Canaries: tokens that name their owner and cannot occur by chance.

    ctlk llllll ooooo rrrrr s mmmmmmmmmmmmmmm        36 letters and digits, base32 (a–z, 2–7)
    │    │      │     │     │ └ 75 bits of HMAC-SHA256 over what stands before, under the load test's key
    │    │      │     │     └ site: where it was planted        (5 bits)
    │    │      │     └ ordinal: the owner's how-manieth run    (25 bits)
    │    │      └ owner: the number of the account              (25 bits)
    │    └ load test                                            (30 bits)
    └ prefix

Any process that holds the key can tell whose a canary is without asking anyone. The key of a load test is derived
from a long-lived secret and the load test's id, which is in the canary: what an earlier load test with the same secret
left behind is recognised too. Ids that the client chooses are canaries as well (sites RUN, THREAD, MESSAGE), so an id
tells its owner.
"""

from __future__ import annotations

import hmac
import random
import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum

PREFIX = "ctlk"
LENGTH = 36
HEAD_LENGTH = 21  # prefix and the four numbers
MAC_LENGTH = 15
#: characters of the MAC that must be there for a cut canary to count: 7 × 5 = 35 bits
PARTIAL_MAC_LENGTH = 7
OWNER_MAX = 2**25 - 1
ORDINAL_MAX = 2**25 - 1
#: owners from here up are phantoms: their canaries are made and never sent
PHANTOM_FIRST = OWNER_MAX - 4096

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
#: the prefix, the rest of the head, and 7 to 15 letters of the MAC
_FIND = re.compile(rb"(?i)ctlk[a-z2-7]{24,32}")


class Site(IntEnum):
    """Where a canary is planted."""

    PROMPT = 1
    CONTEXT = 2
    PROFILE = 3
    RUN = 4  # the run's id
    THREAD = 5  # the thread's id
    MESSAGE = 6  # the message's id
    PHANTOM = 7


class Scope(StrEnum):
    """How far a canary may travel: within its run, its thread, or to all threads of its user."""

    RUN = "run"
    THREAD = "thread"
    USER = "user"


#: a turn's text may come back in a later turn of the same thread (memory), a profile in every thread of its user
SCOPES = {
    Site.PROMPT: Scope.THREAD,
    Site.CONTEXT: Scope.THREAD,
    Site.PROFILE: Scope.USER,
    Site.RUN: Scope.THREAD,  # a thread's history names its runs
    Site.THREAD: Scope.THREAD,
    Site.MESSAGE: Scope.THREAD,
    Site.PHANTOM: Scope.RUN,
}

#: sites whose canaries are ids, not content
ID_SITES = frozenset({Site.RUN, Site.THREAD, Site.MESSAGE})


@dataclass(frozen=True, slots=True)
class Label:
    """What a canary says. `verified`: its MAC is right under the key of its load test."""

    load_test: int
    owner: int
    ordinal: int
    site: int
    verified: bool
    partial: bool = False

    @property
    def site_name(self) -> str:
        return Site(self.site).name.lower() if self.site in Site._value2member_map_ else f"site {self.site}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A canary found in bytes."""

    canary: bytes  # as it was found, lower case
    start: int
    label: Label
    folded: bool  # its letters were not all lower case


class Keyring:
    """Makes and reads canaries of one load test; recognises those of others under the same secret.

    :param secret: long-lived, at least 16 bytes; kept by the user of the harness, never in a record.
    """

    def __init__(self, secret: bytes, load_test: int) -> None:
        if len(secret) < 16:
            raise ValueError(f"the canary secret needs at least 16 bytes, got {len(secret)}")
        self.load_test = load_test
        self._secret = secret
        self._keys = {load_test: self._derive(load_test)}
        self._load_test_text = _base32(load_test, 6)

    def make(self, *, owner: int, ordinal: int, site: Site) -> str:
        """The canary of a place. The same arguments give the same canary."""
        head = f"{PREFIX}{self._load_test_text}{_base32(owner, 5)}{_base32(ordinal, 5)}{_base32(site, 1)}"
        return head + self._mac(self.load_test, head)

    def find(self, data: bytes) -> list[Hit]:
        """Every canary in `data`, also one whose end was cut off but for 35 bits of its MAC.

        A piece of a canary, or a bare prefix, may stand right before another one: after a hit that is not verified in
        full, the search goes on inside it; and what overlaps a verified hit is no hit of its own.
        """
        hits: list[Hit] = []
        start = 0
        while (match := _FIND.search(data, start)) is not None:
            hit = self._hit(match)
            start = hit.start + (self._verified_length(hit) if hit.label.verified else len(PREFIX))
            before = hits[-1] if hits else None
            if before is not None and not before.label.verified and before.start + len(before.canary) > hit.start:
                if not hit.label.verified:
                    continue
                hits.pop()
            hits.append(hit)
        return hits

    def read(self, text: str) -> Label | None:
        """The label of a whole canary; None when `text` is none."""
        lowered = text.lower()
        if len(lowered) != LENGTH or not lowered.startswith(PREFIX) or not set(lowered) <= _VALUE.keys():
            return None
        return self._label(lowered)

    def _verified_length(self, hit: Hit) -> int:
        if not hit.label.partial:
            return LENGTH
        canary = hit.canary.decode()
        right = self._mac(hit.label.load_test, canary[:HEAD_LENGTH])
        return HEAD_LENGTH + _shared_prefix_length(canary[HEAD_LENGTH:], right)

    def _hit(self, match: re.Match[bytes]) -> Hit:
        found = match.group()
        lowered = found.decode().lower()
        return Hit(lowered.encode(), match.start(), self._label(lowered), folded=lowered.encode() != found)

    def _label(self, canary: str) -> Label:
        head, mac = canary[:HEAD_LENGTH], canary[HEAD_LENGTH:]
        load_test = _number(head[4:10])
        right = self._mac(load_test, head)
        shared = _shared_prefix_length(mac, right)
        return Label(
            load_test=load_test,
            owner=_number(head[10:15]),
            ordinal=_number(head[15:20]),
            site=_number(head[20]),
            verified=shared >= PARTIAL_MAC_LENGTH,
            partial=shared < MAC_LENGTH,
        )

    def _mac(self, load_test: int, head: str) -> str:
        if load_test not in self._keys:
            if len(self._keys) > 256:  # strangers' ids are not ours to remember for ever
                self._keys = {self.load_test: self._keys[self.load_test]}
            self._keys[load_test] = self._derive(load_test)
        digest = hmac.digest(self._keys[load_test], head.encode(), "sha256")
        return _base32(int.from_bytes(digest[:10], "big") >> 5, MAC_LENGTH)

    def _derive(self, load_test: int) -> bytes:
        return hmac.digest(self._secret, b"crosstalk canary key " + load_test.to_bytes(4, "big"), "sha256")


def new_load_test(rng: random.Random) -> int:
    """A random load test number whose tag starts with a letter, so that account names made from it do."""
    return rng.randrange(26) << 25 | rng.getrandbits(25)


def tag(load_test: int) -> str:
    """The first three characters of the load test's number: minted accounts start with it."""
    return _base32(load_test, 6)[:3]


def load_test_name(load_test: int) -> str:
    return _base32(load_test, 6)


def _base32(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        letters.append(_ALPHABET[number & 31])
        number >>= 5
    if number:
        raise ValueError(f"number does not fit into {length} base32 letters")
    return "".join(reversed(letters))


def _number(text: str) -> int:
    number = 0
    for letter in text:
        number = number << 5 | _VALUE[letter]
    return number


def _shared_prefix_length(one: str, other: str) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length
