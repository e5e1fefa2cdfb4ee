"""Pieces of canaries without their head: cut off in front, or at both ends, or with a garbled letter in the head.

A cut head says nothing of its owner any more, so a piece is compared with canaries that this process planted: every
window of 7 letters of their MACs (35 bits) is in an index. A window that is found in a text is extended as far as text
and canary agree.

How sure is it? N canaries have 9·N windows, so a position in random base32 letters fits one with 9·N / 32⁷: 2·10⁻⁶ for
N = 8,192, a false alarm in every 500 kB of such letters. That is too many; so a piece counts (`verified`) only if

* 9 letters or more agree: 7·N windows of 9, 7·N / 32⁹ ≈ 2·10⁻⁹ a position of random base32; or
* 8 letters stand alone, without a letter or digit beside them, and hold a digit: words of real language hold none; a
  random word of exactly 8 letters of this alphabet fits with 8·N / 32⁸ ≈ 6·10⁻⁸, a part of a UUID with less; or
* 14 of the 36 letters that lie beside each other agree (one or two are garbled): 2·10⁻⁶ · C(29,7) / 32⁷ ≈ 10⁻¹⁰.

What agrees less is returned as not verified: it may be chance, and accuses nobody. Of these, 7 letters that stand alone
and hold a digit are worth a word (`is_worth_a_word`): a random word of 7 letters fits with 2·10⁻⁶ only.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Set
from dataclasses import replace

from crosstalk.checks.canary import HEAD_LENGTH, LENGTH, PARTIAL_MAC_LENGTH, Hit, Label

#: letters that are enough wherever they stand, 45 bits
ENOUGH = 9
#: letters that are enough for a piece that stands alone and holds a digit, 40 bits
ENOUGH_ALONE = 8
#: letters of a whole canary's 36 that are enough where others between them differ
ENOUGH_GARBLED = 14

_WINDOWS = range(HEAD_LENGTH, LENGTH - PARTIAL_MAC_LENGTH + 1)
_RUNS = re.compile(rb"[a-z2-7]{%d,}" % PARTIAL_MAC_LENGTH)


class Pieces:
    """The newest canaries of this process, by the windows of their MACs.

    About 1.2 kB a canary: 9 windows of some 105 bytes, the canary, its label.

    :param limit: how many canaries are kept; what an older one leaves behind in pieces is not recognised.
    """

    def __init__(self, limit: int = 8192) -> None:
        if limit < 1:
            raise ValueError(f"an index of pieces holds at least one canary, got {limit}")
        self._limit = limit
        self._canaries: OrderedDict[bytes, Label] = OrderedDict()
        self._windows: dict[bytes, bytes] = {}  # window → canary; where two share one, the newer
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._canaries)

    def add(self, canary: bytes, label: Label) -> None:
        """Remember a whole canary, lower case. Added again, it is as new."""
        if len(canary) != LENGTH:
            raise ValueError(f"a canary has {LENGTH} letters, got {len(canary)}")
        self._canaries[canary] = label
        self._canaries.move_to_end(canary)
        for at in _WINDOWS:
            self._windows[canary[at : at + PARTIAL_MAC_LENGTH]] = canary
        if len(self._canaries) > self._limit:
            self._evict()

    def _evict(self) -> None:
        oldest, _ = self._canaries.popitem(last=False)
        self.evicted += 1
        for at in _WINDOWS:
            window = oldest[at : at + PARTIAL_MAC_LENGTH]
            if self._windows.get(window) == oldest:
                del self._windows[window]

    def search(self, text: bytes, own: Set[bytes] = frozenset()) -> list[Hit]:
        """The longest piece of each canary that is in the text, `partial`, in any case.

        `Hit.canary` holds the letters that agree. Canaries with their head are none of its business: `Keyring.find`.

        :param own: whole canaries, lower case, of which pieces are not looked for.
        """
        if not self._windows:
            return []
        low = text.lower()
        best: dict[bytes, Hit] = {}
        for run in set(_RUNS.findall(low)):
            if run not in self._canaries:
                self._search_run(run, low, text, best, own)
        return sorted(best.values(), key=lambda hit: hit.start)

    def runs_with_pieces(self, text: bytes) -> list[bytes]:
        """Where `search` has something to look at: unbroken runs of letters, lower case, but for whole canaries."""
        windows = self._windows.keys()
        return [
            run
            for run in set(_RUNS.findall(text.lower()))
            if run not in self._canaries
            and not windows.isdisjoint(
                [run[at : at + PARTIAL_MAC_LENGTH] for at in range(len(run) - PARTIAL_MAC_LENGTH + 1)]
            )
        ]

    def is_worth_a_word(self, hit: Hit, text: bytes) -> bool:
        """Is a hit that is not verified one that hardly comes by chance?"""
        return not hit.canary.isalpha() and _stands_alone(text.lower(), hit.canary)

    def _search_run(self, run: bytes, low: bytes, text: bytes, best: dict[bytes, Hit], own: Set[bytes]) -> None:
        windows = self._windows
        at, last = 0, len(run) - PARTIAL_MAC_LENGTH
        while at <= last:
            canary = windows.get(run[at : at + PARTIAL_MAC_LENGTH])
            at += 1
            if canary is None or canary in own:
                continue
            # the canary's own start, seen from the run's
            origin = at - 1 - canary.index(run[at - 1 : at - 1 + PARTIAL_MAC_LENGTH], HEAD_LENGTH)
            first, end = _agreeing(run, canary, origin, at - 1)
            at = max(at, end - PARTIAL_MAC_LENGTH + 1)
            if first == origin:
                continue
            hit = self._hit(canary, run, low, text, first, end, origin)
            known = best.get(canary)
            if known is None or (hit.label.verified, len(hit.canary)) > (known.label.verified, len(known.canary)):
                best[canary] = hit

    def _hit(self, canary: bytes, run: bytes, low: bytes, text: bytes, first: int, end: int, origin: int) -> Hit:
        piece = run[first:end]
        start = low.index(run) + first
        verified = (
            len(piece) >= ENOUGH
            or _equal_letters(run, canary, origin) >= ENOUGH_GARBLED
            or (len(piece) >= ENOUGH_ALONE and not piece.isalpha() and _stands_alone(low, piece))
        )
        label = replace(self._canaries[canary], verified=verified, partial=True)
        return Hit(piece, start, label, folded=text[start : start + len(piece)] != piece)


def _agreeing(run: bytes, canary: bytes, origin: int, at: int) -> tuple[int, int]:
    """(first, end) of the stretch around `at` in which run and canary agree."""
    first, end = at, at + PARTIAL_MAC_LENGTH
    while first > max(0, origin) and run[first - 1] == canary[first - 1 - origin]:
        first -= 1
    while end < min(len(run), origin + LENGTH) and run[end] == canary[end - origin]:
        end += 1
    return first, end


def _equal_letters(run: bytes, canary: bytes, origin: int) -> int:
    return sum(run[at] == canary[at - origin] for at in range(max(0, origin), min(len(run), origin + LENGTH)))


def _stands_alone(low: bytes, piece: bytes) -> bool:
    """Is the piece in the text once without a letter or digit beside it?"""
    at = low.find(piece)
    while at >= 0:
        if not (at and low[at - 1 : at].isalnum()) and not low[at + len(piece) : at + len(piece) + 1].isalnum():
            return True
        at = low.find(piece, at + 1)
    return False
