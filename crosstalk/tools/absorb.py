"""`python -m crosstalk.tools.absorb DIR FILE…`: take into a record what its workers could not hand over.

DIR is results/<id> or results/latest; each FILE is what a worker left on its disk, `spill-<load test>-<worker>.jsonl`.
A batch that is in the record already is passed over, so a file may be taken in twice. A worker whose batches and final
word are all there is no longer a reason to call the verdict unknown; `python -m reports html DIR` makes it anew. Exit
codes: 0 done, also where nothing was new; 2 misuse: no record there, or a file that is not of this load test.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from crosstalk.record.batch import Inlet
from crosstalk.record.columns import coded_of
from crosstalk.record.parts import Record, RecordError, RecordWriter

#: what `run.json` says of a worker that was lost, and no longer is
OF_THE_LOST = ("lost", "last_heard_s", "gap_s")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m crosstalk.tools.absorb", description="Take into a record what its workers could not hand over."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="results/<id> or results/latest")
    parser.add_argument("files", type=Path, metavar="FILE", nargs="+", help="spill-<load test>-<worker>.jsonl")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    try:
        record = Record(folder / "record")
        for line in absorb(record, options.files):
            print(line)
    except (RecordError, OSError, ValueError) as error:
        print(f"absorb: {error}", file=sys.stderr)
        return 2
    print(f"make the verdict and its reports anew: python -m reports html {options.folder}")
    return 0


def absorb(record: Record, files: list[Path]) -> list[str]:
    """Append what is new in `files` to the record on disk; what was done, a line a file.

    :raises ValueError: a file is not of this load test, or not readable; nothing was changed.
    """
    run = record.run
    contents = [(file, list(_read(file, run["load_test"]["id"]))) for file in files]
    inlet = Inlet()
    for name, worker in run["workers"].items():
        inlet.know(name, worker.get("batches") or [])
    writer = RecordWriter(record.folder)
    said = [_take(file, batches, run, inlet, writer) for file, batches in contents]
    writer.flush()
    for name, worker in run["workers"].items():
        _tell_what_is_there(name, worker, inlet, run)
    _forget_differences(record.folder, run)
    writer.write_run(run)
    return said


def _read(file: Path, load_test: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each line and its content. A last line that was cut short, as its worker was killed, is left out."""
    name = load_test.rpartition("-")[2]
    if not file.name.startswith(f"spill-{name}-"):
        raise ValueError(f"{file}: expected a file of load test {name}, called spill-{name}-<worker>.jsonl")
    lines = file.read_bytes().split(b"\n")
    for line in lines[:-1]:
        try:
            content = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{file}: expected a batch in each line: {error}") from None
        yield line, content


def _take(
    file: Path, batches: list[tuple[bytes, dict[str, Any]]], run: dict[str, Any], inlet: Inlet, writer: RecordWriter
) -> str:
    taken: Counter[str] = Counter()
    for body, content in batches:
        worker = run["workers"].setdefault(content["worker"], {})
        if "final" in content:
            worker |= {**content["final"], "done": True}
            continue
        batch = inlet.take(body)
        if batch is None:
            continue
        taken["batches"] += 1
        worker["last_batch"] = max(batch.number, int(worker.get("last_batch", 0)))
        for table, rows in batch.tables.items():
            taken[table] += len(rows)
            writer.append(table, [tuple(row) for row in rows])
        if batch.events is not None:
            taken["events"] += len(batch.events)
            writer.append_events(coded_of(batch.events))
    return f"{file.name}: {taken['batches']} batches taken in, {taken['events']:,} events among them"


def _tell_what_is_there(name: str, worker: dict[str, Any], inlet: Inlet, run: dict[str, Any]) -> None:
    """Which batches are here now; and no longer that the worker was lost, where all of them and its final word are."""
    last = int(worker.get("last_batch", 0))
    missing = inlet.missing(name, last)
    worker["batches_received"], worker["batches"] = inlet.received(name), inlet.ranges(name)
    problems = [text for text in run["problems"] if not text.startswith(f"worker {name}: ")]
    problems += [
        text for text in run["problems"] if text.startswith(f"worker {name}: ") and "did not arrive" not in text
    ]
    if missing:
        problems.append(f"worker {name}: {len(missing)} of {last} batches did not arrive")
    elif worker.get("done"):
        problems = [text for text in problems if not (text.startswith(f"worker {name} (") and ") was lost: " in text)]
        for key in OF_THE_LOST:
            worker.pop(key, None)
    run["problems"] = problems


def _forget_differences(folder: Path, run: dict[str, Any]) -> None:
    """Rows of a table that were handed over and not there: said anew, of the record as it is now."""
    said = [worker.get("rows") for worker in run["workers"].values()]
    problems = [text for text in run["problems"] if " were handed over, " not in text]
    if all(rows is not None for rows in said):
        handed_over: Counter[str] = Counter()
        for rows in said:
            handed_over.update(rows)
        record = Record(folder)
        for table, n in handed_over.items():
            there = len(next(iter(record.table(table).values()), ()))
            if there != n:
                problems.append(f"{n} rows of {table} were handed over, {there} came")
    run["problems"] = problems


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
