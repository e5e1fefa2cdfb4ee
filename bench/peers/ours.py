"""This harness as it is: the cast's Regular, every check, the record. `make bench` runs it beside its peers.

Notes its own CPU time when the last user has stopped and when the record is closed: what it does in between is on its
bill; the pages that reports make of a record are not.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from locust import events

from crosstalk.harness import connect
from users.regular import Regular  # noqa: F401  the cast

_cpu_ns: dict[str, int] = {}


@events.test_stop.add_listener
def _users_have_stopped(**_: object) -> None:
    # registered before the harness's own listener, so it runs before the record is closed
    _cpu_ns.setdefault("stopped", time.process_time_ns())


def _record_is_closed(folder: Path) -> dict[str, Any]:
    _cpu_ns["closed"] = time.process_time_ns()
    from crosstalk.record.parts import Record  # imports what starts threads: not before the load test
    from reports.verdict import as_json, judged

    verdict, _ = judged(Record(folder / "record"))
    (folder / "verdict.json").write_text(as_json(verdict))
    Path(os.environ["BENCH_OUT"]).write_text(json.dumps({"cpu_ns": _cpu_ns, "folder": str(folder)}))
    return verdict


connect(events, at_end=_record_is_closed)
