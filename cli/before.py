"""What a command prints before a run: settings and time in a few lines, and with --dry-run all settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakysm.data import Dataset
    from leakysm.experiments.sweep.file import SweepFile
    from leakysm.runs import TrainConfig
    from leakysm.runs.estimate import Estimate

FEWEST = 50  # shorter runs, in training episodes, get no estimate of their time
COST_FREE = ("seed", "threshold", "slope", "learning_rate", "halve_every", "optimizer", "episodes", "checkpoint_every")
LONG, SHORT = 30 * 60, 5 * 60  # seconds
FOR_A_FIRST_LOOK = (1000, 500, 300, 200, 100)  # training episodes
MOST_KINDS = 8  # of runs that are timed before a sweep
UNKNOWN = "time: unknown; the first steps fail with these settings"


def settings_lines(config: TrainConfig, metrics: str = "", given: Mapping[str, Any] | None = None) -> list[str]:
    """The settings of a run for people. metrics: the distances of several runs, which share all other settings.

    given: what the user gave. If it is there, a line tells which defaults are lower, as the data have few classes.
    """
    from leakysm.runs.fill_in import lowered

    fewer = [
        f"{key.replace('_', ' ')} {in_words(usual)} to {in_words(now)}"
        for key, (usual, now) in (lowered(given, config) if given is not None else {}).items()
    ]
    halved = f", halved every {config.halve_every} episodes" if config.halve_every else ""
    ways = " and ".join(f"{way}-way" for way in config.test_way)
    return [
        f"training on {config.dataset}, {config.way}-way {config.shot}-shot, {metrics or config.distance_in_words}, on "
        f"{config.device} ({config.backend} backend)",
        f"{config.episodes} episodes with {config.query} queries a class; {config.optimizer}, learning rate "
        f"{config.learning_rate:g}{halved}; seed {config.seed}",
        f"test: {ways} {config.test_shot}-shot, {config.test_episodes} episodes, {config.test_query} queries a class",
        *([f"lowered to what the classes allow: {', '.join(fewer)}"] if fewer else []),
    ]


def in_words(value: Any) -> str:
    """A number, or numbers with "and" between them."""
    return " and ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def time_lines(config: TrainConfig, data: Dataset, done: int = 0) -> list[str]:
    """The time of the run from `done` training episodes on, measured now; if it is long, also a shorter run's time."""
    from leakysm.tables import duration

    if (measured := _measured(config, data)) is None:
        return [UNKNOWN]
    time = f"time: {measured.told(config, done)} (measured on this machine now)"
    if not done and measured.seconds(config) > LONG:
        for episodes in FOR_A_FIRST_LOOK:
            if (seconds := measured.seconds(replace(config, episodes=episodes))) <= SHORT:
                return [time, f"for a first look: --episodes {episodes} takes about {duration(seconds)}"]
    return [time]


def _measured(config: TrainConfig, data: Dataset) -> Estimate | None:
    from leakysm_cli.progress import shown_status

    from leakysm.runs.estimate import estimate

    with shown_status() as status:
        status(f"timing a few steps: {config.metric}, {config.way}-way {config.shot}-shot")
        return estimate(config, data)


def time_of_runs(work: Sequence[tuple[TrainConfig, Dataset]], jobs: int = 1) -> str:
    """How long runs take, `jobs` at a time. Runs that cost the same are timed once."""
    from leakysm.tables import duration

    kinds: dict[str, Estimate | None] = {}
    cost = [str({k: v for k, v in config.settings().items() if k not in COST_FREE}) for config, _ in work]
    if len(set(cost)) > MOST_KINDS:
        return f"time: unknown; these are {len(set(cost))} kinds of runs, and at most {MOST_KINDS} are timed"
    seconds = 0.0
    for kind, (config, data) in zip(cost, work, strict=True):
        if kind not in kinds:
            kinds[kind] = _measured(config, data)
        if (measured := kinds[kind]) is None:
            return UNKNOWN
        seconds += measured.seconds(config)
    shared = f", {jobs} at a time, if none slows another down" if jobs > 1 else ""
    return f"time: about {duration(seconds / min(jobs, max(1, len(work))))}: {len(work)} runs{shared} (measured now)"


def comparison_lines(configs: Mapping[str, TrainConfig], seeds: Sequence[int], data: Dataset) -> list[str]:
    """The settings of a comparison for people, and, if its runs are long, how long they take."""
    first = next(iter(configs.values()))
    told = settings_lines(first, " against ".join(configs))
    told[1] = told[1].replace(f"seed {first.seed}", f"seeds {', '.join(map(str, seeds))}")
    return told + ([_time_of_comparison(configs, seeds, data)] if first.episodes >= FEWEST else [])


def dry_comparison(configs: Mapping[str, TrainConfig], seeds: Sequence[int], data: Dataset) -> str:
    """What `leakysm compare --dry-run` prints: the comparison as a sweep's file."""
    from leakysm.experiments.sweep.written import sweep_of_settings, sweep_toml

    toml = sweep_toml(sweep_of_settings(list(configs.values()), seeds))
    return dry_run(toml, [_time_of_comparison(configs, seeds, data), "the same runs as a sweep: leakysm sweep FILE"])


def dry_gradients(configs: Mapping[str, TrainConfig], seeds: Sequence[int], steps: int, data: Dataset) -> str:
    """What `leakysm gradients --dry-run` prints: the settings as a sweep's file; that sweep would train to the end."""
    from leakysm.experiments.sweep.written import sweep_of_settings, sweep_toml
    from leakysm.runs.estimate import seconds_of_a_step
    from leakysm.tables import duration

    first, runs = next(iter(configs.values())), len(configs) * len(seeds)
    step = seconds_of_a_step(first, data)
    time = UNKNOWN if step is None else f"time: about {duration(runs * steps * step)} (measured on this machine now)"
    notes = [time, f"{steps} steps of {runs} runs", "the same settings, trained to the end: leakysm sweep FILE"]
    return dry_run(sweep_toml(sweep_of_settings(list(configs.values()), seeds)), notes)


def dry_sweep(content: SweepFile, configs: Sequence[TrainConfig], time: Iterable[str]) -> str:
    """What `leakysm sweep --dry-run` prints: the file with every default that the runs share."""
    from leakysm.experiments.sweep.written import sweep_toml, with_defaults_of

    return dry_run(sweep_toml(with_defaults_of(content, configs)), [f"{len(configs)} runs", *time])


def _time_of_comparison(configs: Mapping[str, TrainConfig], seeds: Sequence[int], data: Dataset) -> str:
    return time_of_runs([(config, data) for config in configs.values() for _ in seeds])


def dry_run(toml: str, notes: Iterable[str]) -> str:
    """What --dry-run prints: the settings as TOML, below the notes as TOML's comments."""
    return "".join(f"# {note}\n" for note in ("dry run: nothing was trained, and nothing written", *notes)) + toml
