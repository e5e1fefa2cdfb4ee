"""Ways to undo what hides a canary: each takes bytes and gives what they may have been before.

A decoder never raises, whatever the bytes. It works on a whole text at C speed: what is not of the encoding's alphabet
is deleted, the rest is decoded at every alignment, and what does not come out as text is dropped before anybody looks
at it. So a decoder is told neither where an encoded stretch begins nor how it is separated.

A lower-case or upper-case change of a base64 text loses bits: such a text cannot be undone, and is not.
"""

from __future__ import annotations

import binascii
import codecs
import html
import re
import unicodedata
import zlib
from base64 import b32decode
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from urllib.parse import unquote_to_bytes

from crosstalk.checks.canary import HEAD_LENGTH, PARTIAL_MAC_LENGTH

#: letters of the shortest canary that counts: its head and 35 bits of its MAC
SHORTEST = HEAD_LENGTH + PARTIAL_MAC_LENGTH
#: what is read of one compressed stretch and what is taken from it at most, bytes; and how many of a text are tried
INFLATED_MAX_BYTES = 1 << 16
INFLATED_MAX = 32

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEX = b"0123456789abcdefABCDEF"
NOT_LETTERS = bytes(set(range(256)) - set(_LETTERS))
_NEITHER_LETTERS_NOR_LINES = bytes(set(NOT_LETTERS) - set(b"\n"))
_NOT_HEX = bytes(set(range(256)) - set(_HEX))
_LOWER = bytes(range(256)).lower()
_ROT13 = codecs.encode("".join(map(chr, range(128))), "rot13").encode() + bytes(range(128, 256))


def marks_of(members: bytes) -> bytes:
    """A table for `translate`: "1" for members, "0" for all else."""
    return bytes(0x31 if byte in members else 0x30 for byte in range(256))


def runs_of(view: bytes, marks: bytes, length: int) -> list[bytes]:
    """Unbroken runs of at least `length` letters; `marks` as of `marks_of`."""
    runs = []
    marked = view.translate(marks)
    start = marked.find(b"1" * length)
    while start >= 0:
        end = marked.find(b"0", start + length)
        if end < 0:
            end = len(view)
        runs.append(view[start:end])
        start = marked.find(b"1" * length, end)
    return runs


_PRINTABLE = marks_of(b"\x00\t\n\r" + bytes(range(0x20, 0x7F)))
_PRINTABLE_RUN = re.compile(rb"[\x00\t\n\r\x20-\x7e]{%d,}" % SHORTEST)
#: what UTF-8 writes texts with, letters other than ASCII in two bytes or more
TEXT_LENGTH = 2 * SHORTEST
_TEXT_BYTES = b"\x00\t\n\r" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0xC0)) + b"\xc2\xcc\xcd\xe2\xe3\xef\xf0"
_TEXT = marks_of(_TEXT_BYTES)
_TEXT_RUN = re.compile(b"[" + re.escape(_TEXT_BYTES) + b"]{%d,}" % TEXT_LENGTH)
#: the first of four base64 letters, where the byte that it begins is ASCII
BASE64_FIRST = marks_of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef")
#: whole groups of three that `SHORTEST` bytes hold at any alignment
BASE64_GROUPS = b"1" * ((SHORTEST - 2) // 3)
#: the first digit of a hexadecimal ASCII letter, digit or NUL
_HEX_FIRST = marks_of(b"0234567")
#: letters of base32, the densest alphabet of a token, that `SHORTEST` bytes need
TOKEN_LENGTH = -(-SHORTEST * 8 // 5)
_STANDARD_SIGNS = bytes.maketrans(b"-_", b"+/")
_BASE64_CHUNK = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
#: letters over groups of eight that end in a whole byte
_BASE32_ENDS = (0, 2, 4, 5, 7)
_BASE32_CHUNK = re.compile(rb"[A-Za-z2-7]+={0,6}")
_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
TOKEN = marks_of(_LETTERS + b"+/_-")
TOKEN_GAPS = bytes(byte if byte in _LETTERS + b"+/_-" else 0x20 for byte in range(256))
_BASE32_MARKS = (marks_of(_BASE32), marks_of(_BASE32.lower()))
_HEX_MARKS = marks_of(_HEX)
#: hexadecimal digits, separators, and other letters
_HEX_SHAPE = bytes(0x31 if byte in _HEX else 0x78 if byte in _LETTERS else 0x2C for byte in range(256))
_HEX_PAIRS = re.compile(rb"[0-9A-Fa-f]{2}(?:[^0-9A-Za-z][0-9A-Fa-f]{2}){%d,}" % SHORTEST)
_ALL_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_NUMBERS = bytes(0x31 if byte in b"0123456789" else 0x2C if byte in b" ,;\t\r\n" else 0x78 for byte in range(256))
_BYTE_LIST = re.compile(rb"(?:\d{2,3}[\s,;]+){%d,}\d{2,3}" % (SHORTEST - 1))
_URL_ESCAPE = re.compile(rb"%u?[0-9A-Fa-f]{2}")
_HTML_ENTITY = re.compile(rb"&(?:#|[A-Za-z])")
_HUGE_ENTITY = re.compile(rb"&#\d{9,};?")
_QUOTED = re.compile(rb"=(?:[0-9A-Fa-f]{2}|\r?\n)")
_ESCAPE = re.compile(
    r"\\(?:U([0-9a-fA-F]{8})|[uU]([0-9a-fA-F]{4})|[uU]\{([0-9a-fA-F]{1,6})\}|[xX]([0-9a-fA-F]{2})|([0-7]{3})|(.))", re.S
)
_SHORT_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
#: kept when separators go: letters, what escapes are written with, and all that is not ASCII
_SEPARATORS = bytes(set(range(128)) - set(_LETTERS) - set(b"%&#;\\{}="))
_NOT_KEPT = _SEPARATORS + bytes(range(128, 256))
#: characters without width, and spaces that are not ASCII
_ZERO_WIDTH = re.compile(
    "[\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\ufe00-\ufe0f\ufeff]+"
)
_DEFLATED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")


def letters(view: bytes) -> bytes:
    """ASCII letters and digits only, lower case: separators, zero-width characters and NULs are gone."""
    return view.translate(_LOWER, NOT_LETTERS)


def letters_and_lines(view: bytes) -> bytes:
    """As `letters`, and line ends."""
    return view.translate(_LOWER, _NEITHER_LETTERS_NOR_LINES)


def letters_as_they_are(view: bytes) -> bytes:
    """ASCII letters and digits only."""
    return view.translate(None, NOT_LETTERS)


def rot13(view: bytes) -> bytes:
    return view.translate(_ROT13)


def backwards(view: bytes) -> bytes:
    """In reverse order. Letters that are not ASCII are spoilt: `compatible` makes ASCII of them before."""
    return view[::-1]


# --- escapes and letters --------------------------------------------------------------------------------------------


def without_escapes(view: bytes) -> list[bytes]:
    r"""Escapes of JSON, JavaScript and Python: \\uXXXX (pairs of surrogates too), \\u{X}, \\xXX, \\ooo, \\n."""
    if b"\\" not in view:
        return []
    text = _ESCAPE.sub(_character, view.decode(errors="replace"))
    return [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()]


def _character(match: re.Match[str]) -> str:
    long, short, braced, byte, octal, other = match.groups()
    if other is not None:
        return _SHORT_ESCAPES.get(other, other)
    number = int(octal, 8) if octal is not None else int(long or short or braced or byte, 16)
    return chr(number) if number < 0x110000 else "\ufffd"


def without_url_escapes(view: bytes) -> list[bytes]:
    """%XX, and %uXXXX of old browsers."""
    if b"%" not in view or _URL_ESCAPE.search(view) is None:
        return []
    plain = unquote_to_bytes(view)
    return [plain, *without_escapes(plain.replace(b"%u", b"\\u"))] if b"%u" in plain else [plain]


def without_html_entities(view: bytes) -> list[bytes]:
    """Named, decimal and hexadecimal entities."""
    if b"&" not in view or _HTML_ENTITY.search(view) is None:
        return []
    # a number of thousands of digits is no character, and html.unescape raises on it
    text = _HUGE_ENTITY.sub(b"", view).decode(errors="replace")
    return [html.unescape(text).encode(errors="replace")]


def without_quoted_printable(view: bytes) -> list[bytes]:
    if b"=" not in view or _QUOTED.search(view) is None:
        return []
    return [binascii.a2b_qp(view)]


def compatible(view: bytes) -> list[bytes]:
    """What NFKC makes of full-width, mathematical, circled and other letters that stand for ASCII ones; no accents."""
    if view.isascii():
        return []
    plain = unicodedata.normalize("NFKD", view.decode(errors="ignore")).encode("ascii", "ignore")
    # where no letter and no sign of an escape came to light, other decoders have the same to work on
    return [plain] if plain.translate(None, _SEPARATORS) != view.translate(None, _NOT_KEPT) else []


def without_separators(view: bytes) -> list[bytes]:
    """Escapes with something between their characters; other texts need it not (`letters`)."""
    if b"%" not in view and b"&" not in view and b"\\" not in view:
        return []
    if not view.isascii():
        view = _ZERO_WIDTH.sub("", view.decode(errors="replace")).encode()
    return [view.translate(None, _SEPARATORS)]


# --- alphabets ------------------------------------------------------------------------------------------------------


def from_base64(view: bytes) -> list[bytes]:
    """base64 and base64url at four offsets; ASCII also with anything between its letters, or wrapped.

    Base64 of ASCII letters and digits holds neither of the two signs that the alphabets differ in.
    """
    views = []
    text = view.translate(None, NOT_LETTERS)
    first = text.translate(BASE64_FIRST)
    for offset in range(4):
        if BASE64_GROUPS in first[offset::4]:
            views += _texts_in(_b64(text[offset:]))
    for token in tokens(view):
        for offset in range(4):
            views += _texts_or_packed(_b64(token[offset:]))
    return views


def short_tokens(view: bytes) -> list[bytes]:
    """Different unbroken runs that may be base64 or hexadecimal of a name, and are too short for a canary's."""
    return [run for run in set(view.translate(TOKEN_GAPS).split(b" ")) if 11 <= len(run) <= 64]


def from_token(token: bytes) -> list[bytes]:
    """base64 of one token at four offsets."""
    return [_b64(token[offset:]) for offset in range(4)]


def from_hex_token(token: bytes) -> list[bytes]:
    """Hexadecimal digits of one token that is nothing else."""
    return [_unhex(token)] if _ALL_HEX.fullmatch(token) else []


def from_hex(view: bytes) -> list[bytes]:
    """Hexadecimal digits in either case; ASCII also with anything between them, and "0x" before each."""
    views = []
    text = view
    if b"0x" in view or b"0X" in view:
        text = view.replace(b"0x", b"").replace(b"0X", b"").replace(b", ", b",")
    digits = text.translate(None, _NOT_HEX)
    between = view.translate(None, NOT_LETTERS)
    if between.count(b"0x") >= SHORTEST:  # "0 x 6 3": something stands within the "0x" too
        digits = between.replace(b"0x", b"").translate(None, _NOT_HEX)
    if len(digits) >= 2 * SHORTEST:
        first = digits.translate(_HEX_FIRST)
        for offset in range(2):
            if b"1" * SHORTEST in first[offset::2]:
                views += _texts_in(_unhex(digits[offset:]))
    runs = [run for token in tokens(view) for run in runs_of(token, _HEX_MARKS, 2 * SHORTEST)]
    if b"11,11,11,11,11,11,11,11" in text.translate(_HEX_SHAPE):
        runs += [run.translate(None, _NOT_HEX) for run in _HEX_PAIRS.findall(text)]
    for run in runs:
        views += [*_texts_or_packed(_unhex(run)), *_texts_or_packed(_unhex(run[1:]))]
    return views


def from_base32(view: bytes) -> list[bytes]:
    """base32 in upper or in lower case, at eight offsets."""
    views = []
    for token in tokens(view):
        for run in (run for marks in _BASE32_MARKS for run in runs_of(token, marks, TOKEN_LENGTH)):
            for offset in range(8):
                views += _texts_or_packed(_b32(run[offset:]))
    return views


def from_byte_list(view: bytes) -> list[bytes]:
    """Decimal numbers of bytes, as in [99, 116, 108, 107, …]."""
    shape = view.translate(_NUMBERS)
    if b"11,1" not in shape and b"11,,1" not in shape:
        return []
    runs = [run.group().replace(b",", b" ").replace(b";", b" ").split() for run in _BYTE_LIST.finditer(view)]
    return [bytes(int(number) for number in run if int(number) < 256) for run in runs]


def inflated(view: bytes) -> list[bytes]:
    """zlib and gzip, wherever in the bytes they begin, within `INFLATED_MAX_BYTES` and `INFLATED_MAX`."""
    views: list[bytes] = []
    if view.isascii() and b"\x01" not in view:
        return views
    for match in islice(_DEFLATED.finditer(view), INFLATED_MAX):
        try:
            stretch = memoryview(view)[match.start() : match.start() + INFLATED_MAX_BYTES]
            views.append(zlib.decompressobj(47).decompress(stretch, INFLATED_MAX_BYTES))
        except zlib.error:
            continue
    return [one for one in views if one]


def chunks_backwards(chunks: Sequence[str]) -> bytes:
    """The text of chunks that were each reversed by itself."""
    return "".join([chunk[::-1] for chunk in chunks]).encode(errors="replace")


def chunk_by_chunk(chunks: Sequence[str]) -> list[tuple[str, bytes]]:
    """(name, text) of chunks that were each encoded by itself, where that differs from encoding all at once."""
    views = []
    if any("=" in chunk for chunk in chunks):
        raw = [chunk.encode(errors="replace").strip() for chunk in chunks]
        if all(_BASE32_CHUNK.fullmatch(chunk) and len(chunk.rstrip(b"=")) % 8 in _BASE32_ENDS for chunk in raw):
            views.append(("base32", b"".join(_b32(chunk) for chunk in raw)))
        if all(_BASE64_CHUNK.fullmatch(chunk) and len(chunk.rstrip(b"=")) % 4 != 1 for chunk in raw):
            views.append(("base64", b"".join(_b64(chunk) for chunk in raw)))
    return views


@lru_cache(maxsize=1)  # several decoders ask for those of one view
def tokens(view: bytes) -> tuple[bytes, ...]:
    """Long unbroken runs of letters, digits and the signs of base64; line ends do not break them."""
    if b"\n" in view:
        view = view.translate(None, b"\r\n")
    return tuple(runs_of(view, TOKEN, TOKEN_LENGTH))


def _texts_in(decoded: bytes) -> list[bytes]:
    """Printable runs in which a canary has room, joined; nothing where there is none."""
    if b"1" * SHORTEST not in decoded.translate(_PRINTABLE):
        return []
    return [b"\xff".join(_PRINTABLE_RUN.findall(decoded))]


def _texts_or_packed(decoded: bytes) -> list[bytes]:
    """As `_texts_in`, also of letters that are not ASCII; and all of it where there is compressed data in it."""
    views = [decoded] if inflated(decoded) else []
    if b"1" * TEXT_LENGTH in decoded.translate(_TEXT):
        views.append(b"\xff".join(_TEXT_RUN.findall(decoded)))
        return views
    return views + _texts_in(decoded)


def _b64(text: bytes) -> bytes:
    """Either alphabet, with or without padding; a last letter that holds no whole byte is left out."""
    text = text.translate(_STANDARD_SIGNS, b"=")
    if len(text) % 4 == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def _b32(text: bytes) -> bytes:
    """Either case, with or without padding; last letters that hold no whole byte are left out."""
    text = text.translate(None, b"=").upper()
    text = text[: len(text) // 8 * 8 + (0, 0, 2, 2, 4, 5, 5, 7)[len(text) % 8]]
    return b32decode(text + b"=" * (-len(text) % 8))


def _unhex(digits: bytes) -> bytes:
    return binascii.unhexlify(digits[: len(digits) // 2 * 2])


Decoder = Callable[[bytes], list[bytes]]

#: by the name that evidence gives them; `letters`, rot13 and backwards are read off every view and are not here
DECODERS: tuple[tuple[str, Decoder], ...] = (
    ("json", without_escapes),
    ("url", without_url_escapes),
    ("html", without_html_entities),
    ("nfkc", compatible),
    ("quoted-printable", without_quoted_printable),
    ("base64", from_base64),
    ("hex", from_hex),
    ("base32", from_base32),
    ("bytes", from_byte_list),
    ("deflate", inflated),
    ("separators", without_separators),
)
