"""Figures as a person reads them: nanoseconds become milliseconds, thousands get a separator, shares never round up.

`None` is a figure that does not exist and reads "–"; infinity is a wait that did not end and reads "no end".
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from crosstalk.checks import words
from crosstalk.checks.metrics import metric_unit

#: U+202F keeps "12 400" together on one line; the terminal and Markdown take the comma
THIN = "\u202f"
COMMA = ","
NONE = "–"
NO_END = "no end"

_UNITS = re.compile(r"(?<=\d) (?=%|ms\b|s\b)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def count(value: float | None, *, separator: str = THIN) -> str:
    if value is None:
        return NONE
    return f"{int(value):,}".replace(",", separator)


def milliseconds(value: float | None, *, separator: str = THIN, unit: bool = True) -> str:
    """Milliseconds with about three significant digits, and all digits from 100 up."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return NO_END if value > 0 else NONE
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}".replace(",", separator)
    return f"{text}{THIN if separator == THIN else ' '}ms" if unit else text


def from_ns(value: int | None, *, separator: str = THIN) -> str:
    return milliseconds(None if value is None else value / 1e6, separator=separator)


def share(value: float | None, *, separator: str = THIN) -> str:
    """A share as a percentage, rounded down: 99.996 % must not read as 100 %."""
    if value is None or math.isnan(value):
        return NONE
    percent = math.floor(value * 10_000 + 1e-9) / 100
    if value < 1:
        percent = min(percent, 99.99)
    return f"{percent:.2f}".rstrip("0").rstrip(".") + f"{' ' if separator == COMMA else separator}%"


def seconds(value_ns: int | None, *, digits: int = 1) -> str:
    """A duration: "412 ms", "4.1 s", "2 min 5 s"."""
    if value_ns is None:
        return NONE
    value = value_ns / 1e9
    if abs(value) < 1:
        return f"{value_ns / 1e6:.0f} ms"
    if abs(value) < 120:
        return f"{value:.{digits}f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def instant(at_ns: int | None) -> str:
    """Unix nanoseconds as UTC down to the millisecond."""
    if not at_ns:
        return NONE
    whole, rest = divmod(at_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03} UTC"


def size(value: float | None) -> str:
    if value is None:
        return NONE
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def quantity(value: float | None, *, metric: str, statistic: str, separator: str = THIN) -> str:
    """A limit's value in the unit of its metric: a share, milliseconds (`*_ms`) or a plain count."""
    if value is None:
        return NONE
    if statistic == "share":
        return share(value, separator=separator)
    if statistic == "slope":
        return f"{words.number(round(value, 2))} {metric_unit(metric)}"
    if metric.endswith("_ms"):
        return milliseconds(value, separator=separator)
    return count(value, separator=separator) if math.isfinite(value) else NO_END


def plural(number: int, one: str, many: str | None = None, *, separator: str = THIN) -> str:
    return f"{count(number, separator=separator)} {one if number == 1 else many or one + 's'}"


def thin(prose: str) -> str:
    """Prose with the page's separator in place of the terminal's comma, and figures kept with their units."""
    return _UNITS.sub(THIN, _THOUSANDS.sub(THIN, prose))
