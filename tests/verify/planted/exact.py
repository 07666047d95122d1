"""An independent judge: 60-digit decimals, each number with a bound on what a working precision may make of it.

Every step adds an error of eps |result| + the smallest normal number; a sum of n terms adds n eps sum |terms|. Each
step passes on the errors of its inputs. So the error of a result is k eps scale + u, as in the specification, with k at
least n + 3 for any order of the sums. The bound is 3 times this error, or this error + 9 eps |result| if that is
larger. So k is never below n + 8.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from .witness import LOSSES, Witness

CONTEXT = decimal.Context(prec=60, Emin=-999999, Emax=999999)
ZERO, ONE = Decimal(0), Decimal(1)
_exp = np.frompyfunc(lambda v: v.exp(), 1, 1)
# Below 1e-25 1 + v would lose v's digits; the series does not.
_log1p = np.frompyfunc(lambda v: (v + 1).ln() if abs(v) > Decimal("1e-25") else v - v * v / 2, 1, 1)
_sqrt = np.frompyfunc(lambda v: v.sqrt(), 1, 1)
_decimal = np.frompyfunc(lambda v: Decimal(v), 1, 1)


def decimals(array: Any) -> Any:
    """Exactly these floats. (An object array.)"""
    return np.asarray(_decimal(np.asarray(array, dtype=np.float64)), dtype=object)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Exact values and how far a right computation may be from each."""

    value: Any
    error: Any
    eps: Decimal
    tiny: Decimal

    def _made(self, value: Any, error: Any, roundings: int = 1) -> Numbers:
        value = np.asarray(value, dtype=object)
        own = roundings * (self.eps * abs(value) + self.tiny)
        return Numbers(value, np.asarray(error, dtype=object) + own, self.eps, self.tiny)

    def _other(self, other: Any) -> Numbers:
        if isinstance(other, Numbers):
            return other
        value = np.asarray(other if isinstance(other, np.ndarray) else Decimal(other), dtype=object)
        return Numbers(value, value * ZERO, self.eps, self.tiny)

    def __add__(self, other: Any) -> Numbers:
        other = self._other(other)
        return self._made(self.value + other.value, self.error + other.error)

    def __sub__(self, other: Any) -> Numbers:
        return self + (-self._other(other))

    def __neg__(self) -> Numbers:
        return Numbers(-self.value, self.error, self.eps, self.tiny)

    def __mul__(self, other: Any) -> Numbers:
        other = self._other(other)
        error = abs(self.value) * other.error + self.error * abs(other.value) + self.error * other.error
        return self._made(self.value * other.value, error)

    def __truediv__(self, other: Any) -> Numbers:
        other = self._other(other)
        room = abs(other.value) - other.error
        room = np.where(room > 0, room, abs(other.value) * Decimal("1e-9"))
        value = self.value / other.value
        return self._made(value, (self.error + abs(value) * other.error) / room)

    def __getitem__(self, index: Any) -> Numbers:
        return Numbers(np.asarray(self.value[index]), np.asarray(self.error[index]), self.eps, self.tiny)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def reshape(self, *shape: int) -> Numbers:
        return Numbers(self.value.reshape(shape), self.error.reshape(shape), self.eps, self.tiny)

    def transpose(self, *axes: int) -> Numbers:
        return Numbers(self.value.transpose(axes), self.error.transpose(axes), self.eps, self.tiny)

    def where(self, mask: Any, other: Any) -> Numbers:
        """Self where mask, else other."""
        other = self._other(other)
        return Numbers(
            np.where(mask, self.value, other.value), np.where(mask, self.error, other.error), self.eps, self.tiny
        )

    def sum(self, axis: int) -> Numbers:
        """A sum in any order."""
        n = self.value.shape[axis]
        magnitude = abs(self.value).sum(axis=axis)
        error = self.error.sum(axis=axis) + n * (self.eps * magnitude + self.tiny)
        return Numbers(np.asarray(self.value.sum(axis=axis)) + ZERO, np.asarray(error) + ZERO, self.eps, self.tiny)

    def matmul(self, other: Numbers) -> Numbers:
        """A matrix product in any order."""
        n = self.value.shape[-1]
        a, b = abs(self.value), abs(other.value)
        error = a.dot(other.error) + self.error.dot(b + other.error)
        error = error + (n + 1) * (self.eps * a.dot(b) + self.tiny)
        return Numbers(self.value.dot(other.value) + ZERO, error, self.eps, self.tiny)

    def sqrt(self) -> Numbers:
        root = np.asarray(_sqrt(self.value), dtype=object)
        safe = np.where(root == 0, ONE, root)
        error = np.where(root == 0, np.asarray(_sqrt(self.error), dtype=object), self.error / safe)
        return self._made(root, error)

    def exp(self) -> Numbers:
        value = np.asarray(_exp(self.value), dtype=object)
        grown = np.asarray(_exp(np.minimum(self.error, Decimal(500))), dtype=object) - 1
        return self._made(value, value * grown)

    def log1p(self) -> Numbers:
        return self._made(np.asarray(_log1p(self.value), dtype=object), self.error)

    @property
    def bound(self) -> Any:
        return np.maximum(3 * self.error, self.error + 9 * self.eps * abs(self.value) + self.tiny)


def numbers(array: Any, dtype: str) -> Numbers:
    """Floats, free of error."""
    info = np.finfo(dtype)
    value = decimals(array)
    return Numbers(value, value * ZERO, Decimal(float(info.eps)), Decimal(float(info.smallest_normal)))


def in_dtype(parameter: float, dtype: str) -> Decimal:
    """A parameter rounded to the dtype."""
    return Decimal(float(np.dtype(dtype).type(parameter)))


# Distances. Each takes x (N, D), c (M, D) and perhaps g (N, M); each gives [y] or [dx, dc].


def _pairs(x: Numbers, c: Numbers) -> Numbers:
    return x[:, None, :] - c[None, :, :]


def _both(terms: Numbers) -> list[Numbers]:
    """dx and dc of terms (N, M, D) that belong to x."""
    return [terms.sum(axis=1), (-terms).sum(axis=0)]


def _squared(x: Numbers, c: Numbers, g: Numbers | None = None) -> list[Numbers]:
    difference = _pairs(x, c)
    if g is None:
        return [(difference * difference).sum(axis=-1)]
    return _both(g[:, :, None] * difference * 2)


def _leak(d: Numbers, t: Decimal, s: Decimal) -> Numbers:
    if t.is_infinite():
        return d
    return d.where(d.value <= t, (d - t) * s + t)


def _leaky(x: Numbers, c: Numbers, g: Numbers | None = None, *, t: Decimal, s: Decimal, per: str) -> list[Numbers]:
    difference = _pairs(x, c)
    squares = difference * difference
    if g is None:
        if per == "pair":
            return [_leak(squares.sum(axis=-1), t, s)]
        return [_leak(squares, t, s).sum(axis=-1)]
    within = squares.value <= t if per == "coordinate" else (squares.sum(axis=-1).value <= t)[:, :, None]
    terms = g[:, :, None] * difference * 2
    return _both(terms.where(within, terms * s))


def _restricted(
    x: Numbers, c: Numbers, g: Numbers | None = None, *, restriction: Any, dtype: str, per: str = "pair"
) -> list[Numbers]:
    kind, p = type(restriction).__name__, {k: in_dtype(v, dtype) for k, v in restriction.parameters.items()}
    if kind == "Leak":
        return _leaky(x, c, g, t=p["threshold"], s=p["slope"], per=per)
    difference = _pairs(x, c)
    squares = difference * difference
    d = squares if per == "coordinate" else squares.sum(axis=-1)
    size = p["scale" if kind == "Log" else "threshold"]
    if size.is_infinite():
        return _squared(x, c, g)
    within = np.asarray(d.value <= size, dtype=bool)
    beyond = d.where(~within, size)
    if g is None:
        value = (d / size).log1p() * size if kind == "Log" else d.where(within, (beyond * size).sqrt() * 2 - size)
        return [value if per == "pair" else value.sum(axis=-1)]
    divisor = d / size + 1 if kind == "Log" else (beyond / size).sqrt()
    return _both(g[:, :, None] * difference * 2 / (divisor[:, :, None] if per == "pair" else divisor))


def _euclidean(x: Numbers, c: Numbers, g: Numbers | None = None) -> list[Numbers]:
    difference = _pairs(x, c)
    d = (difference * difference).sum(axis=-1).sqrt()
    if g is None:
        return [d]
    coincident = d.value == 0
    safe = Numbers(np.where(coincident, ONE, d.value), np.where(coincident, ZERO, d.error), d.eps, d.tiny)
    return _both(g[:, :, None] * difference / safe[:, :, None])


def _cosine(x: Numbers, c: Numbers, g: Numbers | None = None) -> list[Numbers]:
    def unit(v: Numbers) -> tuple[Numbers, Numbers, Any]:
        norm = (v * v).sum(axis=-1).sqrt()
        zero = norm.value == 0
        norm = Numbers(np.where(zero, ONE, norm.value), np.where(zero, ZERO, norm.error), v.eps, v.tiny)
        return v / norm[:, None], norm, zero

    (u, x_norm, x_zero), (v, c_norm, c_zero) = unit(x), unit(c)
    cosine = (u[:, None, :] * v[None, :, :]).sum(axis=-1)
    if g is None:
        return [-cosine + 1]
    # Where either is zero the gradient is 0.
    g = g.where(~(x_zero[:, None] | c_zero[None, :]), 0)
    du = (-(g[:, :, None] * (v[None, :, :] - cosine[:, :, None] * u[:, None, :]))).sum(axis=1)
    dv = (-(g[:, :, None] * (u[:, None, :] - cosine[:, :, None] * v[None, :, :]))).sum(axis=0)
    return [du / x_norm[:, None], dv / c_norm[:, None]]


def distance(operation: str, parameters: dict[str, Any], dtype: str) -> Callable[..., list[Numbers]]:
    if operation == "leaky_squared_euclidean":
        t, s = in_dtype(parameters["threshold"], dtype), in_dtype(parameters["slope"], dtype)
        return lambda *a: _leaky(*a, t=t, s=s, per=parameters.get("per", "pair"))
    if operation == "restricted_squared_euclidean":
        return functools.partial(_restricted, dtype=dtype, **parameters)
    return {"squared_euclidean": _squared, "euclidean": _euclidean, "cosine_distance": _cosine}[operation]


# Softmax and losses.


def _mean_of_classes(z: Numbers, labels: Any, n_classes: int) -> Numbers:
    rows = [(z[labels == m]).sum(axis=0) / int((labels == m).sum()) for m in range(n_classes)]
    return Numbers(np.stack([r.value for r in rows]), np.stack([r.error for r in rows]), z.eps, z.tiny)


def _to_examples(g: Numbers, labels: Any, n_classes: int) -> Numbers:
    shots = decimals(np.asarray([float((labels == m).sum()) for m in range(n_classes)]))
    return (g / shots[:, None])[labels]


def _softmax(z: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """a = z - max z, exp(a), and the sum of exp(a) but for the row's maximum."""
    first = z.value.argmax(axis=1)
    a = z - z[np.arange(z.shape[0]), first][:, None]
    e = a.exp()
    is_first = np.arange(z.shape[1])[None, :] == first[:, None]
    return a, e, e.where(~is_first, 0).sum(axis=1)


def _log_softmax(z: Numbers, g: Numbers | None = None) -> list[Numbers]:
    a, e, others = _softmax(z)
    if g is None:
        return [a - others.log1p()[:, None]]
    return [g - e / (others + 1)[:, None] * g.sum(axis=1)[:, None]]


def _cross_entropy(z: Numbers, labels: Any, g: Numbers | None = None) -> list[Numbers]:
    a, e, others = _softmax(z)
    n = z.shape[0]
    if g is None:
        return [((others.log1p() - a[np.arange(n), labels]) / n).sum(axis=0)]
    at_label = np.arange(z.shape[1])[None, :] == labels[:, None]
    rest = e.where(~at_label, 0).sum(axis=1)
    numerators = (-rest)[:, None].where(at_label, e)
    return [numerators / (others + 1)[:, None] * (g / n)]


def _queries(x: Numbers, c: Numbers, labels: Any, g: Numbers | None = None, *, metric: Callable) -> list[Numbers]:
    logits = -metric(x, c)[0]
    if g is None:
        return _cross_entropy(logits, labels)
    return metric(x, c, -_cross_entropy(logits, labels, g)[0])


def _prototypical(
    support: Numbers, labels: Any, query: Numbers, query_labels: Any, g: Numbers | None = None, *, metric: Callable
) -> list[Numbers]:
    n_classes = int(labels.max()) + 1
    centres = _mean_of_classes(support, labels, n_classes)
    if g is None:
        return _queries(query, centres, query_labels, metric=metric)
    dquery, dcentres = _queries(query, centres, query_labels, g, metric=metric)
    return [_to_examples(dcentres, labels, n_classes), dquery]


# Images.


def _windows(x: Numbers) -> Numbers:
    """(N, H, W, C) -> (N H W, 9 C): what the nine taps meet."""
    n, h, w, c = x.shape

    def taps(array: Any) -> Any:
        padded = np.full((n, h + 2, w + 2, c), ZERO, dtype=object)
        padded[:, 1:-1, 1:-1] = array
        parts = [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
        return np.stack(parts, axis=3).reshape(n * h * w, 9 * c)

    return Numbers(taps(x.value), taps(x.error), x.eps, x.tiny)


def _conv2d(x: Numbers, w: Numbers, g: Numbers | None = None) -> list[Numbers]:
    n, h, wide, c = x.shape
    f = w.shape[3]
    if g is None:
        return [_windows(x).matmul(w.reshape(9 * c, f)).reshape(n, h, wide, f)]
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2).reshape(9 * f, c)
    dx = _windows(g).matmul(turned).reshape(n, h, wide, c)
    dw = _windows(x).transpose(1, 0).matmul(g.reshape(n * h * wide, f)).reshape(3, 3, c, f)
    return [dx, dw]


def _relu(x: Numbers, g: Numbers | None = None) -> list[Numbers]:
    return [(x if g is None else g).where(x.value > 0, 0)]


def _corners(x: Any) -> Any:
    """(N, H, W, C) -> (4, N, H // 2, W // 2, C)."""
    h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    return np.stack([x[:, i:h:2, j:w:2] for i in range(2) for j in range(2)])


def _max_pool2d(x: Numbers, g: Numbers | None = None) -> list[Numbers]:
    best = _corners(x.value).argmax(axis=0)
    if g is None:
        value, error = (np.take_along_axis(_corners(a), best[None], axis=0)[0] for a in (x.value, x.error))
        return [Numbers(value, error, x.eps, x.tiny)]
    value, error = np.full(x.shape, ZERO, dtype=object), np.full(x.shape, ZERO, dtype=object)
    h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    for k in range(4):
        i, j = divmod(k, 2)
        value[:, i:h:2, j:w:2] = np.where(best == k, g.value, ZERO)
        error[:, i:h:2, j:w:2] = np.where(best == k, g.error, ZERO)
    return [Numbers(value, error, x.eps, x.tiny)]


def _rows(x: Numbers) -> Numbers:
    return x.reshape(-1, x.shape[-1])


def _normalised(x: Numbers, eps: Decimal) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    rows = _rows(x)
    n = rows.shape[0]
    mean = rows.sum(axis=0) / n
    centred = rows - mean
    variance = (centred * centred).sum(axis=0) / n
    sigma = (variance + eps).sqrt()
    return centred / sigma, sigma, mean, variance


def _batch_norm(x: Numbers, scale: Numbers, shift: Numbers, g: Numbers | None = None, *, eps: Decimal) -> list[Numbers]:
    hat, sigma, mean, variance = _normalised(x, eps)
    if g is None:
        return [(hat * scale + shift).reshape(*x.shape), mean, variance]
    rows = _rows(g)
    n = rows.shape[0]
    dshift, dscale = rows.sum(axis=0), (rows * hat).sum(axis=0)
    dx = (rows - dshift / n - hat * (dscale / n)) / sigma * scale
    return [dx.reshape(*x.shape), dscale, dshift]


def _inference(
    x: Numbers,
    scale: Numbers,
    shift: Numbers,
    mean: Numbers,
    variance: Numbers,
    g: Numbers | None = None,
    *,
    eps: Decimal,
) -> list[Numbers]:
    sigma = (variance + eps).sqrt()
    hat = (_rows(x) - mean) / sigma
    if g is None:
        return [(hat * scale + shift).reshape(*x.shape)]
    rows = _rows(g)
    dshift, dscale = rows.sum(axis=0), (rows * hat).sum(axis=0)
    dx = (rows * (scale / sigma)).reshape(*x.shape)
    return [dx, dscale, dshift, -(scale / sigma) * dshift, -(scale / sigma) * (dscale / sigma) / 2]


def _block(norm: Callable, x: Numbers, w: Numbers, channels: Sequence[Numbers], g: Numbers | None) -> list[Numbers]:
    z = _conv2d(x, w)[0]
    y, *statistics = norm(z, *channels)
    if g is None:
        return [_max_pool2d(_relu(y)[0])[0], *statistics]
    dy = _relu(y, _max_pool2d(_relu(y)[0], g)[0])[0]
    dz, *dchannels = norm(z, *channels, dy)
    return [*_conv2d(x, w, dz), *dchannels]


def _outputs(w: Witness) -> list[Numbers]:
    dtype, name = w.dtype, w.operation
    floats = [numbers(a, dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in w.arguments]
    g = numbers(w.dy, dtype) if w.part == "vjp" else None
    if name in ("batch_norm", "batch_norm_inference", "conv_block", "conv_block_inference"):
        eps = in_dtype(w.parameters.get("eps", 1e-5), dtype)
        inner = _inference if name.endswith("inference") else _batch_norm
        if name.startswith("conv"):
            return _block(lambda *a: inner(*a, eps=eps), floats[0], floats[1], floats[2:], g)
        return inner(*floats, g, eps=eps)
    if name == "prototypes":
        z, labels, n = floats
        return [_mean_of_classes(z, labels, n) if g is None else _to_examples(g, labels, n)]
    if name in LOSSES:
        metric, loss = w.parameters["distance"], _prototypical if name == "prototypical_loss" else _queries
        return loss(*floats, g, metric=distance(metric.operation, metric.parameters, dtype))
    simple = {
        "log_softmax": _log_softmax,
        "cross_entropy": _cross_entropy,
        "conv2d": _conv2d,
        "relu": _relu,
        "max_pool2d": _max_pool2d,
    }
    return (simple.get(name) or distance(name, w.parameters, dtype))(*floats, g)


@cache
def exact(witness: Witness) -> list[tuple[Any, Any]]:
    """The exact outputs of a call and the bound of each element: object arrays of decimals."""
    with decimal.localcontext(CONTEXT):
        return [(n.value, n.bound) for n in _outputs(witness)]


def excess(witness: Witness, outputs: Sequence[Any]) -> float:
    """The largest |computed - exact| / bound of all elements: above 1 is wrong. Not finite, or another shape: inf."""
    truth = exact(witness)
    if len(outputs) != len(truth):
        return float("inf")
    worst = 0.0
    with decimal.localcontext(CONTEXT):
        for computed, (value, bound) in zip(outputs, truth, strict=True):
            computed = np.asarray(computed)
            if computed.shape != np.shape(value) or not np.isfinite(computed).all():
                return float("inf")
            if computed.size:
                ratio = abs(decimals(computed) - value) / bound
                worst = max(worst, *map(float, np.asarray(ratio, dtype=object).ravel()))
    return worst
