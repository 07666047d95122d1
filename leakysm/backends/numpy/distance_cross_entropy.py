"""Softmax cross-entropy of negative distances, float32, tile by tile: the distances (N, M) are never held as a whole.

    z = -d      loss = mean of log(sum over j of exp(z_j)) - z_label      dL/dd = -(p - onehot) dy / N

A tile is some queries by some classes. The engine's own pair makes its distances, on all threads; the softmax takes the
tile in groups of rows, a thread each. What a row keeps from tile to tile is the largest logit so far, and S, the sum of
exp(z_j - largest) over all other classes, in float64. Two parts of a row are merged without cancellation:

    largest = max(l1, l2)      S = S1 + (1 + S2) exp(l2 - l1) for l1 >= l2, else S2 + (1 + S1) exp(l1 - l2)

A merge in float64 costs no rounding that counts in float32. The backward pass computes every tile's distances again,
turns them into dL/dd, and takes the pair's own gradients. Their sums over the tiles are in float64.

Beyond arguments and results this needs some 20 bytes a distance of a tile, so 80 MB, for any N and M. The reference
computes float64, and metrics that are no operations of this engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats, Integers
from leakysm.backends.numpy.runs import cut
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.protocol import Pair, ReferenceSaved, reference_pair
from leakysm.ops.arrays import integer_labels, quiet, require_same_width, require_shape, working
from leakysm.ops.cross_entropy import require_cotangent
from leakysm.ops.metrics import Metric, require_metric

FEW = 4  # queries, for which a tile has `values` classes


@dataclass(frozen=True)
class LossTiling:
    """The tiles of the loss: their queries and classes. values: how many a thread takes at a time, to stay in cache.

    With few queries a tile has more classes, up to `values`.
    """

    queries: int = 4096
    classes: int = 1024
    values: int = 1 << 16

    def runs(self, x: Floats, c: Floats) -> list[slice]:
        """The classes of each tile."""
        wider = self.values // self.classes // -(-len(x) // FEW)
        return list(cut(len(c), self.classes * max(1, wider)))


class Rows(NamedTuple):
    """The largest logit of every query (N,), its first class, S, and the logit at the label. NaN where undefined."""

    largest: Doubles
    first: Integers
    others: Doubles
    label: Doubles

    def at(self, place: slice) -> Rows:
        """Views of the four arrays, of some rows only."""
        return Rows(self.largest[place], self.first[place], self.others[place], self.label[place])


class Queries(NamedTuple):
    """The arguments x (N, D), c (M, D), labels (N,) and the metric, and the softmax of every row."""

    x: Floats
    c: Floats
    labels: Integers
    distance: Metric
    rows: Rows


class DistanceCrossEntropy:
    """The operation `distance_cross_entropy`. operation: the engine's function that gives a metric's pair by name."""

    def __init__(self, operation: Callable[[str], Pair], workers: Workers, tiling: LossTiling) -> None:
        self._operation, self._workers, self._tiling, self._scratch = operation, workers, tiling, Scratch()

    @quiet
    def forward(
        self, x: Floats, c: Floats, labels: Any, *, distance: Metric
    ) -> tuple[Floats, Queries | ReferenceSaved]:
        """x (N, D), c (M, D), labels (N,) -> scalar (0-d array)."""
        require_metric(distance)
        if x.dtype != np.float32 or not len(x) or not distance.is_operation:
            return reference_pair("distance_cross_entropy").forward(x, c, labels, distance=distance)
        xp = working(x=x, c=c)[0]
        require_same_width(x, c)
        labels = integer_labels(xp, labels, x, len(x), len(c))
        parts = [self._rows(x, c, labels, distance, queries) for queries in cut(len(x), self._tiling.queries)]
        largest, first, others, label = (np.concatenate(part) for part in zip(*parts, strict=True))
        rows = Rows(largest, first, others, label)
        losses = np.log1p(rows.others) - (rows.label - rows.largest)
        return np.asarray(losses.mean(), np.float32), Queries(x, c, labels, distance, rows)

    def _rows(self, x: Floats, c: Floats, labels: Integers, distance: Metric, queries: slice) -> Rows:
        """The softmax of these queries over all classes."""
        x, labels = x[queries], labels[queries]
        n, pair = len(x), self._operation(distance.operation)
        rows = Rows(np.full(n, -np.inf), np.zeros(n, np.int64), np.full(n, -1.0), np.zeros(n))
        for classes in self._tiling.runs(x, c):
            d, _ = pair.forward(x, c[classes], **distance.parameters)
            self._workers.map(partial(self._add, rows, d, labels, classes), self._groups(d))
        undefined = ~np.isfinite(rows.largest)
        rows.largest[undefined] = rows.others[undefined] = np.nan
        return rows

    def _groups(self, d: Floats) -> list[slice]:
        return list(cut(len(d), max(self._tiling.values // d.shape[1], 1)))

    def _add(self, rows: Rows, d: Floats, labels: Integers, classes: slice, group: slice) -> None:
        """Add the classes of a tile, whose distances are d, to the rows of a group."""
        d = d[group]
        here = np.arange(len(d))
        first = d.argmin(axis=1)
        least = d[here, first]
        powers = self._powers(least[:, None], d)
        powers[here, first] = 0
        others = _row_sums(powers)
        others[np.isposinf(least)] = -1
        old = rows.at(group)
        _merge(old, -least.astype(np.float64), classes.start + first, others)
        column = labels[group] - classes.start
        inside = (column >= 0) & (column < d.shape[1])
        old.label[inside] = -d[here[inside], column[inside]].astype(np.float64)

    def _powers(self, least: Floats, d: Floats) -> Floats:
        """exp(least - d), (n, m), in a buffer of the thread. d (n, m), least (n, 1)."""
        powers: Floats = self._scratch("powers", d.shape, np.float32)
        np.subtract(least, d, out=powers)
        np.exp(powers, out=powers)
        return powers

    @quiet
    def backward(self, saved: Queries, dy: Any = 1.0) -> tuple[Floats, Floats]:
        """dy scalar -> dx (N, D), dc (M, D)."""
        x, c, labels, distance, rows = saved
        pair = self._operation(distance.operation)
        working(x=x, **require_cotangent(dy))
        require_shape("dy", np.asarray(dy), ())
        weight = float(np.float32(dy)) / len(x)
        dx = np.zeros(x.shape)
        dc = np.empty_like(c)
        for classes in self._tiling.runs(x, c):
            sums = np.zeros((classes.stop - classes.start, c.shape[1]))
            for queries in cut(len(x), self._tiling.queries):
                d, kept = pair.forward(x[queries], c[classes], **distance.parameters)
                derive = partial(self._derive, rows.at(queries), d, labels[queries], classes, weight)
                self._workers.map(derive, self._groups(d))
                of_x, of_c = pair.backward(kept, d)
                dx[queries] += of_x
                sums += of_c
            dc[classes] = sums
        return dx.astype(np.float32), dc

    def _derive(self, rows: Rows, d: Floats, labels: Integers, classes: slice, weight: float, group: slice) -> None:
        """Turn the distances of a group of rows into dL/dd, in place."""
        d, rows, labels = d[group], rows.at(group), labels[group]
        powers = self._powers(-rows.largest.astype(np.float32)[:, None], d)
        # p_j dy / N = exp(a_j) (dy / N) / (1 + S)
        np.multiply(powers, (-weight / (1 + rows.others)).astype(np.float32)[:, None], out=d)
        column = labels - classes.start
        inside = np.flatnonzero((column >= 0) & (column < d.shape[1]))
        at_label = np.where(rows.first == labels, 1.0, np.exp(rows.label - rows.largest))
        rest = np.where(rows.first == labels, rows.others, 1 + (rows.others - at_label)) / (1 + rows.others)
        d[inside, column[inside]] = weight * rest[inside]


def _merge(rows: Rows, largest: Doubles, first: Integers, others: Doubles) -> None:
    """Merge a tile's part of the rows into `rows`, in place. All are (n,). S is -1 where all distances are infinite."""
    old, higher = rows.largest.copy(), largest > rows.largest
    factor = np.exp(-np.abs(largest - old))
    factor[largest == old] = 1  # also of two infinities, whose difference is NaN
    rows.others[...] = np.where(higher, others + (1 + rows.others) * factor, rows.others + (1 + others) * factor)
    rows.first[higher] = first[higher]
    np.maximum(old, largest, out=rows.largest)


def _row_sums(a: Floats) -> Doubles:
    """The sum of every row, in float64; `a` (n, m) is used up. Columns are added by halves: ceil(log2 m) roundings."""
    while (m := a.shape[1]) > 1:
        half = m // 2
        a[:, :half] += a[:, m - half :]
        a = a[:, : m - half]
    return a[:, 0].astype(np.float64)
