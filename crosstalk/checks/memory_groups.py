"""Whose memory it is: the target's, or of the harness's own heap, by the file that asked for it."""

from __future__ import annotations

#: group → (how it is called, beginnings of its files)
GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "locust": ("Locust's own statistics and history", ("locust/", "flask/", "werkzeug/")),
    "tally": (
        "the live tally of the record, which grows with every event by design",
        ("crosstalk/record/", "crosstalk/checks/tally", "crosstalk/checks/grown", "crosstalk/checks/columns",
         "pyarrow/", "numpy/"),
    ),
    "own": ("the harness itself", ()),
    "target": ("the target, by its own word", ()),
}  # fmt: skip
OWN, TARGET = "own", "target"


def group_of(file: str) -> str:
    return next((group for group, (_, begins) in GROUPS.items() if begins and file.startswith(begins)), OWN)
