"""Bits that get lost: operands, parameters and results in a lower precision, and errors of a few eps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

import leakysm as lk
from leakysm import ops

from .exact import excess
from .mutant import PARTS, Mutant, on_arguments, on_outputs, planted, replaced
from .witness import AXES, DISTANCES, LOSSES, OPERATIONS, Witness, changed, witness

Rounding = Callable[[Any], Any]


def keep_bits(array: Any, bits: int) -> Any:
    """Rounded to so many significant bits, the range unchanged."""
    array = np.asarray(array)
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent).astype(array.dtype)


def through(dtype: Any) -> Rounding:
    return lambda array: np.asarray(array).astype(dtype).astype(np.asarray(array).dtype)


ROUNDINGS: dict[str, Rounding] = {
    "float16": through(np.float16),
    "bfloat16": lambda array: keep_bits(array, 8),
    "TF32": lambda array: keep_bits(array, 11),
    "float32": through(np.float32),
}


def _floats(given: dict[str, Any]) -> list[str]:
    return [k for k, v in given.items() if isinstance(v, np.ndarray | np.floating) and np.asarray(v).dtype.kind == "f"]


def operands() -> Iterator[Mutant]:
    """Each operand for itself, all at once, all only where the inner axis is long, and each result."""
    for operation in OPERATIONS:
        for part in PARTS:
            axes = AXES[operation]
            names = list(axes.arguments) + (["dy"] if part == "vjp" else [])
            results = list(axes.outputs if part == "value" else axes.gradients)
            for title, rounding in ROUNDINGS.items():
                call = witness(operation, part, "float64" if title == "float32" else "float32")
                for name in names:
                    functions = on_arguments(operation, part, lambda g, n=name, r=rounding: {n: r(g[n])})
                    yield from planted(f"bits: {title} operand", f"{name} rounded to {title}", call, functions)
                for i, name in enumerate(results):
                    functions = on_outputs(
                        operation,
                        part,
                        lambda outs, _, i=i, r=rounding: [r(o) if k == i else o for k, o in enumerate(outs)],
                    )
                    yield from planted(f"bits: {title} result", f"result {name} rounded to {title}", call, functions)
                yield from _long_only(operation, part, title, rounding)


def _long_only(operation: str, part: str, title: str, rounding: Rounding) -> Iterator[Mutant]:
    """As a library does that picks a faster unit for long sums or large arrays."""
    arguments = AXES[operation].arguments
    first = next(iter(arguments))
    for axis, least in ((arguments[first][-1], 32), (arguments[first][0], 17)):
        if axis == "n" and len(arguments[first]) == 1:
            continue

        def change(given: dict[str, Any], least: int = least, axis: str = axis) -> dict[str, Any]:
            shape = given[first].shape
            length = shape[-1] if axis == arguments[first][-1] else int(np.prod(shape[:-1]))
            return {n: rounding(given[n]) for n in _floats(given)} if length >= least else {}

        dims = {axis: least + 1}
        if operation.startswith("conv"):
            dims |= {"H": 2, "W": 2}
        call = witness(operation, part, "float64" if title == "float32" else "float32", **dims)
        functions = on_arguments(operation, part, change)
        yield from planted(f"bits: {title} where long", f"all in {title} where {axis} >= {least}", call, functions)


def _accumulated(dtype: Any) -> Callable[..., Any]:
    """Differences right, their squares summed one by one in a narrow dtype."""

    def function(original: Any, x: Any, c: Any, **parameters: Any) -> Any:
        total = np.zeros((x.shape[0], c.shape[0]), dtype=dtype)
        for k in range(x.shape[1]):
            total = (total + ((x[:, None, k] - c[None, :, k]) ** 2).astype(dtype)).astype(dtype)
        return total.astype(x.dtype)

    return function


def sums() -> Iterator[Mutant]:
    """Sums in a narrower dtype than their terms."""
    for title, dtype in (("float16", np.float16), ("float32", np.float32)):
        call = witness("squared_euclidean", "value", D=65)
        functions = replaced("squared_euclidean", "value", _accumulated(dtype))
        yield from planted("bits: sums", f"the sum over D in {title}", call, functions)
        root = replaced("euclidean", "value", lambda *a, d=dtype, **p: np.sqrt(_accumulated(d)(*a, **p)))
        yield from planted("bits: sums", f"the sum over D in {title}", witness("euclidean", "value", D=65), root)
        for n in (7, 100):

            def mean(original: Any, *args: Any, d: Any = dtype, **parameters: Any) -> Any:
                y, _, variance = original(*args, **parameters)
                rows = args[0].reshape(-1, args[0].shape[-1])
                return y, (rows.astype(d).sum(axis=0) / d(rows.shape[0])).astype(rows.dtype), variance

            functions = replaced("batch_norm", "value", mean)
            yield from planted("bits: sums", f"mean of {n} in {title}", witness("batch_norm", "value", n=n), functions)
        for part, at in (("value", 0), ("vjp", 1)):

            def narrow(original: Any, *args: Any, d: Any = dtype, i: int = at, **parameters: Any) -> Any:
                narrowed = original(*[a.astype(d).astype(np.float32) for a in args], **parameters)
                if not isinstance(narrowed, tuple):
                    return narrowed.astype(args[0].dtype)
                outputs = list(original(*args, **parameters))
                outputs[i] = narrowed[i].astype(args[0].dtype)
                return tuple(outputs)

            functions = replaced("conv2d", part, narrow)
            yield from planted("bits: sums", f"products in {title}", witness("conv2d", part), functions)


PARAMETERS = {
    "leaky_squared_euclidean": (
        {"threshold": 2.7, "slope": 0.3},
        {"threshold": 0.7, "slope": 0.03, "per": "coordinate"},
    ),
    **{name: ({"eps": 1e-5}, {"eps": 0.1234}) for name in OPERATIONS if "norm" in name or "block" in name},
}
NUMBERED = (
    lk.LeakySquaredEuclidean(0.71, 0.3),
    lk.LeakySquaredEuclidean(0.13, 0.03, "coordinate"),
    lk.RestrictedSquaredEuclidean(lk.Log(0.71)),
    lk.RestrictedSquaredEuclidean(lk.Root(0.13), "coordinate"),
)


def _narrow_variance(call: Witness) -> Witness:
    """With a variance as small as eps, so that eps matters."""
    names = list(AXES[call.operation].arguments)
    arguments = list(call.arguments)
    for name, factor in (("x", 3e-3), ("variance", 1e-5)):
        if name in names and call.parameters["eps"] < 1e-3:
            arguments[names.index(name)] = arguments[names.index(name)] * arguments[0].dtype.type(factor)
    return changed(call, arguments=tuple(arguments))


def parameters() -> Iterator[Mutant]:
    """A parameter as a constant of a lower precision."""
    for operation, choices in PARAMETERS.items():
        for part in PARTS:
            for number, choice in enumerate(choices):
                for key in (k for k in choice if k != "per"):
                    for title, rounding in ROUNDINGS.items():
                        call = witness(operation, part, "float64", choice)
                        if key == "eps":
                            call = _narrow_variance(call)
                        functions = on_arguments(
                            operation, part, lambda g, k=key, r=rounding: {k: float(r(np.float64(g[k])))}
                        )
                        name = f"{key} as {title} ({number})"
                        yield from planted("bits: parameters", name, call, functions)
    for operation in LOSSES:
        for part in PARTS:
            yield from _of_metrics(operation, part)


def _of_metrics(operation: str, part: str) -> Iterator[Mutant]:
    """A parameter of the metric as a constant of a lower precision."""
    for metric in NUMBERED:
        for title, rounding in ROUNDINGS.items():

            def rounded(given: dict[str, Any], metric: Any = metric, rounding: Rounding = rounding) -> dict[str, Any]:
                alike = _kind(given["distance"]) == _kind(metric)
                return {"distance": _rounded(given["distance"], rounding)} if alike else {}

            call = witness(operation, part, "float64", {"distance": metric})
            name = f"numbers of {metric} as {title}"
            yield from planted("bits: parameters", name, call, on_arguments(operation, part, rounded))


def _kind(metric: Any) -> tuple[Any, ...]:
    return type(metric), type(getattr(metric, "restriction", None)), getattr(metric, "per", None)


def _rounded(value: Any, rounding: Rounding) -> Any:
    """The numbers of a metric, or of its restriction, rounded."""
    if isinstance(value, float):
        return float(rounding(np.float64(value)))
    if not dataclasses.is_dataclass(value):
        return value
    fields = {f.name: _rounded(getattr(value, f.name), rounding) for f in dataclasses.fields(value)}
    return dataclasses.replace(value, **fields)


TINY_DIMS: tuple[dict[str, int], ...] = (
    {"N": 1, "M": 1, "D": 1, "S": 1, "Q": 1, "H": 2, "W": 2, "C": 1, "F": 1, "n": 2},
    {"N": 2, "M": 2, "D": 2, "S": 2, "Q": 2, "H": 2, "W": 2, "C": 2, "F": 2, "n": 3},
)
UNITS = (4, 8, 16, 64, 1000)


def _small(
    operation: str, part: str, name: str, family: str, functions: SimpleNamespace, dtype: str
) -> Iterator[Mutant]:
    """On the call, of few terms, on which it shows most."""
    choices = [{}] if operation != "leaky_squared_euclidean" else [{}, {"threshold": 0.01}, {"threshold": 1e4}]
    calls = [witness(operation, part, dtype, extra, **dims) for dims in TINY_DIMS for extra in choices]
    best = max(calls, key=lambda call: excess(call, call.outputs(functions)))
    yield from planted(family, f"{name} ({dtype})", best, functions, small=True)


def small() -> Iterator[Mutant]:
    """A result, its last element, an operand or a parameter is a few eps off."""
    for operation in OPERATIONS:
        axes = AXES[operation]
        for part in PARTS:
            results = list(axes.outputs if part == "value" else axes.gradients)
            for turn, units in enumerate(UNITS):
                dtype = ("float32", "float64")[(turn + len(operation)) % 2]

                def more(array: Any, units: int = units) -> Any:
                    dtype = np.asarray(array).dtype
                    return array * dtype.type(1 + units * np.finfo(dtype).eps)

                def last(array: Any, more: Any = more) -> Any:
                    array = np.array(array)
                    if array.size:
                        array.flat[-1] = more(array.flat[-1])
                    return array

                for i, name in enumerate(results):
                    for title, change in ((name, more), (f"the last of {name}", last)):
                        functions = on_outputs(
                            operation,
                            part,
                            lambda outs, _, i=i, f=change: [f(o) if k == i else o for k, o in enumerate(outs)],
                        )
                        yield from _small(
                            operation, part, f"{title} {units} eps off", f"small: {units} eps", functions, dtype
                        )
                for name in list(axes.arguments) + (["dy"] if part == "vjp" else []):
                    if units != 8:
                        functions = on_arguments(operation, part, lambda g, n=name, f=more: {n: f(g[n])})
                        yield from _small(
                            operation, part, f"operand {name} {units} eps off", f"small: {units} eps", functions, dtype
                        )
                for key in {"threshold", "slope", "eps"} & set(_parameter_names(operation)):
                    functions = on_arguments(
                        operation, part, lambda g, k=key, u=units, d=dtype: {k: g[k] * (1 + u * float(np.finfo(d).eps))}
                    )
                    yield from _small(
                        operation, part, f"{key} {units} eps off", f"small: {units} eps", functions, dtype
                    )


def _parameter_names(operation: str) -> tuple[str, ...]:
    if operation == "leaky_squared_euclidean":
        return ("threshold", "slope")
    return ("eps",) if "norm" in operation or "block" in operation else ()


def rough_functions() -> Iterator[Mutant]:
    """An exponential, a logarithm or a root of single precision inside a float64 call."""

    def softmax(original: Any, logits: Any, *args: Any, **parameters: Any) -> Any:
        a = logits - logits.max(axis=-1, keepdims=True)
        return a - np.log(np.exp(a.astype(np.float32)).sum(axis=-1, keepdims=True)).astype(logits.dtype)

    yield from planted(
        "bits: functions",
        "exp, log in float32",
        witness("log_softmax", "value"),
        replaced("log_softmax", "value", softmax),
    )
    for operation in DISTANCES[2:3]:

        def root(original: Any, x: Any, c: Any, **parameters: Any) -> Any:
            return np.sqrt(ops.squared_euclidean(x, c).astype(np.float32)).astype(x.dtype)

        yield from planted(
            "bits: functions", "sqrt in float32", witness(operation, "value"), replaced(operation, "value", root)
        )

        def fast(original: Any, x: Any, c: Any, **parameters: Any) -> Any:
            d = ops.squared_euclidean(x, c)
            guess = np.sqrt(d.astype(np.float32)).astype(x.dtype) * x.dtype.type(1 + 1e-4)
            return np.where(d > 0, (guess + d / guess) / 2, 0)

        yield from planted(
            "bits: functions",
            "sqrt by one Newton step",
            witness(operation, "value"),
            replaced(operation, "value", fast),
        )


def mutants() -> Iterator[Mutant]:
    yield from operands()
    yield from sums()
    yield from parameters()
    yield from rough_functions()
    yield from small()
