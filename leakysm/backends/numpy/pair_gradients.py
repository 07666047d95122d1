"""Weighted sums of differences, W_ik = sum over j of w_ij (x_ik - c_jk), which all gradients of distances are made of.

By matrix products, x_ik sum_j w_ij - sum_j w_ij c_jk, wherever that is certain to be accurate: where |W_ik|, or the sum
of |w_ij (x_ik - c_jk)| over some of the j, is not small against what cancels. The other elements, among them those
of coincident points, are summed from differences. float32 is computed in float64; float64 in two halves, see `halves`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from leakysm.backends.numpy.halves import UNIT, bits_for, can_split, split
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.numpy.windows import cut

ACROSS = 128  # points of the other side that are multiplied at a time
TILE, DEPTH = 150_000, 1024  # values of a tile, and its coordinates, at most: wide tiles make long loops
SAMPLE = 32  # of the j, for a bound from below
GATHERED = 1 << 17  # terms of uncertain elements that are summed at a time
ALONE = 4_000_000  # terms below which one thread is faster
THREADS = 5  # at most: 11 MB each

Weights = Callable[[Any, Any], np.ndarray]  # (i, j), slices or index arrays -> w_ij in float64


class PairGradients:
    """W for all points on a set of threads. Memory beyond the result: some 11 MB a thread, at any size."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._scratch = Scratch()

    def __call__(self, x: np.ndarray, c: np.ndarray, weights: Weights, factor: float) -> np.ndarray | None:
        """x (N, D), c (M, D), w (N, M) -> factor W (N, D).

        None where float64 numbers are too large or too small to be scaled, or not finite.
        """
        (N, D), M = x.shape, len(c)
        gradient = np.empty((N, D), x.dtype)
        if 0 in (N, M, D):
            gradient[...] = 0
            return gradient
        tile = self._halves if x.dtype == np.float64 else self._widened

        def fill(place: tuple[slice, slice]) -> bool:
            rows, columns = place
            found = tile(x[rows, columns], c[:, columns], lambda i, j: weights(_within(rows, i), j))
            if found is None:
                return False
            np.multiply(found, factor, out=gradient[place], casting="same_kind")
            return True

        tiles = [(slice(*rows), slice(*columns)) for rows in cut(N, TILE // min(D, DEPTH)) for columns in cut(D, DEPTH)]
        done = self._workers.map(fill, tiles, at_most=THREADS if N * M * D > ALONE else 1)
        return gradient if all(done) else None

    def _widened(self, x: np.ndarray, c: np.ndarray, weights: Weights) -> np.ndarray:
        """float32: W of a tile, (n, w), in float64; c has all its rows."""
        (n, w), M = x.shape, len(c)
        total, product = (self._scratch(name, (n, w), np.float64) for name in ("total", "product"))
        weight_sum, weight_size, most = np.zeros((n, 1)), np.zeros((n, 1)), np.zeros(w)
        for start, stop in cut(M, ACROSS):
            g, size = (self._scratch(name, (n, stop - start), np.float64) for name in ("weights", "sizes"))
            g[...] = weights(slice(None), slice(start, stop))
            moved = self._scratch("moved", (stop - start, w), np.float64)
            np.subtract(c[start:stop], c[:1], out=moved, dtype=np.float64)
            np.matmul(g, moved, out=product if start else total)
            if start:
                total += product
            weight_sum += g.sum(axis=1, keepdims=True)
            weight_size += np.abs(g, out=size).sum(axis=1, keepdims=True)
            np.maximum(most, largest_of_columns(moved), out=most)
        moved = self._scratch("moved", (n, w), np.float64)
        np.subtract(x, c[:1], out=moved, dtype=np.float64)
        most += largest_of_columns(moved)
        moved *= weight_sum
        np.subtract(moved, total, out=total)
        # Products of up to ACROSS terms, added up: their error, as a share of two units of float32.
        share = (ACROSS + M / ACROSS + 8) * UNIT / (2 * 2.0**-23)
        np.multiply(weight_size, share * most, out=product)
        self._settle(total, product, x, c, weights)
        return total

    def _halves(self, x: np.ndarray, c: np.ndarray, weights: Weights) -> np.ndarray | None:
        """float64: W of a tile, (n, w); c has all its rows. None for weights that cannot be scaled.

        With columns of x and c on a grid q_k and w_i on a grid p_i, x1 sum_j w1 - sum_j w1 c1 is exact, and the rest,
        sum_j (w1 c2 + w2 c) - x sum_j w2 - x2 sum_j w1, is smaller by 2^bits.
        """
        (n, w), M = x.shape, len(c)
        runs = [slice(*run) for run in cut(M, ACROSS)]
        x_most = largest_of_columns(x)
        q = _grid(np.max([x_most, *(largest_of_columns(c[run]) for run in runs)], axis=0), bits_for(ACROSS))
        if q is None:
            return None
        x1, x2 = (self._scratch(name, (n, w), np.float64) for name in ("x1", "x2"))
        split(x, q, x1, x2)
        total, rest, part, spare = (
            self._scratch(name, (n, w), np.float64) for name in ("sum", "rest", "part", "spare")
        )
        first, second, sizes, p_most, c_size = (np.zeros(shape) for shape in ((n, 1), (n, 1), (n, 1), (n, 1), w))
        for number, run in enumerate(runs):
            m, g = run.stop - run.start, weights(slice(None), run)
            p = _grid(largest_of_columns(g.T), bits_for(ACROSS))
            if p is None:
                return None
            w1, w2 = (self._scratch(name, (n, m), np.float64) for name in ("w1", "w2"))
            c1, c2 = (self._scratch(name, (m, w), np.float64) for name in ("c1", "c2"))
            split(g, p[:, None], w1, w2)
            split(c[run], q, c1, c2)
            w1_sum = w1.sum(axis=1, keepdims=True)
            exact = np.multiply(x1, w1_sum, out=part if number else total)
            exact -= np.matmul(w1, c1, out=spare)
            if number:
                _add_exactly(total, exact, rest, spare)
                rest += np.matmul(w1, c2, out=spare)
            else:
                np.matmul(w1, c2, out=rest)
            rest += np.matmul(w2, c[run], out=spare)
            first += w1_sum
            second += w2.sum(axis=1, keepdims=True)
            sizes += np.abs(g, out=w2).sum(axis=1, keepdims=True)
            np.maximum(p_most, p[:, None], out=p_most)
            c_size += np.abs(c[run], out=c2).sum(axis=0)
        rest -= np.multiply(x, second, out=part)
        rest -= np.multiply(x2, first, out=part)
        total -= rest
        # Errors as shares of four units: of the two products, and of the sums of weights.
        of_products, of_sums = (ACROSS + 2 * len(runs) + 8) / 8, (len(runs) + 24) / 8
        in_steps = np.divide(of_products * c_size + of_sums * M * x_most, q, out=np.zeros(w), where=q > 0)
        np.multiply((of_products + of_sums) * sizes + in_steps.max() * p_most, q, out=part)
        self._settle(total, part, x, c, weights)
        return total

    def _settle(self, total: np.ndarray, least: np.ndarray, x: np.ndarray, c: np.ndarray, weights: Weights) -> None:
        """Replace what is not certain to be large enough, |total| >= least, by sums of differences."""
        certain = np.abs(total, out=self._scratch("size", total.shape, np.float64)) >= least
        if certain.all():
            return
        i, k = np.divmod(np.flatnonzero(~certain), total.shape[1])
        some = np.arange(0, len(c), max(1, len(c) // SAMPLE))
        uncertain = [
            ~(self._terms(x, c, weights, i[run], k[run], some, size=True) >= least[i[run], k[run]])
            for run in (slice(*r) for r in cut(len(i), GATHERED // len(some)))
        ]
        i, k = (index[np.concatenate(uncertain)] for index in (i, k))
        for run in (slice(*r) for r in cut(len(i), GATHERED // min(len(c), GATHERED))):
            total[i[run], k[run]] = sum(
                self._terms(x, c, weights, i[run], k[run], np.arange(*part)) for part in cut(len(c), GATHERED)
            )

    def _terms(
        self, x: np.ndarray, c: np.ndarray, weights: Weights, i: Any, k: Any, j: np.ndarray, size: bool = False
    ) -> np.ndarray:
        """sum over j of w_ij (x_ik - c_jk), or of the terms' sizes, for elements (i, k), each (p,)."""
        terms = np.subtract(x[i, k][:, None], c[j[None, :], k[:, None]], dtype=np.float64)
        terms *= weights(i[:, None], j[None, :])
        summed: np.ndarray = np.add.reduce(np.abs(terms, out=terms) if size else terms, axis=1)
        return summed


def _add_exactly(total: np.ndarray, part: np.ndarray, rest: np.ndarray, spare: np.ndarray) -> None:
    """total += part, and what rounding takes away is taken from `rest`. Knuth's two-sum."""
    rounded = total + part
    np.subtract(rounded, total, out=spare)
    part -= spare
    spare -= rounded
    total += spare
    rest -= total
    rest -= part
    total[...] = rounded


def largest_of_columns(a: np.ndarray) -> np.ndarray:
    """max |a| of every column, (w,); NaN if there is one."""
    most: np.ndarray = np.maximum(a.max(axis=0), -a.min(axis=0))
    return most


def _grid(magnitudes: np.ndarray, bits: int) -> np.ndarray | None:
    """Grid steps for columns of these magnitudes, 0 for a column of zeros; None if one is not in the safe range."""
    if not can_split(magnitudes):
        return None
    return np.asarray(np.where(magnitudes == 0, 0, np.ldexp(1.0, np.frexp(magnitudes)[1] - bits)))


def _within(rows: slice, i: Any) -> Any:
    """Places `i` within `rows` as places in the whole."""
    return rows if isinstance(i, slice) else i + rows.start
