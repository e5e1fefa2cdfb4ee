"""Which rule a failed run broke, by the violations that were written down for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crosstalk.wire.redact import redact

#: where a run or a connection can end, in the order of its life. `authenticate`: the peer refused, or ended the
#: connection, between the upgrade and the welcome; `ready`: no welcome came, or it named somebody else; `send`: after
#: the welcome, before any event; `late`: after the end of a run, while none was under way; `journey`: a step of a
#: journey that did not do what it should, though no run of it broke
STAGES = (
    "resolve", "connect", "tls", "upgrade", "authenticate", "ready", "send", "first event", "thinking", "tool",
    "stream", "end", "late", "journey",
)  # fmt: skip
Row = Mapping[str, Any]

#: the gravest first: what a run is grouped by when several of its rules were broken
_GRAVEST = (
    "wrong_socket", "foreign_content", "foreign_id", "unknown_run", "not_real", "silent", "no_end", "two_ends",
    "tool_error_swallowed", "malformed", "missing", "duplicate", "out_of_order", "text_differs", "late",
)  # fmt: skip
_STAGE_OF = {
    "lost_before_ready": "send", "silent": "first event", "tool_error_swallowed": "tool", "malformed": "stream",
    "text_differs": "stream", "late": "late", "two_ends": "late",
}  # fmt: skip
_STAGE_OF_KIND = {
    "started": "first event", "thinking": "thinking", "handoff": "thinking", "tool_executing": "tool",
    "tool_completed": "tool", "chunk": "stream", "completed": "end", "error": "end",
}  # fmt: skip
#: told elsewhere: by the connection's own row
_OF_CONNECTION = ("wrong_identity", "close_1011")
_IDS = re.compile(r"\b(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{12,}|\d{4,}(?!\d)")


def groupable(text: str) -> str:
    """`text` without tokens, ids and long numbers, so that the same mistake reads the same each time."""
    return _IDS.sub("…", redact(" ".join(text.split())))[:120]


def what_of(run: Row) -> str:
    """What happened to a run, without its stage: "stream: no end within 8 s" → "no end within 8 s"."""
    stage, colon, what = str(run["signature"]).partition(": ")
    return what if colon and stage in STAGES else str(run["signature"])


def _gravity(row: Row) -> tuple[bool, int]:
    name = row["name"]
    return row["judgement"] != "isolation", _GRAVEST.index(name) if name in _GRAVEST else len(_GRAVEST)


def broken_rule(mine: tuple[Row, ...], stage: str) -> tuple[str, str]:
    """(stage, signature) by the gravest rule that was broken."""
    worst = min(mine, key=_gravity)
    name = str(worst["name"])
    if worst["judgement"] == "isolation":
        scope = "" if worst["scope"] == "cross_user" else f", {worst['scope']}"
        return "late" if worst["channel"] == 17 else "stream", f"{name}, channel {worst['channel']}{scope}"
    if name == "missing":
        kinds = sorted({kind for one in mine if one["name"] == name for kind in _kinds(str(one["expected"]))})
        return _STAGE_OF_KIND.get(
            kinds[0].split(" ")[0] if kinds else "", stage
        ), f"missing {', '.join(kinds) or 'an event'}"
    if name == "not_real":
        return told_rule(str(worst["came"]).removeprefix("end: "), stage)
    return _STAGE_OF.get(name, stage), name.replace("_", " ")


def _kinds(expected: str) -> set[str]:
    """ "tool_completed for call 7, chunk 3" → what is missing, without numbers: one piece is not the whole stream."""
    found = set()
    for part in expected.split(","):
        kind, _, rest = part.strip().partition(" ")
        if kind in _STAGE_OF_KIND:
            found.add("chunk in between" if kind == "chunk" and rest.isdigit() else kind)
    return found


def told_rule(what: str, stage: str) -> tuple[str, str]:
    """By the run's own signature, where no violation of it was written down."""
    if what.startswith("not real"):
        return stage, "not real: quicker than a round trip" if "round trip" in what else groupable(what)
    names = sorted(what.split(", "), key=lambda name: _GRAVEST.index(name) if name in _GRAVEST else len(_GRAVEST))
    return _STAGE_OF.get(names[0], stage), groupable(names[0]).replace("_", " ") or "violated"


class Violations:
    """Violations by the run that they belong to, and those that belong to none, by connection."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.of_runs: dict[tuple[str, str], tuple[Row, ...]] = {}
        self._of_none: dict[tuple[object, ...], list[Row]] = {}
        self._like: dict[tuple[str, str], Row] = {}  # by connection and name, the first
        for row in rows:
            if row["judgement"] == "harness" or str(row["came"]).endswith("more like it"):
                continue  # ours, not the target's; or a number of those that were not written one by one
            self._like.setdefault((str(row["observer_connection"]), str(row["name"])), row)
            if row["run"]:
                key = (str(row["observer"]), str(row["run"]))
                self.of_runs[key] = (*self.of_runs.get(key, ()), row)
            elif row["name"] not in _OF_CONNECTION:
                place = (row["observer_connection"], row["observer"], row["name"], row["channel"], row["scope"])
                self._of_none.setdefault(place, []).append(row)

    def of(self, run: Row) -> tuple[Row, ...]:
        """Of a run. Beyond a hundred alike they are not written: one of those on its connection stands in."""
        found = self.of_runs.get((str(run["account"]), str(run["run"])), ())
        if found or run["outcome"] != "violated":
            return found
        names = [name.strip() for name in what_of(run).split(",")]
        alike = (self._like.get((str(run["connection"]), name)) for name in names)
        return tuple(row for row in alike if row is not None)

    def of_no_run(self) -> Iterator[tuple[Row, ...]]:
        """Those outside of any run of their observer: alike ones of a connection together."""
        return (tuple(rows) for rows in self._of_none.values())
