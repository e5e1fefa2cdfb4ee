"""What the search of a finished run may ask of C (fast.c), where it was compiled: `fast`; None where it was not.

Each of its functions has its equal in Python, which is what holds.

`read_documents(documents, names, texts, fields, byte_lists, numbers, joined, are_instants)`: `Strings.read_column` of
documents, into the collections of a `Strings`; returns how many quotes stood around what was read, −1 where that
raises `_Unreadable`.
`is_surely_closed(view)`: `quick.is_closed` is true, whatever words were seen before. False: it may be true as well.
`unknown_words(text, shortest, one, other)`: the words of a text, as `quick.words_in` has them, that are as long at
least and in neither of two sets.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def _found() -> Any:
    try:
        return import_module("crosstalk.checks.fast")
    except ImportError:
        return None


fast: Any = _found()
