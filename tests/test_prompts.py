"""Families that probe are for users that probe; all others choose among the ordinary ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crosstalk.config import ConfigError, load_prompts
from tests.end_to_end.locust_process import ROOT


def chosen(path: Path, *, ids_from: str | None = None, times: int = 300) -> set[str]:
    prompts, rng = load_prompts(path), random.Random(7)
    choose = prompts.choose if ids_from is None else lambda rng: prompts.probing(rng, ids_from=ids_from)
    return {choose(rng).family for _ in range(times)}


def written(folder: Path, *families: str) -> Path:
    path = folder / "prompts.toml"
    path.write_text("".join(f'[{family}]\ntexts = ["Hello."]\n' for family in families))
    return path


def test_nobody_chooses_a_probe_by_chance() -> None:
    prompts = load_prompts(ROOT / "scenarios/prompts.toml")
    ordinary = {name for name, [one, *_] in prompts.families.items() if not one.probe and prompts.weights[name]}
    assert chosen(ROOT / "scenarios/prompts.toml") == ordinary < set(prompts.families)


def test_who_probes_says_what_all_say() -> None:
    path = ROOT / "scenarios/prompts.toml"
    assert chosen(path, ids_from="client") == {"shared_words", "others_memory", "same_ids"}
    assert chosen(path, ids_from="server") == {"shared_words", "others_memory"}  # ids of the server's cannot collide


def test_where_nothing_probes_any_prompt_is_said(tmp_path: Path) -> None:
    assert chosen(written(tmp_path, "one", "two"), ids_from="client") == {"one", "two"}


def test_a_file_of_probes_alone_has_no_prompts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no prompts"):
        load_prompts(written(tmp_path, "one]\nprobe = 11\n#"))


@pytest.mark.parametrize("probe", ["7", '"11"', "true"])
def test_only_channels_that_runs_can_be_probes_of(tmp_path: Path, probe: str) -> None:
    with pytest.raises(ConfigError, match="probe = "):
        load_prompts(written(tmp_path, f"one]\nprobe = {probe}\n#"))
