"""A sweep's TOML file from settings: the runs of a comparison, or a sweep's own file with its defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leakysm.choices import USUAL
from leakysm.experiments.sweep.file import OF_DISTANCE, SweepFile
from leakysm.runs.settings import KEYS, TrainConfig, settings_of_a_file, toml_lines


def sweep_of_settings(configs: Sequence[TrainConfig], seeds: Sequence[int]) -> SweepFile:
    """The sweep whose runs are these configurations, each with every seed."""
    first, *others = map(settings_of_a_file, configs)
    shared = {key: value for key, value in first.items() if key != "seed"}
    return SweepFile(shared, {"seed": list(seeds)}, [_control(first, other) for other in others])


def _control(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in which the other run differs from the first: a distance as a whole, usual values spelled out."""
    stated = {key: value for key, value in USUAL.items() if key in first} | dict(other)
    apart = {key for key in {*first, *stated} if first.get(key) != stated.get(key)}
    apart |= OF_DISTANCE if apart & OF_DISTANCE else set()
    return {key: stated[key] for key in KEYS if key in stated and key in apart}


def with_defaults_of(sweep: SweepFile, configs: Sequence[TrainConfig]) -> SweepFile:
    """The sweep with every setting that all its runs share."""
    runs = [settings_of_a_file(config) for config in configs]
    alike = {key: value for key, value in runs[0].items() if all(run.get(key) == value for run in runs)}
    shared = sweep.shared | {key: value for key, value in alike.items() if key not in sweep.varied()}
    return SweepFile({key: shared[key] for key in KEYS if key in shared}, sweep.grid, sweep.controls)


def sweep_toml(sweep: SweepFile) -> str:
    """The file's content, which `read_sweep` reads."""
    tables: list[tuple[str, Mapping[str, Any]]] = [("", sweep.shared)]
    tables += [("[grid]\n", sweep.grid)] if sweep.grid else []
    tables += [("[[control]]\n", control) for control in sweep.controls]
    return "\n".join(head + toml_lines(settings) for head, settings in tables)
