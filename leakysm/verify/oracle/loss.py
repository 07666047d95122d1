"""Log-softmax and cross-entropy in 50-digit arithmetic.

With a = z - max z and m the row's first maximum: log sum exp(a) = log1p(S), S = sum over j != m of exp(a_j).
Condition: a has a relative rounding error, so exp(a_j) has |a_j| times that error. Therefore the scale of a probability
is p_j (1 + |a_j|). Underflow: each exp(a_j) may be flushed to 0, so a probability may lose one smallest normal number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.precise import (
    INF,
    NAN,
    ONE,
    ZERO,
    Magnitude,
    exact,
    exp,
    is_nan,
    log1p,
    magnitude,
    only,
    rounded,
    total,
    where,
)


class Softmax:
    """The rows of logits (N, M): shifted logits a, probabilities p, log1p(S), and the scales of p and log1p(S).

    Logits of -inf have probability 0; `undefined` (N,) marks the rows that give NaN: those that hold only -inf, or
    hold +inf or NaN. `spread` and `drop` (N, M): the logits may be off by eps * spread, plus `drop` smallest normal
    numbers; both are 0 for logits that are given.
    """

    def __init__(self, logits: Any, spread: Magnitude | None = None, drop: Any = 0.0):
        z = exact(logits)
        self.shape = z.shape
        self.spread = np.zeros(z.shape) if spread is None else spread
        self.drop = np.broadcast_to(np.asarray(drop, dtype=np.float64), z.shape)
        self.undefined = is_nan(z).any(-1) | (z == INF).any(-1) | ((z == -INF).all(-1) if z.shape[1] else False)
        z = where(self.undefined[:, None], ZERO, z)
        top = np.argmax(z, axis=-1) if z.shape[1] else np.zeros(z.shape[0], dtype=int)
        self.not_top = np.arange(z.shape[1])[None, :] != top[:, None]
        self.a = z - np.take_along_axis(z, top[:, None], -1) if z.shape[1] else z
        powers = exp(self.a)
        rest = total(only(self.not_top, powers), -1)
        self.log_sum = log1p(rest)
        self.p = powers / (ONE + rest)[:, None]
        self.possible = np.asarray(powers != 0, dtype=bool)
        self.size = magnitude(only(self.possible, self.a))  # |a|, and 0 where the probability is 0
        self.p_size = magnitude(self.p)
        self.p_scale = self.p_size * (1 + self.size + self._around(self.spread))
        self.log_sum_scale = magnitude(self.log_sum) + total(only(self.not_top, self.p_scale), -1)
        self.p_under = 1 + self.p_size * (self.shape[1] + self._around(self.drop))

    def _around(self, doubt: Magnitude) -> Magnitude:
        """The relative change of a probability by doubt about the logits: its own logit's, and its row's mean."""
        if not np.any(doubt):
            return np.zeros(self.shape)
        own = only(self.possible, doubt)
        return own + total(self.p_size * own, -1)[:, None]


class LabelledSoftmax(Softmax):
    """The rows of logits (N, M) with their labels (N,)."""

    def __init__(self, logits: Any, labels: Any):
        super().__init__(logits)
        self.labels = np.asarray(labels)


def log_softmax(rows: Softmax) -> tuple[Exact, ...]:
    """a_j - log1p(S). Terms: a_j and log1p(S), with the condition of S."""
    value = where(rows.undefined[:, None], NAN, rows.a - rows.log_sum[:, None])
    scale = magnitude(only(rows.a != -INF, rows.a)) + rows.log_sum_scale[:, None]
    return (Exact.of(value, scale, rows.shape[1] + 2.0),)


def log_softmax_vjp(rows: Softmax, dy: Any) -> tuple[Exact, ...]:
    """dlogits_j = dy_j - p_j sum_m dy_m. Terms: dy_j and every p_j dy_m."""
    dy = exact(dy)
    value = dy - rows.p * total(dy, -1)[:, None]
    size = total(magnitude(dy), -1)[:, None]
    scale = magnitude(dy) + rows.p_scale * size
    return (Exact.of(where(rows.undefined[:, None], NAN, value), scale, 2 + size * rows.p_under + rows.shape[1]),)


def cross_entropy(rows: LabelledSoftmax) -> tuple[Exact, ...]:
    """Mean over rows of log1p(S) - a_label, each row divided by N before the sum."""
    return mean_loss(rows, rows.labels)


def mean_loss(rows: Softmax, labels: Any) -> tuple[Exact, ...]:
    n, m = rows.shape
    here = _is_label(rows, labels)
    a_label = total(only(here, rows.a), -1)
    losses = where(rows.undefined, NAN, rows.log_sum - a_label)
    finite = magnitude(only(a_label != -INF, a_label))
    scales = finite + magnitude(rows.log_sum) + _own_scale(rows) + _moved(rows, here, rows.spread)
    under = m + 3.0 + _moved(rows, here, rows.drop)
    count = max(n, 1)
    return (Exact.of(total(losses / count), total(scales / count), total(under / count + 0 * scales) + n + 1.0),)


def _moved(rows: Softmax, here: Any, doubt: Magnitude) -> Magnitude:
    """What doubt about the logits does to log1p(S) - a_label: (onehot - p) . doubt, without cancellation, (N,)."""
    if not np.any(doubt):
        return np.zeros(rows.shape[:1])
    others = total(only(~here & rows.possible, rows.p_size * doubt), -1)
    return others + total(only(here, doubt), -1) * total(only(~here, rows.p_size), -1)


def _own_scale(rows: Softmax) -> Magnitude:
    return total(only(rows.not_top, rows.p_size * (1 + rows.size)), -1)


def _is_label(rows: Softmax, labels: Any) -> Any:
    return np.arange(rows.shape[1])[None, :] == np.asarray(labels)[:, None]


def cross_entropy_vjp(rows: LabelledSoftmax, dy: Any = 1.0) -> tuple[Exact, ...]:
    """dlogits = dy / N (p - onehot), at the label -(dy / N) times the sum of the other probabilities."""
    return (loss_gradient(rows, rows.labels, dy),)


THROUGH_MAXIMUM = 4.0  # eps that a sum of few terms may miss 0 by, where a gradient passes through the row's maximum


def loss_gradient(rows: Softmax, labels: Any, dy: Any) -> Exact:
    """dL/dlogits.

    Autodiff through a = z - max z adds to the gradient at the maximum a sum over the row, which is 0 but for rounding:
    half an eps for each class, in any order. Implementations other than ours are allowed this rounding at a maximum
    that is not the label: there the probability is large, or all are small.
    """
    n, classes = rows.shape
    weight = exact(dy)[()] / max(n, 1)
    steep, here = magnitude(weight), _is_label(rows, labels)

    def at_label(others: Any) -> Any:
        return where(here, total(only(~here, others), -1)[:, None], others)

    value = where(here, -ONE, ONE) * at_label(rows.p)
    under = 2 + steep * (2 + at_label(rows.p_under))
    defined = where(rows.undefined[:, None], NAN, weight * value)
    wrong = total(only(~here, rows.p_size), -1)[:, None]
    slack = only(~here & (rows.a == ZERO), max(THROUGH_MAXIMUM, classes / 2) * steep * wrong)
    return replace(Exact.of(defined, steep * at_label(rows.p_scale), under), slack=rounded(slack))
