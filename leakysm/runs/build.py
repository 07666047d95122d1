"""Make engine, net, metric and optimizer from a run's settings."""

from __future__ import annotations

from leakysm.backends import Engine
from leakysm.data import Dataset
from leakysm.episodes import EpisodeForm
from leakysm.errors import UserError
from leakysm.nets import Conv4, Net, require_net
from leakysm.optim import OPTIMIZERS
from leakysm.runs.settings import TrainConfig, conv4_size
from leakysm.training.images import SplitImages
from leakysm.training.trainer import Trainer


def new_net(config: TrainConfig, in_channels: int, engine: Engine, own: Net | None = None) -> Net:
    """A run's net with its initial weights; or `own`, the object that the run was made with in Python.

    UserError if that is another net than the run's, or missing.
    """
    if own is None and config.net:
        raise UserError(
            f"the net {config.net} was made in Python; give the same object again, in Python "
            f"(leakysm.train, leakysm.evaluate_run): net={config.net}(...)"
        )
    if own is not None:
        require_net(own)
        if type(own).__name__ != (config.net or Conv4.__name__):
            raise UserError(
                f"net is {type(own).__name__}, and the run's is {config.net or 'Conv4'}; give the run's own"
            )
        return own
    size = conv4_size(config)
    assert size, "the net is somebody's own"
    channels, blocks = size
    return Conv4(in_channels, channels=channels, blocks=blocks, seed=config.seed, engine=engine)


def build_trainer(config: TrainConfig, data: Dataset, engine: Engine, net: Net | None = None) -> Trainer:
    """A run's trainer before its first step. UserError if the images are too small for the net.

    net: a user's own, which keeps its parameters.
    """
    height, width, channels = data.image_shape
    net = new_net(config, channels, engine, net)
    if not net.embedding_size(data.image_shape):
        least, mend = "", "use larger images"
        if isinstance(net, Conv4):
            least = f"; Conv4 with {net.blocks} blocks needs {1 << net.blocks}x{1 << net.blocks} or more"
            fitting = min(height, width).bit_length() - 1
            mend = f"give {fitting} block{'s' * (fitting > 1)}, or {mend}" if fitting else mend
        raise UserError(f"images of {data.name} are {width}x{height}, too small for the net{least}: {mend}")
    engine = net.engine
    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate, halve_every=config.halve_every)
    form = EpisodeForm(config.way, config.shot, config.query)
    images, learn_scale = SplitImages(engine, data, "train"), bool(config.learn_scale)
    return Trainer(images, net, config.metric, optimizer, form, seed=config.seed, learn_scale=learn_scale)
