"""Helpers of all operations: checks of arrays, and exact functions that give the same bits in every array library."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np

from leakysm.errors import ArrayError, UserError

Array = Any  # an array of any array-API namespace

# Overflow to inf and NaN from inf are promised results here, not accidents, so NumPy need not warn of them.
quiet = np.errstate(all="ignore")

_FLOATS = ("float16", "float32", "float64")


def dtype_name(array: Array) -> str:
    """The plain name of a dtype of any namespace: 'float32' for NumPy's and for torch.float32."""
    dtype = array.dtype
    return _numpy_name(dtype) if isinstance(dtype, np.dtype) else str(dtype).rpartition(".")[2]


@lru_cache(maxsize=64)
def _numpy_name(dtype: np.dtype) -> str:
    """The name of a NumPy dtype. Cached, because NumPy needs as long for it as for a thousand additions."""
    return str(dtype)


def working(**arrays: Array) -> tuple[Any, list[Array], Callable[[Array], Array]]:
    """Check the float arrays of a call; return their namespace, the arrays in the compute dtype, and `finish`.

    All must be real floating point (float16, float32 or float64) of one namespace and one dtype: ArrayError otherwise.
    float16 is computed in float32, and `finish` rounds a result once, back to float16.
    """
    for name, a in arrays.items():
        if not array_api_compat.is_array_api_obj(a):
            raise ArrayError(f"{name} is a {type(a).__name__}; an array is expected: convert it, e.g. by numpy.asarray")
        if isinstance(a, np.ma.MaskedArray):  # some operations would drop its mask in silence
            raise ArrayError(f"{name} is a masked array; a plain one is expected: give {name}.filled(...)")
    try:
        xp = array_api_compat.array_namespace(*arrays.values())
    except TypeError:
        kinds = ", ".join(f"{name}: {type(a).__module__}.{type(a).__name__}" for name, a in arrays.items())
        raise ArrayError(f"arrays of different libraries ({kinds}); one is expected: convert all to one") from None
    dtypes = {name: dtype_name(a) for name, a in arrays.items()}
    for name, dtype in dtypes.items():
        if dtype not in _FLOATS:
            raise ArrayError(f"{name} has dtype {dtype}; float16, float32 or float64 is expected: convert it")
    if len(set(dtypes.values())) > 1:
        listed = ", ".join(f"{name}: {dtype}" for name, dtype in dtypes.items())
        raise ArrayError(f"mixed dtypes ({listed}); one dtype is expected: convert all to one")
    given = next(iter(arrays.values())).dtype
    if dtypes[next(iter(dtypes))] != "float16":
        return xp, list(arrays.values()), lambda result: result
    return (
        xp,
        [xp.astype(a, xp.float32) for a in arrays.values()],
        lambda result: xp.astype(result, given),
    )


def require_shape(name: str, array: Array, shape: tuple[int | str, ...]) -> None:
    """UserError unless `array` has this shape; a string in `shape` names an axis of any length."""
    actual = tuple(array.shape)
    if len(actual) == len(shape) and all(isinstance(s, str) or s == a for s, a in zip(shape, actual, strict=True)):
        return
    expected = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    raise UserError(f"{name} has shape {actual}; {expected} is expected: reshape or select before the call")


def require_same_width(x: Array, c: Array) -> None:
    """UserError unless x is (N, D) and c is (M, D)."""
    require_shape("x", x, ("N", "D"))
    require_shape("c", c, ("M", x.shape[1]))


def number(name: str, value: Any, span: str) -> float:
    """A parameter as a float, NaN if it is not a number. UserError if it requires a gradient, or is still traced."""
    if getattr(value, "requires_grad", False) is True:
        raise UserError(f"{name} requires a gradient, but no operation computes it; a number with {span} is expected")
    try:
        return float(value) if not isinstance(value, str | bytes) else math.nan
    except (TypeError, ValueError, OverflowError):
        if array_api_compat.is_array_api_obj(value) and value.ndim == 0:  # not known while a compiler traces
            raise UserError(
                f"{name} is traced, by autodiff or a compiler; a number with {span} is expected: make it a constant"
            ) from None
        return math.nan


def whole(value: Array) -> int | None:
    """The value of a whole number; None while a compiler traces and the value is not known."""
    try:
        return int(value)
    except TypeError:
        return None


def known(labels: Any) -> np.ndarray | None:
    """Labels as a host array; None while a compiler traces, unless they are constants or lists."""
    try:
        return np.asarray(labels)
    except TypeError:
        return None


def label_span(xp: Any, labels: Any) -> tuple[int, int] | None:
    """The least and the largest of at least one label; None if a compiler traces and they are not known."""
    if array_api_compat.is_array_api_obj(labels):
        least, largest = whole(xp.min(labels)), whole(xp.max(labels))
        if least is not None and largest is not None:
            return least, largest
    host = known(labels)
    return None if host is None else (int(host.min()), int(host.max()))


def integer_labels(xp: Any, labels: Any, like: Array, n: int, n_classes: int, name: str = "labels") -> Array:
    """Labels (n,) as an int32 or int64 array beside `like`, each in [0, n_classes), else UserError: on a GPU too.

    While a compiler traces (jax.jit) their values are checked if they are known.
    """
    given = labels
    if not array_api_compat.is_array_api_obj(labels):
        labels = _listed(xp, labels, like, name)
    elif array_api_compat.array_namespace(labels) is not xp:
        raise ArrayError(f"{name} is an array of another library than the floats; one library is expected: convert it")
    require_shape(name, labels, (n,))
    if not xp.isdtype(labels.dtype, "integral"):
        raise UserError(f"{name} has dtype {dtype_name(labels)}; integers are expected: number the classes from 0")
    # Narrow types cannot count the classes, and unsigned ones cannot be compared.
    if dtype_name(labels) not in ("int32", "int64"):
        narrow = dtype_name(labels) in ("int8", "uint8", "int16", "uint16")
        labels = given = xp.astype(labels, xp.int32 if narrow else xp.int64)
    span = label_span(xp, given) if n else None
    if span and (span[0] < 0 or span[1] >= n_classes):
        raise UserError(
            f"{name} run from {span[0]} to {span[1]}; 0 to {n_classes - 1} is expected: number the classes from 0"
        )
    return labels


def _listed(xp: Any, labels: Any, like: Array, name: str) -> Array:
    """Labels as an array, if they are something else, such as a list."""
    device = array_api_compat.device(like)
    try:
        return xp.asarray(labels, device=device) if len(labels) else xp.zeros(0, dtype=xp.int64, device=device)
    except (TypeError, ValueError, OverflowError):
        raise ArrayError(f"{name} is {labels!r}; a list or array of integers is expected: one for each row") from None


def class_count(n_classes: Any) -> int:
    """`n_classes` as an int of at least 0, else UserError."""
    try:
        count = operator.index(n_classes)
    except TypeError:
        raise UserError(f"n_classes is {n_classes!r}; a whole number is expected: give the number of classes") from None
    if count < 0:
        raise UserError(f"n_classes is {count}; at least 0 is expected: give the number of classes")
    return count


def one_hot(xp: Any, labels: Array, n_classes: int) -> Array:
    """(N,) labels -> (N, n_classes) bool."""
    classes = xp.arange(n_classes, dtype=labels.dtype, device=array_api_compat.device(labels))
    return labels[:, None] == classes[None, :]


def zeros(xp: Any, shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of a shape, with the dtype and device of `like`."""
    return xp.zeros(shape, dtype=like.dtype, device=array_api_compat.device(like))


def tree_sum(xp: Any, a: Array, axis: int) -> Array:
    """Sum along one axis by halving it: ceil(log2 n) roundings deep, and the same bits in every namespace."""
    axis %= a.ndim
    before: tuple[slice, ...] = (slice(None),) * axis
    n = a.shape[axis]
    if n == 0:
        return xp.sum(a, axis=axis)
    if n == 1:
        return a[(*before, 0, ...)] * 1  # a result of its own, not a view
    while n > 1:
        half = n // 2
        pairs = a[(*before, slice(0, half), ...)] + a[(*before, slice(half, 2 * half), ...)]
        a = xp.concat([pairs, a[(*before, slice(2 * half, n), ...)]], axis=axis) if n % 2 else pairs
        n -= half
    return a[(*before, 0, ...)]


def added(terms: Iterable[Array]) -> Array:
    """The sum of at least one array, added in a binary tree: ceil(log2 n) roundings deep, log2 n arrays in memory."""
    sums: list[tuple[int, Array]] = []  # of 2^k terms each, k falling
    for term in terms:
        count = 1
        while sums and sums[-1][0] == count:
            term, count = sums.pop()[1] + term, 2 * count
        sums.append((count, term))
    total = sums.pop()[1]
    while sums:
        total = sums.pop()[1] + total
    return total


def constant(xp: Any, a: Array) -> Array:
    """`a`, bit for bit, without its gradient: it is converted to integers and back, which stops autodiff.

    An infinity or NaN keeps its gradient. NumPy's and CuPy's arrays have none, and are returned as they are.
    """
    if array_api_compat.is_numpy_namespace(xp) or array_api_compat.is_cupy_namespace(xp):
        return a
    digits, whole = (2.0**25, xp.int32) if a.dtype == xp.float32 else (2.0**54, xp.int64)
    usable = xp.isfinite(a) & (a != 0)
    numbers = xp.where(usable, a, xp.ones_like(a))
    scale = power_of_two_scale(xp, xp.abs(numbers))
    back = xp.astype(xp.astype(numbers * scale * digits, whole), a.dtype) / digits / scale
    return xp.where(usable, back, xp.where(a == 0, xp.zeros_like(a), a))


def power_of_two_scale(xp: Any, magnitude: Array) -> Array:
    """Powers of two s with magnitude * s near 1, so that squares neither overflow nor underflow (0 stays 0).

    Looked up in a table, since log2 and pow are not exact in every namespace.
    """
    device = array_api_compat.device(magnitude)
    bounds, scales = (xp.asarray(a, device=device) for a in _powers_of_two(dtype_name(magnitude)))
    places = xp.searchsorted(bounds, xp.reshape(magnitude, (-1,)), side="right")
    return xp.reshape(xp.take(scales, places, axis=0), magnitude.shape)


@lru_cache(maxsize=2)
def _powers_of_two(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """All powers 2^-e..2^e whose reciprocals are normal numbers too; and the scales below, between and above them."""
    largest = 126 if dtype == "float32" else 1022
    powers = np.ldexp(1.0, np.arange(-largest, largest + 1)).astype(dtype)
    return powers[1:], 1 / powers


def near_one(xp: Any, magnitude: Array) -> Array:
    """`power_of_two_scale` for magnitudes so far from 1 that sums of their squares need it; 1 for all others.

    For 0 it is 1. A large scale would have a small inverse, which the gradient multiplies by, and which a platform may
    flush to 0.
    """
    far = 2.0**40 if magnitude.dtype == xp.float32 else 2.0**400
    scale = power_of_two_scale(xp, magnitude)
    needed = (magnitude > far) | ((magnitude < 1 / far) & (magnitude > 0))
    return xp.where(needed, scale, xp.ones_like(scale))
