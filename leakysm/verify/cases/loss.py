"""Logits and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.case import Case
from leakysm.verify.cases.numbers import cotangent, cyclic, half, noise, single

_Rows = tuple[str, Any, Any, tuple[str, ...], str]


def _rows() -> list[_Rows]:
    """name, logits (N, M), labels (N,), flags, note."""
    inf = np.inf
    equal = np.full((3, 5), 0.75)
    gap = np.array([[0.0, -60.0, -80.0, -61.5], [-100.0, 0.0, -99.0, -350.5]])
    lost = np.array([[0.0, -60.0, -80.0, -61.5], [-100.0, 0.0, -99.0, -350.5], [-5000.0, -1.0, 0.0, -7.0]])
    return [
        ("plain", noise("lp", 4, 5) * 4, cyclic(4, 5), ("plain",), "numbers of float32"),
        ("plain-double", noise("ld", 3, 6, bits=53), cyclic(3, 6), ("plain",), "numbers of float64"),
        ("plain-half", noise("lh", 3, 4, bits=11) * 4, cyclic(3, 4), ("plain",), "numbers of float16"),
        ("equal", equal, cyclic(3, 5), ("equal-distances",), "uniform softmax: loss log 5"),
        ("two-maxima", np.array([[1.0, 3.0, 3.0, 0.5]] * 2), np.array([1, 2]), ("ties",), "two equal maxima, the label either"),
        ("saturated-right", gap, np.array([0, 1]), ("saturated",), "loss near e^-60: p is 1 - 1e-26"),
        ("saturated-wrong", lost, np.array([1, 2, 0]), ("saturated",), "losses 60, 99 and 5000: probabilities of 0"),
        ("almost-saturated", single(np.array([[0.0, -16.0, -18.5], [-17.25, 0.0, -16.5]])), np.array([0, 1]), ("saturated",), "1 - p near float32's eps"),
        ("exploded", single(-(noise("ex", 4, 6) + 1) * 1e4), cyclic(4, 6), ("saturated", "large"), "squared distances of 1e4, as at the first step"),
        ("huge", single(-(noise("hu", 3, 4) + 1) * 1e37), cyclic(3, 4), ("saturated", "large"), "distances near float32's end"),
        ("far-apart", single(np.array([[3e38, -3e38], [-3e38, 3e38], [2e38, 1e38]])), np.array([1, 1, 0]), ("saturated", "large"), "a row's loss is beyond float32, the mean is not"),
        ("far-apart-double", np.array([[1.5e308, -1.5e308], [0.0, 1.0], [2.0, 1.0]]), np.array([1, 1, 0]), ("saturated", "large"), "a row's loss is beyond float64, the mean is not"),
        ("offset", single(1e6 + noise("of", 3, 5)), cyclic(3, 5), ("offset",), "near 1e6: exp overflows without the maximum"),
        ("offset-negative", single(-1e6 + noise("on", 3, 5)), cyclic(3, 5), ("offset",), "near -1e6: exp underflows without the maximum"),
        ("half-range", half(noise("hr", 3, 4) * 6e4), cyclic(3, 4), ("saturated",), "float16's whole range"),
        ("subnormal-probability", np.array([[0.0, -90.0, -103.0], [-88.0, 0.0, -95.0]]), np.array([1, 0]), ("saturated", "subnormal"), "probabilities subnormal in float32"),
        ("subnormal-probability-double", np.array([[0.0, -710.0, -745.0], [-709.0, 0.0, -740.0]]), np.array([0, 1]), ("saturated", "subnormal"), "probabilities subnormal in float64"),
        ("subnormal-logits", single(noise("sl", 2, 3) * 1e-40), cyclic(2, 3), ("subnormal",), "logits subnormal in float32"),
        ("infinite-logit", np.array([[0.0, -inf, 1.0], [-inf, 2.0, -inf]]), np.array([0, 1]), ("infinite-logit",), "-inf is probability 0"),
        ("one-class", noise("oc", 3, 1), np.zeros(3, dtype=np.int64), ("one",), "one class: loss and gradient exactly 0"),
        ("one-row", noise("or", 1, 4), np.array([2]), ("one",), "one query"),
        ("many-classes", noise("mc", 2, 1000) * 4, np.array([0, 999]), ("wide",), "M = 1000"),
        ("many-rows", noise("mr", 100, 3), cyclic(100, 3), ("wide",), "N = 100"),
    ]  # fmt: skip


def log_softmax_cases() -> list[Case]:
    inf = np.inf
    cases = [
        Case("log_softmax", name, (z,), cotangent(name, z.shape, z), {}, flags, note)
        for name, z, _, flags, note in _rows()
        if not name.startswith("far-apart")
    ]
    bad = np.array([[-inf, -inf], [inf, 0.0], [np.nan, 0.0], [1.0, 2.0]])
    return [*cases, Case("log_softmax", "undefined", (bad,), noise("dyu", 4, 2, bits=8), {}, ("undefined",), "three rows that give NaN, one that does not", own=True)]  # fmt: skip


def cross_entropy_cases() -> list[Case]:
    def case(name: str, z: Any, y: Any, flags: tuple[str, ...], note: str, dy: float = 1.0, own: bool = False) -> Case:
        return Case("cross_entropy", name, (z, np.asarray(y)), np.asarray(dy), {}, flags, note, own)

    inf = np.inf
    # A row's loss may overflow where the mean does not: others need not guard against that.
    rows = [case(*row, own=row[0].startswith("far-apart")) for row in _rows()]
    return [
        *rows,
        case("label-infinite", np.array([[-inf, 0.0, 1.0]]), [0], ("infinite-logit",), "the label has probability 0: loss inf, gradient finite"),
        case("cotangent", noise("ct", 3, 4), [0, 3, 1], ("plain",), "dy = -2.5", -2.5),
        case("cotangent-zero", noise("cz", 2, 4), [0, 3], ("plain",), "dy = 0: gradient exactly 0", 0.0),
        case("no-row", np.zeros((0, 3)), np.zeros(0, dtype=np.int64), ("empty",), "N = 0: the empty mean is 0", own=True),
        case("undefined", np.array([[-inf, -inf], [1.0, 2.0]]), [0, 1], ("undefined",), "a row of nothing but -inf", own=True),
    ]  # fmt: skip
