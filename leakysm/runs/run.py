"""A training run: steps, checkpoints, validation and test, in one folder; and its exact resumption."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from leakysm.backends import Engine
from leakysm.data import Dataset
from leakysm.episodes import EpisodeForm, check_episode
from leakysm.errors import CheckFailed, UserError, require_kind
from leakysm.files import write_atomically
from leakysm.nets import Net
from leakysm.ops.metrics import Metric
from leakysm.ops.restriction import Restriction
from leakysm.runs.build import build_trainer
from leakysm.runs.checkpoint import Checkpoint, save_checkpoint
from leakysm.runs.curves import draw_curves
from leakysm.runs.device import engine_of
from leakysm.runs.environment import environment
from leakysm.runs.folder import RunFolder
from leakysm.runs.journal import METRICS_COLUMNS, TIMING_COLUMNS, Journal, rows_up_to
from leakysm.runs.kept_tests import other_tests
from leakysm.runs.manifest import replace_files, write_manifest
from leakysm.runs.objects import configured
from leakysm.runs.results import Summary, episodes_bytes
from leakysm.runs.settings import TrainConfig, formula_text
from leakysm.strict_json import json_bytes
from leakysm.training.closeness import Limits, closeness_limits
from leakysm.training.evaluation import SplitEmbeddings, embed_split, evaluate
from leakysm.training.images import SplitImages
from leakysm.training.test_result import TestResult

NO_DATASET = "a leakysm.Dataset is expected: make one with leakysm.Dataset.from_arrays or leakysm.load_dataset"
VALIDATION_EPISODES = 200
CLOSENESS_EPISODES = 50


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    phase: "train", "validate" or "test", counted in episodes; "read" or "embed", counted in images or classes. loss,
    accuracy (percent): of the training episode just done.
    """

    phase: str
    done: int
    total: int
    loss: float | None = None
    accuracy: float | None = None


ReportProgress = Callable[[Progress], None]


class Stopped(KeyboardInterrupt):
    """Training stopped because it was asked to; its state after `episode` episodes is on the disk."""

    def __init__(self, episode: int) -> None:
        super().__init__(f"stopped at episode {episode}")
        self.episode = episode


def train(
    config: TrainConfig | Mapping[str, Any] = {},  # noqa: B006  (read only)
    *,
    data: Dataset,
    out: Path | str,
    metric: Metric | Restriction | None = None,
    net: Net | None = None,
    resume: bool = False,
    report: ReportProgress = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Train and test by `config`, and write everything to the folder `out`.

    config: a TrainConfig, or a dictionary of some settings by its names; the others have their defaults. data, metric,
    net: objects in place of the settings that name them. To use such a run later, give your own objects again.
    resume: continue the run in `out` from its last checkpoint, or from the start if there is none. It ends with the
    same bits as a run without interruption. Settings must be the same, but for the number of threads and the place of
    the data.
    report is called after every episode, in training, validation and test. stop is called as often: if it returns true,
    a checkpoint is written and Stopped raised. A validation that is stopped begins again on resumption, with the step
    before it.
    UserError if metric or net is given with a TrainConfig.
    UserError if `out` holds a run and `resume` is false, a run with other settings or data, or a run that another
    process trains now. CheckFailed if loss or gradient is not finite; the checkpoints stay.
    """
    require_kind("data", data, Dataset, NO_DATASET)
    if not isinstance(config, TrainConfig):
        config = configured(config, data, metric, net)
    elif metric is not None or (net is not None and config.net is None):
        raise UserError("metric or net is given together with a TrainConfig; give the settings as a dictionary instead")
    run = _Run(config, data, engine_of(config), RunFolder(out), report, stop, net)
    with ExitStack() as stack:
        run.begin(stack, resume=resume)
        try:
            while run.trainer.episode < config.episodes:
                run.stop_if_asked()
                run.step()
            run.stop_if_asked()
        except CheckFailed as error:
            raise CheckFailed(f"{error}; the last good checkpoint is kept in {run.folder.last}") from None
        return run.finish()


class _Run:
    """Trainer, journals and checkpoints of one folder, in agreement."""

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset,
        engine: Engine,
        folder: RunFolder,
        report: ReportProgress,
        stop: Callable[[], bool],
        net: Net | None = None,
    ) -> None:
        self.config, self.data, self.folder, self.report, self.stop = config, data, folder, report, stop
        self.trainer = build_trainer(config, data, engine, net)
        self.validation = self._validation_images(self.trainer.engine)
        self.threads = config.threads  # of this process; None is one for each core
        self.best = (-1, -1.0)  # episode and validation accuracy of the best checkpoint
        self.saved = 0  # episode of the last checkpoint
        self.was_finished = False  # when this process began

    def begin(self, stack: ExitStack, *, resume: bool) -> None:
        """Take possession of the folder, restore the state in it, and open the journals."""
        folder = self.folder
        self.config = folder.begin(self.config, resume=resume)  # a resumed run keeps the settings that it began with
        stack.enter_context(folder.alone())
        last = self._restore()
        self.was_finished = folder.summary.exists() and self.trainer.episode == self.config.episodes
        if not self.was_finished:  # these files are wrong once rows are removed or added
            folder.summary.unlink(missing_ok=True)
            folder.manifest.unlink(missing_ok=True)
        size, digest = 0, ""
        if last:
            size, digest = last.metrics_size, last.metrics_digest
            self.best = (last.best_episode, last.best_accuracy)
        self.metrics = stack.enter_context(Journal(folder.metrics, METRICS_COLUMNS, size=size, digest=digest))
        kept = rows_up_to(folder.timing, self.trainer.episode)
        self.timing = stack.enter_context(Journal(folder.timing, TIMING_COLUMNS, size=kept[0], digest=kept[1]))
        folder.write_json(folder.environment, environment() | {"threads": self.threads})

    def _validation_images(self, engine: Engine) -> SplitImages | None:
        if "val" not in self.data.splits:
            return None
        images = SplitImages(engine, self.data, "val")
        form = self._validation_form(images)
        check_episode(images.starts, *form, split="val", names=self.data.split("val").names)
        return images

    def _validation_form(self, images: SplitImages) -> EpisodeForm:
        """The first test's, with fewer classes where the validation split has no more."""
        way = min(self.config.test_way[0], len(images.starts) - 1)
        return EpisodeForm(way, self.config.test_shot, self.config.test_query)

    def _restore(self) -> Checkpoint | None:
        """Restore the last checkpoint, and return it. Without one, write the first, and return None."""
        if not self.folder.last.exists():
            self._save(self.folder.last, metrics=(0, ""))
            return None
        last = self._load(self.folder.last)
        if last.best_episode >= 0:
            self._load(self.folder.best)  # report a bad one now, not after all the training
        self.trainer.load_state(last.net, last.optimizer, last.episode, last.scale)
        self.saved = last.episode
        return last

    def _load(self, path: Path) -> Checkpoint:
        """The checkpoint. UserError if it belongs to another run or to other data."""
        checkpoint = self.folder.checkpoint(path, self.config)
        if checkpoint.data_digest != self.data.digest:
            raise UserError(
                f"{path}: trained on data with checksum {checkpoint.data_digest[:12]}, but {self.data.name} now "
                f"has {self.data.digest[:12]}; give the same data, or choose another --out"
            )
        return checkpoint

    def step(self) -> None:
        """Train on one episode and write a row to each journal; when due, validate and write a checkpoint."""
        started = time.perf_counter()
        episode = self.trainer.episode + 1
        due = episode % self.config.checkpoint_every == 0 or episode == self.config.episodes
        back = self._way_back() if due else None
        step = self.trainer.step()
        if due:
            self.trainer.require_finite_state()
        accuracy = self._validate(back) if back and self.validation else None
        self.metrics.append((episode, *step.row, None if accuracy is None else accuracy / 100))
        self.timing.append((episode, time.perf_counter() - started))
        if due:
            self._checkpoint(accuracy)
        self.report(Progress("train", episode, self.config.episodes, step.loss, 100 * step.accuracy))

    def _way_back(self) -> Callable[[], None]:
        """A function that restores the trainer as it is now."""
        trainer = self.trainer
        net, optimizer, scale = deepcopy((*trainer.state(), trainer.scale_state()))
        return partial(trainer.load_state, net, optimizer, trainer.episode, scale)

    def _validate(self, back: Callable[[], None]) -> float:
        """Validation accuracy. back: undoes the last step, whose row is not written yet, if the run is to stop now."""
        assert self.validation

        def told(phase: str) -> Callable[[int, int], None]:
            def tell(done: int, total: int) -> None:
                self.report(Progress(phase, done, total))
                self.stop_if_asked(back)

            return tell

        return evaluate(
            embed_split(self.trainer.net, self.validation, self.config.norm, report=told("embed")),
            self.trainer.metric,
            self._validation_form(self.validation),
            episodes=min(VALIDATION_EPISODES, self.config.test_episodes),
            seed=self.config.seed,
            report=told("validate"),
        ).accuracy

    def stop_if_asked(self, back: Callable[[], None] = lambda: None) -> None:
        """Stopped, after a checkpoint, if `stop` is true. Not validated, and no new best. back: called first."""
        if not self.stop():
            return
        back()
        if self.saved != self.trainer.episode:
            self.trainer.require_finite_state()
            self._save_last(self._synced())
        raise Stopped(self.trainer.episode)

    def _checkpoint(self, accuracy: float | None) -> None:
        """Write the journals first, then the best, then the last: a kill between any two leaves what resuming needs."""
        position = self._synced()
        if accuracy is None or accuracy > self.best[1]:
            self.best = (self.trainer.episode, -1.0 if accuracy is None else accuracy)
            self._save(self.folder.best, metrics=position)
        self._save_last(position)

    def _synced(self) -> tuple[int, str]:
        """Size and SHA-256 of metrics.csv once both journals are on the disk."""
        self.metrics.sync()
        self.timing.sync()
        return self.metrics.size, self.metrics.digest

    def _save_last(self, position: tuple[int, str]) -> None:
        self._save(self.folder.last, metrics=position)
        self.saved = self.trainer.episode

    def _save(self, path: Path, *, metrics: tuple[int, str]) -> None:
        net, optimizer = self.trainer.state()
        checkpoint = Checkpoint(
            self.trainer.episode,
            net,
            optimizer,
            self.data.inputs,
            self.config.to_toml(),
            self.data.digest,
            *self.best,
            *metrics,
            scale=self.trainer.scale_state(),
            formula=formula_text(self.config),
        )
        save_checkpoint(path, checkpoint)

    def finish(self) -> Summary:
        """Test the best checkpoint with every test way; write the results and the picture."""
        best = self._load(self.folder.best)
        if (best.episode, best.best_episode) != (self.best[0], self.best[0]):
            raise UserError(
                f"{self.folder.best} is the net after {best.episode} episodes, but this run was best after "
                f"{self.best[0]}; put the right one back, or train again into another folder"
            )
        self.trainer.net.load_state(best.net)
        images = SplitImages(self.trainer.engine, self.data, "test")
        embeddings = embed_split(self.trainer.net, images, self.config.norm, report=self._embedded_for_test)
        tests = tuple(self._test(embeddings, way) for way in self.config.test_way)
        validation, closeness = (best.best_accuracy, self._closeness()) if self.validation else (None, {})
        if self.was_finished:
            tests = (*tests, *other_tests(self.folder, tests))
        path, digest = self.folder.best.name, self.data.digest
        scale = best.learned_scale if self.config.learn_scale else None
        summary = Summary(self.config, path, best.episode, validation, digest, tests, closeness, scale)
        self._write(summary)
        return summary

    def _write(self, summary: Summary) -> None:
        """The picture and the results; the summary, by which a run counts as finished, is last."""
        data, metric = self.config.dataset, self.config.distance_in_words
        draw_curves(self.folder.metrics, self.folder.curves, str(summary.tests[0]), data, metric)
        episodes, content = episodes_bytes(summary.tests), json_bytes(summary.to_json())
        if self.was_finished:
            replace_files(self.folder, {self.folder.test_episodes: episodes, self.folder.summary: content})
            return
        write_atomically(self.folder.test_episodes, episodes)
        write_manifest(self.folder, content)
        write_atomically(self.folder.summary, content)

    def _test(self, embeddings: SplitEmbeddings, way: int) -> TestResult:
        return evaluate(
            embeddings,
            self.config.metric,
            EpisodeForm(way, self.config.test_shot, self.config.test_query),
            episodes=self.config.test_episodes,
            seed=self.config.seed,
            report=self._tested,
        )

    def _closeness(self) -> Limits:
        """How close validation's images usually are to a prototype of the tested net."""
        assert self.validation
        embeddings = embed_split(self.trainer.net, self.validation, self.config.norm, report=self._embedded)
        way, episodes = self._validation_form(self.validation).way, min(CLOSENESS_EPISODES, self.config.test_episodes)
        return closeness_limits(embeddings, self.trainer.metric, way, episodes=episodes, seed=self.config.seed)

    def _embedded(self, done: int, total: int) -> None:
        self.report(Progress("embed", done, total))

    def _embedded_for_test(self, done: int, total: int) -> None:
        self._embedded(done, total)
        self.stop_if_asked()

    def _tested(self, done: int, total: int) -> None:
        self.report(Progress("test", done, total))
        self.stop_if_asked()
