"""Figures as a person reads them, in sentences and reasons. One place, so that every report says them alike."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """1234.5 → "1,234"; small values keep what matters: 0.25 → "0.25", 4.06 → "4.1"; +inf → "never"."""
    if value is None:
        return "no number"
    if math.isinf(value):
        return "never" if value > 0 else "-inf"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if abs(value) >= 1 else f"{value:.2g}"


def percent(share: float | None) -> str:
    """0.00024 → "0.024 %". A share below 1 is never rounded up to 100 %, one above 0 never down to 0 %."""
    if share is None:
        return "no share"
    if share in (0.0, 1.0):
        return f"{share * 100:.0f} %"
    if share > 0.99:
        decimals = min(max(1, math.ceil(-math.log10(1.0 - share)) - 1), 9)
        return f"{math.floor(share * 100 * 10**decimals) / 10**decimals:.{decimals}f} %"
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.1f} %"


def quantity(value: float | None, unit: str) -> str:
    """A figure with its unit: "ms", "share" (printed as a percentage), or "" for a count."""
    if unit == "share":
        return percent(value)
    text = number(value)
    return f"{text} {unit}" if unit and value is not None and not math.isinf(value) else text


def counted(n: int, noun: str) -> str:
    """ "1 run", "12,400 runs", "1 run with a hand-off": the noun is given in the plural, as `metrics` has it."""
    if n == 1:
        head, *rest = noun.split(" with ")
        head = f"{head[:-3]}y" if head.endswith("ies") else head.removesuffix("s")
        noun = " with ".join([head, *rest])
    return f"{n:,} {noun}"


def listed(names: list[str], *, most: int = 3) -> str:
    """ "a, b and 4 more"."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
