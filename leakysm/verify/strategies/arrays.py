"""Strategies for arrays and parameters: pairs of points, logits, labels, episodes, images, thresholds, metrics.

Shapes: x (N, D), c (M, D), logits (N, M), images (N, H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leakysm.ops.metrics import (
    Cosine,
    Euclidean,
    LeakySquaredEuclidean,
    Metric,
    RestrictedSquaredEuclidean,
    SquaredEuclidean,
)
from leakysm.ops.restriction import Leak, Log, Restriction, Root
from leakysm.verify.adapters.numpy_arrays import NumPyArrays

Array = Any  # a NumPy array
Draw = Callable[[st.SearchStrategy[Any]], Any]

_WIDTH = {"float16": 16, "float32": 32, "float64": 64}
DTYPES = st.sampled_from(("float16", "float32", "float64"))


def _round(values: Any, dtype: str) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values, dtype=dtype).astype(np.float64)


def numbers(dtype: str = "float32", bound: float = 4.0) -> st.SearchStrategy[float]:
    """Finite numbers of ordinary size: 0, or of magnitude between 2^-12 and `bound`."""
    width: Any = _WIDTH[dtype]
    positive = st.floats(2.0**-12, bound, width=width, allow_subnormal=False)
    return st.one_of(st.integers(-2, 2).map(float), positive, positive.map(lambda value: -value))


def arrays(shape: tuple[int, ...], dtype: str = "float32", bound: float = 4.0) -> st.SearchStrategy[Array]:
    """Arrays of `numbers`."""
    return hnp.arrays(np.float64, shape, elements=numbers(dtype, bound))


def cotangents(shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    """Signed cotangents, multiples of 1/16 that every dtype holds: never all ones."""
    return hnp.arrays(np.float64, shape, elements=st.integers(-32, 32).map(lambda value: value / 16))


PAIR_KINDS = ("plain", "coincident", "ulp-apart", "far", "equal-distances", "subnormal", "large")


@st.composite
def pairs(
    draw: Draw, dtype: str = "float32", kind: str | None = None, rows: int = 4, columns: int = 6
) -> tuple[Array, Array]:
    """x (N, D) and c (M, D) with 1 <= N, M <= rows, 1 <= D <= columns; kind: one of PAIR_KINDS, any by default."""
    n, m, d = draw(st.integers(1, rows)), draw(st.integers(1, rows)), draw(st.integers(1, columns))
    kind = draw(st.sampled_from(PAIR_KINDS)) if kind is None else kind
    x, c = draw(arrays((n, d), dtype)), draw(arrays((m, d), dtype))
    if kind in ("coincident", "ulp-apart"):
        for i, j in draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, m - 1)), min_size=1, max_size=3)):
            x[i] = c[j] if kind == "coincident" else np.nextafter(c[j].astype(dtype), np.inf).astype(np.float64)
    if kind == "far":
        origin = draw(st.sampled_from([1e2, 1e3] if dtype == "float16" else [1e3, 1e4, 1e5]))
        x, c = _round(x + origin, dtype), _round(c - 4 + origin, dtype)
    if kind == "equal-distances":
        x = np.repeat(x[:1], n, 0)
        c = np.stack([_sign_flips(draw, x[0], c[0], dtype) for _ in range(m)])
    if kind in ("subnormal", "large"):
        x, c = (_round(a * draw(_factors(dtype, kind)), dtype) for a in (x, c))
    return x, c


def _sign_flips(draw: Draw, x: Array, c: Array, dtype: str) -> Array:
    """A point as far from x as c is, up to rounding: the difference with other signs."""
    signs = draw(hnp.arrays(np.float64, x.shape, elements=st.sampled_from([-1.0, 1.0])))
    return _round(x + signs * (c - x), dtype)


def _factors(dtype: str, kind: str) -> st.SearchStrategy[float]:
    """Powers of two down to the subnormals, or up to where squared distances are just finite or just infinite."""
    low, high = {"float16": (-24, 8), "float32": (-149, 63), "float64": (-1074, 510)}[dtype]
    return (st.integers(low, low // 3) if kind == "subnormal" else st.integers(high // 2, high)).map(lambda e: 2.0**e)


@st.composite
def thresholds(draw: Draw, distances: Array) -> float:
    """A leaky threshold: ordinary, 0, inf, or next to one of the given distances, on either side or on it."""
    kind = draw(st.sampled_from(["ordinary", "at", "below", "above", "zero", "infinite"]))
    if kind == "zero" or (distances.size == 0 and kind in ("at", "below", "above")):
        return 0.0
    if kind in ("ordinary", "infinite"):
        return float("inf") if kind == "infinite" else draw(st.floats(0.0625, 16.0, width=16))
    near = np.float32(draw(st.sampled_from(sorted({float(d) for d in distances.flat if d < 1e38}) or [1.0])))
    step = {"at": near, "below": np.nextafter(near, np.float32(0)), "above": np.nextafter(near, np.float32(np.inf))}[
        kind
    ]
    return float(step)


def slopes() -> st.SearchStrategy[float]:
    """A leaky slope, 1 included."""
    return st.one_of(st.just(0.1), st.just(1.0), st.floats(2.0**-10, 1.0, width=16))


LOGIT_KINDS = ("plain", "saturated", "exploded", "offset", "equal", "infinite")


@st.composite
def logits(draw: Draw, dtype: str = "float32", kind: str | None = None, rows: int = 4, classes: int = 6) -> Array:
    """Logits (N, M): ordinary, saturated either way, exploded distances, far from 0, all equal, some -inf."""
    shape = (draw(st.integers(1, rows)), draw(st.integers(1, classes)))
    kind = draw(st.sampled_from(LOGIT_KINDS)) if kind is None else kind
    z = draw(arrays(shape, dtype))
    if kind == "equal":
        return np.full(shape, z[0, 0])
    scale = {"plain": 1.0, "infinite": 1.0, "saturated": 16.0, "exploded": -4096.0 if dtype == "float16" else -1e5}
    z = _round(z * scale.get(kind, 1.0), dtype)
    if kind == "offset":
        z = _round(z + draw(st.sampled_from([-1e3, 1e3, 1e4] if dtype == "float16" else [-1e6, 1e4, 1e6])), dtype)
    if kind == "infinite":
        hidden = draw(hnp.arrays(bool, shape))
        hidden[np.arange(shape[0]), draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))] = False
        z = np.where(hidden, -np.inf, z)
    return z


def labels(n: int, classes: int) -> st.SearchStrategy[Array]:
    """n labels in [0, classes)."""
    return hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1))


@st.composite
def support_labels(draw: Draw, way: int) -> Array:
    """Labels with every class at least once, shots that differ, in any order."""
    shots = draw(st.lists(st.integers(1, 3), min_size=way, max_size=way))
    return np.asarray(draw(st.permutations([j for j, k in enumerate(shots) for _ in range(k)])), dtype=np.int64)


@st.composite
def episodes(
    draw: Draw, dtype: str = "float32", most_way: int = 4, columns: int = 6
) -> tuple[Array, Array, Array, Array]:
    """support (S, D), its labels (S,), query (Q, D), its labels (Q,); a query may lie on a support point."""
    way, d, n = draw(st.integers(1, most_way)), draw(st.integers(1, columns)), draw(st.integers(1, 4))
    marks = draw(support_labels(way))
    spread = draw(st.sampled_from([1.0, 0.125, 4.0]))
    support = _round(draw(arrays((len(marks), d), dtype)) * spread, dtype)
    query = _round(draw(arrays((n, d), dtype)) * spread, dtype)
    if draw(st.booleans()):
        query[0] = support[draw(st.integers(0, len(marks) - 1))]
    return support, marks, query, draw(labels(n, way))


def metrics() -> st.SearchStrategy[Metric]:
    """All metrics, leaky and restricted with any parameters."""
    leaky = st.builds(
        LeakySquaredEuclidean,
        threshold=st.floats(0.0625, 16.0, width=16),
        slope=slopes(),
        per=st.sampled_from(("pair", "coordinate")),
    )
    restricted = st.builds(RestrictedSquaredEuclidean, restrictions(), st.sampled_from(("pair", "coordinate")))
    return st.one_of(st.just(SquaredEuclidean()), leaky, st.just(Euclidean()), st.just(Cosine()), restricted)


@st.composite
def images(draw: Draw, dtype: str = "float32", least: int = 1, most: int = 5, channels: int = 2) -> Array:
    """(N, H, W, C), every side from `least` to `most`; ordinary, small integers (ties), or far from 0."""
    shape = (
        draw(st.integers(1, 2)),
        *(draw(st.integers(least, most)) for _ in range(2)),
        draw(st.integers(1, channels)),
    )
    kind = draw(st.sampled_from(["ordinary", "integers", "offset"]))
    if kind == "integers":
        return draw(hnp.arrays(np.float64, shape, elements=st.integers(-1, 2).map(float)))
    values = draw(arrays(shape, dtype))
    return _round(values + 64, dtype) if kind == "offset" else values


LAYOUTS = ("contiguous", "reversed", "strided", "transposed")  # of NumPyArrays


def arranged(values: Array, layout: str) -> Array:
    """A read-only array of the values in one of LAYOUTS."""
    result: Array = NumPyArrays().placed(values, layout)
    result.flags.writeable = False
    return result


@st.composite
def layouts(draw: Draw, values: st.SearchStrategy[Array]) -> Array:
    """Non-contiguous, negative-stride, column-major and read-only views of what another strategy draws."""
    return arranged(draw(values), draw(st.sampled_from(LAYOUTS)))


def restrictions() -> st.SearchStrategy[Restriction]:
    """Log and root with parameters from 2^-10 to 2^10, and leak with a threshold that no distance is likely to meet."""
    size = st.floats(2.0**-10, 2.0**10, width=16)
    return st.one_of(st.builds(Log, size), st.builds(Root, size), st.builds(Leak, size, slopes()))
