"""Do events come in the envelope that their socket speaks, and do they say whose they are, and when they were said?

Pure: labels in, problems in words out. A label is what one event says of itself (wire/dialect.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crosstalk.wire.dialect import Label

#: problems of one kind that are named
NAMED_MAX = 3


def envelope_problems(
    frames: Iterable[Sequence[Label]], *, wanted: str, events_max: int = 0, span_ms_max: float = 0.0
) -> list[str]:
    """What is wrong with how events are packed.

    :param frames: the labels of each frame, in order of arrival.
    :param events_max: what one frame may hold; 0: nobody has said.
    :param span_ms_max: how long after the first event of a frame its last one may have been said; 0: nobody has said.
    """
    problems: list[str] = []
    for labels in frames:
        problems += [f"{label.name or 'an event'} in the {label.envelope} envelope" for label in labels
                     if label.envelope != wanted]  # fmt: skip
        problems += ["a wrapper without the name of its event" for label in labels if not label.name]
        if events_max and len(labels) > events_max:
            problems.append(f"{len(labels)} events in a batch")
        times = [label.at_s for label in labels if label.at_s is not None]
        if times != sorted(times):
            problems.append(f"a batch out of order: {', '.join(label.name for label in labels)}")
        elif span_ms_max and times and (span_ms := round((times[-1] - times[0]) * 1e3, 2)) > span_ms_max:
            problems.append(f"a batch over {span_ms:.0f} ms")  # unix seconds are kept to a quarter of a microsecond
    return problems


def label_problems(labels: Iterable[Label], *, run_id: str, user_id: str, thread_id: str) -> list[str]:
    """What is missing, or wrong, in what the events of one run say of themselves.

    An event that is sent again may bear the time of its first attempt. Between others time stands still or goes on.
    """
    problems: list[str] = []
    latest_s: float | None = None
    for label in labels:
        if label.lacks:
            problems.append(f"{label.name or 'an event'} without {', '.join(label.lacks)}")
        for key, said, right in (
            ("run_id", label.run_id, run_id),
            ("user_id", label.user_id, user_id),
            ("thread_id", label.thread_id, thread_id),
        ):
            if said and right and said != right:
                problems.append(f"{label.name} with {key} {said}")
        if label.at_s is None or label.attempt > 1:
            continue
        if latest_s is not None and label.at_s < latest_s:
            problems.append(f"{label.name} said {(latest_s - label.at_s) * 1e3:.0f} ms before the event before it")
        latest_s = label.at_s
    return problems


def in_words(problems: Sequence[str]) -> str:
    """The first few problems, each once, and how many there are; "" for none."""
    named = list(dict.fromkeys(problems))
    more = f" (and {len(problems) - NAMED_MAX} more)" if len(problems) > NAMED_MAX else ""
    return "; ".join(named[:NAMED_MAX]) + more
