"""Read a trained net from its run's folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from leakysm.backends import Engine
from leakysm.errors import UserError
from leakysm.nets import Net
from leakysm.ops.metrics import Metric
from leakysm.ops.pairs import spans
from leakysm.ops.restriction import Restriction
from leakysm.runs.build import new_net
from leakysm.runs.checkpoint import Arrays, Checkpoint
from leakysm.runs.folder import RunFolder
from leakysm.runs.manifest import require_listed
from leakysm.runs.objects import with_metric
from leakysm.runs.settings import TrainConfig
from leakysm.small_texts import parse_toml
from leakysm.training.closeness import Limits
from leakysm.training.evaluation import CHUNK_PIXELS

DECISIVE = ("distance", "threshold", "slope", "per", "set", "formula", "norm")  # for what is close


@dataclass(frozen=True)
class Stored:
    """What a run's folder holds of its trained net.

    path: the file of the checkpoint. finished: whether that is the best checkpoint of a run that was trained to its end
    and tested.
    """

    config: TrainConfig
    checkpoint: Checkpoint
    path: Path
    finished: bool

    def described(self) -> dict[str, Any]:
        """What a TestResult says of the net: `checkpoint`, `checkpoint_episode`, `finished`."""
        return {
            "checkpoint": self.path.name,
            "checkpoint_episode": self.checkpoint.episode,
            "finished": self.finished,
        }


@dataclass(frozen=True)
class Restored(Stored):
    """A run's trained net, with all that is needed to use it without the training data."""

    net: Net

    def embed(self, images: NDArray[np.uint8], norm: str) -> Any:
        """Embeddings (n, D), on the engine, of images uint8 (n, H, W, C) of the format `checkpoint.inputs`."""
        engine, inputs = self.net.engine, self.checkpoint.inputs
        if norm == "episode":
            return self.net.embed(engine.asarray(inputs.to_float(images)), "episode")
        size = max(1, CHUNK_PIXELS // math.prod(inputs.image_shape[:2]))
        chunks = spans(len(images), size)
        z = [self.net.embed(engine.asarray(inputs.to_float(images[chunk])), "running") for chunk in chunks]
        return array_namespace(*z).concat(z, axis=0)

    @property
    def scale(self) -> float:
        """What distances are multiplied by before the softmax: the run's learned scale, or 1."""
        return self.checkpoint.learned_scale if self.config.learn_scale else 1.0

    def closeness(self) -> Limits:
        """By the number of examples of a class: the distance to the nearest prototype that 95 % of validation's images
        do not exceed, in spreads of a support.

        Empty for older runs, for runs without validation, and if `config` has another distance or norm than the run.
        UserError if summary.json is damaged.
        """
        from leakysm.runs.results import read_summary

        folder, trained, given = RunFolder(self.path.parent), parse_toml(self.checkpoint.config), self.config.settings()
        if not self.finished or any(trained.get(key) != given.get(key) for key in DECISIVE):
            return {}
        require_listed(folder, "summary")
        content, _ = read_summary(folder.summary)
        return {int(shot): limit for shot, limit in content.get("closeness", {}).items()}


def stored(run: Path | str, *, trust: bool = False) -> Stored:
    """The best checkpoint of a run, or the last where there is no best yet.

    trust: whether the code of the run's own formula may be run, if its distance is one; `config.metric` is a UserError
    if it may not. UserError if there is no checkpoint, if its settings are not those of config.toml, or if it is not
    the one that the manifest of a finished run lists.
    """
    folder = RunFolder(run)
    config, path = folder.require_config(trust=trust), folder.tested()
    checkpoint = folder.checkpoint(path, config)
    if folder.summary.exists():
        require_listed(folder, "config", "best" if path == folder.best else "last")
    return Stored(config, checkpoint, path, folder.summary.exists() and path == folder.best)


def restore(
    run: Path | str,
    engine: Engine,
    *,
    trust: bool = False,
    metric: Metric | Restriction | None = None,
    net: Net | None = None,
) -> Restored:
    """What `stored` gives, with the net on `engine`. Its errors, and a UserError if the net is untrained.

    metric, net: the objects that the run was made with in Python, if it was; a net of somebody's own is changed, and
    stays on its engine. UserError if they are not those of the run.
    """
    found = stored(run, trust=trust)
    config, checkpoint = with_metric(found.config, metric), found.checkpoint
    channels = checkpoint.inputs.image_shape[2]
    made = new_net(config, channels, engine, net)
    fresh = checkpoint.net if config.net else new_net(config, channels, engine).state()
    if checkpoint.episode == 0 and _same(fresh, checkpoint.net):  # imported weights are at episode 0, too
        raise UserError(
            f"{found.path} holds an untrained net; train it: leakysm train --out {found.path.parent} --resume"
        )
    made.load_state(checkpoint.net)
    return Restored(**vars(found) | {"config": config}, net=made)


def _same(first: Arrays, second: Arrays) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
