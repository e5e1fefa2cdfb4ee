"""Nothing secret leaves the process: tokens are taken out of every text before it is kept, logged or shown."""

from __future__ import annotations

import re

#: JSON Web Tokens, bearer headers, and fields or parameters that are named as secrets
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_BEARER = re.compile(r"(?i)(bearer[ .])[A-Za-z0-9._~+/=-]{8,}")
#: a quoted value goes as a whole, up to its own closing quote, also in JSON that stands escaped in a string of JSON
_NAMED = re.compile(
    r"""(?isx)
    ( (?:access_|refresh_|id_)?token | password | secret | api_?key | authorization )
    ( \\*["']?\s*[:=]\s* )
    (?: (?P<quote>") (?:[^"\\]|\\.)+ (?P<end>"|$)
      | (?P<quote1>') (?:[^'\\]|\\.)+ (?P<end1>'|$)
      | (?P<quote2>\\+["']) .+? (?P<end2>(?<!\\)(?P=quote2)|$)
      | [^"'&\s,}\\]{4,}
    )"""
)
#: one of these is in every name that `_NAMED` finds
_NAMES = ("token", "password", "secret", "key", "authorization")


def redact(text: str) -> str:
    """The text without tokens, passwords and keys."""
    if not text:
        return text
    # only of ASCII is it sure which letters match in either case; the rest is for the patterns alone to tell
    low = text.lower() if text.isascii() else ""
    if not low or "eyj" in low:
        text = _JWT.sub("[token]", text)
    if not low or "bearer" in low:
        text = _BEARER.sub(r"\1[token]", text)
    if low and not any(name in low for name in _NAMES):
        return text
    return _NAMED.sub(r"\1\2\g<quote>\g<quote1>\g<quote2>[redacted]\g<end>\g<end1>\g<end2>", text)
