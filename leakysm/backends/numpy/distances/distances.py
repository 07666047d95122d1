"""The distances on top of `pair_sums` and `pair_gradients`; what those cannot do is left to the reference.

A forward pass returns the distances and the function that takes their cotangent back. That function keeps nothing but
the arguments; for the leaky distance also one byte a pair, d <= threshold; for the Euclidean one a copy of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.backends.numpy.distances.coordinates import restricted_gradient, restricted_sums
from leakysm.backends.numpy.distances.cosine import cosine_distances, cosine_gradient
from leakysm.backends.numpy.distances.pair_gradients import PairGradients
from leakysm.backends.numpy.distances.pair_sums import PairSums, Place
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.protocol import Pair, reference_pair
from leakysm.choices import Per
from leakysm.ops.arrays import quiet, require_same_width, require_shape, working
from leakysm.ops.leaky_squared_euclidean import require_per
from leakysm.ops.restriction import Leak

Gradients = tuple[np.ndarray, np.ndarray]
Result = tuple[np.ndarray, Callable[[np.ndarray], Gradients]]


@dataclass(frozen=True)
class Weights:
    """w_ij = dy_ij, times the slope where not `within`, divided by the distance; 0 at distance 0. All (N, M)."""

    dy: np.ndarray
    within: np.ndarray | None = None
    slope: float = 1.0
    distance: np.ndarray | None = None

    def __call__(self, i: Any, j: Any) -> np.ndarray:
        """The weights at (i, j), slices or index arrays, in float64 or as they are."""
        weights: np.ndarray = self.dy[i, j]
        if self.within is not None:
            weights = weights * np.where(self.within[i, j], 1.0, self.slope)
        elif self.distance is not None:
            distance = self.distance[i, j].astype(np.float64)
            weights = np.divide(weights, distance, out=np.zeros_like(distance), where=distance != 0)
        return weights

    @property
    def transposed(self) -> Weights:
        """w_ji."""
        within, distance = (a if a is None else a.T for a in (self.within, self.distance))
        return Weights(self.dy.T, within, self.slope, distance)


def _check(x: np.ndarray, c: np.ndarray) -> None:
    if not _alike(x, c):
        working(x=x, c=c)
    require_same_width(x, c)


def _check_cotangent(x: np.ndarray, c: np.ndarray, dy: np.ndarray) -> None:
    if not _alike(x, c, dy):
        working(x=x, c=c, dy=dy)
    require_shape("dy", dy, (len(x), len(c)))


def _alike(*arrays: np.ndarray) -> bool:
    """Whether all are arrays of one of the dtypes at hand: no more is asked, and asking in general takes 10 us."""
    first = arrays[0]
    return all(type(a) is np.ndarray and a.dtype is first.dtype for a in arrays) and first.dtype.char in "fd"


class Distances:
    """The pairs of all distances on a set of threads."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        scratch = Scratch()  # for both: what is used again is in cache
        self._sums, self._gradients = PairSums(workers, scratch), PairGradients(workers, scratch)

    def pairs(self) -> dict[str, Pair]:
        """For the engine's table."""
        forwards: dict[str, Callable[..., Result]] = {
            "squared_euclidean": self.squared_euclidean,
            "leaky_squared_euclidean": self.leaky_squared_euclidean,
            "euclidean": self.euclidean,
            "cosine_distance": self.cosine_distance,
        }
        return {name: Pair(forward, _call_back) for name, forward in forwards.items()}

    @quiet
    def squared_euclidean(self, x: np.ndarray, c: np.ndarray) -> Result:
        """x (N, D), c (M, D) -> (N, M)."""
        _check(x, c)
        reference = _reference("squared_euclidean", x, c)
        y = self._sums(x, c)
        return reference() if y is None else (y, lambda dy: self._back(x, c, Weights(dy), 2, reference))

    @quiet
    def leaky_squared_euclidean(
        self, x: np.ndarray, c: np.ndarray, *, threshold: float, slope: float, per: Per = "pair"
    ) -> Result:
        """x (N, D), c (M, D) -> (N, M), pairs or coordinates restricted."""
        _check(x, c)
        leak = Leak(threshold, slope)
        require_per(per)
        if leak.slope == 1 or leak.threshold > np.finfo(x.dtype).max:  # bit for bit squared Euclidean
            return self.squared_euclidean(x, c)
        if per == "coordinate":
            return self._by_coordinate(x, c, leak)
        within, dtype = np.empty((len(x), len(c)), bool), x.dtype
        representable = dtype.type(leak.threshold) == leak.threshold

        def restrict(distances: np.ndarray, place: Place) -> np.ndarray:
            rounded = distances.astype(dtype)
            # A distance of exactly t is one once it is rounded; of others float64 knows better which side they are on.
            within[place] = leak.within(rounded if representable else distances)
            restricted: np.ndarray = leak.value(np, rounded)
            return restricted

        reference = _reference("leaky_squared_euclidean", x, c, threshold=threshold, slope=slope, per=per)
        y = self._sums(x, c, finish=restrict)
        if y is None:
            return reference()
        return y, lambda dy: self._back(x, c, Weights(dy, within, leak.slope), 2, reference)

    def _by_coordinate(self, x: np.ndarray, c: np.ndarray, leak: Leak) -> Result:
        def back(dy: np.ndarray) -> Gradients:
            _check_cotangent(x, c, dy)
            dx = restricted_gradient(x, c, dy, leak, self._workers)
            return dx, restricted_gradient(c, x, dy.T, leak, self._workers)

        return restricted_sums(x, c, leak, self._workers), back

    @quiet
    def euclidean(self, x: np.ndarray, c: np.ndarray) -> Result:
        """x (N, D), c (M, D) -> (N, M)."""
        _check(x, c)
        reference = _reference("euclidean", x, c)
        least: list[float] = []  # above 0

        def note(distances: np.ndarray, _: Place) -> np.ndarray:
            least.append(float(distances.min(where=distances > 0, initial=np.inf)))
            return distances

        y = self._sums(x, c, root=True, finish=note)
        if y is None or min(least, default=np.inf) < np.finfo(x.dtype).smallest_normal:  # too coarse to divide by
            return reference()
        kept = y.copy()  # the caller may change y
        return y, lambda dy: self._back(x, c, Weights(dy, distance=kept), 1, reference)

    @quiet
    def cosine_distance(self, x: np.ndarray, c: np.ndarray) -> Result:
        """x (N, D), c (M, D) -> (N, M)."""
        _check(x, c)
        if x.dtype != np.float32:
            return _reference("cosine_distance", x, c)()

        def back(dy: np.ndarray) -> Gradients:
            _check_cotangent(x, c, dy)
            return cosine_gradient(x, c, dy, self._workers), cosine_gradient(c, x, dy.T, self._workers)

        return cosine_distances(x, c, self._workers), back

    def _back(
        self, x: np.ndarray, c: np.ndarray, weights: Weights, factor: float, reference: Callable[[], Result]
    ) -> Gradients:
        """Both gradients: factor times the weighted differences, seen from x and from c."""
        _check_cotangent(x, c, weights.dy)
        found = self._gradients(x, c, weights, weights.transposed, factor)
        return reference()[1](weights.dy) if found is None else found


@quiet
def _call_back(back: Callable[[np.ndarray], Gradients], dy: np.ndarray) -> Gradients:
    return back(dy)


def _reference(name: str, *arguments: np.ndarray, **parameters: Any) -> Callable[[], Result]:
    """The reference operation, to be called if it is needed."""

    def run() -> Result:
        pair = reference_pair(name)
        y, saved = pair.forward(*arguments, **parameters)
        return y, lambda dy: pair.backward(saved, dy)

    return run
