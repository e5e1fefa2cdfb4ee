"""The catalogue of faults: everything a backend can be told to do wrong, where it bites, and in which shapes.

An opportunity is one run; or one socket, request or process where the catalogue says so, however many events it has.
The account is that of the user whose run, socket or request it is: with a leak the one who sees what is another's, with
``leak_wrong_socket``, ``leak_broadcast``, ``latest_handler`` and ``router_growth`` the one whose events go astray, with
``cascading_cancel`` the one whose run is cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping

from crosstalk.backend.catalogue_access import ACCESS
from crosstalk.backend.catalogue_agents import AGENTS
from crosstalk.backend.catalogue_connection import CONNECTION, LIMITS
from crosstalk.backend.catalogue_delivery import DELIVERY
from crosstalk.backend.catalogue_entry import SHAPES, Fault
from crosstalk.backend.catalogue_events import EVENTS
from crosstalk.backend.catalogue_leaks import LEAKS
from crosstalk.backend.catalogue_messages import MESSAGES
from crosstalk.backend.catalogue_recovery import RECOVERY
from crosstalk.backend.catalogue_sign_in import SIGN_IN
from crosstalk.backend.catalogue_slow import SLOW
from crosstalk.backend.catalogue_soak import SOAK

__all__ = ["BY_NAME", "CATALOGUE", "NAMES", "SHAPES", "Fault", "list_faults", "list_shapes"]

CATALOGUE: tuple[Fault, ...] = (
    *DELIVERY, *ACCESS, *LEAKS, *SIGN_IN, *CONNECTION, *LIMITS, *MESSAGES, *RECOVERY, *EVENTS, *AGENTS, *SLOW,
    *SOAK,
)  # fmt: skip
NAMES: tuple[str, ...] = tuple(fault.name for fault in CATALOGUE)
BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in CATALOGUE}


def list_faults() -> str:
    """For people: one fault a line, its name first, then what it does, then where it bites."""
    widths = [max(len(getattr(fault, column)) for fault in CATALOGUE) for column in ("name", "what", "where")]
    return "\n".join(
        f"{fault.name:{widths[0]}}  {fault.what:{widths[1]}}  {fault.where:{widths[2]}}  judged as: {fault.judged_as}"
        for fault in CATALOGUE
    )


def list_shapes() -> str:
    """The long list: fault × shape, "yes", "yes: how" or "no: why"."""
    rows = [["fault", *SHAPES], *([fault.name, *(_remark(fault, one) for one in SHAPES)] for fault in CATALOGUE)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _remark(fault: Fault, shape: str) -> str:
    remark = fault.remarks.get(shape, "")
    return remark if not fault.applies(shape) else f"yes: {remark}" if remark else "yes"
