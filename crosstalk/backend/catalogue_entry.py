"""An entry of the catalogue of faults: what a backend can be told to do wrong, and in which shapes it has a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SHAPES = ("netra", "agui", "per_run")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing a backend can do wrong.

    `judged_as` is what a judge should call it: a violation, an outcome, or the isolation channel it shows on.
    `remarks`: what a shape has of its own, "no: why" where the fault has no place in it.
    """

    name: str
    what: str
    where: str
    judged_as: str
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def of_process(self) -> bool:
        """Whether it concerns the process, so that an account or another user's run decides nothing."""
        return self.where.startswith("the process")

    def applies(self, shape: str) -> bool:
        return not self.remarks.get(shape, "").startswith("no:")
