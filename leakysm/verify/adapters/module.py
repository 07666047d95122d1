"""Anybody's module or object that offers some operations under their public names, on its own kind of array."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from leakysm.errors import UserError
from leakysm.ops.metrics import SquaredEuclidean
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters.implementation import HostArray, NotOffered, WrongResult, as_tuple

KINDS = ("numpy", "torch", "jax")


class Arrays(Protocol):
    """One library's arrays: there and back, and its autodiff if it has one."""

    name: str
    versions: Mapping[str, str]
    imports: Sequence[str]
    template: str
    derivative: str | None

    def asarray(self, host: HostArray) -> Any: ...

    def to_host(self, array: Any) -> HostArray: ...

    def call(self, function: Callable[[], Any]) -> Any:
        """Run with whatever the library needs around it."""

    def vjp(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        """Gradients of function(*arrays), an array or a tuple whose first is differentiated, or NotOffered."""


class NumPyArrays:
    """NumPy arrays, which have no autodiff: a gradient is a module's own `_vjp`."""

    name = "numpy"
    versions: Mapping[str, str] = {"numpy": np.__version__}
    imports: Sequence[str] = ("import numpy as np",)
    template = "{name} = np.array({values}, dtype=np.{dtype})"
    derivative: str | None = None

    def asarray(self, host: HostArray) -> Any:
        return host

    def to_host(self, array: Any) -> HostArray:
        if not isinstance(array, np.ndarray | np.generic):
            raise WrongResult(f"returned a {type(array).__name__}; a NumPy array is expected")
        return np.asarray(array)

    def call(self, function: Callable[[], Any]) -> Any:
        return function()

    def vjp(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        raise NotOffered("NumPy has no autodiff")


def arrays_named(kind: str) -> Arrays:
    """The arrays of a library: numpy, torch or jax; UserError for another name or a library that is not installed."""
    if kind not in KINDS:
        raise UserError(f"array is {kind!r}; one of {', '.join(KINDS)} is expected: choose one")
    if kind == "numpy":
        return NumPyArrays()
    if importlib.util.find_spec(kind) is None:
        raise UserError(
            f"array {kind} needs the package {kind}, which is not installed: install it, or choose --array numpy"
        )
    if kind == "torch":
        from leakysm.verify.adapters.torch_arrays import TorchArrays

        return TorchArrays()
    from leakysm.verify.adapters.jax_arrays import JaxArrays

    return JaxArrays()


def load(target: str) -> tuple[Any, ModuleType]:
    """What MODULE[:NAME] names, and its module. Whatever importing it raises passes through.

    The working directory is searched first, as `python -m` does; MODULE may also be a path to a .py file.
    """
    module_name, _, attribute = target.partition(":")
    if module_name.endswith(".py"):
        path = Path(module_name).resolve()
        folder, module_name = str(path.parent), path.stem
    else:
        folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module(module_name)
    found: Any = module
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    return found, module


def array_kind(module: ModuleType) -> str:
    """torch, jax or numpy, told from what the module imports; UserError if it imports both frameworks."""
    roots = {_root(value) for value in vars(module).values()}
    frameworks = sorted(roots & {"torch", "jax"})
    if len(frameworks) > 1:
        raise UserError(
            f"{module.__name__} imports torch and jax; one kind of array is expected: say which with --array"
        )
    return frameworks[0] if frameworks else "numpy"


def _versions(offered: Any) -> dict[str, str]:
    """The versions of the packages that the module, or the object's module, imports."""
    module = offered if isinstance(offered, ModuleType) else sys.modules.get(getattr(offered, "__module__", ""))
    roots = sorted({_root(value) for value in vars(module).values()}) if module else []
    found = {root: getattr(sys.modules.get(root), "__version__", None) for root in roots}
    return {root: str(version) for root, version in found.items() if version is not None}


def _root(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or ""
    return str(name).partition(".")[0]


class ModuleImplementation:
    """The operations that a module or object offers: `name` and, for a gradient, `name_vjp`, else the autodiff."""

    def __init__(self, offered: Any, arrays: Arrays, name: str):
        self.offered, self.arrays, self.name = offered, arrays, name
        self.versions: Mapping[str, str] = {**arrays.versions, **_versions(offered)}

    def _function(self, name: str) -> Callable[..., Any] | None:
        function = getattr(self.offered, name, None)
        return function if callable(function) else None

    def offers(self, operation: str, part: str) -> bool:
        if part == "value":
            return self._function(operation) is not None
        own = self._function(operation + "_vjp") is not None
        return own or (self.arrays.derivative is not None and self.offers(operation, "value"))

    def value(self, operation: str, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[HostArray, ...]:
        function = self._required(operation)
        keywords = _keywords(function, operation, parameters)
        given = [self._given(a) for a in arguments]
        return self._host(self.arrays.call(lambda: function(*given, **keywords)))

    def vjp(
        self, operation: str, arguments: Sequence[Any], dy: HostArray, parameters: Mapping[str, Any]
    ) -> tuple[HostArray, ...]:
        own = self._function(operation + "_vjp")
        if own is None:
            return self._host(self.arrays.call(lambda: self._differentiated(operation, arguments, dy, parameters)))
        keywords = _keywords(own, operation, parameters)
        given = [self._given(a) for a in (*arguments, dy)]
        return self._host(self.arrays.call(lambda: own(*given, **keywords)))

    def _differentiated(
        self, operation: str, arguments: Sequence[Any], dy: HostArray, parameters: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        function = self._required(operation)
        keywords = _keywords(function, operation, parameters)
        places = [i for i, a in enumerate(OPERATIONS[operation].arguments) if a.kind == "array"]
        given = [self._given(a) for a in arguments]

        def of_arrays(*arrays: Any) -> Any:
            full = list(given)
            for place, array in zip(places, arrays, strict=True):
                full[place] = array
            return function(*full, **keywords)

        return self.arrays.vjp(of_arrays, [given[i] for i in places], self._given(dy))

    def keywords(self, operation: str, part: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        own = self._function(operation + "_vjp") if part == "vjp" else None
        return _keywords(own or self._required(operation), operation, parameters)

    def _required(self, operation: str) -> Callable[..., Any]:
        function = self._function(operation)
        if function is None:
            raise NotOffered(operation)
        return function

    def _given(self, argument: Any) -> Any:
        return self.arrays.asarray(argument) if isinstance(argument, np.ndarray) else argument

    def _host(self, results: Any) -> tuple[HostArray, ...]:
        return tuple(self.arrays.to_host(a) for a in as_tuple(results))

    def snippet(self, operation: str, part: str) -> tuple[list[str], str, str]:
        module, _, attribute = self.name.partition(":")
        owner = attribute or Path(module).stem
        imports = [
            *self.arrays.imports,
            f"from {Path(module).stem} import {attribute}" if attribute else f"import {owner}",
        ]
        if part == "value":
            return imports, self.arrays.template, f"result = {owner}.{operation}({{arguments}})"
        if self._function(operation + "_vjp") is not None:
            return imports, self.arrays.template, f"result = {owner}.{operation}_vjp({{arguments_dy}})"
        return imports, self.arrays.template, str(self.arrays.derivative).replace("FUNCTION", f"{owner}.{operation}")


def _keywords(function: Callable[..., Any], operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords to call with. A parameter that the function does not take may only have its default value."""
    try:
        taken = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a compiled function that does not say what it takes
        return dict(parameters)
    if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        return dict(parameters)
    unknown = {name: value for name, value in parameters.items() if name not in taken}
    for name, value in unknown.items():
        if value != _default(operation, name):
            raise NotOffered(f"{operation} does not take {name}")
    return {name: value for name, value in parameters.items() if name in taken}


def _default(operation: str, parameter: str) -> Any:
    """A parameter's default; the loss's distance is squared Euclidean where a function has no choice of it."""
    if parameter == "distance":
        return SquaredEuclidean()
    return inspect.signature(OPERATIONS[operation].value).parameters[parameter].default
