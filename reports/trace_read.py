"""What of a frame counts: the field with the reference in it, and how that was read out of it, step by step."""

from __future__ import annotations

from crosstalk.checks.violation import field_path
from reports import evidence, trace_body, trace_decode
from reports.markup import Html, details, element, join, paragraph
from reports.redact import redact
from reports.trace_lanes import PLANTED, SURFACED, Moment
from reports.trace_views import View

SPOKEN = {
    "split": "spread over several fields or frames, joined",
    "garbled": "a few of its letters are wrong",
    "piece": "its beginning is missing; what is left is of its signature",
    "separators": "letters and digits alone",
    "partial": "its end is cut off; enough of its signature is left",
    "case": "letters in lower case",
    "reversed": "read backwards",
}


def how_it_was_read(view: View) -> Html:
    """Nothing for a plain reading; else the text as found and after each step."""
    names = trace_decode.words(view.row.get("decode", ""))
    if not names:
        return Html("")
    source = _source(view)
    title = f"How it was read: {', then '.join(names)}"
    if source is None:
        why = (
            "The steps could not be done again on the frame that was kept: it was cut off, or its text is not in "
            "the record."
        )
        return details(title, paragraph(why, class_="said"))
    where, text, steps = source
    lines = [_step(f"As found {where}", text, view)]
    lines += [_step(f"{step.name}: {SPOKEN[step.name]}" if step.name in SPOKEN else step.name, step.text, view)
              for step in steps]  # fmt: skip
    return details(title, element("ol", *lines, class_="steps"))


def _source(view: View) -> tuple[str, str, list[trace_decode.Step]] | None:
    """(where, text, steps) of the smallest text that reads so: its field, its frame, or all that the observer got."""
    one, place = view.evidence, view.place(SURFACED)
    if one is None or place is None:
        return None
    body = place[1].body or str(view.row["frame"])
    field = shown_field(view)
    value = trace_body.value_at(body, field) if field else None
    frames = [m.body for m in view.lanes[-1].moments if m.body and m.direction == "in"]
    sources = [] if value is None else [(f"at {field}", value)]
    sources += [
        ("in the frame, field by field", trace_decode.joined([body])),
        ("in the frame as it came", body),
        (f"in {len(frames)} frames, joined field by field", trace_decode.joined(frames)),
    ]
    for where, text in sources:
        steps = trace_decode.steps(view.row["decode"], text, one.planted_canaries)
        if steps is not None:
            return where, text, steps
    return None


def shown_field(view: View) -> str:
    """The field of the frame that surfaced; where the violation names none, the one that reads as it says."""
    one, place = view.evidence, view.place(SURFACED)
    if one is None or place is None or not place[1].body:
        return ""
    decode, field = view.row["decode"], str(view.row["field"])
    paths = dict(trace_body.values(place[1].body))
    if field in paths or not trace_decode.words(decode):
        return field
    reads = [path for path, text in paths.items() if trace_decode.steps(decode, text, one.planted_canaries)]
    return min(reads, default="")


def _step(name: str, text: str, view: View) -> Html:
    one = view.evidence
    marks = one.theirs if one is not None else ()
    shown = evidence.highlighted(trace_decode.around(redact(text)), theirs=marks, own=())
    return element("li", join([element("span", name), element("pre", shown)]))


def excerpt(view: View, moment: Moment) -> Html:
    """The field of a frame that was planted or that surfaced, with what is in it; nothing for other moments."""
    one = view.evidence
    if one is None or moment.role not in (PLANTED, SURFACED) or not moment.body:
        return Html("")
    surfaced = moment.role == SURFACED
    field = shown_field(view) if surfaced else _field_of_marks(moment.body, one.theirs, view.row["frame"])
    value = trace_body.value_at(moment.body, field) if field else None
    if surfaced and value is None and field and not any(trace_body.values(moment.body)):
        value = moment.body  # a close reason, a header, the payload of a ping
    if value is None:
        return Html("")
    shown = evidence.highlighted(trace_decode.around(redact(value)), theirs=one.theirs, own=one.own)
    return element("p", element("code", field), ": ", element("q", shown), class_="excerpt")


def _field_of_marks(body: str, marks: tuple[str, ...], frame: str) -> str:
    """Where in the owner's frame stands what the observer's frame shows; content before ids, as a person would look."""
    long = [mark for mark in marks if len(mark) >= evidence.LONG_MARK]
    seen = [mark for mark in long if mark.lower() in frame.lower()] or long
    paths = [field_path(body.encode("utf-8", "replace"), mark) for mark in seen]
    fields = [path for path in paths if path != "(frame)"]
    return min(fields, key=lambda path: (path.endswith(("_id", "traceparent")), fields.index(path)), default="")
