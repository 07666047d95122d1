"""Test a finished run again, also with other settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leakysm.data import Dataset
from leakysm.episodes import EpisodeForm
from leakysm.errors import UserError, require_kind, suggestion
from leakysm.nets import Net
from leakysm.ops.metrics import Metric
from leakysm.ops.restriction import Restriction
from leakysm.runs.device import engine_for
from leakysm.runs.folder import RunFolder
from leakysm.runs.kept_tests import keep_test, require_keepable
from leakysm.runs.resolve import load_data, require_data_of
from leakysm.runs.restore import restore
from leakysm.runs.run import NO_DATASET, Progress, ReportProgress
from leakysm.training.evaluation import embed_split, evaluate
from leakysm.training.images import SplitImages
from leakysm.training.test_result import TestResult

OF_A_TEST = ("test_way", "test_shot", "test_query", "test_episodes", "seed", "norm", "data")


def evaluate_run(
    run: Path | str,
    settings: Mapping[str, Any],
    *,
    device: str | None = None,
    backend: str | None = None,
    threads: int | None = None,
    report: ReportProgress = lambda progress: None,
    keep: bool = False,
    trust: bool = False,
    data: Dataset | None = None,
    metric: Metric | Restriction | None = None,
    net: Net | None = None,
) -> TestResult:
    """The test accuracy (percent) of a run's best checkpoint, on the engine `backend`.

    settings, by TrainConfig's names: test_way (only its first value is used), test_shot, test_query, test_episodes,
    seed, norm, data; for those that are None or missing, the run's own settings. report: called while images are read
    and embedded, and after every episode. keep: add the test to those of the run. trust: whether the code of the run's
    own formula may run. data, metric, net: the objects of the run, if it was made in Python with objects.
    UserError if the run, its checkpoint, the data or a setting cannot be used.
    """
    require_kind("settings", settings, Mapping, "a dictionary of settings is expected: give one, {} for the run's own")
    for key in settings.keys() - set(OF_A_TEST):
        raise UserError(f"{key!r} is no setting of a test; {suggestion(key, OF_A_TEST)}")
    if data is not None:
        require_kind("data", data, Dataset, NO_DATASET)
    restored = restore(run, engine_for(device, backend, threads), trust=trust, metric=metric, net=net)
    config = replace(restored.config, **{key: value for key, value in settings.items() if value is not None})
    distance = config.metric  # code that is not trusted is reported first

    def reports(phase: str) -> Callable[[int, int], None]:
        return lambda done, total: report(Progress(phase, done, total))

    data = data or load_data(config.settings(), reports("read"))
    require_data_of(run, config.data or config.dataset, data.digest, restored.checkpoint.data_digest)
    if keep:
        require_keepable(restored, config)
    images = SplitImages(restored.net.engine, data, "test")
    embeddings = embed_split(restored.net, images, config.norm, report=reports("embed"))
    form = EpisodeForm(config.test_way[0], config.test_shot, config.test_query)
    told, episodes = reports("test"), config.test_episodes
    result = evaluate(embeddings, distance, form, episodes=episodes, seed=config.seed, report=told)
    if keep:
        keep_test(RunFolder(run), result, data.digest)
    return replace(result, **restored.described())
