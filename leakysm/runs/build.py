"""From a run's settings to what trains by them."""

from __future__ import annotations

from leakysm.backends import Engine
from leakysm.data import Dataset
from leakysm.episodes import EpisodeForm
from leakysm.errors import UserError
from leakysm.nets import Conv4
from leakysm.optim import OPTIMIZERS
from leakysm.runs.settings import TrainConfig
from leakysm.training.images import SplitImages
from leakysm.training.trainer import Trainer


def build_trainer(config: TrainConfig, data: Dataset, engine: Engine) -> Trainer:
    """A run's trainer before its first step. UserError if the images are too small for the net."""
    height, width, channels = data.image_shape
    net = Conv4(channels, seed=config.seed, engine=engine)
    if not net.embedding_size(data.image_shape):
        raise UserError(f"images of {data.name} are {width}x{height}; Conv4 needs 16x16 or more: use larger images")
    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate, halve_every=config.halve_every)
    form = EpisodeForm(config.way, config.shot, config.query)
    return Trainer(SplitImages(engine, data, "train"), net, config.metric, optimizer, form, seed=config.seed)
