"""How another user's reference may look when something on its way has rewritten it. Pure: text in, text out."""

from __future__ import annotations

import base64
import codecs
import gzip
from collections.abc import Callable, Mapping

PARTIAL_LENGTH, TAIL_LENGTH = 28, 18
_ZERO_WIDTH_SPACE = "\u200b"
# What stands before a reference that is encoded together with it: each length is another alignment of base64.
_PREFIXES = ("", "x", "id")


def alternate_case(reference: str) -> str:
    return "".join(char.upper() if index % 2 else char.lower() for index, char in enumerate(reference))


def to_base64(reference: str, alignment: int = 0) -> str:
    """`alignment`: 0, 1 or 2 bytes stand before the reference and are encoded with it."""
    return to_base64_of(f"{_PREFIXES[alignment]}{reference}".encode())


def to_base64url(reference: str, alignment: int = 0) -> str:
    """Without padding. What stands before it makes sure that the letters - and _ of this alphabet occur."""
    return base64.urlsafe_b64encode(f">>?>>~{_PREFIXES[alignment]}{reference}".encode()).decode().rstrip("=")


def percent_encode(reference: str) -> str:
    """Every letter, also those that need it not."""
    return "".join(f"%{ord(char):02X}" for char in reference)


def html_entities(reference: str) -> str:
    """Decimal and hexadecimal in turns."""
    return "".join(f"&#x{ord(char):x};" if index % 2 else f"&#{ord(char)};" for index, char in enumerate(reference))


def json_escapes(reference: str) -> str:
    """As it stands in the raw JSON."""
    return "".join(f"\\u{ord(char):04x}" for char in reference)


def full_width(reference: str) -> str:
    """Letters and digits of the block U+FF00, which NFKC makes plain again."""
    return "".join(chr(ord(char) + 0xFEE0) for char in reference)


def compressed(reference: str, alignment: int = 0) -> str:
    """Gzip, and base64 of it, as a binary value stands in JSON; the time in its head is 0."""
    return to_base64_of(gzip.compress(f"{_PREFIXES[alignment]}{reference}".encode(), mtime=0))


def to_base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


#: fault → what it makes of a reference; the number picks one of three alignments where there are some
TRANSFORMS: Mapping[str, Callable[[str, int], str]] = {
    "leak_partial": lambda reference, _: reference[:PARTIAL_LENGTH],
    "leak_tail": lambda reference, _: reference[-TAIL_LENGTH:],
    "leak_case": lambda reference, _: alternate_case(reference),
    "leak_base64": to_base64,
    "leak_base64url": to_base64url,
    "leak_hex": lambda reference, _: reference.encode().hex(),
    "leak_url": lambda reference, _: percent_encode(reference),
    "leak_html": lambda reference, _: html_entities(reference),
    "leak_rot13": lambda reference, _: codecs.encode(reference, "rot13"),
    "leak_reversed": lambda reference, _: reference[::-1],
    "leak_separated": lambda reference, _: "-".join(reference),
    "leak_zero_width": lambda reference, _: _ZERO_WIDTH_SPACE.join(reference),
    "leak_fullwidth": lambda reference, _: full_width(reference),
    "leak_utf16": lambda reference, _: reference.encode("utf-16-le").decode("latin-1"),
    "leak_compressed": compressed,
    "leak_two_layers": lambda reference, alignment: to_base64(reference[::-1], alignment),
}
