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
from collections.abc import Set
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import sha256
from typing import Any

PREFIX = "ctlk"
LENGTH = 36
HEAD_LENGTH = 21  # prefix and the four numbers
MAC_LENGTH = 15
#: characters of the MAC that must be there for a cut canary to count: 7 × 5 = 35 bits
PARTIAL_MAC_LENGTH = 7
#: beginnings of canaries in one text that are looked at: each takes about 10 µs, and a frame may be full of them
MATCHES_MAX = 500
OWNER_MAX = 2**25 - 1
ORDINAL_MAX = 2**25 - 1
#: what canaries say is remembered of so many
LABELS_MAX = 4096
#: owners from here up are phantoms: their canaries are made and never sent
PHANTOM_FIRST = OWNER_MAX - 4096

#: bytes that SHA-256 takes in at once: an HMAC's key is filled up to them
_SHA256_BLOCK = 64
_PREFIX = PREFIX.encode()
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [one + other for one in _ALPHABET for other in _ALPHABET]
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
#: the prefix, the rest of the head, and 7 to 15 letters of the MAC
_FIND = re.compile(rb"(?i)ctlk[a-z2-7]{24,32}")
#: digits of a minted account's number
_NUMBER_LENGTH = 5
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


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


#: wherever a canary may begin, it and what follows it, as far as one reaches
_BEGUN = re.compile(re.escape(_PREFIX) + b".{0,%d}" % (LENGTH - len(PREFIX)), re.DOTALL)


def only_known(frame: bytes, known: frozenset[bytes], seen: set[bytes]) -> bool:
    """Is everything in a frame that may be a canary a known one? The quick half of `strangers`: then there are none.

    :param known: whole canaries, lower case.
    :param seen: those that are in the frame are added to it, if all are known.
    """
    begun = _BEGUN.findall(frame.lower())
    if not known.issuperset(begun):
        return False
    seen.update(begun)
    return True


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
        self._begin = f"{PREFIX}{self._load_test_text}"
        self._labels: dict[
            bytes, Label
        ] = {}  # of what was found before: a canary of one's own comes back in each frame

    @property
    def head(self) -> str:
        """What the canaries of this load test have in common: of small owners, also zeros of their number."""
        return f"{PREFIX}{self._load_test_text}{_base32(0, 4)}"

    def make(self, *, owner: int, ordinal: int, site: Site) -> str:
        """The canary of a place. The same arguments give the same canary."""
        head = f"{self._begin}{_base32(owner, 5)}{_base32(ordinal, 5)}{_ALPHABET[site]}"
        return head + self._mac(self.load_test, head)

    def strangers(self, frame: bytes, known: Set[bytes], seen: set[bytes] | None = None) -> list[Hit]:
        """The hits of `find(frame)` whose canary is not in `known`, without reading the known ones.

        Cheap where a frame holds known canaries only, or none: no MAC is computed for them.

        :param known: whole canaries, lower case, that this process made itself and that may be in this frame.
        :param seen: known canaries that are in the frame are added to it.
        """
        low = frame.lower()
        at = low.find(_PREFIX)
        while at >= 0:
            piece = low[at : at + LENGTH]
            if piece not in known:
                return self._strangers_from(frame, at, known, seen)
            if seen is not None:
                seen.add(piece)
            at = low.find(_PREFIX, at + LENGTH)
        return []

    def find(self, data: bytes, start: int = 0) -> list[Hit]:
        """Every canary in `data` from `start` on, also one whose end was cut off but for 35 bits of its MAC.

        A piece of a canary, or a bare prefix, may stand right before another one: after a hit that is not verified in
        full, the search goes on inside it; and what overlaps a verified hit and is not verified is no hit of its own.
        Of a text that is full of beginnings of canaries, the first `MATCHES_MAX` are looked at.
        """
        hits: list[Hit] = []
        taken = start  # the end of what verified hits cover
        looked_at = 0
        while (match := _FIND.search(data, start)) is not None and looked_at < MATCHES_MAX:
            looked_at += 1
            hit = self._hit(match)
            start = hit.start + (self._next_start(hit.label) if hit.label.verified else len(PREFIX))
            before = hits[-1] if hits else None
            if not hit.label.verified and hit.start < taken:
                continue
            if before is not None and not before.label.verified and before.start + len(before.canary) > hit.start:
                if not hit.label.verified:
                    continue
                hits.pop()
            if hit.label.verified:
                taken = hit.start + self.verified_length(hit)
            hits.append(hit)
        return hits

    def read(self, text: str) -> Label | None:
        """The label of a whole canary; None when `text` is none."""
        lowered = text.lower()
        if len(lowered) != LENGTH or not lowered.startswith(PREFIX) or not set(lowered) <= _VALUE.keys():
            return None
        return self._label(lowered)

    def _strangers_from(self, frame: bytes, start: int, known: Set[bytes], seen: set[bytes] | None) -> list[Hit]:
        strangers = []
        for hit in self.find(frame, start):
            if hit.canary not in known:
                strangers.append(hit)
            elif seen is not None:
                seen.add(hit.canary)
        return strangers

    def _next_start(self, label: Label) -> int:
        """Where the next canary may begin, from the start of a verified one.

        A cut one may be shorter than the letters that agree with it: the next canary's first letter may be, by chance,
        the one that was cut off.
        """
        return HEAD_LENGTH + PARTIAL_MAC_LENGTH if label.partial else LENGTH

    def verified_length(self, hit: Hit) -> int:
        """How many of a hit's letters are those of the canary that its head begins."""
        if not hit.label.partial:
            return LENGTH
        canary = hit.canary.decode()
        right = self._mac(hit.label.load_test, canary[:HEAD_LENGTH])
        return HEAD_LENGTH + _shared_prefix_length(canary[HEAD_LENGTH:], right)

    def mac_letters_right(self, hit: Hit) -> int:
        """How many of a hit's MAC letters are right in their place, also behind wrong ones."""
        canary = hit.canary.decode()
        right = self._mac(hit.label.load_test, canary[:HEAD_LENGTH])
        return sum(one == other for one, other in zip(canary[HEAD_LENGTH:], right, strict=False))

    def _hit(self, match: re.Match[bytes]) -> Hit:
        found = match.group()
        low = found.lower()
        label = self._labels.get(low)
        if label is None:
            if len(self._labels) >= LABELS_MAX:
                del self._labels[next(iter(self._labels))]
            label = self._labels[low] = self._label(low.decode())
        return Hit(low, match.start(), label, folded=low != found)

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
        inner, outer = self._keys[load_test]
        inside, outside = inner.copy(), outer.copy()
        inside.update(head.encode())
        outside.update(inside.digest())
        digest = outside.digest()
        return _fifteen_letters(int.from_bytes(digest[:5], "big"), int.from_bytes(digest[5:10], "big"))

    def _derive(self, load_test: int) -> tuple[Any, Any]:
        """The key of a load test, as the two hashes of an HMAC (RFC 2104) that have taken it in.

        Each canary goes on from a copy of them: to make an HMAC from its key anew costs three times as much.
        """
        key = hmac.digest(self._secret, b"crosstalk canary key " + load_test.to_bytes(4, "big"), "sha256")
        block = key.ljust(_SHA256_BLOCK, b"\0")
        return sha256(bytes(byte ^ 0x36 for byte in block)), sha256(bytes(byte ^ 0x5C for byte in block))


def new_load_test(rng: random.Random) -> int:
    """A random load test number whose tag starts with a letter, so that account names made from it do."""
    return rng.randrange(26) << 25 | rng.getrandbits(25)


def tag(load_test: int) -> str:
    """The first three characters of the load test's number: minted accounts start with it."""
    return _base32(load_test, 6)[:3]


def load_test_name(load_test: int) -> str:
    return _base32(load_test, 6)


def names_in(frame: bytes, tag: bytes) -> list[bytes]:
    """Minted account names of one load test in a frame: its tag and five digits, with no letter or digit beside them.

    In the order of the frame, a name as often as it is there, in lower case. A name that stands alone among random
    base64 letters: 64⁻³ · (10/64)⁵ · (2/64)² ≈ 3·10⁻¹³ a position.

    :param tag: `tag(load_test)`, as bytes.
    """
    low = frame.lower()
    names = []
    size = len(tag)
    at = low.find(tag)
    while at >= 0:
        end = at + size + _NUMBER_LENGTH
        if (
            len(low) >= end
            and low[at + size : end].isdigit()
            and not low[end : end + 1].isalnum()
            and not (at and low[at - 1 : at].isalnum())
        ):
            names.append(low[at:end])
        at = low.find(tag, at + 1)
    return names


def uuids_in(frame: bytes) -> list[bytes]:
    """UUIDs in a frame, lower case, in its order: what names of accounts from a file often look like."""
    low = frame.lower()
    found = []
    at = low.find(b"-")
    while at >= 0:
        if low[at + 5 : at + 6] == b"-" and at >= 8 and (match := _UUID.fullmatch(low, at - 8, at + 28)) is not None:
            found.append(match.group())
            at = low.find(b"-", at + 28)
        else:
            at = low.find(b"-", at + 1)
    return found


def _base32(number: int, length: int) -> str:
    if number >> 5 * length:
        raise ValueError(f"number does not fit into {length} base32 letters")
    text = ""
    for _ in range(length // 2):
        text = _PAIRS[number & 1023] + text
        number >>= 10
    return _ALPHABET[number] + text if length % 2 else text


def _fifteen_letters(first: int, second: int) -> str:
    """The MAC's letters: of the first eighty bits of a digest, in two halves, all but the last five."""
    pairs = _PAIRS
    return (
        f"{pairs[first >> 30]}{pairs[first >> 20 & 1023]}{pairs[first >> 10 & 1023]}{pairs[first & 1023]}"
        f"{pairs[second >> 30]}{pairs[second >> 20 & 1023]}{pairs[second >> 10 & 1023]}{_ALPHABET[second >> 5 & 31]}"
    )


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
