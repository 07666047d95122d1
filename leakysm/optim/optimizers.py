"""Adam and SGD with momentum, in place on one flat vector of parameters (NumPy or CuPy)."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from leakysm.errors import UserError
from leakysm.ops.arrays import number

Array = Any  # of NumPy or CuPy


class Optimizer:
    """Base of all optimizers: the step count, the decay of the learning rate, and the state that a checkpoint keeps.

    learning_rate > 0 is halved after every `halve_every` steps (0: never). `slots` are vectors like the parameters.
    `name` is the one that settings and messages use. UserError for a wrong learning_rate or halve_every.

    Examples
    --------
    >>> optimizer = lk.SGD(0.5, halve_every=1)
    >>> optimizer.step(np.array([1.0]), np.array([1.0]))
    >>> optimizer.learning_rate
    0.25
    """

    name: str
    slot_names: tuple[str, ...]

    def __init__(self, learning_rate: float, *, halve_every: int = 0) -> None:
        check_learning_rate(learning_rate)
        if not number("halve_every", halve_every, "halve_every >= 0") >= 0:
            raise UserError(f"halve_every is {halve_every}: expected a number of steps, or 0 for never")
        self.initial_learning_rate = learning_rate
        self.halve_every = halve_every
        self.steps = 0
        self.slots: dict[str, Array] = {}

    @property
    def learning_rate(self) -> float:
        """The rate of the coming step."""
        halvings = self.steps // self.halve_every if self.halve_every else 0
        return self.initial_learning_rate * 0.5**halvings

    def largest_gradient(self, dtype: Any) -> float:
        """The magnitude up to which a gradient's entry does not overflow the optimizer's state."""
        return float(np.finfo(dtype).max)

    def step(self, vector: Array, gradient: Array) -> None:
        """Update `vector` (P,) in place. `gradient` (P,) has the same dtype and is not changed."""
        self.make_slots(vector)
        self._update(vector, gradient)
        self.steps += 1

    def make_slots(self, vector: Array) -> None:
        """Make the slots for parameters `vector` (P,), all 0, unless there are some."""
        if not self.slots:
            xp = array_namespace(vector)
            self.slots = {name: xp.zeros_like(vector) for name in self.slot_names}

    def _update(self, vector: Array, gradient: Array) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """The slots, on the device where they are, and the number of steps done as `steps`."""
        return {**self.slots, "steps": np.asarray(self.steps)}

    def load_state(self, state: dict[str, Array]) -> None:
        """Restore what `state` gave. The arrays are copied; they must be on the device of the parameters."""
        self.steps = int(state["steps"])
        self.slots = {name: state[name].copy() for name in self.slot_names if name in state}


def check_learning_rate(rate: float) -> None:
    """UserError unless it is finite and above 0."""
    if not 0 < number("learning_rate", rate, "0 < learning_rate < inf") < float("inf"):
        raise UserError(f"learning_rate is {rate}: expected a finite number above 0, e.g. 0.001")


class Adam(Optimizer):
    """Adam with bias correction (Kingma & Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1).

    decays: of the two moments. epsilon is added to the root of the second one. Others, and errors, as in `Optimizer`.

    Examples
    --------
    >>> w = np.array([1.0, 2.0])
    >>> lk.Adam(0.5).step(w, np.array([1.0, 0.0]))
    >>> np.round(w, 4)
    array([0.5, 2. ])
    """

    name = "adam"
    slot_names = ("first_moment", "second_moment")

    def __init__(
        self,
        learning_rate: float = 1e-3,
        *,
        halve_every: int = 0,
        decays: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate, halve_every=halve_every)
        self.decays = decays
        self.epsilon = epsilon

    def largest_gradient(self, dtype: Any) -> float:
        """The largest number whose square is finite."""
        return float(np.sqrt(np.finfo(dtype).max))

    def _update(self, vector: Array, gradient: Array) -> None:
        xp = array_namespace(vector)
        m, v = (self.slots[name] for name in self.slot_names)
        decay_m, decay_v = self.decays
        m += (1 - decay_m) * (gradient - m)
        v += (1 - decay_v) * (gradient * gradient - v)
        t = self.steps + 1
        rate = self.learning_rate / (1 - decay_m**t)
        vector -= rate * m / (xp.sqrt(v / (1 - decay_v**t)) + self.epsilon)


class SGD(Optimizer):
    """Stochastic gradient descent with heavy-ball momentum (Polyak 1964): u = momentum u + g; w = w - rate u.

    UserError unless 0 <= momentum < 1. Others, and errors, as in `Optimizer`.

    Examples
    --------
    >>> w = np.array([1.0, 2.0])
    >>> lk.SGD(0.5).step(w, np.array([1.0, 0.0]))
    >>> w
    array([0.5, 2. ])
    """

    name = "sgd"
    slot_names = ("velocity",)

    def __init__(self, learning_rate: float = 1e-2, *, halve_every: int = 0, momentum: float = 0.9) -> None:
        super().__init__(learning_rate, halve_every=halve_every)
        if not 0 <= number("momentum", momentum, "0 <= momentum < 1") < 1:
            raise UserError(f"momentum is {momentum}: expected 0 <= momentum < 1")
        self.momentum = momentum

    def _update(self, vector: Array, gradient: Array) -> None:
        velocity = self.slots["velocity"]
        velocity *= self.momentum
        velocity += gradient
        vector -= self.learning_rate * velocity
