"""What an engine is: every operation as a pair of `forward -> (y, saved)` and `backward(saved, dy) -> gradients`.

One convention holds for every engine and every operation:

    y, saved = pair.forward(*arguments, **parameters)
    gradients = pair.backward(saved, dy)

`saved` is a named tuple or a frozen dataclass that says what it holds. If a fast forward pass cannot take its
arguments, it returns the reference's y and `ReferenceSaved`; `Engine.operation` then goes back by the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from leakysm.backends.checks import CONVOLUTIONS
from leakysm.ops.arrays import dtype_name
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


class ReferenceSaved(NamedTuple):
    """What the reference keeps of a forward pass: the call itself."""

    arguments: tuple[Any, ...]
    parameters: dict[str, Any]


def reference_pair(name: str) -> Pair:
    """The pair that a registered operation makes without any tuning: keep the arguments, call the vjp on them."""
    operation = OPERATIONS[name]

    def forward(*arguments: Any, **parameters: Any) -> tuple[Any, ReferenceSaved]:
        return operation.value(*arguments, **parameters), ReferenceSaved(arguments, parameters)

    def backward(saved: ReferenceSaved, dy: Any = 1.0, **options: Any) -> Any:
        return operation.vjp(*saved.arguments, dy, **saved.parameters, **options)

    return Pair(forward, backward)


class Engine:
    """A set of operations on one device. Subclasses name themselves and put their fast pairs into `pairs`.

    Arrays are NumPy's, unless a subclass has its own `xp`, `asarray`, `to_host` and `synchronize`.

    An operation without a fast pair falls back to the reference operation, which runs on the engine's own arrays:
    it is slower, but computes the same.

    Examples
    --------
    >>> engine = lk.backend("numpy")
    >>> y, saved = engine.operation("relu").forward(engine.asarray(np.array([-1.0, 2.0])))
    >>> engine.to_host(y)
    array([0., 2.])
    """

    name: str
    xp: Any = np
    pairs: dict[str, Pair]

    def operation(self, name: str) -> Pair:
        """The pair of the registered operation `name` (KeyError if there is none).

        A fast pair sees the arguments that `serves` lets through. All others go to the reference, which computes
        float16 in float32 and rounds once, and which says what is wrong with wrong arguments.
        """
        reference = reference_pair(name)
        if name not in self.pairs:
            return reference
        fast = self.pairs[name]

        def forward(*arguments: Any, **parameters: Any) -> tuple[Any, Any]:
            pair = fast if self.serves(name, arguments) else reference
            return pair.forward(*arguments, **parameters)

        def backward(saved: Any, *dy: Any, **options: Any) -> Any:
            pair = reference if isinstance(saved, ReferenceSaved) else fast
            return pair.backward(saved, *dy, **options)

        return Pair(forward, backward)

    def serves(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether the fast pair takes these arguments: float32, float64; a convolution needs a channel and a filter."""
        if not hasattr(arguments[0], "dtype") or dtype_name(arguments[0]) not in ("float32", "float64"):
            return False
        return not (name in CONVOLUTIONS and 0 in getattr(arguments[1], "shape", ()))

    def asarray(self, host: Any, dtype: Any = None) -> Array:
        """A host array on the engine's device, in `dtype` if given."""
        return self.xp.asarray(host, dtype)

    def to_host(self, array: Array) -> np.ndarray:
        """An engine's array as a NumPy array."""
        return np.asarray(array)

    def synchronize(self) -> None:
        """Wait until the device has finished all work given to it; nothing to do where work is synchronous."""
