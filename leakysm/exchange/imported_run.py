"""A run's folder for imported weights, so that `evaluate`, `predict` and `train --resume` can use them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from leakysm.errors import UserError
from leakysm.exchange.weights import State
from leakysm.nets import Conv4
from leakysm.runs import Restored, RunFolder
from leakysm.runs.checkpoint import save_checkpoint


def write_run_like(run: Restored, state: State, out: Path) -> None:
    """A new run in `out` with this state after 0 episodes; data, distance and all other settings are those of `run`.

    Its learned scale, if it has one, is that of `run`.

    UserError if `out` holds a run already, or if the state is not that of a net with the channels of `run`.
    """
    net = run.net
    if not isinstance(net, Conv4):
        raise UserError(f"the run's net is {type(net).__name__}; Conv4 is expected: give a run with Conv4")
    try:
        net.load_state(state)
    except UserError as error:
        raise UserError(
            f"{error} (a run's net has {net.channels} channels, for {net.in_channels} of the image)"
        ) from None
    begun = {"steps": np.asarray(0)}
    checkpoint = replace(
        run.checkpoint,
        episode=0,
        net=net.state(),
        optimizer=begun,
        scale={"log_scale": run.checkpoint.scale["log_scale"], **begun} if run.checkpoint.scale else {},
        config=run.config.to_toml(),
        best_episode=-1,
        best_accuracy=-1.0,
        metrics_size=0,
        metrics_digest="",
    )
    folder = RunFolder(out)
    folder.begin(run.config, resume=False)
    try:
        save_checkpoint(folder.last, checkpoint)
    except BaseException:  # without its weights, --resume would begin anew
        folder.config.unlink()
        raise
