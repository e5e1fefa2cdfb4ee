"""HTML, a piece at a time. What is not already `Html` is escaped, so a frame cannot become part of a page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

#: words beside the colours, so that a page printed in grey, or read aloud, says the same
STATES = {
    "pass": ("✓", "pass"),
    "fail": ("✕", "fail"),
    "unknown": ("?", "unknown"),
    "warn": ("?", "not judged"),
    "shown": ("·", "shown"),
    "not exercised": ("○", "not exercised"),
    "not reached": ("○", "not reached"),
}

#: elements that have no end
VOID = frozenset({"br", "meta", "hr", "img"})
#: characters that neither HTML nor XML may contain
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


class Html(str):
    """Text that is already HTML."""

    __slots__ = ()


def printable(text: str) -> str:
    """`text` with forbidden control characters replaced by U+FFFD."""
    return _CONTROL.sub("\ufffd", text)


def escape(value: object) -> Html:
    return value if isinstance(value, Html) else Html(html.escape(printable(str(value)), quote=True))


def element(name: str, *children: object, **attributes: object) -> Html:
    """`<name …>children</name>`. `class_` is class; an attribute of None is left out; `_` becomes `-`."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in VOID else f"</{name}>"
    return Html(f"<{name}{shown}>{join(children)}{end}")


def join(children: Iterable[object], separator: str = "") -> Html:
    return Html(separator.join(escape(child) for child in children))


def state(word: str, text: str | None = None) -> Html:
    """A verdict as sign, word and colour."""
    sign, known = STATES.get(word, ("·", word))
    style = word.replace(" ", "-") if word in STATES else "shown"
    return element("span", element("i", sign, aria_hidden="true"), " ", text or known, class_=f"state {style}")


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[int] = (),
    caption: str = "",
    wide: bool = True,
) -> Html:
    """A table in a box of its own that scrolls when the page is narrow. `right` columns hold figures."""
    figures = set(right)

    def cells(name: str, values: Sequence[object]) -> Html:
        return join(element(name, v, class_="figure" if i in figures else None) for i, v in enumerate(values))

    head = element("thead", element("tr", cells("th", heads)))
    body = element("tbody", *(element("tr", cells("td", row)) for row in rows))
    title = element("caption", caption) if caption else Html("")
    label = caption or ", ".join(head for head in heads if head)
    inner = element("table", title, head, body, class_=None if wide else "narrow")
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=label)


def details(summary: object, *body: object, opened: bool = False) -> Html:
    inside = f"<summary>{escape(summary)}</summary>{join(body)}"
    return Html(f"<details{' open' if opened else ''}>{inside}</details>")


def paragraph(*children: object, class_: str | None = None) -> Html:
    return element("p", *children, class_=class_)


def definitions(pairs: Iterable[tuple[object, object]]) -> Html:
    """Names and their values, one line each."""
    return element("dl", *(join((element("dt", name), element("dd", value))) for name, value in pairs))


def section(identity: str, title: str, *body: object, lead: object = "") -> Html:
    intro = paragraph(lead, class_="lead") if lead else Html("")
    return element(
        "section",
        element("h2", title, id=f"{identity}-title"),
        intro,
        *body,
        id=identity,
        aria_labelledby=f"{identity}-title",
    )
