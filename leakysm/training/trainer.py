"""Training step by step. Its state can be saved and restored exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.episodes import Episode, EpisodeForm, sample
from leakysm.errors import CheckFailed, UserError
from leakysm.nets import Net, require_embeddings, require_gradient
from leakysm.ops.metrics import Metric, is_users
from leakysm.optim import Optimizer
from leakysm.training.device_step import device_step
from leakysm.training.images import SplitImages
from leakysm.training.learned_scale import LearnedScale
from leakysm.training.loss import EpisodeLoss, episode_loss
from leakysm.training.sparsity import FIGURES, sparsity

Observe = Callable[[EpisodeLoss, Any], object]  # a step's loss, and the gradient (P,) of all parameters
STEP_COLUMNS = ("loss", "accuracy", *FIGURES)


@dataclass(frozen=True)
class Step:
    """Loss, accuracy (0 to 1) and the sparsity FIGURES of one step, before its update."""

    loss: float
    accuracy: float
    figures: tuple[float, ...]

    @property
    def row(self) -> tuple[float, ...]:
        """The values of STEP_COLUMNS, in their order."""
        return (self.loss, self.accuracy, *self.figures)


class Trainer:
    """Trains a net on the images of a split, one episode in each step. `episode` counts the steps done.

    images: the training split, on the net's engine. net, optimizer: every step changes them. metric: the distance of
    queries to prototypes. form: way, shot and query of each episode. seed: determines the episodes. learn_scale:
    multiply the distances by a scale that is trained with the net (slower on a GPU).
    UserError if images and net are on different engines.

    Training a net on the built-in strokes, and testing it on classes that it has not seen:

    >>> import leakysm as lk
    >>> from leakysm.data import load
    >>> from leakysm.episodes import EpisodeForm
    >>> from leakysm.optim import Adam
    >>> from leakysm.training import SplitImages, Trainer, embed_split, evaluate
    >>> data, engine = load("strokes"), lk.backend("numpy")
    >>> net, metric = lk.Conv4(engine=engine), lk.LeakySquaredEuclidean(threshold=1, slope=0.1)
    >>> train, test = SplitImages(engine, data, "train"), SplitImages(engine, data, "test")
    >>> trainer = Trainer(train, net, metric, Adam(1e-3), EpisodeForm(way=10, shot=1, query=5), seed=0)
    >>> losses = [trainer.step().loss for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    >>> result = evaluate(embed_split(net, test, "running"), metric, EpisodeForm(5, 1, 15), episodes=100, seed=0)
    >>> result.accuracy > 30  # percent, of 5 classes
    True
    """

    def __init__(
        self,
        images: SplitImages,
        net: Net,
        metric: Metric,
        optimizer: Optimizer,
        form: EpisodeForm,
        *,
        seed: int,
        learn_scale: bool = False,
    ) -> None:
        if images.engine is not net.engine:
            raise UserError("images and net are on different engines; give the net engine=images.engine")
        self.images, self.net, self.metric, self.optimizer = images, net, metric, optimizer
        self.form, self.seed = form, seed
        self.engine = net.engine
        self.episode = 0
        self.scale = LearnedScale(self.engine, optimizer, net.vector.dtype) if learn_scale else None
        self._whole_step = (
            None if self.scale else device_step(self.engine, net, optimizer, metric, images.on_device, **form._asdict())
        )

    def step(self, observe: Observe | None = None) -> Step:
        """Train on the next episode.

        observe: called with the step's loss and gradient, before the update. A GPU takes that step operation by
        operation.
        CheckFailed if loss or gradient is not finite; then nothing has changed. CheckFailed also if the gradient would
        overflow the optimizer's state; a GPU step in one call notices it only after its update.
        """
        row = self._step_on_device() if self._whole_step and observe is None else self._step(observe)
        self.episode += 1
        return Step(row[0], row[1], row[2:])

    def _step(self, observe: Observe | None = None) -> tuple[float, ...]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # checked below
            saved, result = self.forward()
            figures = sparsity(result.distances, result.ddistances, result.dz[-len(result.distances) :])
            numbers = [result.loss, result.accuracy, *figures]
            row = tuple(map(float, self.engine.to_host(self.engine.xp.stack(numbers))))
            self._require_finite("loss", row[0])
            gradient = self.net.backward(saved, result.dz)
            require_gradient(self.net, gradient)
            for part in (gradient, result.dlog_scale):
                if part is not None:
                    self._require_bounded(float(self.engine.xp.max(self.engine.xp.abs(part))))
            if observe:
                observe(result, gradient)
            self.optimizer.step(self.net.vector, gradient)
            self.net.update_running(saved)
            if self.scale:
                self.scale.step(result.dlog_scale)
        return row

    def _step_on_device(self) -> tuple[float, ...]:
        """A step in one call of the engine, with one transfer to its device and one from it."""
        assert self._whole_step
        episode = self._next_episode()
        record = self._whole_step(np.concatenate([episode.support, episode.query]))
        *row, magnitude = map(float, record)
        self._require_finite("loss", row[0])
        self._require_bounded(magnitude)
        return tuple(row)

    def forward(self) -> tuple[Any, EpisodeLoss]:
        """What the net saves for its backward pass, and the loss of the next episode. Changes nothing."""
        episode = self._next_episode()
        x = self.images(np.concatenate([episode.support, episode.query]))
        results = self.net.forward(x)
        if not (isinstance(results, tuple | list) and len(results) == 2):
            raise UserError(f"forward of {type(self.net).__name__} does not give two results; z and saved are expected")
        z, saved = results
        require_embeddings(self.net, x, z, "forward")
        support_labels, query_labels = map(self.engine.asarray, (episode.support_labels, episode.query_labels))
        log_scale = self.scale.log_scale if self.scale else None
        return saved, episode_loss(self.engine, self.metric, z, support_labels, query_labels, self.form.way, log_scale)

    def _next_episode(self) -> Episode:
        images = self.images
        return sample(images.starts, *self.form, seed=self.seed, split=images.split, episode=self.episode)

    def require_finite_state(self) -> None:
        """CheckFailed unless all numbers of net and optimizer are finite."""
        net, optimizer = self.state()
        for name, array in [*net.items(), *optimizer.items(), *self.scale_state().items()]:
            if not np.isfinite(array).all():
                raise CheckFailed(f"{name} is not finite after episode {self.episode}; training stopped: {self._mend}")

    @property
    def _mend(self) -> str:
        own = (
            f"the distance {self.metric} is your own: correct it if it is the cause, or "
            if is_users(self.metric)
            else ""
        )
        return f"{own}lower the learning rate"

    def _require_finite(self, what: str, value: float) -> None:
        if not np.isfinite(value):
            raise CheckFailed(
                f"the {what} is {value:g} at episode {self.episode + 1}, expected a finite number; training stopped "
                f"before the update: {self._mend}"
            )

    def _require_bounded(self, magnitude: float) -> None:
        self._require_finite("gradient", magnitude)
        largest = self.optimizer.largest_gradient(self.net.vector.dtype)
        if magnitude > largest:
            raise CheckFailed(
                f"the gradient is {magnitude:g} at episode {self.episode + 1}, expected at most {largest:.3g} for "
                f"{self.optimizer.name}; training stopped: {self._mend}"
            )

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The state of the net and that of the optimizer, as NumPy arrays."""
        optimizer = {name: self.engine.to_host(a) for name, a in self.optimizer.state().items()}
        return self.net.state(), optimizer

    def scale_state(self) -> dict[str, np.ndarray]:
        """The state of the learned scale, as NumPy arrays; empty without one."""
        return self.scale.state() if self.scale else {}

    def load_state(
        self,
        net: dict[str, np.ndarray],
        optimizer: dict[str, np.ndarray],
        episode: int,
        scale: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Restore what `state` gave after `episode` steps, and what `scale_state` gave."""
        self.net.load_state(net)
        self.optimizer.load_state({name: self.engine.asarray(a) for name, a in optimizer.items()})
        if self.scale and scale:
            self.scale.load_state(scale)
        self.episode = episode
