"""The oracle itself: gradients against 50-digit differentiation of its values, values against exact rationals."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import gmpy2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.verify import entries  # noqa: F401
from leakysm.verify.cases.numbers import noise
from leakysm.verify.precise import arithmetic, exact, in_floats, magnitude, number, precisely, rounded, total
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


@pytest.mark.parametrize("spread", [1, 2.0**-30, 2.0**500, 2.0**-1060])
@pytest.mark.parametrize("bits", [(11, 11), (24, 24), (25, 24), (53, 11)])
@pytest.mark.parametrize("given_as", [np.asarray, exact])
@precisely
def test_a_product_is_taken_in_float64_only_where_that_is_exact(
    bits: tuple[int, int], spread: float, given_as: Callable[[Any], Any]
) -> None:
    """Two times 24 bits and 64 terms are exact there; 53 bits, or numbers of very different size, are not."""
    a, b = noise("large a", 40, 64, bits=bits[0]), noise("large b", 64, 40, bits=bits[1])
    a[0, 0] *= spread
    floats = in_floats(given_as(a), given_as(b), 64)
    assert floats is not None or spread != 1 or bits in ((25, 24), (53, 11))
    assert floats is None or (bits != (53, 11) and 2.0**-1000 < spread < 2.0**400)
    if floats is not None:
        assert np.all(exact(floats[0] @ floats[1]) == exact(a) @ exact(b))


@pytest.mark.parametrize("value", [0.1, 5e-324, 1.7e308, -0.0, np.inf])
def test_floats_come_through_unchanged(value: float) -> None:
    assert rounded(exact(np.array([value]))).tolist() == [value]


def test_the_users_precision_is_left_alone() -> None:
    before = gmpy2.get_context().precision
    with arithmetic():
        assert gmpy2.get_context().precision == 170
    ENTRIES["relu"].truths[0].value  # noqa: B018
    assert gmpy2.get_context().precision == before


@pytest.mark.parametrize("operation", list(ENTRIES))
def test_scales_in_float64_are_those_in_50_digits(operation: str) -> None:
    """All numbers of a published case have 50 digits."""
    stored = [truth for truth in ENTRIES[operation].truths if truth.case.stored and truth.case.size < 200]
    slowly = [exacts for truth in stored for exacts in (*truth.value, *truth.vjp)]
    others = [Truth(truth.entry, replace(truth.case, stored=False)) for truth in stored]
    quickly = [exacts for truth in others for exacts in (*truth.value, *truth.vjp)]
    assert len(quickly) > 10
    for a, b in zip(quickly, slowly, strict=True):
        assert np.array_equal(a.high, b.high, equal_nan=True)
        assert np.array_equal(a.low, b.low)
        assert np.array_equal(a.zero, b.zero)
        for name in ("scale", "under", "reach"):
            known = np.asarray(getattr(b, name))
            np.testing.assert_allclose(getattr(a, name), known, rtol=1e-12, atol=1e-300, err_msg=name)


@given(hnp.arrays(np.float64, 3, elements=st.floats(allow_nan=False, width=64)))
@precisely
def test_magnitudes_are_absolute_values(values: np.ndarray[Any, Any]) -> None:
    found = magnitude(values)
    assert np.all(exact(found) == abs(exact(values)))
    moderate = [v == 0 or 2.0**-64 <= abs(v) <= 2.0**64 for v in values.tolist()]
    assert (found.dtype != object) is all(moderate)


@precisely
def test_a_magnitude_below_float64s_range_is_not_taken_for_0() -> None:
    tiny = exact(np.array([5e-324])) ** 2
    assert magnitude(tiny)[0] == tiny[0] > 0
