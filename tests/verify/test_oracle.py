"""The oracle itself: gradients against 50-digit differentiation of its values, values against exact rationals."""

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import gmpy2
import numpy as np
import pytest

from leakysm.verify import entries  # noqa: F401
from leakysm.verify.cases.numbers import noise
from leakysm.verify.precise import arithmetic, exact, matmul, number, precisely, rounded, total
from leakysm.verify.registry import ENTRIES, Truth

H = number(2.0**-40)  # truncation: 1e-48 of the fifth derivative; rounding: 1e-38 of the value
CLOSE = 1e-25  # of the scale: far above both, far below any float's eps
SMOOTH = {
    "plain",
    "wide",
    "far",
    "saturated",
    "unbalanced",
    "offset",
    "odd",
    "constant",
    "large-mean",
    "few",
    "parallel",
}


def smooth(truth: Truth) -> bool:
    case = truth.case
    return (
        case.stored
        and bool(SMOOTH & set(case.flags))
        and not {"ties", "zero-scale", "large"} & set(case.flags)
        and case.size < 800
    )


TRUTHS = [truth for entry in ENTRIES.values() for truth in entry.truths if smooth(truth)]


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: truth.case.id)
@precisely
def test_a_gradient_is_the_derivative_of_the_value(truth: Truth) -> None:
    """<dx, v> for every argument: five points along a random signed direction, all in 50 digits."""
    case, entry = truth.case, truth.entry
    places = [i for i, a in enumerate(entry.definition.arguments) if a.kind == "array"]
    weight = exact(case.dy)
    for gradient, place in zip(truth.vjp, places, strict=True):
        direction = exact(noise(f"{case.id} {place}", *np.shape(case.arguments[place]), bits=40))

        def along(step: int, place: int = place, direction: object = direction) -> object:
            moved = list(case.arguments)
            moved[place] = exact(moved[place]) + step * H * direction
            return total(weight * entry.value(*moved, **case.parameters)[0].value, None)[()]

        slope = (along(-2) - 8 * along(-1) + 8 * along(1) - along(2)) / (12 * H)
        found = total(gradient.value * direction, None)[()]
        scale = total(exact(gradient.scale) * abs(direction), None)[()] + total(abs(weight), None)[()]
        assert abs(found - slope) <= CLOSE * scale


SETTLED = [name for name, entry in ENTRIES.items() if {bound.roundings for bound in entry.bounds.values()} == {"0"}]


@pytest.mark.parametrize("operation", [o for o in ENTRIES if o not in SETTLED and o != "prototypical_loss"])
def test_a_scale_is_at_least_the_result(operation: str) -> None:
    """Not of the prototypical loss, whose distances enter with a quarter of their scale."""
    looked_at = 0
    for truth in (t for t in ENTRIES[operation].truths if t.case.stored):
        for name, exacts in ((n, e) for part in (truth.value, truth.vjp) for n, e in enumerate(part)):
            known = np.isfinite(exacts.high)
            high, scale = np.abs(exacts.high[known]), exacts.scale[known]
            assert np.all(high <= scale + 1e-12 * high), (truth.case.id, name)
            looked_at += high.size
    assert looked_at > 0


@pytest.mark.parametrize("operation", SETTLED)
def test_where_nothing_is_rounded_the_scale_is_0(operation: str) -> None:
    exacts = [e for t in ENTRIES[operation].truths if t.case.stored for e in (*t.value, *t.vjp)]
    assert exacts
    assert not any(np.any(e.scale) for e in exacts)


@pytest.mark.parametrize(
    "truth", [t for t in ENTRIES["squared_euclidean"].truths if t.case.stored], ids=lambda truth: truth.case.name
)
def test_distances_are_the_exact_rationals(truth: Truth) -> None:
    x, c = truth.case.arguments
    for i, row in enumerate(x):
        for j, centre in enumerate(c):
            d = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(row.tolist(), centre.tolist(), strict=True))
            found = truth.value[0].value[i, j]
            assert abs(fraction(found) - d) <= d * Fraction(1, 10**48)


def fraction(value: Any) -> Fraction:
    return Fraction(*(int(part) for part in value.as_integer_ratio()))


def finite(truth: Truth) -> bool:
    """Whether exp of the logits' differences takes no more digits than the test has time for."""
    return bool(np.abs(truth.case.arguments[0]).max() < 1e7) and truth.value[0].high < 1000


@pytest.mark.parametrize(
    "truth",
    [
        t
        for t in ENTRIES["cross_entropy"].truths
        if t.case.stored and {"plain", "saturated", "offset"} & {*t.case.flags} and finite(t)
    ],
    ids=lambda truth: truth.case.name,
)
def test_the_loss_is_that_of_decimal_arithmetic(truth: Truth) -> None:
    """-log of the softmax as it stands in the textbooks, with digits to spare for its cancellation."""
    z, labels = truth.case.arguments
    with localcontext() as context:
        context.prec = 60 + 2 * int(np.ptp(z, axis=1).max())
        rows = [[Decimal(v) for v in row] for row in z.tolist()]
        losses = [(sum(v.exp() for v in row) / row[int(y)].exp()).ln() for row, y in zip(rows, labels, strict=True)]
        loss = sum(losses) / len(losses)
        assert abs(decimal(truth.value[0].value[()]) - loss) <= loss * Decimal(10) ** -45


def decimal(value: Any) -> Decimal:
    exact_value = fraction(value)
    return Decimal(exact_value.numerator) / Decimal(exact_value.denominator)


@precisely
def test_matrix_products_are_exact_to_the_last_digit() -> None:
    a = noise("a", 3, 4, bits=53) * np.array([1e-200, 1.0, 1e100, 1e-8])
    b = noise("b", 4, 2, bits=53)
    for i, j in np.ndindex(3, 2):
        d = sum(Fraction(p) * Fraction(q) for p, q in zip(a[i].tolist(), b[:, j].tolist(), strict=True))
        assert abs(fraction(matmul(exact(a), exact(b))[i, j]) - d) <= abs(d) * Fraction(1, 10**48)


@pytest.mark.parametrize("spread", [1, 2.0**-30, 2.0**500, 2.0**-1060])
@pytest.mark.parametrize("bits", [(11, 11), (24, 24), (25, 24), (53, 11)])
@precisely
def test_large_matrix_products_are_those_of_50_digits(bits: tuple[int, int], spread: float) -> None:
    """Whether float64 holds them or not: 24 bits and 64 terms do, 25 bits or two powers of two do not."""
    a, b = noise("large a", 40, 64, bits=bits[0]), noise("large b", 64, 40, bits=bits[1])
    a[0, 0] *= spread
    assert np.all(matmul(exact(a), exact(b)) == exact(a) @ exact(b))


@pytest.mark.parametrize("value", [0.1, 5e-324, 1.7e308, -0.0, np.inf])
def test_floats_come_through_unchanged(value: float) -> None:
    assert rounded(exact(np.array([value]))).tolist() == [value]


def test_the_users_precision_is_left_alone() -> None:
    before = gmpy2.get_context().precision
    with arithmetic():
        assert gmpy2.get_context().precision == 170
    ENTRIES["relu"].truths[0].value  # noqa: B018
    assert gmpy2.get_context().precision == before
