"""Other formulas: ones that lose digits on badly conditioned input, take the wrong side, or are just wrong."""

# ruff: noqa: E501 (tables: a line an entry)

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from leakysm import ops

from .mutant import PARTS, Mutant, as_list, on_arguments, on_outputs, planted, replaced
from .witness import AXES, DISTANCES, LOSSES, METRICS, OPERATIONS, Witness, changed, witness

Function = Callable[..., Any]
FREE_LABELS = ("cross_entropy", "distance_cross_entropy")  # labels of any rows: a class may have none


def _near(call: Witness, spread: float = 1e-3, offset: float = 0.0) -> Witness:
    """x and c close to each other, and perhaps far from 0."""
    x, c = (a.astype(np.float64) for a in call.arguments)
    near = [(1 + offset + spread * a).astype(call.dtype) for a in (x, c)]
    return changed(call, arguments=tuple(near))


def _moved(call: Witness, name: str, factor: float, offset: float) -> Witness:
    """One argument scaled and moved."""
    index = list(AXES[call.operation].arguments).index(name)
    arguments = list(call.arguments)
    arguments[index] = (arguments[index].astype(np.float64) * factor + offset).astype(call.dtype)
    return changed(call, arguments=tuple(arguments))


def _expanded(x: Any, c: Any, clamp: bool = False) -> Any:
    d = (x * x).sum(axis=1)[:, None] - 2 * (x @ c.T) + (c * c).sum(axis=1)[None, :]
    return np.maximum(d, 0) if clamp else d


def _through_squares(squares: Function) -> dict[str, Function]:
    """The value of the three distances that are made of squared ones, from other squared ones."""

    def leaky(original: Any, x: Any, c: Any, *, threshold: float, slope: float, per: str = "pair") -> Any:
        if per != "pair":
            return original(x, c, threshold=threshold, slope=slope, per=per)
        d = squares(x, c)
        return (
            d
            if np.isinf(threshold)
            else np.where(d <= threshold, d, threshold + slope * (d - threshold)).astype(d.dtype)
        )

    return {
        "squared_euclidean": lambda original, x, c: squares(x, c),
        "leaky_squared_euclidean": leaky,
        "euclidean": lambda original, x, c: np.sqrt(squares(x, c)),
    }


def distances() -> Iterator[Mutant]:
    for dtype in ("float32", "float64"):
        spread = 1e-3 if dtype == "float32" else 1e-7
        for title, squares in {
            "|x|^2 - 2 x.c + |c|^2": _expanded,
            "the expansion, at least 0": lambda x, c: _expanded(x, c, clamp=True),
            "the expansion, centred at the first x": lambda x, c: _expanded(x - x[:1], c - x[:1]) if len(x) else ops.squared_euclidean(x, c),
            "the expansion beyond 25 points": lambda x, c: _expanded(x, c) if max(len(x), len(c)) > 25 else ops.squared_euclidean(x, c),
            "the expansion for D > 16": lambda x, c: _expanded(x, c) if x.shape[1] > 16 else ops.squared_euclidean(x, c),
        }.items():  # fmt: skip
            for operation, function in _through_squares(squares).items():
                call = _near(witness(operation, "value", dtype, N=27, M=3, D=18), spread)
                if "centred" in title:
                    call = _far_first(call)
                if operation == "leaky_squared_euclidean":
                    call = changed(call, parameters={"threshold": 20 * spread**2, "slope": 0.25})
                yield from planted(
                    "conditioning: expansion", f"{title} ({dtype})", call, replaced(operation, "value", function)
                )
            yield from _expanded_loss(title, squares, dtype)
    for title, squares in {
        "1e-12 added": lambda x, c: ops.squared_euclidean(x, c) + x.dtype.type(1e-12),
        "1e-6 added to each difference": lambda x, c: ops.squared_euclidean(x + x.dtype.type(1e-6), c),
        "at least 1e-12": lambda x, c: np.maximum(ops.squared_euclidean(x, c), x.dtype.type(1e-12)),
        "0 below 1e-6": lambda x, c: np.where(ops.squared_euclidean(x, c) < 1e-6, 0, ops.squared_euclidean(x, c)),
        "0 below 1e-10": lambda x, c: np.where(ops.squared_euclidean(x, c) < 1e-10, 0, ops.squared_euclidean(x, c)),
        "at most 1e4": lambda x, c: np.minimum(ops.squared_euclidean(x, c), x.dtype.type(1e4)),
        "at most 1e8": lambda x, c: np.minimum(ops.squared_euclidean(x, c), x.dtype.type(1e8)),
    }.items():
        for operation, function in _through_squares(squares).items():
            spread = 1e-3 if "added" in title and "each" not in title else 1e-7 if "1e-1" in title else 1e-4
            call = _near(witness(operation, "value", "float64"), spread)
            if "most" in title:
                call = _near(witness(operation, "value", "float64"), 1e5)
            if operation == "leaky_squared_euclidean":
                call = changed(
                    call, parameters={"threshold": 1.0, "slope": 0.25} | ({"slope": 1.0} if "most" in title else {})
                )
            yield from planted("conditioning: guards", title, call, replaced(operation, "value", function))
    yield from _guarded_gradients()
    yield from _branches()


def _expanded_loss(title: str, squares: Function, dtype: str) -> Iterator[Mutant]:
    """The loss of many classes, and its gradient, with squared distances made so, far from the origin."""

    def value(original: Any, x: Any, c: Any, labels: Any, *, distance: Any) -> Any:
        if type(distance) is not ops.SquaredEuclidean:
            return original(x, c, labels, distance=distance)
        return ops.cross_entropy(-squares(x, c), labels)

    def vjp(original: Any, x: Any, c: Any, labels: Any, dy: Any = 1.0, *, distance: Any) -> Any:
        if type(distance) is not ops.SquaredEuclidean:
            return original(x, c, labels, dy, distance=distance)
        return distance.vjp(x, c, -ops.cross_entropy_vjp(-squares(x, c), labels, dy))

    operation, origin = "distance_cross_entropy", 1e3 if dtype == "float32" else 1e7
    for part, function in (("value", value), ("vjp", vjp)):
        if "centred" in title and part == "value":
            continue  # the far row's own rounding hides it
        x, c, labels = witness(operation, part, dtype, N=27, M=3, D=18).arguments
        x, c = ((origin * ("centred" not in title) + a.astype(np.float64)).astype(dtype) for a in (x, c))
        call = changed(witness(operation, part, dtype, N=27, M=3, D=18), arguments=(x, c, labels))
        if "centred" in title:
            x = x.copy()
            x[0] += origin
            call = changed(call, arguments=(x, c, labels))
        yield from planted("conditioning: expansion", f"{title} ({dtype})", call, replaced(operation, part, function))


def _far_first(call: Witness) -> Witness:
    x, c = call.arguments
    x = x.copy()
    x[0] += 1000
    return changed(call, arguments=(x, c))


def _coincident(call: Witness) -> Witness:
    x, c = (a.copy() for a in call.arguments)
    x[0] = c[0]
    return changed(call, arguments=(x, c))


def _zero_vector(call: Witness, argument: int) -> Witness:
    arguments = [a.copy() for a in call.arguments]
    arguments[argument][0] = 0
    return changed(call, arguments=tuple(arguments))


def _euclidean_vjp(length: Function) -> Function:
    def function(original: Any, x: Any, c: Any, dy: Any) -> Any:
        difference = x[:, None] - c[None]
        terms = dy[:, :, None] * difference / length((difference**2).sum(axis=-1))[:, :, None]
        return terms.sum(axis=1), -terms.sum(axis=0)

    return function


def _guarded_gradients() -> Iterator[Mutant]:
    for title, length in {
        "no guard": np.sqrt,
        "sqrt(d + 1e-12)": lambda d: np.sqrt(d + d.dtype.type(1e-12)),
        "sqrt(d) + 1e-8": lambda d: np.sqrt(d) + d.dtype.type(1e-8),
        "sqrt(max(d, 1e-6))": lambda d: np.sqrt(np.maximum(d, d.dtype.type(1e-6))),
        "sqrt(max(d, 1e-12))": lambda d: np.sqrt(np.maximum(d, d.dtype.type(1e-12))),
    }.items():
        call = witness("euclidean", "vjp", "float64")
        call = _coincident(call) if title == "no guard" else _near(call, 1e-7 if "max" in title else 1e-5)
        functions = replaced("euclidean", "vjp", _euclidean_vjp(length))
        yield from planted("conditioning: guards", title, call, functions)

    def cosine(guard: Function) -> Function:
        def function(original: Any, x: Any, c: Any) -> Any:
            return 1 - (x / guard(x)) @ (c / guard(c)).T

        return function

    norm = lambda v: np.sqrt((v * v).sum(axis=1, keepdims=True))  # noqa: E731
    for title, guard in {
        "no guard": norm,
        "norm at least 1e-8": lambda v: np.maximum(norm(v), v.dtype.type(1e-8)),
        "norm at least 1e-4": lambda v: np.maximum(norm(v), v.dtype.type(1e-4)),
        "norm + 1e-8": lambda v: norm(v) + v.dtype.type(1e-8),
        "norm + 1e-12": lambda v: norm(v) + v.dtype.type(1e-12),
    }.items():
        for name in ("x", "c"):
            call = witness("cosine_distance", "value", "float64")
            call = _zero_vector(call, "xc".index(name)) if title == "no guard" else _moved(call, name, 1e-9, 0.0)
            functions = replaced("cosine_distance", "value", cosine(guard))
            yield from planted("conditioning: guards", f"{title}, at {name}", call, functions)
    for part in PARTS:
        for argument, name in enumerate("xc"):
            call = _zero_vector(witness("cosine_distance", part, "float64"), argument)
            for title, bad in {"NaN": np.nan, "0": 0.0, "2": 2.0, "1e-6": 1e-6}.items():

                def spoil(outs: Any, g: Any, bad: float = bad, name: str = name) -> Any:
                    zero = (g[name] == 0).all(axis=1) if g[name].shape[1] else np.zeros(len(g[name]), bool)
                    outs = [o.copy() for o in outs]
                    outs[min("xc".index(name), len(outs) - 1)][
                        zero if len(outs) > 1 or name == "x" else (slice(None), zero)
                    ] = bad
                    return outs

                functions = on_outputs("cosine_distance", part, spoil)
                yield from planted("side: zero vectors", f"{title} at a zero {name}", call, functions)
    for operation in DISTANCES[:3]:
        for part in PARTS:
            for title, bad in {"NaN": np.nan, "1e-6": 1e-6, "1": 1.0}.items():

                def at_coincident(outs: Any, g: Any, bad: float = bad) -> Any:
                    same = (g["x"][:, None] == g["c"][None]).all(axis=-1)
                    outs = [o.copy() for o in outs]
                    outs[0][same if len(outs) == 1 else same.any(axis=1)] += bad
                    return outs

                call = _coincident(witness(operation, part, "float64"))
                yield from planted(
                    "side: coincident points",
                    f"{title} more at coincident points",
                    call,
                    on_outputs(operation, part, at_coincident),
                )


def _branches() -> Iterator[Mutant]:
    """The value's and the gradient's side of the threshold, well away from it."""
    operation = "leaky_squared_euclidean"
    for per in ("pair", "coordinate"):
        for threshold, dtype in ((2.0, "float32"), (0.3, "float64"), (9.0, "float64")):
            extra = {"threshold": threshold, "slope": 0.25, "per": per}

            def of(measure: Function, factor: Function, per: str = per) -> Function:
                def function(
                    original: Any, x: Any, c: Any, dy: Any, *, threshold: float, slope: float, per: str = "pair"
                ) -> Any:
                    difference = x[:, None] - c[None]
                    squares = difference**2
                    d = squares if per == "coordinate" else squares.sum(axis=-1, keepdims=True)
                    terms = 2 * dy[:, :, None] * difference * factor(measure(d), threshold, slope)  # noqa: B023 (an argument)
                    return terms.sum(axis=1).astype(x.dtype), -terms.sum(axis=0).astype(x.dtype)

                return function

            plain = lambda d: d  # noqa: E731
            for title, measure, factor in (
                ("branches swapped", plain, lambda d, t, s: np.where(d <= t, s, 1)),
                ("the slope everywhere", plain, lambda d, t, s: s),
                ("factor 1 everywhere", plain, lambda d, t, s: 1),
                ("0 beyond the threshold", plain, lambda d, t, s: np.where(d <= t, 1, 0)),
                ("the root against t", np.sqrt, lambda d, t, s: np.where(d <= t, 1, s)),
                ("the square against t", np.square, lambda d, t, s: np.where(d <= t, 1, s)),
                ("half against t", lambda d: d / 2, lambda d, t, s: np.where(d <= t, 1, s)),
                ("against t + 0.01", plain, lambda d, t, s: np.where(d <= t + 0.01, 1, s)),
                ("the slope's root", plain, lambda d, t, s: np.where(d <= t, 1, np.sqrt(s))),
                ("a smooth step", plain, lambda d, t, s: s + (1 - s) / (1 + np.exp(np.clip(4 * (d - t), -500, 500)))),
                ("any of a row", plain, lambda d, t, s: np.where((d <= t).any(axis=1, keepdims=True), 1, s)),
                ("1 - s beyond", plain, lambda d, t, s: np.where(d <= t, 1, 1 - s / 2)),
            ):  # fmt: skip
                for size in (5, 66):
                    call = witness(operation, "vjp", dtype, extra, M=size)
                    if "0.01" in title:
                        call = _just_beyond(call)
                    functions = replaced(operation, "vjp", of(measure, factor))
                    name = f"{per}, t = {threshold}, M = {size}: {title}"
                    if size == 5:
                        yield from planted("side: threshold", name, call, functions)
            for title, change in {
                "no t before the slope": lambda d, t, s: s * (d - t),
                "s d beyond": lambda d, t, s: s * d,
                "t + s d beyond": lambda d, t, s: t + s * d,
                "t beyond": lambda d, t, s: t + 0 * d,
                "d + s (d - t) beyond": lambda d, t, s: d + s * (d - t),
                "root beyond": lambda d, t, s: np.sqrt(d * t),
                "logarithm beyond": lambda d, t, s: t + s * np.log1p(d - t),
            }.items():

                def value(
                    original: Any, x: Any, c: Any, *, threshold: float, slope: float, per: str = "pair", f: Any = change
                ) -> Any:
                    squares = (x[:, None] - c[None]) ** 2
                    d = squares.sum(axis=-1) if per == "pair" else squares
                    r = d if np.isinf(threshold) else np.where(d <= threshold, d, f(d, threshold, slope))
                    return (r if per == "pair" else r.sum(axis=-1)).astype(x.dtype)

                call = witness(operation, "value", dtype, extra)
                yield from planted(
                    "side: threshold", f"{per}, t = {threshold}: {title}", call, replaced(operation, "value", value)
                )


def _just_beyond(call: Witness) -> Witness:
    """The threshold a little below a distance (or a square) that occurs."""
    x, c = call.arguments
    squares = (x[:, None] - c[None]).astype(np.float64) ** 2
    d = squares if call.parameters.get("per", "pair") == "coordinate" else squares.sum(axis=-1)
    return changed(
        call,
        parameters={**call.parameters, "threshold": float(np.median(d) + np.max(d[d <= np.median(d)])) / 2 - 0.004},
    )


# Softmax.


def _saturated(call: Witness, gap: float) -> Witness:
    """Labels at the maximum, or (every other row) far from it."""
    logits = call.arguments[0].copy()
    rows = np.arange(len(logits))
    labels = np.asarray(call.arguments[1]) if len(call.arguments) > 1 else rows % logits.shape[1]
    logits[rows, labels] += np.asarray(np.where(rows % 2, gap, -gap) if gap < 0 else gap, dtype=logits.dtype)
    return changed(call, arguments=(logits, *call.arguments[1:]))


def _softmax(z: Any, top: Function) -> tuple[Any, Any]:
    e = np.exp(z - top(z))
    return e, e.sum(axis=1, keepdims=True)


def _row_max(z: Any) -> Any:
    return z.max(axis=1, keepdims=True)


def softmax() -> Iterator[Mutant]:
    logs: dict[str, tuple[Function, float, float]] = {
        "no maximum": (lambda z: z - np.log(np.exp(z).sum(axis=1, keepdims=True)), 1.0, 1000),
        "the maximum of all rows": (lambda z: z - (np.log(np.exp(z - z.max()).sum(axis=1, keepdims=True)) + z.max()) if z.size else z, 1.0, 1000),
        "the first column for the maximum": (lambda z: z - z[:, :1] - np.log(_softmax(z, lambda a: a[:, :1])[1]) if z.size else z, 500.0, 0),
        "log(p)": (lambda z: np.log(_softmax(z, _row_max)[0] / _softmax(z, _row_max)[1]), 40.0, 0),
        "log(p) underflowing": (lambda z: np.log(_softmax(z, _row_max)[0] / _softmax(z, _row_max)[1]), 900.0, 0),
        "log(p + 1e-12)": (lambda z: np.log(_softmax(z, _row_max)[0] / _softmax(z, _row_max)[1] + z.dtype.type(1e-12)), 40.0, 0),
        "log(p + 1e-7)": (lambda z: np.log(_softmax(z, _row_max)[0] / _softmax(z, _row_max)[1] + z.dtype.type(1e-7)), 15.0, 0),
        "log(max(p, 1e-10))": (lambda z: np.log(np.maximum(_softmax(z, _row_max)[0] / _softmax(z, _row_max)[1], z.dtype.type(1e-10))), 40.0, 0),
        "log for log1p": (lambda z: z - _row_max(z) - np.log(_softmax(z, _row_max)[1]), 40.0, 0),
        "z - logsumexp": (lambda z: z - (_row_max(z) + np.log(_softmax(z, _row_max)[1])), 1.0, 1e6),
        "logits clipped to 50": (lambda z: ops.log_softmax(np.clip(z, -50, 50)), 100.0, 0),
        "at least -100": (lambda z: np.maximum(ops.log_softmax(z), z.dtype.type(-100)), 200.0, 0),
        "at least -20": (lambda z: np.maximum(ops.log_softmax(z), z.dtype.type(-20)), 30.0, 0),
        "exponents below -20 dropped": (lambda z: z - _row_max(z) - np.log1p(np.where(z - _row_max(z) < -20, 0, np.exp(z - _row_max(z))).sum(axis=1, keepdims=True) - 1), 25.0, 0),
        "temperature 1.01": (lambda z: ops.log_softmax(z * z.dtype.type(1.01)), 1.0, 0),
        "base 2": (lambda z: z - np.log2(np.exp(z).sum(axis=1, keepdims=True)), 1.0, 0),
        "over the other axis": (lambda z: ops.log_softmax(z.T.copy()).T if z.size else z, 1.0, 0),
        "over the other axis where square": (lambda z: ops.log_softmax(z.T.copy()).T if z.size and len(z) == z.shape[1] else ops.log_softmax(z), 1.0, 0),
        "over everything": (lambda z: ops.log_softmax(z.reshape(1, -1)).reshape(z.shape), 1.0, 0),
    }  # fmt: skip
    for title, (function, gap, offset) in logs.items():
        for dtype in ("float32", "float64"):
            for operation in ("log_softmax", "cross_entropy", "distance_cross_entropy"):
                yield from planted(
                    "conditioning: softmax",
                    f"{title} ({dtype})",
                    _softmax_call(operation, dtype, title, gap, offset),
                    replaced(operation, "value", _LOSSES_OF_LOGS[operation](function)),
                )
    yield from _loss_gradients()


def _softmax_call(operation: str, dtype: str, title: str, gap: float, offset: float) -> Witness:
    """Four rows of four logits with such a gap, all of them moved by the offset."""
    moves = np.arange(4) * -1000 if title == "the maximum of all rows" else np.full(4, offset)
    if operation == "distance_cross_entropy":
        return _apart(witness(operation, "value", dtype, N=4, M=4), gap, abs(moves))
    call = _saturated(witness(operation, "value", dtype, N=4, M=4), gap)
    if title == "log for log1p" and operation == "cross_entropy":
        call = changed(call, arguments=(call.arguments[0][:1], call.arguments[1][:1]))
    logits = call.arguments[0]
    return changed(call, arguments=(logits + moves[: len(logits), None].astype(dtype), *call.arguments[1:]))


def _apart(call: Witness, gap: float, offset: Any) -> Witness:
    """Squared distances with about such a gap, each row's more by its offset; labels nearest and farthest in turn."""
    x, c, _ = (a.astype(np.float64) * np.sqrt(max(gap, 1)) for a in call.arguments)
    x, c = np.column_stack([x, np.sqrt(offset)]), np.column_stack([c, np.zeros(len(c))])
    d = ops.squared_euclidean(x, c)
    labels = np.where(np.arange(len(x)) % 2, d.argmin(axis=1), d.argmax(axis=1))
    return changed(call, arguments=(x.astype(call.dtype), c.astype(call.dtype), labels))


def _mean_loss(log_p: Any, labels: Any, dtype: Any) -> Any:
    return np.asarray(-log_p[np.arange(len(log_p)), np.asarray(labels)].sum() / max(len(log_p), 1), dtype=dtype)


_LOSSES_OF_LOGS: dict[str, Callable[[Function], Function]] = {
    "log_softmax": lambda f: lambda original, z: f(z),
    "cross_entropy": lambda f: lambda original, z, labels: _mean_loss(f(z), labels, z.dtype),
    "distance_cross_entropy": lambda f: (
        lambda original, x, c, labels, *, distance: _mean_loss(f(-distance(x, c)), labels, x.dtype)
    ),
}


def _loss_gradients() -> Iterator[Mutant]:
    def of_logits(make: Function, z: Any, labels: Any, dy: Any) -> Any:
        e, total = _softmax(z, _row_max)
        onehot = np.arange(z.shape[1])[None] == np.asarray(labels)[:, None]
        return (make(e / total, onehot) * (np.asarray(dy) / len(z))).astype(z.dtype)

    def by(make: Function) -> Function:
        def function(original: Any, z: Any, labels: Any, dy: Any = 1.0) -> Any:
            return of_logits(make, z, labels, dy) if z.size else original(z, labels, dy)

        return function

    def by_distances(make: Function) -> Function:
        def function(original: Any, x: Any, c: Any, labels: Any, dy: Any = 1.0, *, distance: Any) -> Any:
            if not x.size:
                return original(x, c, labels, dy, distance=distance)
            return distance.vjp(x, c, -of_logits(make, -distance(x, c), labels, dy))

        return function

    for title, make in {
        "p - 1 at the label": lambda p, h: p - h,
        "1e-7 added to p": lambda p, h: p + p.dtype.type(1e-7) - h,
        "0 below 1e-8": lambda p, h: np.where(np.abs(p - h) < 1e-8, 0, p - h),
        "0 at the label": lambda p, h: np.where(h, 0, p),
        "p at the label": lambda p, h: p,
        "negated": lambda p, h: h - p,
        "p clipped to 1e-6": lambda p, h: np.clip(p, 1e-6, 1 - 1e-6) - h,
        "times p": lambda p, h: (p - h) * p,
        "smoothed labels": lambda p, h: p - (0.99 * h + 0.01 / p.shape[1]),
        "divided by the classes": lambda p, h: (p - h) / p.shape[1],
    }.items():
        for dtype in ("float32", "float64"):
            gap = 18.0 if dtype == "float32" else 40.0
            call, of_z = (
                _saturated(witness("cross_entropy", "vjp", dtype), gap),
                replaced("cross_entropy", "vjp", by(make)),
            )
            yield from planted("conditioning: softmax", f"{title} ({dtype})", call, of_z)
            call = _apart(witness("distance_cross_entropy", "vjp", dtype), gap, np.zeros(3))
            of_x = replaced("distance_cross_entropy", "vjp", by_distances(make))
            yield from planted("conditioning: softmax", f"{title} ({dtype})", call, of_x)
    for part in PARTS:
        for title, factor in {
            "a sum, not a mean": lambda n: n,
            "divided by N twice": lambda n: 1 / max(n, 1),
            "divided by N - 1": lambda n: n / max(n - 1, 1),
            "divided by N + 1": lambda n: n / (n + 1),
            "divided by 32 beyond 32 rows": lambda n: n / 32 if n > 32 else 1,
        }.items():
            for operation in FREE_LABELS:
                first = next(iter(AXES[operation].arguments))
                functions = on_outputs(
                    operation, part, lambda outs, g, f=factor, name=first: [o * f(len(g[name])) for o in outs]
                )
                call = witness(operation, part, "float64", N=35)
                yield from planted("structure: factors", title, call, functions)


# Batch norm.


def _moments(title: str) -> Function:
    def one_pass(rows: Any) -> tuple[Any, Any]:
        mean = rows.mean(axis=0)
        return mean, (rows * rows).mean(axis=0) - mean * mean

    return {
        "E[x^2] - E[x]^2": one_pass,
        "E[x^2] - E[x]^2, at least 0": lambda rows: (one_pass(rows)[0], np.maximum(one_pass(rows)[1], 0)),
        "one pass, moved by the first": lambda rows: (one_pass(rows - rows[:1])[0] + rows[0], one_pass(rows - rows[:1])[1]),
        "one pass beyond 16 values": lambda rows: one_pass(rows) if len(rows) > 16 else (rows.mean(axis=0), rows.var(axis=0)),
        "unbiased": lambda rows: (rows.mean(axis=0), rows.var(axis=0, ddof=1)),
        "no mean subtracted": lambda rows: (rows.mean(axis=0) * 0, rows.var(axis=0)),
        "variance about 0": lambda rows: (rows.mean(axis=0), (rows * rows).mean(axis=0)),
        "the median for the mean": lambda rows: (np.median(rows, axis=0), rows.var(axis=0)),
        "statistics of all channels": lambda rows: (rows.mean(axis=0) * 0 + rows.mean(), rows.var(axis=0) * 0 + rows.var()),
        "variance at least 1e-6": lambda rows: (rows.mean(axis=0), np.maximum(rows.var(axis=0), rows.dtype.type(1e-6))),
        "mean absolute deviation": lambda rows: (rows.mean(axis=0), np.abs(rows - rows.mean(axis=0)).mean(axis=0) ** 2),
        "the first half of the rows": lambda rows: (rows[: (len(rows) + 1) // 2].mean(axis=0), rows[: (len(rows) + 1) // 2].var(axis=0)),
        "all rows but the last": lambda rows: (rows[:-1].mean(axis=0), rows[:-1].var(axis=0)),
    }[title]  # fmt: skip


TITLES = (
    "E[x^2] - E[x]^2", "E[x^2] - E[x]^2, at least 0", "one pass, moved by the first", "one pass beyond 16 values",
    "unbiased", "no mean subtracted", "variance about 0", "the median for the mean", "statistics of all channels",
    "variance at least 1e-6", "mean absolute deviation", "the first half of the rows", "all rows but the last",
)  # fmt: skip


def _root(v: Any, eps: float) -> Any:
    return np.sqrt(v + v.dtype.type(eps))


def _normed(moments: Function, sigma: Function) -> tuple[Function, Function]:
    """Batch norm, value and vjp, with other moments or another deviation."""

    def value(x: Any, scale: Any, shift: Any, *, eps: float = 1e-5) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        mean, variance = (m.astype(x.dtype) for m in moments(rows))
        y = (rows - mean) / sigma(variance, eps) * scale + shift
        return y.reshape(x.shape).astype(x.dtype), mean, variance

    def vjp(x: Any, scale: Any, shift: Any, dy: Any, *, eps: float = 1e-5) -> Any:
        rows, g = x.reshape(-1, x.shape[-1]), dy.reshape(-1, x.shape[-1])
        mean, variance = (m.astype(x.dtype) for m in moments(rows))
        s = sigma(variance, eps)
        hat = (rows - mean) / s
        dshift, dscale = g.sum(axis=0), (g * hat).sum(axis=0)
        dx = scale / s * (g - dshift / len(g) - hat * dscale / len(g))
        return dx.reshape(x.shape).astype(x.dtype), dscale.astype(x.dtype), dshift.astype(x.dtype)

    return value, vjp


def _in_block(part: str, norm: tuple[Function, Function]) -> Function:
    value, vjp = norm

    def block(original: Any, x: Any, w: Any, scale: Any, shift: Any, *rest: Any, eps: float = 1e-5) -> Any:
        z = ops.conv2d(x, w)
        y, mean, variance = value(z, scale, shift, eps=eps)
        if part == "value":
            return ops.max_pool2d(ops.relu(y)), mean, variance
        g = ops.relu_vjp(y, ops.max_pool2d_vjp(ops.relu(y), rest[0]))
        dz, dscale, dshift = vjp(z, scale, shift, g, eps=eps)
        return (*ops.conv2d_vjp(x, w, dz), dscale, dshift)

    return block


def norms() -> Iterator[Mutant]:
    sigmas: dict[str, Function] = {
        "eps outside the root": lambda v, e: np.sqrt(v) + v.dtype.type(e),
        "eps squared under the root": lambda v, e: np.sqrt(v + v.dtype.type(e * e)),
        "at least eps": lambda v, e: np.sqrt(np.maximum(v, v.dtype.type(e))),
        "no root": lambda v, e: v + v.dtype.type(e),
        "1 where small": lambda v, e: np.where(v < 1e-6, 1, _root(v, e)).astype(v.dtype),
    }
    kinds = {t: (_moments(t), _root) for t in TITLES} | {t: (_moments_right, s) for t, s in sigmas.items()}
    for title, (moments, sigma) in kinds.items():
        norm = _normed(moments, sigma)
        for part in PARTS:
            for dtype in ("float32", "float64"):
                call = witness("batch_norm", part, dtype, {"eps": 1e-3}, n=19)
                if "pass" in title or "E[" in title:
                    call = _moved(call, "x", 1.0, 300.0 if dtype == "float32" else 1e5)
                if "moved by the first" in title:
                    rows = call.arguments[0].copy()
                    rows[0] = 0
                    call = changed(call, arguments=(rows, *call.arguments[1:]))
                if "small" in title or "1e-6" in title:
                    call = changed(_moved(call, "x", 1e-4, 0.0), parameters={"eps": 1e-9})
                change = lambda original, *a, f=norm[part == "vjp"], **p: f(*a, **p)  # noqa: E731
                family = "conditioning: moments" if "pass" in title or "E[" in title else "structure: batch norm"
                yield from planted(family, f"{title} ({dtype})", call, replaced("batch_norm", part, change))
            call = witness("conv_block", part, "float64", {"eps": 1e-3})
            if "pass" not in title and "E[" not in title:
                if "small" in title or "1e-6" in title:
                    call = changed(_moved(call, "w", 1e-5, 0.0), parameters={"eps": 1e-9})
                functions = replaced("conv_block", part, _in_block(part, norm))
                yield from planted("structure: batch norm", title, call, functions)
    yield from _norm_terms()


def _moments_right(rows: Any) -> tuple[Any, Any]:
    return rows.mean(axis=0), rows.var(axis=0)


def _norm_terms() -> Iterator[Mutant]:
    """One term of batch norm's dx left out, doubled, or another n."""
    for title, (a, b, extra) in {
        "no mean term": (0, 1, 0), "no variance term": (1, 0, 0), "neither term": (0, 0, 0),
        "the mean term twice": (2, 1, 0), "the variance term twice": (1, 2, 0), "n - 1": (1, 1, -1), "n + 1": (1, 1, 1),
        "the variance term added": (1, -1, 0),
    }.items():  # fmt: skip

        def vjp(
            x: Any, scale: Any, shift: Any, dy: Any, *, eps: float = 1e-5, a: int = a, b: int = b, extra: int = extra
        ) -> Any:
            _, dscale, dshift = ops.batch_norm_vjp(x, scale, shift, dy, eps=eps)
            rows, g = x.reshape(-1, x.shape[-1]), dy.reshape(-1, x.shape[-1])
            n, s = len(rows) + extra, _root(rows.var(axis=0), eps)
            hat = (rows - rows.mean(axis=0)) / s
            return (
                (scale / s * (g - a * dshift / n - b * hat * dscale / n)).reshape(x.shape).astype(x.dtype),
                dscale,
                dshift,
            )

        call = witness("batch_norm", "vjp", "float64")
        functions = replaced("batch_norm", "vjp", lambda original, *args, f=vjp, **p: f(*args, **p))
        yield from planted("structure: batch norm", title, call, functions)
        block = _in_block("vjp", (ops.batch_norm, vjp))
        yield from planted(
            "structure: batch norm", title, witness("conv_block", "vjp"), replaced("conv_block", "vjp", block)
        )


# Everything that a gradient can be but right; then ops with structure of their own.


def gradients() -> Iterator[Mutant]:
    effects: dict[str, Function] = {
        "negated": lambda g: -g,
        "doubled": lambda g: g * 2,
        "zero": lambda g: g * 0,
        "NaN": lambda g: g * np.nan,
        "its absolute value": np.abs,
        "transposed where square": lambda g: g.T if g.ndim == 2 and g.shape[0] == g.shape[1] else g,
        "shifted by one": lambda g: np.roll(g, 1),
        "reversed": lambda g: g[::-1] if g.ndim else g,
        "clipped to 1": lambda g: np.clip(g, -1, 1),
        "its mean everywhere": lambda g: np.full_like(g, g.mean()) if g.size else g,
        "one element negated": lambda g: np.where(np.arange(g.size).reshape(g.shape) == g.size // 2, -g, g),
        "0 below 1e-3": lambda g: np.where(np.abs(g) < 1e-3, 0, g),
    }
    for operation in OPERATIONS:
        square = {"N": 5, "M": 5, "S": 12, "Q": 5, "n": 3, "C": 3, "F": 3, "D": 5}
        if operation == "prototypes":
            square = {"S": 5, "D": 5, "M": 3}
        for part in PARTS:
            call = witness(operation, part, "float64", **square)
            small = changed(call, dy=call.dy * 1e-4) if part == "vjp" else call
            results = list(AXES[operation].gradients if part == "vjp" else AXES[operation].outputs)
            for i, name in enumerate(results):
                for title, effect in effects.items():
                    functions = on_outputs(
                        operation,
                        part,
                        lambda outs, _, i=i, f=effect: [f(o) if k == i else o for k, o in enumerate(outs)],
                    )
                    yield from planted(
                        "structure: results", f"{name} {title}", small if "1e-3" in title else call, functions
                    )
            for i in range(len(results)):
                for j in range(i):

                    def swapped(outs: Any, _: Any, i: int = i, j: int = j) -> Any:
                        outs = list(outs)
                        if outs[i].shape == outs[j].shape:
                            outs[i], outs[j] = outs[j], outs[i]
                        return outs

                    yield from planted(
                        "structure: order",
                        f"{results[j]} and {results[i]} swapped where alike",
                        call,
                        on_outputs(operation, part, swapped),
                    )


def _turned(g: dict[str, Any]) -> dict[str, Any]:
    square = g["x"].shape[1] == g["x"].shape[2]
    return {"x": np.ascontiguousarray(g["x"].transpose(0, 2, 1, 3))} if square else {}


def images() -> Iterator[Mutant]:
    flips: dict[str, Function] = {
        "kernel turned by 180 degrees": lambda w: w[::-1, ::-1],
        "kernel transposed": lambda w: w.transpose(1, 0, 2, 3),
        "kernel's channels and filters swapped where equal": lambda w: w.transpose(0, 1, 3, 2) if w.shape[2] == w.shape[3] else w,
        "kernel's channels reversed": lambda w: w[:, :, ::-1],
        "kernel without its last row": lambda w: np.concatenate([w[:2], w[2:] * 0]),
        "kernel without its centre": lambda w: w - np.eye(3)[:, :, None, None].astype(w.dtype) * w * (np.arange(3) == 1)[:, None, None, None],
        "kernel without one corner": lambda w: np.where((np.arange(9) == 8).reshape(3, 3, 1, 1), 0, w),
        "kernel's corners halved": lambda w: w * np.where(np.abs(np.arange(9) - 4).reshape(3, 3, 1, 1) % 4 == 0, 1, 0.5).astype(w.dtype),
    }  # fmt: skip
    for operation in ("conv2d", "conv_block", "conv_block_inference"):
        for part in PARTS:
            call = witness(operation, part, "float64", C=3, F=3)
            for title, flip in flips.items():
                functions = on_arguments(operation, part, lambda g, f=flip: {"w": np.ascontiguousarray(f(g["w"]))})
                yield from planted("structure: convolution", title, call, functions)
            for title, change in {
                "edges repeated": "edge", "edges mirrored": "symmetric", "wrapped around": "wrap",
            }.items():  # fmt: skip
                if operation != "conv2d" or part != "value":
                    continue

                def padded(original: Any, x: Any, w: Any, mode: str = change) -> Any:
                    if 0 in x.shape:
                        return original(x, w)
                    return np.ascontiguousarray(
                        original(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode), w)[:, 1:-1, 1:-1]
                    )

                yield from planted("structure: convolution", title, call, replaced(operation, part, padded))
            for name in ("x", "dy"):
                for axis, word in ((1, "row"), (2, "column")):
                    for end in (0, -1):
                        if name == "dy" and part == "value":
                            continue

                        def cut(
                            g: dict[str, Any], name: str = name, axis: int = axis, end: int = end
                        ) -> dict[str, Any]:
                            array = g[name].copy()
                            if array.shape[axis]:
                                np.moveaxis(array, axis, 0)[end] = 0
                            return {name: array}

                        title = f"the {'first' if end == 0 else 'last'} {word} of {name} zeroed"
                        yield from planted("structure: convolution", title, call, on_arguments(operation, part, cut))
            functions = on_arguments(operation, part, _turned)
            call = witness(operation, part, "float64", H=4, W=4)
            yield from planted("structure: convolution", "images transposed where square", call, functions)
    yield from _pools()
    yield from _relus()


def _tied(call: Witness) -> Witness:
    """Every window has its maximum twice."""
    x = call.arguments[0].copy()
    h = x.shape[1] // 2 * 2
    x[:, 1:h:2] = x[:, 0:h:2]
    return changed(call, arguments=(x,))


def _pools() -> Iterator[Mutant]:
    operation = "max_pool2d"

    def corners(x: Any) -> Any:
        h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        return np.stack([x[:, i:h:2, j:w:2] for i in range(2) for j in range(2)])

    for title, pool in {
        "the mean": lambda c: c.mean(axis=0),
        "the minimum": lambda c: c.min(axis=0),
        "the largest magnitude": lambda c: np.take_along_axis(c, np.abs(c).argmax(axis=0)[None], axis=0)[0],
        "at least 0": lambda c: np.maximum(c.max(axis=0), 0),
        "the first three": lambda c: c[:3].max(axis=0),
        "the last three": lambda c: c[1:].max(axis=0),
        "the top row": lambda c: c[:2].max(axis=0),
        "the diagonal": lambda c: c[::3].max(axis=0),
        "a smooth maximum": lambda c: np.log(np.exp(10 * c).sum(axis=0)) / 10,
        "the second largest": lambda c: np.sort(c, axis=0)[-2],
        "the median where all are negative": lambda c: np.where(
            (c < 0).all(axis=0), np.sort(c, axis=0)[1], c.max(axis=0)
        ),
    }.items():
        functions = replaced(operation, "value", lambda original, x, f=pool: f(corners(x)).astype(x.dtype))
        yield from planted("structure: pool", title, witness(operation, "value"), functions)
    for title, change in {
        "odd sizes: windows from the second row": lambda x: x[:, 1:] if x.shape[1] % 2 else x,
        "odd sizes: windows from the second column": lambda x: (
            np.ascontiguousarray(x[:, :, 1:]) if x.shape[2] % 2 else x
        ),
        "odd sizes: the last row twice": lambda x: (
            np.concatenate([x[:, :-2], x[:, -1:]], axis=1) if x.shape[1] % 2 and x.shape[1] > 1 else x
        ),
    }.items():
        functions = replaced(operation, "value", lambda original, x, f=change: original(f(x)))
        call = witness(operation, "value", H=5, W=7)
        yield from planted("structure: pool", title, call, functions)

    def share(where: Function) -> Function:
        def function(original: Any, x: Any, dy: Any) -> Any:
            dx, (h, w) = np.zeros_like(x), (x.shape[1] // 2 * 2, x.shape[2] // 2 * 2)
            weights = where(corners(x))
            for k in range(4):
                dx[:, k // 2 : h : 2, k % 2 : w : 2] = weights[k] * dy
            return dx

        return function

    first = lambda c: np.arange(4)[:, None, None, None, None] == c.argmax(axis=0)[None]  # noqa: E731
    for title, where in {
        "to the minimum": lambda c: c == c.min(axis=0),
        "shared by all": lambda c: np.full(c.shape, 0.25),
        "to the largest magnitude": lambda c: np.abs(c) == np.abs(c).max(axis=0),
        "to the first position": lambda c: np.arange(4)[:, None, None, None, None] == 0 * c,
        "to the last position": lambda c: np.arange(4)[:, None, None, None, None] == 3 + 0 * c,
        "nowhere where the maximum is negative": lambda c: first(c) & (c.max(axis=0) > 0),
        "doubled where the maximum is negative": lambda c: first(c) * np.where(c.max(axis=0) < 0, 2.0, 1.0),
        "halved": lambda c: first(c) * 0.5,
        "down and right swapped": lambda c: first(c)[[0, 2, 1, 3]],
        "twice at ties": lambda c: first(c) * (c == c.max(axis=0)).sum(axis=0),
        "negated at ties": lambda c: first(c) * np.where((c == c.max(axis=0)).sum(axis=0) > 1, -1.0, 1.0),
        "to what is no maximum at ties": lambda c: np.where(
            (c == c.max(axis=0)).sum(axis=0) > 1, c < c.max(axis=0), first(c)
        ),
        "NaN at ties": lambda c: first(c) * np.where((c == c.max(axis=0)).sum(axis=0) > 1, np.nan, 1.0),
    }.items():
        call = witness(operation, "vjp", H=5, W=5)
        call = _tied(call) if "ties" in title else call
        yield from planted("structure: pool", title, call, replaced(operation, "vjp", share(where)))


def _relus() -> Iterator[Mutant]:
    for title, (f, df, factor) in {
        "leaky 0.01": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01), 1),
        "leaky 1e-4": (lambda x: np.where(x > 0, x, 1e-4 * x), lambda x: np.where(x > 0, 1, 1e-4), 1),
        "absolute value": (np.abs, np.sign, 1),
        "at most 6": (lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6), 10),
        "at most 100": (lambda x: np.clip(x, 0, 100), lambda x: (x > 0) & (x < 100), 1000),
        "at most 1e6": (lambda x: np.clip(x, 0, 1e6), lambda x: (x > 0) & (x < 1e6), 1e8),
        "softplus": (lambda x: np.log1p(np.exp(x)), lambda x: 1 / (1 + np.exp(-x)), 1),
        "threshold 1e-3": (lambda x: np.where(x > 1e-3, x, 0), lambda x: x > 1e-3, 1e-3),
        "threshold 1e-6": (lambda x: np.where(x > 1e-6, x, 0), lambda x: x > 1e-6, 1e-6),
        "gelu": (lambda x: x / (1 + np.exp(-1.702 * x)), lambda x: 1 / (1 + np.exp(-1.702 * x)), 1),
        "negated": (lambda x: np.minimum(x, 0), lambda x: x < 0, 1),
        "identity": (lambda x: x * 1, lambda x: 1.0, 1),
        "squared": (lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0), 1),
        "step": (lambda x: (x > 0) * 1.0, lambda x: 0.0, 1),
        "2 at 0": (lambda x: np.where(x == 0, 2, np.maximum(x, 0)), lambda x: np.where(x == 0, 2, x > 0), 0),
        "-1 at 0": (lambda x: np.where(x == 0, -1, np.maximum(x, 0)), lambda x: np.where(x == 0, -1, x > 0), 0),
        "NaN at 0": (lambda x: np.where(x == 0, np.nan, np.maximum(x, 0)), lambda x: np.where(x == 0, np.nan, x > 0), 0),
    }.items():  # fmt: skip
        for dtype in ("float32", "float64"):
            for part in PARTS:
                call = _moved(witness("relu", part, dtype, n=21), "x", factor, 0.0)
                change = lambda original, x, *dy, f=f, df=df: (df(x) * dy[0] if dy else f(x)).astype(x.dtype)  # noqa: E731
                yield from planted("side: relu", f"{title} ({dtype})", call, replaced("relu", part, change))


# Labels and shots.


def episodes() -> Iterator[Mutant]:
    def labels_of(g: dict[str, Any]) -> tuple[str, Any]:
        key = "labels" if "labels" in g else "support_labels"
        return key, np.asarray(g[key])

    changes: dict[str, Function] = {
        "labels sorted": np.sort,
        "labels reversed": lambda v: v[::-1].copy(),
        "labels as if in blocks": lambda v: np.repeat(np.unique(v), -(-len(v) // len(np.unique(v))))[: len(v)],
        "labels as if taking turns": lambda v: np.arange(len(v)) % (v.max() + 1) if len(v) else v,
        "labels 0 and 1 swapped": lambda v: np.where(v < 2, 1 - v, v) if v.size and v.max() > 0 else v,
        "the last label as the first's": lambda v: (
            np.where(np.arange(len(v)) == len(v) - 1, v[:1], v) if (v == v[-1:]).sum() > 1 else v
        ),
    }
    for operation in ("prototypes", "prototypical_loss", *FREE_LABELS):
        for part in PARTS:
            for title, change in changes.items():

                def relabelled(g: dict[str, Any], f: Any = change) -> dict[str, Any]:
                    key, labels = labels_of(g)
                    return {key: f(labels)}

                dims = {"M": 4, "N": 9}
                yield from planted(
                    "structure: labels",
                    title,
                    witness(operation, part, "float64", **dims),
                    on_arguments(operation, part, relabelled),
                )
            for s in (2, 4, 8, 16, 32, 64, 100, 127, 255):
                for title, move in {"off by one": lambda v: np.maximum(v - 1, 0), "as 0": lambda v: v * 0}.items():

                    def moved(
                        g: dict[str, Any], s: int = s, f: Any = move, operation: str = operation
                    ) -> dict[str, Any]:
                        key, labels = labels_of(g)
                        last = labels == labels.max() if labels.size else labels
                        enough = operation in FREE_LABELS or (labels == labels.max()).sum() > 1
                        found = np.where(
                            (labels >= s) & (last if operation not in FREE_LABELS else True), f(labels), labels
                        )
                        if operation not in FREE_LABELS:  # one shot stays, so that no class is empty
                            found[np.flatnonzero(last)[:1]] = labels.max() if labels.size else 0
                        return {key: found} if enough else {}

                    call = witness(operation, part, "float64", M=s + 2, N=9)
                    if operation in FREE_LABELS:
                        *arrays, labels = call.arguments
                        call = changed(call, arguments=(*arrays, np.where(np.arange(9) % 2, s + 1, labels)))
                    else:
                        call = _two_of_the_last(call)
                    yield from planted(
                        "structure: labels", f"labels >= {s} {title}", call, on_arguments(operation, part, moved)
                    )
            if operation not in FREE_LABELS:
                yield from _shots(operation, part)
    for part in PARTS:
        call = witness("prototypical_loss", part, "float64")
        for title, change in changes.items():
            functions = on_arguments(
                "prototypical_loss", part, lambda g, f=change: {"query_labels": f(np.asarray(g["query_labels"]))}
            )
            yield from planted("structure: labels", f"query {title}", call, functions)


def _two_of_the_last(call: Witness) -> Witness:
    labels = call.arguments[1].copy()
    highest = labels.max()
    free = [i for i in range(len(labels)) if (labels == labels[i]).sum() > 1 and labels[i] != highest]
    if (labels == highest).sum() < 2 and free:
        labels[free[0]] = highest
    return changed(call, arguments=(call.arguments[0], labels, *call.arguments[2:]))


def _shots(operation: str, part: str) -> Iterator[Mutant]:
    """Unbalanced shots, and shots beyond some number. The support is reweighted before the right functions see it."""
    index = 0

    def weighted(weights: Function) -> Function:
        def function(original: Any, *args: Any, **parameters: Any) -> Any:
            z, labels = args[0], np.asarray(args[1])
            if not z.size:
                return original(*args, **parameters)
            factor = weights(labels)[:, None].astype(z.dtype)
            result = original(z * factor, *args[1:], **parameters)
            if part == "value":
                return result
            outputs = as_list(result)
            outputs[index] = outputs[index] * factor
            return outputs[0] if len(outputs) == 1 else tuple(outputs)

        return function

    def counts(labels: Any) -> Any:
        return np.bincount(labels)[labels]

    def rank(labels: Any) -> Any:
        return np.array([(labels[:i] == labels[i]).sum() for i in range(len(labels))])

    for title, weights in {
        "divided by the mean number": lambda v: counts(v) / (len(v) / (v.max() + 1)),
        "divided by the largest number": lambda v: counts(v) / counts(v).max(),
        "divided by the smallest number": lambda v: counts(v) / counts(v).min(),
        "divided by the first class's number": lambda v: counts(v) / np.bincount(v)[0],
        "not divided": lambda v: counts(v) * 1.0,
        "divided twice": lambda v: 1 / counts(v),
        "divided by one too many": lambda v: counts(v) / (counts(v) + 1),
        "the first shot alone": lambda v: counts(v) * (rank(v) == 0),
        "the last shot alone": lambda v: counts(v) * (rank(v) == counts(v) - 1),
        "the first class wrong": lambda v: np.where(v == 0, 1.01, 1.0),
        "the last class wrong": lambda v: np.where(v == v.max(), 1.01, 1.0),
        "the class of the most shots wrong": lambda v: np.where(counts(v) == counts(v).max(), 1.01, 1.0),
        "classes of one shot wrong": lambda v: np.where(counts(v) == 1, 1.01, 1.0),
    }.items():
        call = _one_shot(witness(operation, part, "float64", S=13, M=4))
        yield from planted("structure: shots", title, call, replaced(operation, part, weighted(weights)))
    for s in (1, 2, 3, 4, 5, 8, 15, 16, 20, 31, 32, 33, 64, 100, 128, 256, 512):
        for title, weights in {
            f"shots beyond {s} ignored": lambda v, s=s: np.where(
                rank(v) < s, counts(v) / np.minimum(counts(v), s), 0.0
            ),
            f"shots beyond {s} not added": lambda v, s=s: np.where(rank(v) < s, 1.0, 0.0),
            f"the last beyond {s} doubled": lambda v, s=s: np.where(
                (counts(v) > s) & (rank(v) == counts(v) - 1), 2.0, 1.0
            ),
        }.items():
            call = witness(operation, part, "float64", S=2 * s + 6, M=2)
            yield from planted("structure: shots", title, call, replaced(operation, part, weighted(weights)))


def _one_shot(call: Witness) -> Witness:
    """Class 1 has one shot, class 0 the rest that it had."""
    labels = call.arguments[1].copy()
    labels[np.flatnonzero(labels == 1)[1:]] = 0
    return changed(call, arguments=(call.arguments[0], labels, *call.arguments[2:]))


def losses(operation: str) -> Iterator[Mutant]:
    queries = "query" if operation == "prototypical_loss" else "x"
    for name, metric in METRICS.items():
        for part in PARTS:
            call = witness(operation, part, "float64", {"distance": metric})
            for title, effect in {"doubled": 2.0, "negated": -1.0, "1 % more": 1.01}.items():
                functions = on_outputs(
                    operation,
                    part,
                    lambda outs, g, m=metric, f=effect: (
                        [o * f for o in outs] if type(g["distance"]) is type(m) else outs
                    ),
                )
                yield from planted("structure: loss", f"{name} {title}", call, functions)

            def closer(g: dict[str, Any], m: Any = metric) -> dict[str, Any]:
                return {queries: g[queries] * g[queries].dtype.type(1.01)} if type(g["distance"]) is type(m) else {}

            yield from planted(
                "structure: loss", f"{name}: queries 1 % longer", call, on_arguments(operation, part, closer)
            )


def mutants() -> Iterator[Mutant]:
    for family in (distances, softmax, norms, gradients, images, episodes):
        yield from family()
    for operation in LOSSES:
        yield from losses(operation)
