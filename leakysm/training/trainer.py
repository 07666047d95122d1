"""One training step after another, and the state from which they go on exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakysm.backends import Engine
from leakysm.data import Dataset
from leakysm.episodes import Episode, sample
from leakysm.errors import CheckFailed, UserError
from leakysm.nets import Conv4
from leakysm.optim import OPTIMIZERS
from leakysm.training.device_step import device_step
from leakysm.training.images import SplitImages
from leakysm.training.loss import EpisodeLoss, episode_loss
from leakysm.training.sparsity import FIGURES, sparsity

if TYPE_CHECKING:  # runs imports training
    from leakysm.runs.settings import TrainConfig

STEP_COLUMNS = ("loss", "accuracy", *FIGURES)


@dataclass(frozen=True)
class Step:
    """What one step showed, before its update: loss, accuracy (0 to 1) and the sparsity FIGURES."""

    loss: float
    accuracy: float
    figures: tuple[float, ...]

    @property
    def row(self) -> tuple[float, ...]:
        """In the order of STEP_COLUMNS."""
        return (self.loss, self.accuracy, *self.figures)


class Trainer:
    """Net, optimizer and training images of a run. `episode` counts the steps done; each is a function of the state."""

    def __init__(self, config: TrainConfig, data: Dataset, engine: Engine) -> None:
        self.config = config
        self.engine = engine
        self.metric = config.metric
        self.images = SplitImages(engine, data, "train")
        self.net = Conv4(data.image_shape[2], seed=config.seed, engine=engine)
        if not self.net.embedding_size(data.image_shape):
            height, width, _ = data.image_shape
            raise UserError(f"images of {data.name} are {width}x{height}; Conv4 needs 16x16 or more: use larger images")
        self.optimizer = OPTIMIZERS[config.optimizer](config.learning_rate, halve_every=config.halve_every)
        self.episode = 0
        form = {"way": config.way, "shot": config.shot, "query": config.query}
        device_images = self.images.on_device
        self._whole_step = device_step(engine, self.net, self.optimizer, self.metric, device_images, **form)

    def step(self) -> Step:
        """Train on the next episode. CheckFailed if loss or gradient is not finite, with everything left as it was, or
        if the gradient overflows the optimizer's state (of which a device's whole step tells after its update)."""
        row = self._step_on_device() if self._whole_step else self._step()
        self.episode += 1
        return Step(row[0], row[1], row[2:])

    def _step(self) -> tuple[float, ...]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of it is looked at here
            saved, result = self.forward()
            figures = sparsity(result.distances, result.ddistances, result.dz[-len(result.distances) :])
            numbers = [result.loss, result.accuracy, *figures]
            row = tuple(map(float, self.engine.to_host(self.engine.xp.stack(numbers))))
            self._require_finite("loss", row[0])
            gradient = self.net.backward(saved, result.dz)
            self._require_bounded(float(self.engine.xp.max(self.engine.xp.abs(gradient))))
            self.optimizer.step(self.net.vector, gradient)
            self.net.update_running(saved)
        return row

    def _step_on_device(self) -> tuple[float, ...]:
        """`_step` in one call, with one transfer to and from the device."""
        assert self._whole_step
        episode = self._next_episode()
        record = self._whole_step(np.concatenate([episode.support, episode.query]))
        *row, magnitude = map(float, record)
        self._require_finite("loss", row[0])
        self._require_bounded(magnitude)
        return tuple(row)

    def forward(self) -> tuple[Any, EpisodeLoss]:
        """What the net keeps for its backward pass, and the loss of the next episode. Changes nothing."""
        episode = self._next_episode()
        z, saved = self.net.forward(self.images(np.concatenate([episode.support, episode.query])))
        support_labels, query_labels = map(self.engine.asarray, (episode.support_labels, episode.query_labels))
        return saved, episode_loss(self.engine, self.metric, z, support_labels, query_labels, self.config.way)

    def _next_episode(self) -> Episode:
        config = self.config
        return sample(
            self.images.starts,
            config.way,
            config.shot,
            config.query,
            seed=config.seed,
            split=self.images.split,
            episode=self.episode,
        )

    def require_finite_state(self) -> None:
        """CheckFailed unless net and optimizer are finite: such a state is worth keeping."""
        net, optimizer = self.state()
        for name, array in (net | optimizer).items():
            if not np.isfinite(array).all():
                raise CheckFailed(
                    f"{name} is not finite after episode {self.episode}; training stopped: lower the learning rate"
                )

    def _require_finite(self, what: str, value: float) -> None:
        if not np.isfinite(value):
            raise CheckFailed(
                f"the {what} is {value:g} at episode {self.episode + 1}, expected a finite number; training stopped "
                "before the update: lower the learning rate"
            )

    def _require_bounded(self, magnitude: float) -> None:
        self._require_finite("gradient", magnitude)
        largest = self.optimizer.largest_gradient(self.net.vector.dtype)
        if magnitude > largest:
            raise CheckFailed(
                f"the gradient is {magnitude:g} at episode {self.episode + 1}, expected {largest:.3g} at most for "
                f"{self.config.optimizer}; training stopped: lower the learning rate"
            )

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The net's and the optimizer's, on the host."""
        optimizer = {name: self.engine.to_host(a) for name, a in self.optimizer.state().items()}
        return self.net.state(), optimizer

    def load_state(self, net: dict[str, np.ndarray], optimizer: dict[str, np.ndarray], episode: int) -> None:
        """Take over what `state` gave after `episode` steps."""
        self.net.load_state(net)
        self.optimizer.load_state({name: self.engine.asarray(a) for name, a in optimizer.items()})
        self.episode = episode
