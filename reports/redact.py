"""The last door before anything is shown: no token leaves here, whatever a frame contained.

The record is redacted when it is written. A report redacts again, because a target may invent new places for a token
and because a record may have been made by someone else's dialect.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

TOKEN = "[token removed]"

_PATTERNS = (
    re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}"),  # a JWT, also one that was cut off
    re.compile(r"ZXlK[A-Za-z0-9+/_-]{16,}={0,2}"),  # the same, in base64 as a subprotocol carries it
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{16,}"),
)
_IN_QUERY = re.compile(r"(?i)([?&](?:access_|auth_|id_)?token=)[^&\s\"'<>]{8,}")
_SECRET_FIELDS = re.compile(
    r'(?i)("(?:access_token|refresh_token|id_token|token|password|client_secret|authorization)"\s*:\s*")'
    r'(?!\[token removed\])((?:[^"\\]|\\.)+)(")'
)


def redact(text: str) -> str:
    """`text` without tokens. JSON stays JSON: only the inside of strings is replaced."""
    for pattern in _PATTERNS:
        text = pattern.sub(TOKEN, text)
    text = _IN_QUERY.sub(rf"\1{TOKEN}", text)
    return _SECRET_FIELDS.sub(rf"\1{TOKEN}\3", text)


def write(path: Path, text: str) -> None:
    """Write `text`, redacted and as a whole: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(redact(text), encoding="utf-8", newline="\n")
    os.replace(temporary, path)
