"""Where it broke, on the terminal: every group with what the record shows, its causes and its query for the logs."""

from __future__ import annotations

import re
import textwrap

from reports import failures
from reports.material import Material
from reports.redact import redact

COLUMNS = 100
#: a group's lines are "  key       text"; what does not fit goes on under the text
INDENT = " " * 12
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def groups(material: Material, *, colour: bool) -> str:
    """All groups in full; one line where nothing failed."""
    listed = failures.listed(material.verdict)
    if problem := material.verdict.get("failures_problem"):
        return redact(str(problem)) + "\n"
    if not listed:
        return "no run and no connection failed\n"
    blocks = []
    for one in listed:
        head, *lines = (redact(_CONTROL.sub("?", line)) for line in failures.told(one, material.started_ns))
        blocks.append(
            [f"\x1b[1m{head}\x1b[0m" if colour else head, *(part for line in lines for part in _wrapped(line))]
        )
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _wrapped(line: str) -> list[str]:
    """The query for the logs stays on one line: it is there to be copied."""
    if line.startswith("  logs "):
        return [line]
    return textwrap.wrap(line, COLUMNS, subsequent_indent=INDENT, break_on_hyphens=False) or [line]
