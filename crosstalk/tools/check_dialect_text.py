"""The page of check_dialect, as text for a terminal: a timeline a run, what was left over, and the verdict."""

from __future__ import annotations

from crosstalk.tools.check_dialect_seen import Frame, Report, RunSeen, unmapped, unused_ids
from crosstalk.wire.event import RUN_KINDS, Event, Kind
from crosstalk.wire.redact import redact

TEXT_MAX = 44
#: neighbours that are alike are counted, not listed
FOLDED = (Kind.CHUNK, Kind.OTHER, Kind.HEARTBEAT, Kind.NOTICE)
IDENTITY = {
    "full": "yes, in full",
    "prefix": "in part: the welcome shows a truncated name",
    "unknown": "no: neither a welcome nor a probe names the user (welcome_names_user, probe)",
    "mismatch": "NO: it names somebody else",
}


def page(report: Report) -> str:
    lines: list[str] = []
    for number, run in enumerate(report.runs, 1):
        lines += [f"run {number}: {_state(run)}", *timeline(run), ""]
    lines += _left_over(report)
    lines += [f"violation outside of runs: {text}" for text in report.loose]
    lines += _found(report)
    return "\n".join([*lines, *_verdict(report)])


def timeline(run: RunSeen) -> list[str]:
    """A line an event: ms since the prompt, kind, who, bytes, text. Alike neighbours are folded into one line."""
    lines: list[str] = []
    last: tuple[Kind, str] | None = None
    folded = 0
    for frame in run.frames:
        for event in frame.events:
            kind = (event.kind, event.name)
            if kind == last and event.kind in FOLDED:
                folded += 1
                continue
            lines += _more(folded)
            last, folded = kind, 0
            lines.append(_line(frame, event, run.sent_ns))
    return lines + _more(folded)


def _line(frame: Frame, event: Event, sent_ns: int) -> str:
    who = "/".join(filter(None, (event.agent, event.tool)))
    shown = str(event.kind) if event.kind not in (Kind.OTHER, Kind.MALFORMED) else f"{event.kind} {event.name}".strip()
    at_ms = (frame.at_ns - sent_ns) / 1e6
    text = _short(event.text or (event.code if event.kind is not Kind.OTHER else ""))
    return f"  {at_ms:>9.1f} ms  {shown:<28} {who:<26} {len(frame.body):>6} B  {text}".rstrip()


def _more(count: int) -> list[str]:
    return [f"  {'':>9}     … {count} more like it"] if count else []


def _short(text: str) -> str:
    text = " ".join(redact(text).split())
    return repr(text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…") if text else ""


def _state(run: RunSeen) -> str:
    if run.understood:
        return "understood"
    why = list(run.violations[:3])
    if not run.frames:
        why.append("no frame came that decode took for an event of a run")
    elif not run.ended:
        why.append("its end was not seen")
    return "NOT understood: " + "; ".join(why or [run.outcome or "no reason is known"])


def _left_over(report: Report) -> list[str]:
    lines = [
        f"unmapped: {entry.count} × {entry.name or '(no name)'} is {entry.kind}"
        + (f" ({redact(entry.reason)})" if entry.kind is Kind.MALFORMED else "")
        + f"; its fields: {', '.join(entry.fields) or 'none that are JSON'}"
        for entry in unmapped(report.frames)
    ]
    for entry in unused_ids([report.before, *(run.frames for run in report.runs)]):
        about = "the same throughout a run" if entry.constant_in_runs else "several in a run"
        lines.append(f"unused: {entry.path} looks like an id ({about}), e.g. {_short(entry.values[0])}")
    return [*lines, ""] if lines else []


def _found(report: Report) -> list[str]:
    runs = report.runs
    lines = [f"ends seen: {sum(run.ended for run in runs)} of {len(runs)}"]
    if any(run.reference_back is not None for run in runs):
        back = sum(bool(run.reference_back) for run in runs)
        advice = (
            "" if back == len(runs) else '; where a model does not repeat them, say nonce = "not_required" in limits'
        )
        lines.append(f"references came back: {back} of {len(runs)}{advice}")
    if report.identity:
        lines.append(f"identity shown: {IDENTITY.get(report.identity, report.identity)}")
    return lines


def _verdict(report: Report) -> list[str]:
    good = sum(run.understood for run in report.runs)
    lines = [f"understood: {good} of {len(report.runs)} runs"]
    return lines if report.understood else [*lines, *(f"to do: {text}" for text in _to_do(report))]


def _to_do(report: Report) -> list[str]:
    """What to fill in, from the first thing that is wrong."""
    todo = []
    kinds = {event.kind for frame in report.frames for event in frame.events}
    names = sorted({entry.name for entry in unmapped(report.frames) if entry.name})
    among = f"; unmapped so far: {', '.join(names)}" if names else ""
    if Kind.MALFORMED in kinds:
        todo.append("decode: some frames cannot be read; see `unmapped` above")
    if not kinds & {Kind.COMPLETED, Kind.ERROR}:
        todo.append(f"decode: no frame became `completed` or `error`{among}")
    wrong = " ".join(text for run in report.runs for text in run.violations) + " ".join(report.loose)
    if "missing:" in wrong:
        todo.append(f"decode or lifecycle: a required kind never came; map its frame, or require less{among}")
    if "out_of_order:" in wrong:
        todo.append("lifecycle: events come in an order that its table does not allow")
    if "duplicate:" in wrong:
        todo.append("Event.key: different events have the same key; leave it empty where frames have no number or id")
    if "text_differs:" in wrong:
        todo.append("Event.text: chunks do not make up the final text; check both fields, or chunks_make_final_text")
    nobodys = "silent:" in wrong and kinds & RUN_KINDS
    if nobodys or "unknown_run:" in wrong or "wrong_socket:" in wrong:
        todo.append("Event.run_id: it is no id of a run that was started; see `unused` above, and ids_from")
    return todo or ["see what is not understood, above, run by run"]
