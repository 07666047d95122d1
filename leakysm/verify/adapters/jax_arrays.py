"""JAX arrays, with gradients by jax.vjp. Each dtype runs as its users run it: float64 under x64, the others without.

Functions that can be traced are compiled as a whole, with labels as constants if they look at their labels. Otherwise
JAX compiles every single operation for every shape, which takes five times as long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leakysm.verify.adapters.arrays import (
    Arrays,
    HostArray,
    WatchedSetting,
    Way,
    WrongResult,
    as_tuple,
    of_places,
)
from leakysm.verify.adapters.numpy_arrays import PROGRAM, SCOPE

# Each program runs only once or twice. On a CPU, compiling with few optimizations takes a third of the time. But the
# same numbers, computed in two places, may then be rounded differently, so failures are looked at again without these.
QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


# The kinds of dtypes that a compiled function gets as unknowns: all; floats alone, if it looks at labels; none.
TRACED = ("fiub", "f", "")


@lru_cache(maxsize=1)
def compiler_options() -> dict[str, Any] | None:
    """QUICKLY, if this version of the compiler knows all of its options, else None."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x + 1, compiler_options=QUICKLY)(1.0)
    except (RuntimeError, TypeError):
        return None
    return QUICKLY


def _read(name: str) -> str:
    """The expression that reads a setting. All settings are read for every call, so the slower one is an exception."""
    return f"jax.config.{name}" if hasattr(jax.config, name) else f"jax.config.values[{name!r}]"


class JaxArrays(Arrays):
    """Arrays on JAX's default device. They have no strides, and nothing can write to them."""

    name = "jax"
    versions: Mapping[str, str] = {"jax": str(jax.__version__)}
    imports: Sequence[str] = ("import jax", "import jax.numpy as jnp")
    template = "{name} = jnp.array({values}, dtype=jnp.{dtype})"
    layouts: Mapping[str, str] = {"contiguous": "{0}"}
    expanded = "jnp.broadcast_to({0}, {1})"
    bits = "jax.device_get({0}).tobytes()"
    watched = ("{0}.is_deleted()", bits)
    shares = None
    copied = "jnp.array({0})"
    other = "jnp.flip({0}) / 2"
    watched_settings = (
        *PROGRAM,
        *(WatchedSetting(_read(n), "jax", partial(jax.config.update, n)) for n in jax.config.values),
    )
    scope: Mapping[str, Any] = {**SCOPE, "jax": jax, "jnp": jnp}
    ways: Mapping[str, Way] = {"alone": Way(("vjp",), autodiff=True), "some": Way(("vjp",), autodiff=True)}
    compiles = True

    def __init__(self) -> None:
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._traced: dict[Callable[..., Any], str] = {}
        self._quickly = True

    def asarray(self, host: HostArray) -> Any:
        return jnp.array(host)

    def to_host(self, array: Any) -> HostArray:
        if not isinstance(array, jax.Array):
            raise WrongResult(f"returned a {type(array).__name__}; a jax.Array is expected")
        return np.asarray(array)

    @contextlib.contextmanager
    def mode(self, dtype: str) -> Iterator[None]:
        before = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", dtype == "float64")
        try:
            yield
        finally:
            jax.config.update("jax_enable_x64", before)

    @contextlib.contextmanager
    def compiling_as_users_do(self) -> Iterator[None]:
        self._quickly = False
        try:
            yield
        finally:
            self._quickly = True

    def imports_for(self, dtype: str) -> list[str]:
        return [*self.imports, *(['jax.config.update("jax_enable_x64", True)'] if dtype == "float64" else [])]

    def integers(self, dtype: str) -> str:
        return "int64" if dtype == "float64" else "int32"

    def gradient(self, function: str, arrays: str, arguments: str, outputs: int, *, way: str = "") -> list[str] | None:
        first = "[0]" if outputs > 1 else ""
        if way == "some":
            called = f"lambda {arrays}: {function}({arguments}){first}"
            return [
                f"    from {__name__} import JaxArrays",
                f"    return JaxArrays().differentiated_in_part({called}, ({arrays},), dy)",
            ]
        return [f"    return jax.vjp(lambda {arrays}: {function}({arguments}){first}, {arrays})[1](dy)"]

    def differentiated(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        _, backward = jax.vjp(lambda *a: as_tuple(function(*a))[0], *arrays)
        return tuple(backward(dy))

    def both(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, tuple[Any, ...]]:
        def first(*given: Any) -> tuple[Any, tuple[Any, ...]]:
            y, *others = as_tuple(function(*given))
            return y, tuple(others)

        y, backward, others = jax.vjp(first, *arrays, has_aux=True)
        return (y, *others), tuple(backward(dy))

    def compiled(self, function: Callable[..., Any], eager: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            for kinds in TRACED[TRACED.index(self.traced(function)) : -1]:
                with contextlib.suppress(Exception):
                    results = self._program(function, given, kinds)
                    self._traced[function] = kinds
                    return results
            results = eager(*given)  # if this raises too, its error is the one reported
            self._traced[function] = ""
            return results

        return call

    def traced(self, function: Callable[..., Any]) -> str:
        return self._traced.get(function, TRACED[0])

    def _program(self, function: Callable[..., Any], given: Sequence[Any], kinds: str) -> Any:
        """What the compiled function gives; arrays whose dtypes are of other kinds are constants of the program."""
        places = [i for i, a in enumerate(given) if isinstance(a, jax.Array) and a.dtype.kind in kinds]
        constants = [a for i, a in enumerate(given) if i not in places]
        key = function, self._quickly, *(_contents(a) if isinstance(a, jax.Array) else a for a in constants)
        if key not in self._compiled:
            options = compiler_options() if self._quickly else None
            self._compiled[key] = jax.jit(of_places(function, given, places), compiler_options=options)
        return self._compiled[key](*[given[i] for i in places])


def _contents(array: jax.Array) -> tuple[Any, ...]:
    return array.dtype.name, array.shape, np.asarray(array).tobytes()
