"""A learned scale of the distances: logits are -exp(a) d, and the number a is trained with the net.

A usual control ("metric scaling", Oreshkin et al. 2018, "TADAM", section 3.1). With D = exp(a) d the gradient
is one sum over known values:

    dL/da = sum_ij dL/dD_ij D_ij,    dL/dd = exp(a) dL/dD
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from leakysm.backends.protocol import Engine
from leakysm.optim import Optimizer

Array = Any


class LearnedScale:
    """The number a, which begins at 0, and its optimizer, which is of the same kind and rate as the net's.

    log_scale (1,): a, on the engine, in the dtype of the net. optimizer: the net's before its first step; it is copied.
    """

    def __init__(self, engine: Engine, optimizer: Optimizer, dtype: Any) -> None:
        self.engine, self.optimizer = engine, deepcopy(optimizer)
        self.log_scale: Array = engine.asarray(np.zeros(1, dtype))

    def step(self, gradient: Array) -> None:
        """Update a by its gradient, (1,)."""
        self.optimizer.step(self.log_scale, gradient)

    def state(self) -> dict[str, np.ndarray]:
        """`log_scale`, and the state of the optimizer, on the host, copied."""
        state = {"log_scale": self.log_scale, **self.optimizer.state()}
        return {name: np.array(self.engine.to_host(array)) for name, array in state.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` gave."""
        arrays = {name: self.engine.asarray(array) for name, array in state.items()}
        self.log_scale[...] = arrays.pop("log_scale")
        self.optimizer.load_state(arrays)
