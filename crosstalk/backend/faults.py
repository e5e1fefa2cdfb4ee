"""How a fault is asked for on the command line, and the seeded draws that decide when it bites.

``--fault NAME[:RATE[:WHEN]]``: RATE is the share of opportunities at which the fault bites, above 0 and up to 1. WHEN
joins conditions with ``+``: an account range (``0-4``, ``7``), ``overlap``, ``after_cancel``, ``after=SECONDS``.
What an opportunity is, and whose account counts, says the catalogue.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from crosstalk.backend.catalogue import BY_NAME, CATALOGUE, NAMES

__all__ = ["CATALOGUE", "NAMES", "FaultSpec", "FaultTable", "account_of", "parse_fault"]

_ACCOUNTS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
# The last digits of an id number its account: at most five, because what stands before them may end in a digit too.
_ACCOUNT_OF = re.compile(r"(\d{1,5})$")


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One request for a fault. `accounts` is an inclusive range, `after_s` counts from the start of the backend."""

    name: str
    rate: float = 1.0
    accounts: tuple[int, int] | None = None
    overlap: bool = False
    after_cancel: bool = False
    after_s: float = 0.0

    def __str__(self) -> str:
        """The command-line form; `parse_fault` reads it back to an equal spec."""
        when = []
        if self.accounts is not None:
            first, last = self.accounts
            when.append(f"{first}" if first == last else f"{first}-{last}")
        when += ["overlap"] * self.overlap + ["after_cancel"] * self.after_cancel
        if self.after_s:
            when.append(f"after={self.after_s!r}")
        return ":".join([self.name, repr(self.rate), *(["+".join(when)] if when else [])])


def parse_fault(text: str) -> FaultSpec:
    """Read ``NAME[:RATE[:WHEN]]``; ValueError says in one line what was expected."""
    name, _, rest = text.partition(":")
    rate_text, _, when_text = rest.partition(":")
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"unknown fault {name!r}{hint}; valid names: {', '.join(NAMES)}")
    try:
        rate = float(rate_text) if rate_text else 1.0
    except ValueError:
        rate = 0.0
    if not 0.0 < rate <= 1.0:
        raise ValueError(
            f"fault {text!r}: rate {rate_text!r} is not a number above 0 and up to 1 ({_names_note(name)})"
        )
    spec = _with_conditions(FaultSpec(name, rate), when_text.split("+") if when_text else [], text)
    if BY_NAME[name].of_process and (spec.accounts is not None or spec.overlap or spec.after_cancel):
        raise ValueError(f"fault {text!r}: it concerns the whole process, so of conditions it takes after=SECONDS only")
    return spec


def account_of(user_id: str) -> int | None:
    """The number at the end of a user id (``k3f00017`` is account 17), None where there is none."""
    match = _ACCOUNT_OF.search(user_id)
    return int(match[1]) if match else None


class FaultTable:
    """The faults asked for, and their draws. Each fault draws from a Random of its own, so that adding one fault does
    not move the draws of another. Its only state: those Randoms, and which cancel each ``after_cancel`` has used up."""

    def __init__(self, specs: Iterable[FaultSpec], seed: int) -> None:
        self._specs: dict[str, list[FaultSpec]] = {}
        for spec in specs:
            self._specs.setdefault(spec.name, []).append(spec)
        self._rngs = {name: random.Random(f"{seed}/{name}") for name in self._specs}
        self._cancels_used: dict[FaultSpec, int] = {}
        self.names = frozenset(self._specs)

    def bites(
        self, name: str, *, account: int | None, now_s: float, overlap: bool = False, cancels_seen: int = 0
    ) -> bool:
        """Decide one opportunity.

        `now_s` counts from the start of the backend, `overlap` says whether another user's run is in progress,
        `cancels_seen` how many runs had been cancelled when the run in question started.
        """
        for spec in self._specs.get(name, ()):
            if spec.accounts is not None and (account is None or not spec.accounts[0] <= account <= spec.accounts[1]):
                continue
            if now_s < spec.after_s or (spec.overlap and not overlap):
                continue
            if spec.after_cancel and cancels_seen <= self._cancels_used.get(spec, 0):
                continue
            if spec.rate >= 1.0 or self._rngs[name].random() < spec.rate:
                if spec.after_cancel:
                    self._cancels_used[spec] = cancels_seen
                return True
        return False


def _with_conditions(spec: FaultSpec, parts: Iterable[str], text: str) -> FaultSpec:
    for part in parts:
        if part == "overlap":
            spec = replace(spec, overlap=True)
        elif part == "after_cancel":
            spec = replace(spec, after_cancel=True)
        elif part.startswith("after="):
            spec = replace(spec, after_s=_seconds(part[6:], text))
        elif match := _ACCOUNTS.fullmatch(part):
            spec = replace(spec, accounts=(int(match[1]), int(match[2] or match[1])))
        else:
            raise ValueError(
                f"fault {text!r}: {part!r} is not an account range, overlap, after_cancel or after=SECONDS"
            )
    if spec.accounts is not None and spec.accounts[0] > spec.accounts[1]:
        raise ValueError(f"fault {text!r}: the account range ends before it starts")
    return spec


def _seconds(number: str, text: str) -> float:
    try:
        seconds = float(number)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < 1e9:
        raise ValueError(f"fault {text!r}: after={number!r} is not a number of seconds")
    return seconds


def _names_note(name: str) -> str:
    return f"{name} is a valid name; all: {', '.join(NAMES)}"
