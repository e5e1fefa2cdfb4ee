"""Do the pages of a list, joined, make up the list? Pure: what each page held, and the whole."""

from __future__ import annotations

from collections.abc import Sequence


def joined(pages: Sequence[Sequence[str]], whole: Sequence[str], *, limit: int) -> str:
    """What is wrong with the pages; "" when each entry of the whole stands on one of them, once, in its place.

    :param pages: the ids on each page, in the order in which they were asked for; the last one may be short.
    :param limit: so many were asked for at a time.
    """
    found = [entry for page in pages for entry in page]
    if twice := next((entry for entry in found if found.count(entry) > 1), ""):
        on = [number for number, page in enumerate(pages, 1) if twice in page]
        return f"{twice} on pages {', '.join(map(str, on))}" if len(on) > 1 else f"{twice} twice on page {on[0]}"
    if lost := next((entry for entry in whole if entry not in found), ""):
        return f"{lost}, entry {whole.index(lost) + 1} of {len(whole)}, on no page"
    if strange := next((entry for entry in found if entry not in whole), ""):
        return f"{strange} on a page, and not in the whole"
    if found != list(whole):
        at = next(n for n, (one, other) in enumerate(zip(found, whole, strict=True), 1) if one != other)
        return f"another order than the whole from entry {at} on"
    if short := next((n for n, page in enumerate(pages[:-1], 1) if len(page) != limit), 0):
        return f"page {short} is short, and not the last"
    return ""
