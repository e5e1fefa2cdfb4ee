"""What users say: the families of a prompts file, with their weights."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from crosstalk.checks.channels import PROBE_CHANNELS
from crosstalk.files import ConfigError, read_toml
from crosstalk.live_run import Prompt
from crosstalk.wire.event import RUN_KINDS

#: `probe` of families that all users say under the same ids
COLLIDING_IDS = 19


#: what a family's table may hold
KEYS = ("texts", "expects", "weight", "reference", "profile", "probe")


@dataclass(frozen=True, slots=True)
class Prompts:
    """What users say: families with weights."""

    families: Mapping[str, tuple[Prompt, ...]]
    weights: Mapping[str, float]
    #: families of ordinary prompts, and their weights added up: one of them is chosen at every turn
    _ordinary: tuple[list[str], list[float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [name for name, prompts in self.families.items() if not prompts[0].probe]
        object.__setattr__(self, "_ordinary", (names, list(accumulate(self.weights[name] for name in names))))

    def choose(self, rng: random.Random) -> Prompt:
        """An ordinary one: families that probe are for users that do."""
        names, weights = self._ordinary
        [name] = rng.choices(names, cum_weights=weights)
        return rng.choice(self.families[name])

    def probing(self, rng: random.Random, *, ids_from: str = "client") -> Prompt:
        """One of a family that probes, or whose words are everybody's; an ordinary one where there is neither.

        :param ids_from: who chooses ids: those of the server's cannot collide on purpose.
        """
        usable = [name for name, [one, *_] in self.families.items() if one.probe or one.reference == "context"]
        usable = [name for name in usable if ids_from == "client" or self.families[name][0].probe != COLLIDING_IDS]
        return self._one_of(usable, rng) if sum(self.weights[name] for name in usable) else self.choose(rng)

    def _one_of(self, names: list[str], rng: random.Random) -> Prompt:
        [name] = rng.choices(names, [self.weights[name] for name in names])
        return rng.choice(self.families[name])

    def expectations(self) -> dict[str, list[str]]:
        return {name: sorted(prompts[0].expects) for name, prompts in self.families.items()}

    def said(self) -> dict[str, dict[str, object]]:
        """Family → its texts and where their reference goes: what a record needs for its runs to be driven again."""
        return {
            name: {"texts": [prompt.text for prompt in prompts], "reference": prompts[0].reference}
            for name, prompts in self.families.items()
        }


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
        if unknown := table.keys() - set(KEYS):
            raise ConfigError(f"{where}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(KEYS)}")
        expects = tuple(table.get("expects", ()))
        if wrong := [kind for kind in expects if kind not in known]:
            raise ConfigError(f"{where}: expects {wrong[0]!r}, which is no event; known are {', '.join(sorted(known))}")
        reference = table.get("reference", "prompt")
        if reference not in ("prompt", "context"):
            raise ConfigError(f'{where}: reference = {reference!r}; expected "prompt" or "context"')
        profile = table.get("profile", False)
        if not isinstance(profile, bool):
            raise ConfigError(f"{where}: profile = {profile!r}; expected true or false")
        probe = table.get("probe", 0)
        if probe not in (0, *PROBE_CHANNELS):
            known_probes = " or ".join(map(str, sorted(PROBE_CHANNELS)))
            raise ConfigError(f"{where}: probe = {probe!r}; expected {known_probes}, the channel that it is a probe of")
        weight = table.get("weight", 1)
        if not isinstance(weight, int | float) or not weight >= 0:
            raise ConfigError(f"{where}: weight = {weight!r}; expected a number, 0 or more")
        families[name] = tuple(Prompt(name, text, expects, reference, profile, probe) for text in texts)
        weights[name] = float(weight)
    if not sum(weight for name, weight in weights.items() if not families[name][0].probe):
        raise ConfigError(f'{path}: no prompts; expected a table a family that is no probe, each with texts = ["…"]')
    return Prompts(families, weights)
