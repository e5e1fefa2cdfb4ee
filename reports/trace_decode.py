"""How a canary was read out of what came: every step of a violation's `decode`, done again on the text that was kept.

`decode` is "plain", or words joined by "+", the outermost first: "base64+reversed". A step may have several readings
(base64 has four alignments); those are followed that end in a canary. Where none does, the page says so: a result that
nobody recomputed is not shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from crosstalk.checks import transforms
from crosstalk.checks.canary import HEAD_LENGTH, LENGTH, PARTIAL_MAC_LENGTH, PREFIX
from crosstalk.checks.distil import distil

#: readings of one step that are followed, and bytes of a text that are decoded
READINGS_MAX = 64
TEXT_MAX = 65_536
SHOWN_MAX = 600

_CANARY = re.compile(
    rf"(?i){PREFIX}[a-z2-7]{{{HEAD_LENGTH - len(PREFIX) + PARTIAL_MAC_LENGTH},{LENGTH - len(PREFIX)}}}"
)

Goal = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    text: str  # what stands there after it


def words(decode: str) -> list[str]:
    """The steps of a `decode`; none for "plain"."""
    return [word for word in decode.split("+") if word and word != "plain"]


def steps(decode: str, text: str, wanted: Collection[str] = ()) -> list[Step] | None:
    """What `text` reads after each step; None where the steps do not lead to a canary, or one is not known here.

    :param wanted: whole canaries, of which one must be there; any canary will do where none is known.
    """
    names = words(decode)
    goal = _goal(names, [canary.lower() for canary in wanted])
    return _follow(names, text.encode("utf-8", "replace")[:TEXT_MAX], goal)


def joined(bodies: Sequence[str]) -> str:
    """The texts of frames field by field, as what is split over chunks is searched."""
    return distil([body.encode("utf-8", "replace") for body in bodies]).text().decode("utf-8", "replace")


def _goal(names: list[str], wanted: list[str]) -> Goal:
    """What the last reading must hold: a canary, as much of it as the steps say is left.

    What has lost its head, or has wrong letters in it, is told only by a canary that is known.
    """
    if "piece" in names:
        tails = {
            canary[at : at + PARTIAL_MAC_LENGTH]
            for canary in wanted
            for at in range(HEAD_LENGTH, LENGTH - PARTIAL_MAC_LENGTH + 1)
        }
        return lambda text: any(tail in text.lower() for tail in tails)
    if "garbled" in names:
        heads = {canary[:HEAD_LENGTH] for canary in wanted}
        return lambda text: any(head in text.lower() for head in heads)
    cut = {canary[: HEAD_LENGTH + PARTIAL_MAC_LENGTH] for canary in wanted}
    return lambda text: any(one in text.lower() for one in cut) if cut else bool(_CANARY.search(text))


def _follow(names: list[str], view: bytes, goal: Goal) -> list[Step] | None:
    if not names:
        return [] if goal(view.decode("utf-8", "replace")) else None
    readings = READINGS.get(names[0])
    if readings is None:
        return None
    for reading in islice(dict.fromkeys(readings(view)), READINGS_MAX):
        rest = _follow(names[1:], reading, goal)
        if rest is not None:
            return [Step(names[0], reading.decode("utf-8", "replace")), *rest]
    return None


def around(text: str) -> str:
    """The part of a text that is worth showing: beside the canary where there is one, else its beginning."""
    found = _CANARY.search(text)
    start = max(found.start() - SHOWN_MAX // 2, 0) if found else 0
    part = text[start : start + SHOWN_MAX]
    return ("… " if start else "") + part + (" …" if start + SHOWN_MAX < len(text) else "")


def _one(change: Callable[[bytes], bytes]) -> Callable[[bytes], Iterable[bytes]]:
    return lambda view: [change(view)]


def _same(view: bytes) -> bytes:
    return view


#: step → its readings of a text; the names are those that the deep search gives
READINGS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    **dict(transforms.DECODERS),
    "separators": _one(transforms.letters_as_they_are),
    "case": _one(bytes.lower),
    "rot13": _one(transforms.rot13),
    "reversed": _one(transforms.backwards),
    # nothing is undone: what is left is read as it stands
    "split": _one(_same),
    "partial": _one(_same),
    "garbled": _one(_same),
    "piece": _one(_same),
}
