"""A sweep's TOML file from settings: the runs of a comparison, or a sweep's own file with its defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leakysm.experiments.sweep.file import SweepFile
from leakysm.runs.settings import KEYS, TrainConfig, toml_lines


def sweep_of_settings(configs: Sequence[TrainConfig], seeds: Sequence[int]) -> SweepFile:
    """The sweep whose runs are these configurations, each with every seed."""
    first, *others = (config.settings() for config in configs)
    controls = [{key: value for key, value in other.items() if first.get(key) != value} for other in others]
    shared = {key: value for key, value in first.items() if key not in ("seed", "threads")}
    return SweepFile(shared, {"seed": list(seeds)}, controls)


def with_defaults_of(sweep: SweepFile, configs: Sequence[TrainConfig]) -> SweepFile:
    """The sweep with every setting that all its runs share. The number of threads is the machine's."""
    runs = [config.settings() for config in configs]
    alike = {key: value for key, value in runs[0].items() if all(run.get(key) == value for run in runs)}
    shared = sweep.shared | {key: value for key, value in alike.items() if key not in sweep.varied() | {"threads"}}
    return SweepFile({key: shared[key] for key in KEYS if key in shared}, sweep.grid, sweep.controls)


def sweep_toml(sweep: SweepFile) -> str:
    """The file's content, which `read_sweep` reads."""
    tables: list[tuple[str, Mapping[str, Any]]] = [("", sweep.shared)]
    tables += [("[grid]\n", sweep.grid)] if sweep.grid else []
    tables += [("[[control]]\n", control) for control in sweep.controls]
    return "\n".join(head + toml_lines(table) for head, table in tables)
