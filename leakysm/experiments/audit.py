"""Check a run's folder: its digests, whether its files agree, and whether training its first episodes again agrees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from leakysm.data.dataset import Report
from leakysm.errors import UserError
from leakysm.experiments.again import Again, train_again
from leakysm.experiments.finished import read_finished_metrics, read_run
from leakysm.files import read_file
from leakysm.runs import Checkpoint, RunFolder, TrainConfig
from leakysm.runs.device import engine_for, engine_of
from leakysm.runs.journal import read_metrics
from leakysm.runs.manifest import LISTED, listed, require_listed
from leakysm.runs.resolve import load_data, require_data_of
from leakysm.runs.results import read_summary
from leakysm.runs.settings import PREFIX, metric_parameters

Read = Callable[[Path], Checkpoint]
IN_BOTH = {"dataset": "dataset", "seed": "seed", "training_episodes": "episodes"}  # keys of summary.json, config.toml


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    listed: the number of files that manifest.json lists; None without a manifest. missing: listed files that are not
    there. present: the run's files that were read. again: the result of training again; None if nothing was trained,
    and then `why` gives the reason. failures: a line for everything that does not agree.
    """

    listed: int | None
    missing: tuple[str, ...]
    present: tuple[str, ...]
    again: Again | None
    why: str
    failures: tuple[str, ...]


def audit(
    folder: RunFolder,
    *,
    episodes: int,
    data: str | None = None,
    device: str | None = None,
    backend: str | None = None,
    threads: int | None = None,
    trust: bool = False,
    report: Report = lambda done, total: None,
) -> Audit:
    """Check the files of a run, then train its first `episodes` again and compare them with metrics.csv.

    data: where the data set is on this machine. device, backend: to use instead of the run's. trust: whether the code
    of the run's own formula may run; without it such a run cannot be trained. UserError if there is no run, if its
    data are not found, or if its code may not run.
    """
    config = folder.require_config(trust=trust)
    read = cache(lambda path: folder.checkpoint(path, config))
    names = _listed(folder)
    missing = tuple(name for name in names or () if not (folder.path / name).exists())
    failures = [message for check in _checks(folder, config, read) if (message := _failure(check))]
    failures = list(dict.fromkeys(failures))
    why = _why_not(folder, config, episodes) or ("its files do not agree" if failures else "")
    again = None
    if not why:
        _ = config.metric  # code that is not trusted is reported before the data are read
        settings = config.settings() | ({"data": data} if data else {})
        chosen = device or backend or threads
        engine = engine_for(device, backend, threads) if chosen else engine_of(config)
        loaded = load_data(settings)
        _require_same_data(folder, read, loaded.digest, data or config.data or config.dataset)
        lines = folder.metrics.read_text("utf-8").splitlines()[: episodes + 1]
        again = train_again(config, loaded, engine, lines, report)
        if again.verdict == "other":
            failures.append(str(again))
    present = tuple(path.name for path in (getattr(folder, purpose) for purpose in LISTED) if path.exists())
    return Audit(None if names is None else len(names), missing, present, again, why, tuple(failures))


def _listed(folder: RunFolder) -> list[str] | None:
    """The files that manifest.json lists. None if it is not there, or if it is damaged, which a check reports."""
    try:
        return list(listed(folder.manifest)) if folder.manifest.exists() else None
    except UserError:
        return None


def _checks(folder: RunFolder, config: TrainConfig, read: Read) -> Iterator[Callable[[], object]]:
    """The checks of a run's files. Each raises a UserError that names what does not agree."""
    for purpose in LISTED:
        if getattr(folder, purpose).exists():
            yield partial(require_listed, folder, purpose)
    if folder.summary.exists():
        yield lambda: read_run(folder.path)
        yield lambda: _require_summary(folder, config)
    if folder.metrics.exists():
        yield lambda: _require_rows(folder, config, read)
    if folder.last.exists():
        yield lambda: _require_first_rows(folder, folder.last, read(folder.last))
    if folder.best.exists():
        yield lambda: _require_best(folder, read)


def _failure(check: Callable[[], object]) -> str:
    try:
        check()
    except UserError as error:
        return str(error)
    return ""


def _why_not(folder: RunFolder, config: TrainConfig, episodes: int) -> str:
    """Why nothing is trained again; empty if there is no reason."""
    if not episodes:
        return "--episodes is 0"
    if config.net or PREFIX in (config.dataset[: len(PREFIX)], config.distance[: len(PREFIX)]):
        return "it was made from Python objects, which a folder cannot keep"
    return "" if folder.metrics.exists() else f"there is no {folder.metrics.name} to compare with"


def _require_summary(folder: RunFolder, config: TrainConfig) -> None:
    """UserError unless summary.json is of the run that config.toml describes."""
    summary, _ = read_summary(folder.summary)
    expected = {key: getattr(config, setting) for key, setting in IN_BOTH.items()}
    expected["distance"] = {"name": config.distance, **metric_parameters(config.settings())}
    for key, value in expected.items():
        _require_same(folder, key, summary.get(key, value), value)


def _require_rows(folder: RunFolder, config: TrainConfig, read: Read) -> None:
    """UserError unless metrics.csv has one row for each episode, in order; in a finished run, for all episodes."""
    finished = folder.summary.exists()
    columns = read_finished_metrics(folder.path, read) if finished else read_metrics(folder.metrics)
    episode = columns["episode"]
    expected = config.episodes if finished else len(episode)
    if not np.array_equal(episode, np.arange(1, expected + 1)):
        raise UserError(f"{folder.metrics} does not have one row for each of {expected} episodes")


def _require_best(folder: RunFolder, read: Read) -> None:
    """UserError unless the best checkpoint is of the same training as the last one, and summary.json agrees with it."""
    best = read(folder.best)
    _require_first_rows(folder, folder.best, best)
    if folder.last.exists():
        last = read(folder.last)
        for key in ("best_episode", "best_accuracy", "data_digest"):
            _require_same(folder, f"{key} of {folder.best.name}", getattr(best, key), getattr(last, key))
    if folder.summary.exists():
        summary, _ = read_summary(folder.summary)
        accuracy = None if best.best_accuracy < 0 else best.best_accuracy
        told = {"checkpoint_episode": best.episode, "data_digest": best.data_digest, "validation_accuracy": accuracy}
        for key, value in told.items():
            _require_same(folder, key, summary.get(key, value), value)


def _require_first_rows(folder: RunFolder, path: Path, checkpoint: Checkpoint) -> None:
    """UserError if metrics.csv exists, but does not begin with the rows that it had when the checkpoint was written."""
    if folder.metrics.exists():
        begun = read_file(folder.metrics, mend="put it back")[: checkpoint.metrics_size]
        if checkpoint.metrics_size and hashlib.sha256(begun).hexdigest() != checkpoint.metrics_digest:
            raise UserError(f"{folder.metrics} does not begin with the rows that {path.name} states")


def _require_same(folder: RunFolder, key: str, told: object, expected: object) -> None:
    if told != expected:
        raise UserError(f"{folder.path}: {key} is {told}, its other files say {expected}")


def _require_same_data(folder: RunFolder, read: Read, digest: str, place: str) -> None:
    """UserError unless the data on this machine are those of the run, if the run names them."""
    if folder.last.exists():
        expected = read(folder.last).data_digest
    else:
        expected = read_summary(folder.summary)[0].get("data_digest", digest) if folder.summary.exists() else digest
    require_data_of(folder.path, place, digest, str(expected))
