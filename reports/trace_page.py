"""`trace.html`: two lanes on one clock. One file that opens offline, runs nothing and is reached by keyboard alone.

Which view is shown is the browser's doing (`:target`), so a link to `trace.html#violation-…` needs no script. Lanes are
a grid with a row for each moment; the line from where something was planted to where it surfaced lies in between, and
stays where it belongs when a frame is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from reports import numbers, trace_body
from reports.markup import Html, definitions, details, element, join, paragraph
from reports.material import Material
from reports.trace_facts import facts, list_entry, title
from reports.trace_lanes import PLANTED, STALLED, SURFACED, Lane, Moment
from reports.trace_read import excerpt, how_it_was_read, shown_field
from reports.trace_views import View, in_order

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
#: characters of frames on one page; beyond it only the frames that matter most have their text
BODIES_MAX = 3_000_000
GROUPS = {
    "violation": "Violations",
    "failed": "Runs that failed",
    "slow": "The slowest runs of each prompt family",
    "sample": "A typical run of each prompt family",
    "asked for": "Asked for",
}
SIDES = {"owner": "Owner", "observer": "Observer", "run": "Run"}
ROLES = {PLANTED: "planted here", SURFACED: "surfaced here", STALLED: "stalled here"}
JUMPS = {PLANTED: "where it was planted", SURFACED: "where it surfaced", STALLED: "where it stalled"}


class Budget:
    """How much text of frames may still be put on the page."""

    def __init__(self, characters: int = BODIES_MAX) -> None:
        self.left = characters

    def take(self, text: str, *, always: bool) -> bool:
        """Is there room for this text? What must be there always is, and counts."""
        if not always and len(text) > self.left:
            return False
        self.left -= len(text)
        return True


def page(
    material: Material, views: list[View], *, totals: Mapping[str, int], beside: Html, budget: Budget | None = None
) -> str:
    """:param totals: how many there are in the record, by why they were chosen; not there: no more than are shown.
    :param beside: the page's own footer line.
    """
    budget = budget or Budget()
    folder = Path(__file__).parent
    style = "\n".join((folder / name).read_text(encoding="utf-8") for name in ("page.css", "trace.css"))
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            # Nothing on this page may load or run anything, whatever a recorded frame contains.
            element("meta", http_equiv="Content-Security-Policy", content=POLICY),
            element("title", f"Trace · {material.load_test.get('scenario', 'load test')} · Crosstalk"),
            element("style", Html(style), _chosen(views)),
        ],
        "\n",
    )
    articles = [_view(view, views, n, budget, material) for n, view in enumerate(views)]
    body = join(
        [
            element("a", "Skip the list", href=f"#{views[0].anchor}", class_="skip"),
            _top(material),
            element("div", _list(views, totals, material.started_ns), element("main", *articles), class_="sides"),
            element("footer", beside),
        ],
        "\n",
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body class="trace">\n{body}\n</body>\n</html>\n'
    )


def _chosen(views: Iterable[View]) -> Html:
    """The list's entry of the view that is shown stands out."""
    selectors = [f'body:has(#{v.anchor}:target, #{v.anchor} :target) .list a[href="#{v.anchor}"]' for v in views]
    selectors.append("body:not(:has(article:target, article :target)) .list li:first-child a.first")
    return Html(",\n".join(selectors) + " { background: var(--own); color: var(--ink); font-weight: 650; }\n")


def _top(material: Material) -> Html:
    said = material.load_test
    name = f"{said.get('scenario', 'load test')} · arrivals {said.get('arrivals', 'think')} · {material.folder.name}"
    back = element("a", "report.html", href="report.html")
    return element("header", element("h1", "Trace"), element("span", name), back, class_="top")


def _list(views: list[View], totals: Mapping[str, int], started_ns: int) -> Html:
    blocks = []
    for why, name in GROUPS.items():
        of_group = [(n, view) for n, view in enumerate(views) if view.why == why]
        if of_group:
            links = [
                element(
                    "li",
                    element(
                        "a",
                        list_entry(view, started_ns),
                        href=f"#{view.anchor}",
                        class_="first" if n == 0 else None,
                    ),
                )
                for n, view in of_group
            ]
            total = totals.get(why, len(of_group))
            of_all = f" of {numbers.count(total)}" if total > len(of_group) else ""
            blocks += [element("h2", f"{name} ({len(of_group)}{of_all})"), element("ul", *links)]
    inside = details("What to look at", *blocks, opened=True)
    return element("nav", inside, class_="list", aria_label="What to look at")


def _view(view: View, views: list[View], number: int, budget: Budget, material: Material) -> Html:
    heading = element("h2", title(view), id=f"{view.anchor}-title", tabindex="-1")
    jumps = [_jump(view, role) for role in JUMPS]
    ways = [element("a", "previous", href=f"#{views[number - 1].anchor}")] if number else []
    ways += [element("a", "next", href=f"#{views[number + 1].anchor}")] if number + 1 < len(views) else []
    return element(
        "article",
        heading,
        element("nav", *filter(None, jumps), *ways, class_="ways", aria_label="Within this trace"),
        definitions(facts(view, material.started_ns)),
        how_it_was_read(view),
        _lanes(view, budget),
        id=view.anchor,
        class_="first" if number == 0 else None,
        aria_labelledby=f"{view.anchor}-title",
    )


def _jump(view: View, role: str) -> Html:
    place = view.place(role)
    if place is None:
        return Html("")
    words = JUMPS[role] if role != SURFACED or place[1].direction else "where it was judged"
    return element("a", words, href=f"#{view.anchor}-{role}")


# --- the lanes ------------------------------------------------------------------------------------------------------


def _lanes(view: View, budget: Budget) -> Html:
    ordered = list(in_order(view))
    first_row = 3  # the lanes' names stand above: side by side, or one below the other
    # what matters takes its room first
    for _, moment in ordered:
        if moment.role and moment.body:
            budget.take(moment.body, always=True)
    longest = max((m.gap_ns or 0 for _, m in ordered), default=0)
    items = [_moment(view, n, m, first_row + i, longest, budget) for i, (n, m) in enumerate(ordered)]
    rows = {m.role: first_row + i for i, (_, m) in enumerate(ordered) if m.role}
    heads = [_lane_head(lane, n) for n, lane in enumerate(view.lanes)]
    two = len(view.lanes) == 2
    last_row = first_row + len(ordered)
    rails = [_rail(n, last_row) for n in range(len(view.lanes))]
    line = _line(rows.get(PLANTED), rows.get(SURFACED)) if two else []
    clock = (
        f"Milliseconds since {view.zero} at {numbers.instant(view.zero_ns)}; “≤” before a time that is an upper bound."
    )
    if view.clocks_apart_ns is not None:
        apart = numbers.from_ns(view.clocks_apart_ns)
        clock += f" The lanes were seen by two processes, whose clocks may be {apart} apart."
    return join(
        [
            paragraph(clock, class_="note"),
            element("ol", *rails, *heads, *line, *items, class_="lanes two" if two else "lanes one"),
        ]
    )


def _lane_head(lane: Lane, number: int) -> Html:
    of_run = lane.of_run
    said = [f"prompt “{of_run['prompt']}”", of_run["outcome"]] if of_run else []
    where = element("small", " · ".join(filter(None, (lane.run, lane.connection, *said))))
    lacking = element("small", lane.lacking, class_="lacking") if lane.lacking else ""
    name = element("b", f"{SIDES[lane.side]} {lane.account}")
    return element(
        "li", name, where, lacking, class_=f"head lane{number}", style=f"--head: {1 + number}; {_column(number)}"
    )


def _rail(number: int, last_row: int) -> Html:
    style = f"grid-row: 1 / {last_row}; {_column(number)}"
    return element("li", class_=f"rail lane{number}", style=style, aria_hidden="true")


def _column(lane: int) -> str:
    return f"--lane: {1 + 2 * lane}"


def _line(planted: int | None, surfaced: int | None) -> list[Html]:
    """From the row where it was planted to the row where it surfaced; nothing where one of them is not known."""
    if planted is None or surfaced is None:
        return []
    first, last = sorted((planted, surfaced))
    way = "down" if planted < surfaced else "up"
    return [
        element("li", class_=f"line begin {way}", style=f"grid-row: {first} / {last}", aria_hidden="true"),
        element("li", class_=f"line end {way}", style=f"grid-row: {last}", aria_hidden="true"),
    ]


def _moment(view: View, number: int, moment: Moment, row: int, longest: int, budget: Budget) -> Html:
    lane = view.lanes[number]
    head = _moment_head(view, lane, moment, longest)
    style = f"grid-row: {row}; {_column(number)}"
    identity = f"{view.anchor}-{moment.role}" if moment.role else None
    classes = " ".join(filter(None, ("moment", f"lane{number}", moment.direction or "none", moment.role)))
    note = paragraph(moment.note, class_="said") if moment.note else Html("")
    if moment.body is None:
        content = join([element("div", head, class_="row"), note])
    elif moment.role or budget.take(moment.body, always=False):
        content = join([details(head, _body(view, moment)), excerpt(view, moment), note])
    else:
        thing = view.row.get("violation") or lane.run
        more = f"This page is full; the text is in: python -m reports trace {thing}"
        content = details(head, paragraph(more, class_="said"))
    return element("li", content, class_=classes, id=identity, style=style)


def _moment_head(view: View, lane: Lane, moment: Moment, longest: int) -> Html:
    at = ("" if moment.exact else "≤ ") + since_zero(moment.at_ns - view.zero_ns)
    way = {"out": ("→", "sent"), "in": ("←", "received")}.get(moment.direction, ("·", ""))
    parts = [
        element("span", f"{SIDES[lane.side]} {lane.account}", class_="of"),
        element("span", at, class_="at"),
        _gap(moment, longest),
        element(
            "span", element("i", way[0], aria_hidden="true"), element("span", way[1], class_="unseen"), class_="way"
        ),
        element("b", moment.kind.replace("_", " ")),
        element("span", moment.who, class_="who") if moment.who else "",
        element("span", _role(moment), class_="role") if moment.role else "",
    ]
    return join(filter(None, parts), " ")


def _role(moment: Moment) -> str:
    return ROLES[moment.role] if moment.role != SURFACED or moment.direction else "judged here"


def _gap(moment: Moment, longest: int) -> Html:
    """The silence before a moment, as time and as a bar; the longest of the view fills its room."""
    if not moment.gap_ns:
        return element("span", class_="gap")
    width = 100 * moment.gap_ns / longest if longest else 0
    bar = element("i", element("i", style=f"width: {width:.0f}%"), aria_hidden="true")
    return element("span", element("span", f"+{numbers.from_ns(moment.gap_ns)}"), bar, class_="gap")


def since_zero(ns: int) -> str:
    """ "+127.3" or "−4.1": milliseconds with one digit, on the clock of the view."""
    tenths = round(abs(ns) / 1e5)
    sign = "−" if ns < 0 and tenths else "+"
    return f"{sign}{tenths // 10:,}.{tenths % 10}".replace(",", numbers.THIN) + f"{numbers.THIN}ms"


def _body(view: View, moment: Moment) -> Html:
    one = view.evidence
    theirs, own = (one.theirs, one.own) if one is not None else ((), ())
    field = shown_field(view) if moment.role == SURFACED else ""
    text = moment.body or ""
    if not text:
        return paragraph("An empty frame.", class_="said")
    size = moment.size_bytes if moment.size_bytes is not None else len(text.encode("utf-8", "replace"))
    cut = ", cut off in the record" if size > len(text.encode("utf-8", "replace")) else ""
    shown = element("pre", trace_body.shown(text, field=field, theirs=theirs, own=own))
    return join([paragraph(f"{numbers.size(size)}{cut}", class_="said"), shown])
