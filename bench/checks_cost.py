"""What looking for canaries costs: a frame on the receive path, and a finished run's transcript.

A transcript's cost is given for one of its frames, of each of many runs, quickly (what a load test does) and in full
(what it does where a transcript is not proved to hold nothing).

    python bench/checks_cost.py
    python bench/checks_cost.py --json bench/results/checks_cost.json

Frames are as those of the reference backend's netra shape, with the observer's own ids and reference in them.
All figures are CPU time of this process: the median of repeats, and how far apart the middle half of them lies.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from crosstalk.checks.canary import HEAD_LENGTH, Keyring, Site, names_in, tag, uuids_in
from crosstalk.checks.deep import Deep
from crosstalk.checks.exposure import Exposures
from crosstalk.checks.findings import Found
from crosstalk.checks.isolation import Observer, Roster, RunPlace, run_id, thread_id
from crosstalk.checks.pieces import Pieces
from crosstalk.wire.netra import Netra

LOAD_TEST = 0x14B6_5A31 >> 1  # some number with letters and digits in its tag
KEYS = Keyring(b"a secret of this measurement", LOAD_TEST)
TAG = tag(LOAD_TEST).encode()
Run = tuple[list[bytes], frozenset[bytes]]
WORDS = ["the", "answer", "of", "an", "agent", "on", "costs,", "plans", "and", "months;", "usage", "is", "flat."]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time of one call. `spread_us`: between the first and third quarter of the repeats."""

    name: str
    median_us: float
    spread_us: float
    of: str  # what one call looks at


def transcript(chunks: int, *, owner: int) -> tuple[list[bytes], frozenset[bytes]]:
    """(frames of one run, canaries of its user that may be in them)."""
    run, thread = run_id(KEYS, owner=owner, ordinal=1), thread_id(KEYS, owner=owner, ordinal=1)
    nonce = KEYS.make(owner=owner, ordinal=1, site=Site.PROMPT)
    rng = random.Random(f"{chunks} {owner}")
    said_before = " ".join(rng.choices(WORDS, k=rng.randrange(1, 8)))
    text = f"You asked with {said_before} {nonce}. " + " ".join(rng.choices(WORDS, k=chunks * 5))
    pieces = [text[at : at + 26] for at in range(0, chunks * 26, 26)]
    said = [
        ("agent_started", {"status": "started"}),
        ("agent_thinking", {"thought": f"Looking at what is known of {nonce}.", "step": 1}),
        *(
            ("agent_response_chunk", {"task_id": run, "chunk": piece, "chunk_index": index})
            for index, piece in enumerate(pieces)
        ),
        ("agent_completed", {"result": "".join(pieces), "status": "completed"}),
    ]
    frames = [
        orjson.dumps(
            {
                "type": kind,
                "run_id": run,
                "user_id": f"{TAG.decode()}{owner:05}",
                "thread_id": thread,
                "agent_name": "supervisor",
                "timestamp": f"2026-11-20T09:17:47.{829_961 + 1013 * number:06}+00:00",
                "data": data,
            }
        )
        for number, (kind, data) in enumerate(said)
    ]
    return frames, frozenset({run[-36:].encode(), thread[-36:].encode(), nonce.encode()})


def pieces_of(count: int) -> Pieces:
    pieces = Pieces()
    for owner in range(count):
        canary = KEYS.make(owner=owner, ordinal=2, site=Site.PROMPT)
        label = KEYS.read(canary)
        assert label is not None
        pieces.add(canary.encode(), label)
    return pieces


def cost(name: str, call: Callable[[], object], *, of: str, calls: int, repeats: int, per: int = 1) -> Cost:
    """`per`: how many things one call looks at; the cost is that of one of them."""
    call()
    times_us = []
    for _ in range(repeats):
        began_ns = time.process_time_ns()
        for _ in range(calls):
            call()
        times_us.append((time.process_time_ns() - began_ns) / 1000 / calls / per)
    first, median, third = statistics.quantiles(times_us, n=4)
    return Cost(name, median, third - first, of)


def inline(repeats: int) -> list[Cost]:
    frames, known = transcript(12, owner=17)
    size = sum(map(len, frames)) / len(frames)
    foreign = frames[3].replace(b'"data"', f'"x":"{KEYS.make(owner=18, ordinal=1, site=Site.CONTEXT)}","data"'.encode())
    of = f"a frame of {size:.0f} bytes"
    looks: list[tuple[str, Sequence[bytes], Callable[[bytes], object]]] = [
        ("find", frames, KEYS.find),
        ("strangers", frames, lambda frame: KEYS.strangers(frame, known)),
        ("strangers, own canaries noted", frames, lambda frame: KEYS.strangers(frame, known, set())),
        ("strangers, one is there", [foreign], lambda frame: KEYS.strangers(frame, known)),
        ("names_in", frames, lambda frame: names_in(frame, TAG)),
        ("uuids_in", frames, uuids_in),
    ]

    def all_of(frames: Sequence[bytes], look: Callable[[bytes], object]) -> Callable[[], None]:
        def run() -> None:
            for frame in frames:
                look(frame)

        return run

    return [
        cost(name, all_of(some, look), of=of, calls=max(1, 400 // len(some)), repeats=repeats, per=len(some))
        for name, some, look in looks
    ]


def inspected(repeats: int) -> Cost:
    """All of what isolation asks of a plain frame of one's own, when it has been decoded."""
    frames, known = transcript(12, owner=17)
    pieces, subject = Pieces(), f"{TAG.decode()}00017"
    roster = Roster(lambda number: f"{TAG.decode()}{number:05}", lambda _name: None, lambda _text: ())
    observer = Observer(
        keyring=KEYS, roster=roster, number=17, subject=subject, exposures=Exposures(), deep=Deep(KEYS), pieces=pieces
    )
    events = [(frame, *Netra().decode(frame)) for frame in frames]
    place, seen = RunPlace(events[0][1].run_id, 1, 1, ended=False, known=known), set[bytes]()

    def run() -> None:
        for frame, event in events:
            if observer.inspect(frame, event, place, seen=seen):
                raise AssertionError("a plain frame of one's own is accused")

    of = f"a frame of {sum(map(len, frames)) / len(frames):.0f} bytes"
    return cost("inspect", run, of=of, calls=max(1, 400 // len(frames)), repeats=repeats, per=len(frames))


def per_frame(repeats: int) -> list[Cost]:
    """The deep search of many different runs, one after the other, as a load test has them."""
    costs = []
    for chunks in (2, 12, 22, 57):
        runs = [transcript(chunks, owner=owner) for owner in range(40)]
        whole = Deep(KEYS, pieces_of(8192), names_in=lambda text: [name.decode() for name in names_in(text, TAG)])
        count = sum(len(frames) for frames, _ in runs)
        of = f"a frame of {sum(map(len, runs[0][0])) / len(runs[0][0]):.0f} bytes, {len(runs[0][0])} in a run"
        for name, search in (("deep search", whole.search_parts), ("deep search in full", whole.search_fully)):

            def look(search: Callable[..., Found] = search, runs: list[Run] = runs) -> None:
                for frames, known in runs:
                    heads = {canary[:HEAD_LENGTH] for canary in known}  # a chunk may end within one's own
                    if any(one.hit.canary[:HEAD_LENGTH] not in heads for one in search(frames, known).hits):
                        raise AssertionError("a stranger in a transcript that has none")

            costs.append(cost(name, look, of=of, calls=1, repeats=repeats, per=count))
    return costs


def deep(repeats: int) -> list[Cost]:
    costs = []
    plain = Deep(KEYS)
    # as a load test has it
    whole = Deep(KEYS, pieces_of(8192), names_in=lambda text: [name.decode() for name in names_in(text, TAG)])
    for chunks in (12, 27):
        frames, known = transcript(chunks, owner=17)
        of = f"{len(frames)} frames, {sum(map(len, frames)) / 1000:.1f} kB"
        for name, search in (("deep", plain), ("deep, names, pieces of 8,192 canaries", whole)):
            if search.search_parts(frames, known).hits:
                raise AssertionError("a stranger in a transcript that has none")
            look = partial(search.search_parts, frames, known)
            costs.append(cost(name, look, of=of, calls=10, repeats=repeats))
    stranger = KEYS.make(owner=18, ordinal=1, site=Site.CONTEXT).encode()
    leak = [*frames[:-1], frames[-1].replace(b'"data"', b'"x":"' + base64.b64encode(stranger) + b'","data"')]
    look = partial(plain.search_parts, leak, known)
    costs.append(cost("deep, a hidden stranger is there", look, of=of, calls=10, repeats=repeats))
    rng = random.Random(1)
    texts = {"words": " ".join(rng.choices(WORDS, k=200_000)).encode(),
             "base64": base64.b64encode(rng.randbytes(750_000))}  # fmt: skip
    for name, text in texts.items():
        costs.append(cost(f"deep, {name}", partial(plain.search, text), of=f"{len(text) / 1e6:.1f} MB", calls=1,
                          repeats=max(3, repeats // 5)))  # fmt: skip
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    repeats: int = options.repeats
    costs = [*inline(repeats), inspected(repeats), *per_frame(repeats), *deep(repeats)]
    for one in costs:
        print(f"{one.median_us:12,.2f} µs ± {one.spread_us:8,.2f}   {one.name}: {one.of}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(one) for one in costs], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
