"""Limits: what is promised, read from the text of `scenarios/limits/<environment>.toml`.

Pure: a caller reads the file. Every mistake in it is a `LimitsError` that names file, line, phase and limit, what was
expected and what came. `Limits.as_dict()` is what `run.json` keeps; `Limits.from_dict()` reads that back and checks it
just the same.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crosstalk.checks.limits_errors import LimitsError, Place, Places
from crosstalk.checks.metrics import METRICS, STATISTICS, metric_of

__all__ = ["Generator", "Limit", "Limits", "LimitsError", "Phase", "parse_limits"]

NONCE = ("every_run", "not_required")
WHEN_UNKNOWN = ("fail", "warn")


@dataclass(frozen=True, slots=True)
class Limit:
    """One promise. Exactly one of `at_most` and `at_least` is set; neither only where `required` is false."""

    name: str
    phase: str
    metric: str
    statistic: str
    at_most: float | None = None
    at_least: float | None = None
    when_unknown: str = "fail"  # fail: an unknown counts; warn: it is printed NOT JUDGED and changes no verdict
    required: bool = True  # false: shown, not judged

    @property
    def bound(self) -> float | None:
        return self.at_least if self.at_most is None else self.at_most


@dataclass(frozen=True, slots=True)
class Phase:
    """Limits that stand or fall together. `needs`: phases that must be alive, or this one is never reached."""

    name: str
    priority: int
    value: str = ""
    needs: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Generator:
    """How much of its own trouble the load generator may have before its timing is worth nothing.

    `hub_lag_p99_ms_max` is the 99th percentile of each second's worst lag; `cpu_percent_max` is passed when a process
    stays above it for three seconds in a row. `wall_step_ms_max`: how far the wall clock may be set, forward or back;
    the kernel's stamps are of it.
    """

    receive_lag_p99_ms_max: float = 50.0
    hub_lag_p99_ms_max: float = 250.0
    schedule_lag_p99_ms_max: float = 100.0
    cpu_percent_max: float = 90.0
    wall_step_ms_max: float = 100.0


@dataclass(frozen=True, slots=True)
class Limits:
    source: str
    nonce: str = "every_run"  # every_run: each run must repeat its own reference, or it is not believed to be real
    required_channels: tuple[int, ...] = ()
    control_min: float = 0.9  # share of own canaries that must come back, below which a channel is not exercised
    generator: Generator = field(default_factory=Generator)
    phases: tuple[Phase, ...] = ()

    @property
    def limits(self) -> tuple[Limit, ...]:
        return tuple(limit for phase in self.phases for limit in phase.limits)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, in the shape of the file, with every default written out."""
        return {
            "source": self.source,
            "delivery": {"nonce": self.nonce},
            "isolation": {"required_channels": list(self.required_channels), "control_min": self.control_min},
            "generator": dataclasses.asdict(self.generator),
            "phase": [
                {
                    "name": phase.name,
                    "priority": phase.priority,
                    "value": phase.value,
                    "needs": list(phase.needs),
                    "limit": [_limit_as_dict(limit) for limit in phase.limits],
                }
                for phase in self.phases
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Limits:
        """:raises LimitsError: when the dict is not what `as_dict` makes."""
        source = str(data.get("source", "run.json"))
        return _Reader(Places(source, "")).limits({key: data[key] for key in data if key != "source"})


def parse_limits(text: str, *, source: str) -> Limits:
    """:raises LimitsError: when the text is not TOML or not a limits file; `source` is how the message names it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LimitsError(f"{source}: expected TOML: {error}") from None
    return _Reader(Places(source, text)).limits(data)


def _limit_as_dict(limit: Limit) -> dict[str, Any]:
    pairs = dataclasses.asdict(limit)
    return {key: value for key, value in pairs.items() if key != "phase" and value is not None}


class _Reader:
    """From parsed TOML to `Limits`, top-down; raises at the first thing that is wrong."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.names: dict[str, str] = {}  # limit → phase

    def limits(self, data: Mapping[str, Any]) -> Limits:
        top = self.places.top()
        top.keys(data, ("delivery", "isolation", "generator", "phase"))
        delivery, place = self._section(data, "delivery", ("nonce",))
        nonce = place.choice(delivery, "nonce", NONCE, default="every_run")
        isolation, place = self._section(data, "isolation", ("required_channels", "control_min"))
        channels = place.list_of(isolation, "required_channels", int, "channel numbers")
        for channel in channels:
            if not 1 <= channel <= 22:
                place.fail("channel numbers from 1 to 22", channel, key="required_channels")
        control_min = place.number(isolation, "control_min", default=0.9, low=0.0, high=1.0)
        phases = self._phases(top.list_of(data, "phase", dict, "[[phase]] tables"))
        generator = self._generator(data)
        return Limits(self.places.source, nonce, tuple(channels), control_min, generator, phases)

    def _section(self, data: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> tuple[dict[str, Any], Place]:
        section, place = data.get(name, {}), self.places.section(name)
        if not isinstance(section, dict):
            place.fail("a table", section)
        place.keys(section, keys)
        return dict(section), place

    def _generator(self, data: Mapping[str, Any]) -> Generator:
        defaults = dataclasses.asdict(Generator())
        section, place = self._section(data, "generator", tuple(defaults))
        values = {key: place.number(section, key, default=value, low=0.0) for key, value in defaults.items()}
        return Generator(**values)

    def _phases(self, tables: list[dict[str, Any]]) -> tuple[Phase, ...]:
        phases = tuple(self._phase(table, index) for index, table in enumerate(tables))
        names = [phase.name for phase in phases]
        for index, phase in enumerate(phases):
            place = self.places.phase(index, phase.name)
            if names.index(phase.name) != index:
                place.fail("a name that no other phase has", phase.name, key="name")
            for needed in phase.needs:
                if needed not in names[:index]:
                    what = "itself" if needed == phase.name else "a phase that stands before it"
                    expected = "other phases only" if what == "itself" else what
                    place.fail(f"{expected}, of {names[:index]}", needed, key="needs", valid=names[:index])
        return phases

    def _phase(self, table: dict[str, Any], index: int) -> Phase:
        place = self.places.phase(index, str(table.get("name", index + 1)))
        place.keys(table, ("name", "priority", "value", "needs", "limit"))
        name = place.text(table, "name")
        limits = place.list_of(table, "limit", dict, "[[phase.limit]] tables")
        return Phase(
            name=name,
            priority=int(place.number(table, "priority", default=float(index + 1), low=0.0)),
            value=place.text(table, "value", default=""),
            needs=tuple(place.list_of(table, "needs", str, "names of phases")),
            limits=tuple(self._limit(limit, name, index, number) for number, limit in enumerate(limits)),
        )

    def _limit(self, table: dict[str, Any], phase: str, phase_index: int, index: int) -> Limit:
        place = self.places.limit(phase_index, index, phase, str(table.get("name", index + 1)))
        place.keys(table, tuple(f.name for f in dataclasses.fields(Limit) if f.name != "phase"))
        name = place.text(table, "name")
        if name in self.names:
            place.fail(f"a name that no other limit has (phase {self.names[name]!r} has it)", name, key="name")
        self.names[name] = phase
        metric = metric_of(place.text(table, "metric"))
        if metric is None:
            place.fail("a known metric", table["metric"], key="metric", valid=[*METRICS, "event_time_ms[KIND]"])
        statistic = place.choice(table, "statistic", STATISTICS[metric.kind], of=f"a {metric.kind} metric")
        required = place.boolean(table, "required", default=True)
        highest = 1.0 if metric.kind == "share" else None
        bounds = {
            key: place.number(table, key, low=0.0, high=highest) for key in ("at_most", "at_least") if key in table
        }
        if len(bounds) == 2 or (required and not bounds):
            place.fail("exactly one of at_most and at_least", " and ".join(bounds) or "neither")
        when_unknown = place.choice(table, "when_unknown", WHEN_UNKNOWN, default="fail")
        return Limit(name, phase, metric.name, statistic, when_unknown=when_unknown, required=required, **bounds)
