"""What an engine is: every operation as a pair of `forward -> (y, saved)` and `backward(saved, dy) -> gradients`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.ops.registry import OPERATIONS

Array = Any  # an array of the engine's own namespace


@dataclass(frozen=True)
class Pair:
    """One operation of an engine.

    forward(*arguments, **parameters) -> (y, saved), with y a tuple where the operation has several outputs;
    backward(saved, dy) -> gradients, as the operation's `_vjp` returns them; dy belongs to the first output.
    """

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[..., Any]


def reference_pair(name: str) -> Pair:
    """The pair that a registered operation makes without any tuning: keep the arguments, call the vjp on them."""
    operation = OPERATIONS[name]

    def forward(*arguments: Any, **parameters: Any) -> tuple[Any, Any]:
        return operation.value(*arguments, **parameters), (arguments, parameters)

    def backward(saved: Any, dy: Any = 1.0, **options: Any) -> Any:
        arguments, parameters = saved
        return operation.vjp(*arguments, dy, **parameters, **options)

    return Pair(forward, backward)


class Engine:
    """A set of operations on one device. Subclasses name themselves and put their fast pairs into `pairs`.

    An operation without a fast pair falls back to the reference operation, which runs on the engine's own arrays:
    it is slower, never different in meaning.
    """

    name: str
    xp: Any
    pairs: dict[str, Pair]

    def operation(self, name: str) -> Pair:
        """The pair of the registered operation `name` (KeyError if there is none)."""
        return self.pairs[name] if name in self.pairs else reference_pair(name)

    def asarray(self, host: Any, dtype: Any = None) -> Array:
        """A host array on the engine's device, in `dtype` if given."""
        raise NotImplementedError

    def to_host(self, array: Array) -> np.ndarray:
        """An engine's array as a NumPy array."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until the device has finished all work given to it; nothing to do where work is synchronous."""
