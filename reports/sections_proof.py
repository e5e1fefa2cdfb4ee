"""Why to believe it: connections, signs that something real answered, the generator's own health, provenance."""

from __future__ import annotations

from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, present
from reports import figures, numbers
from reports.markup import Html, definitions, details, element, join, paragraph, section, table
from reports.material import Material

CLOSE_CODES = {
    1000: "normal",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported",
    1006: "the transport died",
    1008: "policy or authentication",
    1011: "internal error of the server",
    1012: "restart",
    1013: "try again later",
}


def connections(material: Material) -> Html:
    title = "Connections"
    ways = figures.ways_closed(material.table("connections"))
    if not ways:
        return section("connections", title, paragraph("No connection was attempted.", class_="lead"))
    rows = []
    for purpose, outcome, code, closed_by, stage, number, said in ways:
        close = numbers.NONE if code == MISSING else f"{code} {CLOSE_CODES.get(code, '')}".strip()
        rows.append(
            (numbers.count(number), purpose.replace("_", " "), outcome, stage, close, closed_by or numbers.NONE, said)
        )
    heads = ("Connections", "Purpose", "Outcome", "Stage", "Close code", "Closed by", "Said")
    return section("connections", title, table(heads, rows, right=(0,)))


def reality(material: Material) -> Html:
    title = "Was something real there?"
    connections, runs = material.table("connections"), material.table("runs")
    if not connections["connection"].size:
        return section("reality", title, paragraph("No byte was exchanged, so nothing can be shown.", class_="lead"))
    peers, numbers_of = np.unique(connections["peer"].astype(str), return_counts=True)
    named = [
        f"{peer or 'never connected'} ({number})"
        for peer, number in zip(peers.tolist(), numbers_of.tolist(), strict=True)
    ]
    people = connections["purpose"] == "user"
    identity = sorted(set(connections["identity"][people].tolist()))
    names = [f"{word} {int((connections['identity'][people] == word).sum())}" for word in identity]
    shortest = present(connections["probe_time_min_ns"])
    medians = present(connections["probe_time_median_ns"])
    median = int(np.median(medians)) if medians.size else None
    pairs: list[tuple[object, object]] = [
        ("peers (connections)", ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")),
        ("bytes in", numbers.size(int(connections["bytes_in"].sum()))),
        ("bytes out", numbers.size(int(connections["bytes_out"].sum()))),
        (
            "frames in, out",
            ", ".join(numbers.count(int(connections[name].sum())) for name in ("frames_in", "frames_out")),
        ),
        ("shortest round trip of a ping", numbers.from_ns(int(shortest.min()) if shortest.size else None)),
        ("median of the medians", numbers.from_ns(median)),
        ("identity as the peer named it", ", ".join(names)),
        *_shortest_run(runs),
    ]
    lead = "A test that never touched the network is quick, empty and green. These figures would give it away."
    return section("reality", title, definitions(pairs), lead=lead)


def _shortest_run(runs: dict[str, Any]) -> list[tuple[object, object]]:
    ended = np.flatnonzero((runs["end_ns"] != MISSING) & (runs["outcome"] == "ok"))
    if not ended.size:
        return [("shortest run", "no run ended well")]
    took = runs["end_ns"][ended] - runs["sent_ns"][ended]
    i = int(ended[int(np.argmin(took))])
    text = f"{numbers.from_ns(int(took.min()))}: {runs['events'][i]} events, {numbers.size(int(runs['bytes_in'][i]))}"
    back, whole = int(runs["nonce_back"].sum()), int((runs["outcome"] != "cut").sum())
    return [
        ("shortest run", text),
        ("runs that repeated their own reference", f"{numbers.count(back)} of {numbers.count(whole)}"),
    ]


def provenance(material: Material) -> Html:
    run = material.run
    groups: list[Html] = []
    for key, title in (
        ("load_test", "Load test"),
        ("target", "Target"),
        ("provenance", "Made with"),
        ("workers", "Workers"),
    ):
        pairs = [(name, _value(value)) for name, value in _flat(dict(run.get(key) or {}))]
        groups += [element("h3", title), definitions(pairs)] if pairs else []
    config = details(
        "Limits and expectations as they were",
        element("pre", _json({k: run.get(k) for k in ("limits", "expectations")}), tabindex="0"),
    )
    return section("provenance", "Where this comes from", *groups, config)


def _flat(group: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in group.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            found += _flat(value, f"{name} · ")
        elif key.endswith("_ns") and isinstance(value, int):
            found.append((name.removesuffix(" ns"), numbers.instant(value)))
        else:
            found.append((name, value))
    return found


def _value(value: Any) -> object:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: numbers.NONE}[value]
    if isinstance(value, list):
        return join([", ".join(str(one) for one in value)])
    return numbers.NONE if value == "" else str(value)


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
