"""NumPy arrays, which have no autodiff: a gradient is a module's own `_vjp`. EngineArrays serves CuPy too."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import random
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leakysm.verify.adapters.arrays import Arrays, HostArray, WatchedSetting, Way, WrongResult
from leakysm.verify.adapters.unfilled import nan_in_unfilled

IS_KERNEL = "({0}.ndim == 4 and {0}.shape[:2] == (3, 3))"  # (3, 3, C, F), which others store as (F, C, 3, 3)
FILLER = 99  # fills the memory beside the numbers of an array that is a part of another
BETWEEN = f"np.full_like({{0}}, {FILLER}) if {{0}}.dtype.kind == 'f' else np.flip({{0}})"  # labels, between labels


def _set_environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _set_filters(filters: list[Any]) -> None:
    warnings.filters = filters


PROGRAM = (
    WatchedSetting("np.geterr()", "numpy", lambda value: np.seterr(**value)),
    WatchedSetting("np.geterrcall()", "numpy", np.seterrcall),
    WatchedSetting("np.getbufsize()", "numpy", np.setbufsize),
    WatchedSetting("np.get_printoptions()", "numpy", lambda value: np.set_printoptions(**value)),
    WatchedSetting(
        "pickle.dumps(np.random.get_state())",
        "pickle",
        lambda value: np.random.set_state(pickle.loads(value)),
        costly=True,
    ),
    WatchedSetting("random.getstate()", "random", random.setstate, costly=True),
    WatchedSetting("dict(os.environ)", "os", _set_environment, costly=True),
    WatchedSetting("os.getcwd()", "os", os.chdir, once=False),
    WatchedSetting("gc.isenabled()", "gc", lambda value: gc.enable() if value else gc.disable()),
    WatchedSetting("list(warnings.filters)", "warnings", _set_filters),
    WatchedSetting("sys.getrecursionlimit()", "sys", sys.setrecursionlimit),
    WatchedSetting("logging.root.manager.disable", "logging", logging.disable),
)
SCOPE: Mapping[str, Any] = {module.__name__: module for module in (gc, logging, os, pickle, random, sys, warnings)} | {
    "np": np,
    "nan_in_unfilled": nan_in_unfilled,
}
SHARED = Way(("value", "vjp"), shared=True)


class NumPyArrays(Arrays):
    """Arrays of NumPy."""

    name = "numpy"
    versions: Mapping[str, str] = {"numpy": np.__version__}
    imports: Sequence[str] = ("import numpy as np",)
    template = "{name} = np.array({values}, dtype=np.{dtype})"
    layouts: Mapping[str, str] = {
        "contiguous": "{0}",
        "reversed": "np.flip(np.flip({0}).copy())",
        "offset": f"np.pad({{0}}.ravel(), (3, 2), constant_values={FILLER})[3:-2].reshape({{0}}.shape)",
        "strided": f"np.stack([{{0}}, {BETWEEN}], -1)[..., 0]",
        "transposed": "np.asfortranarray({0})",
        "channels-first": (
            f"(np.transpose(np.transpose({{0}}, (3, 2, 0, 1)).copy(), (2, 3, 1, 0)) if {IS_KERNEL} else "
            "np.moveaxis(np.moveaxis({0}, -1, {0}.ndim > 2).copy(), {0}.ndim > 2, -1))"
        ),
        "read-only": "(lambda a: (a.setflags(write=False), a)[1])({0}.copy())",
    }
    expanded = "np.broadcast_to({0}, {1})"
    bits = "{0}.tobytes()"
    watched = (
        bits,
        "({0}.base is not None and {0}.base.tobytes())",
        "{0}.shape",
        "{0}.strides",
        "{0}.dtype",
        "{0}.flags.writeable",
    )
    shares: str | None = "np.may_share_memory({0}, {1})"
    writable = "{0}.flags.writeable"
    copied = "{0}.copy()"
    other = "np.flip({0}) / 2"
    overwritten = (
        "(np.copyto({0}, np.flip({0}) / 2), {0})[1]",
        "(np.put({0}, np.arange({0}.size // 2 + 1, {0}.size - 1), -1.25), {0})[1]",
        "(np.copyto({0}, np.flip({0}).copy()), {0})[1]",
    )
    watched_settings = PROGRAM
    ways: Mapping[str, Way] = {
        "int32": Way(("value", "vjp"), labels="{0}.astype(np.int32)", refusable=True),
        "int16": Way(("value", "vjp"), labels="{0}.astype(np.int16)", below=1 << 15, refusable=True),
        "uint8": Way(("value", "vjp"), labels="{0}.astype(np.uint8)", below=256, refusable=True),
        "shared": SHARED,
        "unfilled": Way(
            ("value", "vjp"),
            context=("nan_in_unfilled()", f"from {nan_in_unfilled.__module__} import nan_in_unfilled"),
            refusable=True,
        ),
        "together": Way(
            ("value", "vjp"),
            together="(np.stack([{0}, {1}], 1).swapaxes(0, 1) if {0}.shape == {1}.shape else "
            "np.split(np.concatenate([{1}, {0}]), [len({1})])[::-1])",
        ),
    }
    scope = SCOPE

    def asarray(self, host: HostArray) -> Any:
        return np.array(host)

    def to_host(self, array: Any) -> HostArray:
        if not isinstance(array, np.ndarray | np.generic):
            raise WrongResult(f"returned a {type(array).__name__}; a NumPy array is expected")
        if array.dtype.hasobject:
            raise WrongResult(f"returned an array of dtype {array.dtype}; one of numbers is expected")
        return np.asarray(array)


class EngineArrays(NumPyArrays):
    """The arrays of one of our engines: NumPy's, or CuPy's on a device."""

    template = "{name} = engine.asarray(np.array({values}, dtype=np.{dtype}))"

    def __init__(self, engine: Any):
        self.engine, self.name = engine, engine.xp.__name__.partition(".")[0]
        self.scope = {**SCOPE, "xp": engine.xp}

    def spelled(self, expression: str) -> str:
        return expression.replace("np.", "xp.")

    def asarray(self, host: HostArray) -> Any:
        return self.engine.asarray(np.array(host))

    def to_host(self, array: Any) -> HostArray:
        return np.asarray(self.engine.to_host(array))
