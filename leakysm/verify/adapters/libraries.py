"""The array libraries that a module under test may use, by name."""

from __future__ import annotations

import importlib.util

from leakysm.errors import UserError, suggestion
from leakysm.verify.adapters.arrays import Arrays

FRAMEWORKS = ("torch", "jax")
KINDS = ("numpy", *FRAMEWORKS)


def arrays_named(kind: str) -> Arrays:
    """The arrays of a library: numpy, torch or jax; UserError for another name or a library that is not installed."""
    if kind not in KINDS:
        raise UserError(f"array is {kind!r}; {suggestion(kind, KINDS)}")
    if kind != "numpy" and importlib.util.find_spec(kind) is None:
        raise UserError(
            f"array {kind} needs the package {kind}, which is not installed: install it, or choose --array numpy"
        )
    if kind == "torch":
        from leakysm.verify.adapters.torch_arrays import TorchArrays

        return TorchArrays()
    if kind == "jax":
        from leakysm.verify.adapters.jax_arrays import JaxArrays

        return JaxArrays()
    from leakysm.verify.adapters.numpy_arrays import NumPyArrays

    return NumPyArrays()
