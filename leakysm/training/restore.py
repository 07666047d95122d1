"""A trained net back from its run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leakysm.backends import Engine
from leakysm.errors import UserError
from leakysm.nets import Conv4
from leakysm.training.checkpoint import Checkpoint, load_checkpoint
from leakysm.training.config import TrainConfig
from leakysm.training.run_folder import RunFolder


@dataclass(frozen=True)
class Restored:
    """checkpoint.inputs tells how images become the net's input without the training data."""

    net: Conv4
    config: TrainConfig
    checkpoint: Checkpoint
    path: Path


def restore(run: Path | str, engine: Engine) -> Restored:
    """The best checkpoint of a run, or the last where there is no best yet, on `engine`. UserError if there is none."""
    folder = RunFolder(run)
    config = folder.stored_config()
    if config is None:
        raise UserError(f"{folder.path} holds no run (no {folder.config.name}); name a folder that leakysm train wrote")
    path = folder.best if folder.best.exists() else folder.last
    checkpoint = load_checkpoint(path)
    net = Conv4(int(checkpoint.inputs["image_shape"][2]), engine=engine)
    net.load_state(checkpoint.net)
    return Restored(net, config, checkpoint, path)
