"""JAX arrays, with gradients by jax.vjp. float64 is switched on for the duration of a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leakysm.verify.adapters.implementation import HostArray, WrongResult, as_tuple


class JaxArrays:
    """Arrays on JAX's default device."""

    name = "jax"
    versions: Mapping[str, str] = {"jax": str(jax.__version__)}
    imports: Sequence[str] = ("import jax", "import jax.numpy as jnp", 'jax.config.update("jax_enable_x64", True)')
    template = "{name} = jnp.array({values}, dtype=jnp.{dtype})"
    derivative: str | None = (
        "first = lambda {arrays}: (lambda y: y[0] if isinstance(y, tuple) else y)(FUNCTION({arguments}))\n"
        "_, backward = jax.vjp(first, {arrays})\n"
        "result = backward(dy)"
    )

    def asarray(self, host: HostArray) -> Any:
        with jax.enable_x64(True):
            return jnp.asarray(host)

    def to_host(self, array: Any) -> HostArray:
        if not isinstance(array, jax.Array):
            raise WrongResult(f"returned a {type(array).__name__}; a jax.Array is expected")
        return np.asarray(array)

    def call(self, function: Callable[[], Any]) -> Any:
        with jax.enable_x64(True):
            return function()

    def vjp(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        _, backward = jax.vjp(lambda *a: as_tuple(function(*a))[0], *arrays)
        return tuple(backward(dy))
