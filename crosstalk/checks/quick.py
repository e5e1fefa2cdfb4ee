"""What most transcripts need: certainty, at a small price, that nothing in a text is worth a closer look.

Each question is answered from one side only. "Closed" is proof that no decoder has anything to open; "not straddled",
that no canary's beginning lies over the ends of strings; a word that is known was looked at before. What is not proved
so is searched as if nobody had asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Generic, TypeVar

from crosstalk.checks import transforms
from crosstalk.checks.canary import HEAD_LENGTH, LENGTH, PREFIX
from crosstalk.checks.distil import LONG
from crosstalk.checks.native import fast
from crosstalk.checks.strings import Joined, Strings
from crosstalk.checks.transforms import NOT_LETTERS, SHORTEST, marks_of

#: letters of a text that is hardly a chunk of something hidden by chance: 20 bits, and it was seen twice before
TEXT_LENGTH = 4
#: letters in a row that a text may not share with the head of all canaries
SHARED = 4
#: texts, words and long words that are remembered: so many, and the same again
TEXTS_MAX = 1 << 11
WORDS_MAX = 1 << 12
LONG_WORDS_MAX = 1 << 12

T = TypeVar("T")


_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#: what escapes are written with, and compressed data begins with; all of them stand for themselves in rot13
_SIGNS = (b"\\", b"%", b"&", b"=", b"\x01")
#: "0x", in rot13, and backwards
_HEX_SIGNS = (b"0x", b"0X", b"0k", b"0K", b"x0", b"X0")
_BYTE_LIST = marks_of(b"0123456789 ,;\t\n\r\x0b\x0c")
#: `SHORTEST` numbers of two digits, and a sign between them
_BYTE_LIST_RUN = b"1" * (3 * SHORTEST - 1)
#: hexadecimal digits in plain and in rot13, other letters, and signs
_PAIRS = bytes(
    0x31 if byte in b"0123456789abcdefABCDEFnopqrsNOPQRS" else 0x78 if byte in _LETTERS else 0x2C for byte in range(256)
)
_DIGIT = re.compile(rb"[0-9]")
_PAIRS_RUN = b",".join([b"11"] * 8)


def _base64_places(letter: int) -> int:
    """Bits of the places where a letter may stand in a group of four: 1, 2, 4 for the first; in rot13 16, 32, 64."""
    bits = 0
    for shift, plain in ((0, letter), (4, transforms.rot13(bytes([letter]))[0])):
        value = _LETTERS.find(plain)
        if value >= 0:
            bits |= ((value < 32) | (value & 15 < 8) << 1 | (value & 3 < 2) << 2) << shift
    return bits


_BASE64_PLACES = bytes(map(_base64_places, range(256)))
_NOT_HEX = (
    bytes(set(range(256)) - set(b"0123456789abcdefABCDEF")),
    bytes(set(range(256)) - set(b"0123456789nopqrsNOPQRS")),
)
_HEX_FIRST = marks_of(b"0234567")
_HEX_RUN = b"1" * SHORTEST

_PREFIX = PREFIX.encode()
_REVERSED = _PREFIX[::-1]
_IN_ROT13 = transforms.rot13(_PREFIX)
_IN_ROT13_REVERSED = _IN_ROT13[::-1]
_NEEDLES = (_PREFIX, _REVERSED, _IN_ROT13, _IN_ROT13_REVERSED)
#: of each: what a string that goes on with it may begin with, and what it may consist of
_GO_ON = {one: (one[1:], one[2:]) for one in _NEEDLES}
_MIDDLES = {one: (one[1:2], one[2:3], one[1:3]) for one in _NEEDLES}
#: of each: where it is cut before its last letter, which much else begins with
_CUT_LAST = tuple(one[:3] + b"\n" for one in _NEEDLES)
_STRINGS = re.compile(
    b"\n("
    + b"|".join([*(part for parts in _GO_ON.values() for part in parts),
                 *(part + b"(?=\n)" for parts in _MIDDLES.values() for part in parts)])
    + b")"
)  # fmt: skip


def is_closed(view: bytes, long_words: Known[bytes]) -> bool:
    """Has no decoder anything to open in a text, in its rot13, or in it backwards?

    As exact as the decoders: where a cheap test does not tell, the decoder itself is asked.

    :param long_words: those in which decoders found nothing.
    """
    if fast is not None and fast.is_surely_closed(view):
        return True
    if not view.isascii():
        return False
    for sign in _SIGNS:
        if sign in view:
            return False
    for token in transforms.tokens(view):
        if not _holds_nothing(token, long_words):
            return False
    if _BYTE_LIST_RUN in view.translate(_BYTE_LIST) or _PAIRS_RUN in view.translate(_PAIRS):
        return False
    letters = view.translate(None, NOT_LETTERS)
    return not _may_be_base64(view, letters) and not _may_be_hex(view, letters)


def _holds_nothing(token: bytes, long_words: Known[bytes]) -> bool:
    if token in long_words:
        return True
    for view in (token, token[::-1], transforms.rot13(token)):
        if transforms.from_base64(view) or transforms.from_base32(view) or transforms.from_hex(view):
            return False
    long_words.remember([token])
    return True


def _may_be_base64(view: bytes, letters: bytes) -> bool:
    """Are there `GROUPS` groups of four letters in a row that may each begin three bytes of ASCII?

    Of a group, the first letter stands for a byte below 128, and so do the bytes that the second and third begin.
    All places are looked at together: each is a byte of one large number, that is shifted against itself.
    """
    places = int.from_bytes(letters.translate(_BASE64_PLACES), "big")
    for groups in (
        places & (places << (8 - 1)) & (places << (16 - 2)),
        places & (places >> (8 + 1)) & (places >> (16 + 2)),  # backwards
    ):
        two = groups & (groups >> 32)
        four = two & (two >> 64)
        if four & (four >> 128):
            return any(transforms.from_base64(one) for one in (view, view[::-1], transforms.rot13(view)))
    return False


def _may_be_hex(view: bytes, letters: bytes) -> bool:
    """Digits backwards have the first of each pair where the second was, and both places are tried."""
    if len(letters) - len(letters.translate(None, b"0234567")) < SHORTEST:
        return False
    suspicious = letters.count(b"0") >= SHORTEST and (
        letters.count(b"x") >= SHORTEST or letters.count(b"k") >= SHORTEST
    )
    for sign in _HEX_SIGNS if b"0" in view else ():
        suspicious = suspicious or sign in view
    for others in _NOT_HEX:
        digits = letters.translate(None, others)
        if len(digits) >= 2 * SHORTEST:
            first = digits.translate(_HEX_FIRST)
            suspicious = suspicious or _HEX_RUN in first[::2] or _HEX_RUN in first[1::2]
    return suspicious and any(transforms.from_hex(one) for one in (view, view[::-1], transforms.rot13(view)))


def is_plain(low: bytes) -> bool:
    """Does no canary begin in a text's letters, in any disguise of letters?"""
    return not any(one in low for one in _NEEDLES)


def is_explained(low: bytes, known: Set[bytes], own: set[bytes]) -> bool:
    """Is every beginning of a canary in a text's letters that of a known one, and none in rot13?

    Of one that stands there backwards, or is cut, the head is enough: no other canary has it.

    :param low: as `transforms.letters` gives it.
    :param own: known canaries that are there are added to it.
    """
    if _IN_ROT13 in low or _IN_ROT13_REVERSED in low:
        return False
    at = low.find(_PREFIX)
    while at >= 0:
        if not _is_own(low[at : at + LENGTH], known, own):
            return False
        at = low.find(_PREFIX, at + len(_PREFIX))
    end = low.find(_REVERSED)
    while end >= 0:
        if not _is_own(low[max(0, end + len(_PREFIX) - LENGTH) : end + len(_PREFIX)][::-1], known, own):
            return False
        end = low.find(_REVERSED, end + 1)
    return True


def _is_own(piece: bytes, known: Set[bytes], own: set[bytes]) -> bool:
    """Is this a known canary, which is added to `own`, or what has the head of one?"""
    if piece in known:
        own.add(piece)
        return True
    head = piece[:HEAD_LENGTH]
    return any(canary[:HEAD_LENGTH] == head for canary in known)


def is_straddled(
    texts: Iterable[str],
    fields: Sequence[Iterable[str]],
    *,
    beside: Set[bytes] = frozenset(),
    known: Iterable[bytes] = (),
) -> bool:
    """May a canary's beginning, in any disguise of letters, lie over the ends of strings that stand beside each other?

    In whatever order, but for the strings of one field: those are beside each other in its text.

    :param fields: the strings of each field that says more than one thing.
    :param beside: first and last letters of other strings that may be there, with a line end before or behind.
    :param known: canaries whose head may lie there.
    """
    texts = list(texts)
    low = _ends([*texts, *[text for field in fields for text in field]]) + b"".join(beside)
    strings = set(_STRINGS.findall(low))
    if not strings and not any([one in low for one in _CUT_LAST]):
        return False
    sources = [_ends(texts) + b"".join(beside), *map(_ends, fields)]
    if not any([_lies_over_ends(one, sources, low, strings) for one in _NEEDLES]):
        return False
    heads = {canary[:HEAD_LENGTH] for canary in known}
    sources = [_without_cut(heads, source) for source in sources]
    low = b"\n".join(sources)
    strings = set(_STRINGS.findall(low))
    return any([_lies_over_ends(one, sources, low, strings) for one in _NEEDLES])


def _without_cut(heads: Iterable[bytes], source: bytes) -> bytes:
    """A field's strings without known heads that are cut within the prefix, and whose rest is whole."""
    for head in heads:
        for cut in range(1, len(_PREFIX)):
            rests = source.count(b"\n" + head[cut:])
            if rests and head[:cut] + b"\n" in source:
                source = source.replace(b"\n" + head[cut:], b"\n").replace(head[:cut] + b"\n", b"\n", rests)
    return source


def _ends(texts: Iterable[str]) -> bytes:
    """The letters of texts, a line end before and behind each."""
    return transforms.letters_and_lines("\n".join(["", *texts, ""]).encode(errors="replace"))


def _lies_over_ends(needle: bytes, sources: Sequence[bytes], low: bytes, strings: Set[bytes]) -> bool:
    """Is there a string for each part of the needle, for any way to cut it, not all of them in one field?

    :param strings: as `_STRINGS` finds them.
    """
    middles = [part in strings for part in (needle[1:2], needle[2:3], needle[1:3])]
    if any(middles) and _lies_over_several(needle, low, *middles):
        return True
    for cut in (1, 2, 3):
        if cut < 3 and needle[cut:] not in strings:
            continue
        begin = [number for number, source in enumerate(sources) if needle[:cut] + b"\n" in source]
        if begin:
            go_on = [number for number, source in enumerate(sources) if b"\n" + needle[cut:] in source]
            if go_on and (0 in begin or begin != go_on or len(begin) > 1):
                return True
    return False


def _lies_over_several(needle: bytes, low: bytes, second: bool, third: bool, both: bool) -> bool:
    """Over three strings or four: is there one that is all of the needle's second letter, of its third, of both?"""
    one, two = needle[:1] + b"\n" in low, needle[:2] + b"\n" in low
    if second and one and b"\n" + needle[2:] in low:
        return True
    return ((third and two) or (one and (both or (second and third)))) and b"\n" + needle[3:] in low


class Known(Generic[T]):
    """Words that were looked at and held nothing. The newest ones are kept.

    Where they held neither a name nor a piece of a canary: a word that was there before a canary was planted holds
    letters of it by chance only.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._new: set[T] = set()
        self._old: set[T] = set()

    def __contains__(self, word: T) -> bool:
        return word in self._new or word in self._old

    def knows_all(self, words: Iterable[T]) -> bool:
        """Were all of the words looked at?"""
        new, old = self._new, self._old
        for word in words:  # noqa: SIM110  a generator would cost more than all of it
            if word not in new and word not in old:
                return False
        return True

    def known(self, words: set[T]) -> set[T]:
        """Those of the words that were looked at."""
        return words & self._new | words & self._old

    def unknown(self, words: set[T]) -> set[T]:
        """Those of the words that were not looked at yet."""
        return words - self._new - self._old  # in place, Python would go through all of the larger set

    def unknown_words(self: Known[bytes], text: bytes, shortest: int) -> set[bytes]:
        """Those of a text's words that are as long at least, and were not looked at yet."""
        if fast is None:
            return self.unknown({word for word in words_in(text) if len(word) >= shortest})
        found: set[bytes] = fast.unknown_words(text, shortest, self._new, self._old)
        return found

    def remember(self, words: Iterable[T]) -> None:
        if len(self._new) >= self._limit:
            self._old, self._new = self._new, set()
        self._new.update(words)


class Memory:
    """What was looked at before, in any transcript, and held nothing.

    `words`: hold no piece of a canary and no short name. `long_words`: no decoder opens them. `texts`: hold nothing at
    all, whoever receives them, and are no part of anything either. `names`: of fields, the same.

    :param head: the letters that all canaries of this load test begin with.
    """

    def __init__(self, head: bytes) -> None:
        self.words: Known[bytes] = Known(WORDS_MAX)
        self.long_words: Known[bytes] = Known(LONG_WORDS_MAX)
        self.texts: Known[str] = Known(TEXTS_MAX)
        self.names: Known[str] = Known(TEXTS_MAX)
        self.ends: set[bytes] = set()  # first letters of those, a line end before each, and last ones, one behind
        self._seen: Known[str] = Known(TEXTS_MAX)
        self._lively: Known[str] = Known(TEXTS_MAX)  # that may not be left out, whatever is in them
        heads = [turned for one in (head, transforms.rot13(head)) for turned in (one, one[::-1])]
        self._shared = {one[at : at + SHARED] for one in heads for at in range(len(one) - SHARED + 1)}

    def new_in(self, said: Strings) -> tuple[list[str], list[str], list[Joined], list[str]]:
        """(names, texts in their order, fields that say more than one thing): those that are not known.

        And the texts of fields whose strings are all known: joined, they may be a piece of a canary.
        """
        fields: list[Joined] = []
        known: list[str] = []
        for field in said.fields:
            if self.texts.knows_all(field.different):
                known.append(field.text)
            else:
                fields.append(field)
        unknown = self.texts.unknown({one for one in said.texts if type(one) is str})
        texts: list[str] = []
        for one in said.texts:
            if type(one) is str:
                text = one
                if text not in unknown:
                    continue
            elif one in fields:
                text = one.text
            else:
                continue
            if len(text) < LONG or text not in texts:  # an answer comes in chunks, and as a whole
                texts.append(text)
        names = self.names.unknown(set(said.names))
        return [name for name in said.names if name in names] if names else [], texts, fields, known

    def remember(self, texts: set[str], names: Iterable[str], holds_nothing: Callable[[bytes], bool]) -> None:
        """Texts of a transcript in which nothing was found, plain or hidden.

        Those that come back are looked at each by itself, once.
        """
        for text in self.texts.unknown(self._seen.known(texts)):
            if self._may_be_left_out(text) and holds_nothing(text.encode(errors="replace")):
                self.texts.remember((text,))
        self._seen.remember(texts)
        for name in names:
            if self._may_be_left_out(name) and holds_nothing(name.encode(errors="replace")):
                self.names.remember((name,))

    def _may_be_left_out(self, text: str) -> bool:
        """As `_is_inert`, which of one text is always the same."""
        if text in self._lively:
            return False
        if self._is_inert(text):
            return True
        self._lively.remember((text,))
        return False

    def _is_inert(self, text: str) -> bool:
        """May a text be left out wherever it stands?

        It has no digit: ids and accounts' names have one. Nothing begins in it, but for one letter at either end, which
        is kept in `ends`. And it is no chunk of a canary's head, of which all of a load test have much in common.
        """
        raw = text.encode(errors="replace")
        low = transforms.letters(raw)
        if len(low) < TEXT_LENGTH or _DIGIT.search(raw) or not is_plain(low) or not is_closed(raw, self.long_words):
            return False
        if any(one in low for one in self._shared):
            return False
        for needle in _NEEDLES:
            if low.startswith((needle[1:], needle[2:])) or low.endswith((needle[:3], needle[:2])):
                return False
        self.ends |= {b"\n" + low[:1] + b" ", b" " + low[-1:] + b"\n"}
        return True


def words_in(text: bytes) -> set[bytes]:
    """The different words of a text. A word: letters, digits and the signs of base64."""
    return set(text.translate(transforms.TOKEN_GAPS).split(b" "))
