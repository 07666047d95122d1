"""Log-softmax and cross-entropy in 50-digit arithmetic.

With a = z - max z and m the row's first maximum: log sum exp(a) = log1p(S), S = sum over j != m of exp(a_j).
Condition: a carries a relative rounding, so exp(a_j) carries |a_j| of them; hence p_j (1 + |a_j|) for a probability.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.precise import INF, MP, ONE, ZERO, Array, boxed, elementwise, exact, exp, log1p, total, where


class Softmax:
    """The rows of logits (N, M): shifted logits a, probabilities p, log1p(S), and the scales of p and log1p(S).

    Logits of -inf have probability 0; `undefined` (N,) marks the rows that give NaN: nothing but -inf, or +inf or NaN.
    `spread` (N, M): the logits are themselves known to eps * spread only (0 for logits that are given).
    """

    def __init__(self, logits: Any, spread: Array | None = None):
        z = exact(logits)
        self.shape = z.shape
        self.spread = elementwise(lambda _: ZERO, z) if spread is None else spread
        nan = np.asarray(elementwise(MP.isnan, z), dtype=bool)
        self.undefined = nan.any(-1) | (z == INF).any(-1) | ((z == -INF).all(-1) if z.shape[1] else False)
        z = where(self.undefined[:, None], ZERO, z)
        top = np.argmax(z, axis=-1) if z.shape[1] else np.zeros(z.shape[0], dtype=int)
        self.not_top = np.arange(z.shape[1])[None, :] != top[:, None]
        self.a = z - np.take_along_axis(z, top[:, None], -1) if z.shape[1] else z
        powers = exp(self.a)
        rest = total(where(self.not_top, powers, ZERO), -1)
        self.log_sum = log1p(rest)
        self.p = powers / (ONE + rest)[:, None]
        self.size = where(powers == 0, ZERO, abs(self.a))  # |a|, and 0 where the probability is 0
        mean_spread = total(where(powers == 0, ZERO, self.p * self.spread), -1)[:, None]
        own = where(powers == 0, ZERO, self.spread)
        self.p_scale = self.p * (ONE + self.size + own + mean_spread)
        self.log_sum_scale = self.log_sum + total(where(self.not_top, self.p_scale, ZERO), -1)


def log_softmax(logits: Any) -> tuple[Exact, ...]:
    """a_j - log1p(S). Terms: a_j and log1p(S), with the condition of S."""
    rows = Softmax(logits)
    value = where(rows.undefined[:, None], MP.nan, rows.a - rows.log_sum[:, None])
    scale = where(rows.a == -INF, ZERO, abs(rows.a)) + rows.log_sum_scale[:, None]
    return (Exact(value, scale, rows.shape[1] + 1),)


def log_softmax_vjp(logits: Any, dy: Any) -> tuple[Exact, ...]:
    """dlogits_j = dy_j - p_j sum_m dy_m. Terms: dy_j and every p_j dy_m."""
    rows, dy = Softmax(logits), exact(dy)
    value = dy - rows.p * total(dy, -1)[:, None]
    scale = abs(dy) + rows.p_scale * total(abs(dy), -1)[:, None]
    return (Exact(where(rows.undefined[:, None], MP.nan, value), scale, rows.shape[1] + 1),)


def cross_entropy(logits: Any, labels: Any) -> tuple[Exact, ...]:
    """Mean over rows of log1p(S) - a_label, each row divided by N before the sum."""
    return mean_loss(Softmax(logits), np.asarray(labels))


def mean_loss(rows: Softmax, labels: Any) -> tuple[Exact, ...]:
    n, m = rows.shape
    here = _is_label(rows, labels)
    a_label = total(where(here, rows.a, ZERO), -1)
    losses = where(rows.undefined, MP.nan, rows.log_sum - a_label)
    # What rounding of the logits themselves does to log1p(S) - a_label: (onehot - p) . spread, without cancellation.
    others = total(where(here | (rows.p == 0), ZERO, rows.p * rows.spread), -1)
    label = total(where(here, rows.spread, ZERO), -1) * total(where(here, ZERO, rows.p), -1)
    finite = where(a_label == -INF, ZERO, abs(a_label))
    scales = finite + rows.log_sum + _own_scale(rows) + others + label
    count = max(n, 1)
    return (Exact(boxed(_scalar(total(losses / count))), boxed(_scalar(total(scales / count))), max(n * m, 1)),)


def _own_scale(rows: Softmax) -> Array:
    return total(where(rows.not_top, rows.p * (ONE + rows.size), ZERO), -1)


def _scalar(value: Array) -> Any:
    return value[()]


def _is_label(rows: Softmax, labels: Any) -> Any:
    return np.arange(rows.shape[1])[None, :] == np.asarray(labels)[:, None]


def cross_entropy_vjp(logits: Any, labels: Any, dy: Any = 1.0) -> tuple[Exact, ...]:
    """dlogits = dy / N (p - onehot), at the label -(dy / N) times the sum of the other probabilities."""
    return (loss_gradient(Softmax(logits), np.asarray(labels), dy),)


def loss_gradient(rows: Softmax, labels: Any, dy: Any) -> Exact:
    n, m = rows.shape
    weight = exact(dy)[()] / max(n, 1)
    here = _is_label(rows, labels)
    value = where(here, -total(where(here, ZERO, rows.p), -1)[:, None], rows.p)
    scale = where(here, total(where(here, ZERO, rows.p_scale), -1)[:, None], rows.p_scale)
    return Exact(where(rows.undefined[:, None], MP.nan, weight * value), abs(weight) * scale, max(m, 1))
