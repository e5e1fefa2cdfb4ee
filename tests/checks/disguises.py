"""Ways to hide a canary, written without a look at how the checks undo them: each takes a text and chance."""

import base64
import codecs
import random
import zlib
from collections.abc import Callable

SEPARATORS = ["-", " ", ".", "_", ":", ", ", "|", "\n", "\t", "*", "\x00"]
SEPARATORS += ["\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060"]


def every_letter(change: Callable[[str], str]) -> Callable[[str, random.Random], str]:
    return lambda text, _rng: "".join(change(letter) for letter in text)


def case(text, rng):
    return "".join(rng.choice((letter.upper(), letter.lower())) for letter in text)


def separators(text, rng):
    return rng.choice(SEPARATORS).join(text)


def full_width(letter):
    return chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter


def mathematical(letter):
    if "a" <= letter <= "z":
        return chr(0x1D41A + ord(letter) - ord("a"))
    return chr(0x1D7CE + ord(letter) - ord("0")) if "0" <= letter <= "9" else letter


def in_base64(text, rng):
    encode = rng.choice((base64.b64encode, base64.urlsafe_b64encode))
    encoded = encode(rng.choice(("", "x", "yz")).encode() + text.encode()).decode()
    return encoded.rstrip("=") if rng.random() < 0.5 else encoded


def in_wrapped_base64(text, rng):
    encoded = base64.b64encode(text.encode()).decode()
    width = rng.choice((5, 19, 64, 76))
    return rng.choice(("\n", "\r\n")).join(encoded[at : at + width] for at in range(0, len(encoded), width))


def in_hex(text, rng):
    pairs = [f"{byte:02x}" for byte in text.encode()]
    pairs = [pair.upper() for pair in pairs] if rng.random() < 0.5 else pairs
    return ", ".join(f"0x{pair}" for pair in pairs) if rng.random() < 0.2 else rng.choice(" :-").join(pairs)


def in_plain_hex(text, rng):
    return text.encode().hex() if rng.random() < 0.5 else text.encode().hex().upper()


def in_url_escapes(text, rng):
    form = rng.choice(("%{:02X}", "%{:02x}"))
    return "".join(form.format(byte) for byte in text.encode())


def in_some_url_escapes(text, rng):
    return "".join(f"%{byte:02X}" if rng.random() < 0.4 or byte > 127 else chr(byte) for byte in text.encode())


def in_html_entities(text, rng):
    form = rng.choice(("&#{};", "&#x{:x};", "&#x{:04X};", "&#{:05};"))
    return "".join(form.format(ord(letter)) for letter in text)


def between_named_entities(text, rng):
    return rng.choice(("&shy;", "&zwnj;", "&ZeroWidthSpace;", "&nbsp;", "&amp;")).join(text)


def in_json_escapes(text, rng):
    units = text.encode("utf-16-be")
    form = rng.choice(("\\u{:04x}", "\\u{:04X}"))
    return "".join(form.format(units[at] << 8 | units[at + 1]) for at in range(0, len(units), 2))


def in_byte_escapes(text, rng):
    form = rng.choice(("\\x{:02x}", "\\x{:02X}", "\\{:03o}", "\\u{{{:x}}}"))
    return "".join(form.format(ord(letter)) if ord(letter) < 128 else letter for letter in text)


def rot13(text, _rng):
    return codecs.encode(text, "rot13")


def backwards(text, _rng):
    return text[::-1]


def in_base32(text, rng):
    encoded = base64.b32encode(text.encode()).decode()
    return encoded.lower().rstrip("=") if rng.random() < 0.5 else encoded


def in_quoted_printable(text, _rng):
    return "".join(f"={byte:02X}" for byte in text.encode())


def in_numbers(text, rng):
    return rng.choice((", ", ",", " ")).join(str(byte) for byte in text.encode())


#: name of the step that evidence has to give → ways to hide it
DISGUISES: dict[str, tuple[Callable[[str, random.Random], str], ...]] = {
    "case": (case,),
    "separators": (separators,),
    "nfkc": (every_letter(full_width), every_letter(mathematical)),
    "base64": (in_base64, in_wrapped_base64),
    "hex": (in_hex, in_plain_hex),
    "url": (in_url_escapes, in_some_url_escapes),
    "html": (in_html_entities,),
    "json": (in_json_escapes, in_byte_escapes),
    "rot13": (rot13,),
    "reversed": (backwards,),
}
#: found alone and in most pairs, not in all
MORE: dict[str, tuple[Callable[[str, random.Random], str], ...]] = {
    "base32": (in_base32,),
    "quoted-printable": (in_quoted_printable,),
    "bytes": (in_numbers,),
    "html": (between_named_entities,),  # two layers by itself
}


def deflated(data: bytes, rng: random.Random) -> bytes:
    wbits = rng.choice((zlib.MAX_WBITS, zlib.MAX_WBITS | 16))
    packer = zlib.compressobj(rng.choice((1, 6, 9)), zlib.DEFLATED, wbits)
    return packer.compress(data) + packer.flush()
