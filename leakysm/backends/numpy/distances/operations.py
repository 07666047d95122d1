"""The distances as operations, on top of `pair_sums` and `pair_gradients`; the reference does what they cannot.

What a forward pass saves holds the arguments themselves, not copies; for the leaky distance of pairs also one byte a
pair, d <= threshold; for the Euclidean distance a copy of the result; for other restrictions the unrestricted
distances.

Every gradient is a weighted sum of differences: dx_i = f sum over j of w_ij (x_i - c_j), and dc_j the same seen from c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from leakysm.backends.numpy.arrays import Floats, Mask
from leakysm.backends.numpy.distances.coordinates import restricted_gradient, restricted_sums
from leakysm.backends.numpy.distances.cosine import cosine_distances, cosine_gradient
from leakysm.backends.numpy.distances.pair_gradients import PairGradients
from leakysm.backends.numpy.distances.pair_sums import PairSums, Place
from leakysm.backends.numpy.distances.tiling import CoordinateTiling, Tiling
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.protocol import Pair, ReferenceSaved, reference_pair
from leakysm.choices import Per
from leakysm.ops.arrays import quiet, require_same_width, require_shape, working
from leakysm.ops.registry import OPERATIONS
from leakysm.ops.restricted_squared_euclidean import require_per, require_restriction
from leakysm.ops.restriction import Leak, Restriction

Gradients = tuple[Floats, Floats]  # dx (N, D), dc (M, D)


class Points(NamedTuple):
    """The arguments x (N, D), c (M, D)."""

    x: Floats
    c: Floats


class RestrictedPairs(NamedTuple):
    """The arguments x (N, D), c (M, D), the restriction, and where d <= threshold, (N, M)."""

    x: Floats
    c: Floats
    leak: Leak
    within: Mask


class RestrictedCoordinates(NamedTuple):
    """The arguments x (N, D), c (M, D) and the restriction of every coordinate."""

    x: Floats
    c: Floats
    leak: Leak


class CurvedPairs(NamedTuple):
    """The arguments x (N, D), c (M, D), the restriction, and a copy of the distances d (N, M) before it."""

    x: Floats
    c: Floats
    restriction: Restriction
    distances: Floats


class EuclideanPairs(NamedTuple):
    """The arguments x (N, D), c (M, D), and a copy of their distances (N, M), for the caller may change the result."""

    x: Floats
    c: Floats
    distances: Floats


@dataclass(frozen=True)
class Weights:
    """w_ij = dy_ij, times the slope where not `within`, divided by the distance; 0 at distance 0. All (N, M)."""

    dy: Floats
    within: Mask | None = None
    slope: float = 1.0
    distances: Floats | None = None

    def __call__(self, i: Any, j: Any) -> Floats:
        """The weights at (i, j), slices or index arrays, in float64 or as they are."""
        weights: Floats = self.dy[i, j]
        if self.within is not None:
            weights = weights * np.where(self.within[i, j], 1.0, self.slope)
        elif self.distances is not None:
            distances = self.distances[i, j].astype(np.float64)
            weights = np.divide(weights, distances, out=np.zeros_like(distances), where=distances != 0)
        return weights

    @property
    def transposed(self) -> Weights:
        """w_ji."""
        within = None if self.within is None else self.within.T
        distances = None if self.distances is None else self.distances.T
        return Weights(self.dy.T, within, self.slope, distances)


class SquaredEuclidean:
    """The operation `squared_euclidean`. f = 2, w = dy."""

    def __init__(self, sums: PairSums, gradients: PairGradients) -> None:
        self._sums, self._gradients = sums, gradients

    @quiet
    def forward(self, x: Floats, c: Floats) -> tuple[Floats, Points | ReferenceSaved]:
        """x (N, D), c (M, D) -> (N, M)."""
        _check(x, c)
        y = self._sums(x, c)
        return reference_pair("squared_euclidean").forward(x, c) if y is None else (y, Points(x, c))

    @quiet
    def backward(self, saved: Points, dy: Floats) -> Gradients:
        """dy (N, M) -> dx (N, D), dc (M, D)."""
        x, c = saved
        _check_cotangent(x, c, dy)
        weights = Weights(dy)
        gradients = self._gradients(x, c, weights, weights.transposed, 2)
        return _reference_gradients("squared_euclidean", x, c, dy) if gradients is None else gradients


class LeakySquaredEuclidean:
    """The operation `leaky_squared_euclidean`. f = 2, w = dy, times the slope beyond the threshold."""

    def __init__(
        self, sums: PairSums, gradients: PairGradients, workers: Workers, coordinates: CoordinateTiling
    ) -> None:
        self._sums, self._gradients, self._workers, self._coordinates = sums, gradients, workers, coordinates
        self._unrestricted = SquaredEuclidean(sums, gradients)

    @quiet
    def forward(
        self, x: Floats, c: Floats, *, threshold: float, slope: float, per: Per = "pair"
    ) -> tuple[Floats, RestrictedPairs | RestrictedCoordinates | Points | ReferenceSaved]:
        """x (N, D), c (M, D) -> (N, M), pairs or coordinates restricted."""
        _check(x, c)
        leak = Leak(threshold, slope)
        require_per(per)
        if leak.slope == 1 or leak.threshold > np.finfo(x.dtype).max:  # bit for bit squared Euclidean
            return self._unrestricted_forward(x, c, leak, per)
        if per == "coordinate":
            y = restricted_sums(x, c, leak, self._workers, self._coordinates)
            return y, RestrictedCoordinates(x, c, leak)
        return self._pairs_forward(x, c, leak)

    def _unrestricted_forward(self, x: Floats, c: Floats, leak: Leak, per: Per) -> tuple[Floats, Any]:
        y = self._sums(x, c)
        return _reference_forward(x, c, leak, per) if y is None else (y, Points(x, c))

    def _pairs_forward(self, x: Floats, c: Floats, leak: Leak) -> tuple[Floats, Any]:
        within, dtype = np.empty((len(x), len(c)), bool), x.dtype
        representable = dtype.type(leak.threshold) == leak.threshold

        def restrict(distances: Floats, place: Place) -> Floats:
            rounded = distances.astype(dtype)
            # If the dtype holds t, the rounded distance tells the side. If not, no rounded distance is t, and the
            # distance in float64 tells the side better.
            within[place] = leak.within(rounded if representable else distances)
            restricted: Floats = leak.value(np, rounded)
            return restricted

        y = self._sums(x, c, finish=restrict)
        return _reference_forward(x, c, leak, "pair") if y is None else (y, RestrictedPairs(x, c, leak, within))

    @quiet
    def backward(self, saved: RestrictedPairs | RestrictedCoordinates | Points, dy: Floats) -> Gradients:
        """dy (N, M) -> dx (N, D), dc (M, D)."""
        if isinstance(saved, Points):
            return self._unrestricted.backward(saved, dy)
        x, c, leak = saved[:3]
        _check_cotangent(x, c, dy)
        if isinstance(saved, RestrictedCoordinates):
            dx = restricted_gradient(x, c, dy, leak, self._workers, self._coordinates)
            return dx, restricted_gradient(c, x, dy.T, leak, self._workers, self._coordinates)
        weights = Weights(dy, saved.within, leak.slope)
        gradients = self._gradients(x, c, weights, weights.transposed, 2)
        if gradients is not None:
            return gradients
        parameters = {"threshold": leak.threshold, "slope": leak.slope}
        return _reference_gradients("leaky_squared_euclidean", x, c, dy, **parameters)


class RestrictedSquaredEuclidean:
    """The operation `restricted_squared_euclidean`. f = 2, w = r'(d) dy. A leak is computed as the leaky distance.

    Other restrictions of every coordinate go to the reference.
    """

    def __init__(self, leaky: LeakySquaredEuclidean, sums: PairSums, gradients: PairGradients) -> None:
        self._leaky, self._sums, self._gradients = leaky, sums, gradients

    @quiet
    def forward(
        self, x: Floats, c: Floats, *, restriction: Restriction, per: Per = "pair"
    ) -> tuple[Floats, RestrictedPairs | RestrictedCoordinates | Points | CurvedPairs | ReferenceSaved]:
        """x (N, D), c (M, D) -> (N, M), pairs or coordinates restricted."""
        _check(x, c)
        require_restriction(restriction)
        require_per(per)
        if type(restriction) is Leak:
            y, saved = self._leaky.forward(x, c, **restriction.parameters, per=per)
            if not isinstance(saved, ReferenceSaved):
                return y, saved
        elif per == "pair" and (d := self._sums(x, c)) is not None:
            y = restriction.value(np, d)
            return (y.copy() if np.may_share_memory(y, d) else y), CurvedPairs(x, c, restriction, d)
        return reference_pair("restricted_squared_euclidean").forward(x, c, restriction=restriction, per=per)

    @quiet
    def backward(self, saved: RestrictedPairs | RestrictedCoordinates | Points | CurvedPairs, dy: Floats) -> Gradients:
        """dy (N, M) -> dx (N, D), dc (M, D)."""
        if not isinstance(saved, CurvedPairs):
            return self._leaky.backward(saved, dy)
        x, c, restriction, distances = saved
        _check_cotangent(x, c, dy)
        weights = Weights(restriction.chain(np, distances, dy))
        gradients = self._gradients(x, c, weights, weights.transposed, 2)
        if gradients is not None:
            return gradients
        return _reference_gradients("restricted_squared_euclidean", x, c, dy, restriction=restriction)


class Euclidean:
    """The operation `euclidean`. f = 1, w = dy / d, and 0 at coincident points."""

    def __init__(self, sums: PairSums, gradients: PairGradients) -> None:
        self._sums, self._gradients = sums, gradients

    @quiet
    def forward(self, x: Floats, c: Floats) -> tuple[Floats, EuclideanPairs | ReferenceSaved]:
        """x (N, D), c (M, D) -> (N, M)."""
        _check(x, c)
        smallest: list[float] = []  # the smallest distance above 0 of each tile

        def note(distances: Floats, _: Place) -> Floats:
            smallest.append(float(distances.min(where=distances > 0, initial=np.inf)))
            return distances

        y = self._sums(x, c, root=True, finish=note)
        if y is None or min(smallest, default=np.inf) < np.finfo(x.dtype).smallest_normal:  # too coarse to divide by
            return reference_pair("euclidean").forward(x, c)
        return y, EuclideanPairs(x, c, y.copy())

    @quiet
    def backward(self, saved: EuclideanPairs, dy: Floats) -> Gradients:
        """dy (N, M) -> dx (N, D), dc (M, D)."""
        x, c, distances = saved
        _check_cotangent(x, c, dy)
        weights = Weights(dy, distances=distances)
        gradients = self._gradients(x, c, weights, weights.transposed, 1)
        return _reference_gradients("euclidean", x, c, dy) if gradients is None else gradients


class CosineDistance:
    """The operation `cosine_distance`, in float32; float64 is the reference's."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    @quiet
    def forward(self, x: Floats, c: Floats) -> tuple[Floats, Points | ReferenceSaved]:
        """x (N, D), c (M, D) -> (N, M)."""
        _check(x, c)
        if x.dtype != np.float32:
            return reference_pair("cosine_distance").forward(x, c)
        return cosine_distances(x, c, self._workers), Points(x, c)

    @quiet
    def backward(self, saved: Points, dy: Floats) -> Gradients:
        """dy (N, M) -> dx (N, D), dc (M, D)."""
        x, c = saved
        _check_cotangent(x, c, dy)
        return cosine_gradient(x, c, dy, self._workers), cosine_gradient(c, x, dy.T, self._workers)


def distance_pairs(workers: Workers, tiling: Tiling) -> dict[str, Pair]:
    """The pairs of this file, by operation. They share their buffers: what is used again is in cache."""
    scratch = Scratch()
    sums, gradients = PairSums(workers, scratch, tiling.sums), PairGradients(workers, scratch, tiling.gradients)
    squared, euclidean = SquaredEuclidean(sums, gradients), Euclidean(sums, gradients)
    leaky, cosine = LeakySquaredEuclidean(sums, gradients, workers, tiling.coordinates), CosineDistance(workers)
    restricted = RestrictedSquaredEuclidean(leaky, sums, gradients)
    return {
        "squared_euclidean": Pair(squared.forward, squared.backward),
        "leaky_squared_euclidean": Pair(leaky.forward, leaky.backward),
        "restricted_squared_euclidean": Pair(restricted.forward, restricted.backward),
        "euclidean": Pair(euclidean.forward, euclidean.backward),
        "cosine_distance": Pair(cosine.forward, cosine.backward),
    }


def _reference_forward(x: Floats, c: Floats, leak: Leak, per: Per) -> tuple[Floats, ReferenceSaved]:
    pair = reference_pair("leaky_squared_euclidean")
    return pair.forward(x, c, threshold=leak.threshold, slope=leak.slope, per=per)


def _reference_gradients(name: str, x: Floats, c: Floats, dy: Floats, **parameters: Any) -> Gradients:
    """The reference's gradients, for numbers that the forward pass could scale, but the backward pass cannot."""
    gradients: Gradients = OPERATIONS[name].vjp(x, c, dy, **parameters)
    return gradients


def _check(x: Floats, c: Floats) -> None:
    if not _alike(x, c):
        working(x=x, c=c)
    require_same_width(x, c)


def _check_cotangent(x: Floats, c: Floats, dy: Floats) -> None:
    if not _alike(x, c, dy):
        working(x=x, c=c, dy=dy)
    require_shape("dy", dy, (len(x), len(c)))


def _alike(*arrays: Floats) -> bool:
    """Whether all are NumPy arrays, all float32 or all float64. `working` would need 10 us to check this."""
    first = arrays[0]
    return all(type(a) is np.ndarray and a.dtype is first.dtype for a in arrays) and first.dtype.char in "fd"
