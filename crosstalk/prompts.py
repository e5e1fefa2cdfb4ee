"""What users say: the families of a prompts file, with their weights."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crosstalk.files import ConfigError, read_toml
from crosstalk.live_run import Prompt
from crosstalk.wire.event import RUN_KINDS


@dataclass(frozen=True, slots=True)
class Prompts:
    """What users say: families with weights."""

    families: Mapping[str, tuple[Prompt, ...]]
    weights: Mapping[str, float]

    def choose(self, rng: random.Random) -> Prompt:
        names = list(self.families)
        [name] = rng.choices(names, [self.weights[name] for name in names])
        return rng.choice(self.families[name])

    def expectations(self) -> dict[str, list[str]]:
        return {name: sorted(prompts[0].expects) for name, prompts in self.families.items()}


def load_prompts(path: Path) -> Prompts:
    """:raises ConfigError:"""
    tables = read_toml(path, "--prompts")
    known = {*map(str, RUN_KINDS), "tool_failed"}
    families, weights = {}, {}
    for name, table in tables.items():
        where = f"{path}: [{name}]"
        texts = table.get("texts") if isinstance(table, dict) else None
        if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
            raise ConfigError(f'{where}: expected texts = ["…", …] with at least one prompt')
        if unknown := table.keys() - {"texts", "expects", "weight", "reference"}:
            raise ConfigError(
                f"{where}: unknown key {sorted(unknown)[0]!r}; known are texts, expects, weight, reference"
            )
        expects = tuple(table.get("expects", ()))
        if wrong := [kind for kind in expects if kind not in known]:
            raise ConfigError(f"{where}: expects {wrong[0]!r}, which is no event; known are {', '.join(sorted(known))}")
        reference = table.get("reference", "prompt")
        if reference not in ("prompt", "context"):
            raise ConfigError(f'{where}: reference = {reference!r}; expected "prompt" or "context"')
        weight = table.get("weight", 1)
        if not isinstance(weight, int | float) or not weight >= 0:
            raise ConfigError(f"{where}: weight = {weight!r}; expected a number, 0 or more")
        families[name] = tuple(Prompt(name, text, expects, reference) for text in texts)
        weights[name] = float(weight)
    if not sum(weights.values()):
        raise ConfigError(f'{path}: no prompts; expected a table a family, each with texts = ["…"]')
    return Prompts(families, weights)
