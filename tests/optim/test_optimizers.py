"""The optimizers against their papers' formulas in exact rational arithmetic, and as things that act in place."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.errors import UserError
from leakysm.optim import OPTIMIZERS, SGD, Adam, Optimizer

EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}
values = st.integers(-1000, 1000).map(lambda i: i / 64)
runs = st.lists(st.tuples(values, values), min_size=1, max_size=6)  # gradients of two parameters, step by step


def square_root(x: Fraction) -> Fraction:
    """To 40 digits, which is exact beside any float."""
    return Fraction(isqrt(x.numerator * 10**80 // x.denominator), 10**40)


def adam_exactly(w: float, gradients: list[float], rate: float, halve_every: int) -> tuple[Fraction, Fraction]:
    """(parameter, sum of the magnitudes that it adds up) after all the steps of Kingma & Ba's algorithm 1."""
    b1, b2, eps = (Fraction(x) for x in (0.9, 0.999, 1e-8))
    x, scale, m, v = Fraction(w), abs(Fraction(w)), Fraction(0), Fraction(0)
    magnitude = Fraction(0)  # of the terms in the first moment, which may cancel
    for t, g in enumerate(map(Fraction, gradients), 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        magnitude = b1 * magnitude + (1 - b1) * abs(g)
        factor = Fraction(rate) / 2 ** ((t - 1) // halve_every) / (1 - b1**t)
        denominator = square_root(v / (1 - b2**t)) + eps
        x -= factor * m / denominator
        scale += factor * magnitude / denominator
    return x, scale


def sgd_exactly(w: float, gradients: list[float], rate: float, halve_every: int) -> tuple[Fraction, Fraction]:
    x, scale, u, magnitude = Fraction(w), abs(Fraction(w)), Fraction(0), Fraction(0)
    for t, g in enumerate(map(Fraction, gradients)):
        u, magnitude = Fraction(0.9) * u + g, Fraction(0.9) * magnitude + abs(g)
        x -= Fraction(rate) / 2 ** (t // halve_every) * u
        scale += Fraction(rate) / 2 ** (t // halve_every) * magnitude
    return x, scale


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("make", "exactly"), [(Adam, adam_exactly), (SGD, sgd_exactly)])
@given(start=st.tuples(values, values), run=runs, halve_every=st.integers(1, 4))
def test_the_formula(make: type, exactly, dtype: type, start: tuple, run: list, halve_every: int) -> None:
    vector = np.array(start, dtype)
    optimizer = make(2.0**-6, halve_every=halve_every)
    for gradient in run:
        optimizer.step(vector, np.array(gradient, dtype))
    for i in range(2):
        x, scale = exactly(start[i], [g[i] for g in run], 2.0**-6, halve_every)
        # a dozen rounded operations a step, each within half an eps of terms that `scale` sums: derived
        bound = 12 * len(run) * EPS[dtype] * float(scale) + np.finfo(dtype).smallest_normal
        assert abs(float(Fraction(float(vector[i])) - x)) <= bound


@pytest.mark.parametrize("make", OPTIMIZERS.values())
@given(run=runs, split=st.integers(0, 6))
def test_a_restored_optimizer_goes_on_bit_for_bit(make: type, run: list, split: int) -> None:
    vector = np.zeros(2, np.float32)
    optimizer: Optimizer = make(0.01, halve_every=2)
    gradients = [np.array(g, np.float32) for g in run]
    for gradient in gradients[:split]:
        optimizer.step(vector, gradient)
    copy, restored = vector.copy(), make(0.01, halve_every=2)
    restored.load_state(optimizer.state())
    for gradient in gradients[split:]:
        optimizer.step(vector, gradient)
        restored.step(copy, gradient)
    assert vector.tobytes() == copy.tobytes()


@pytest.mark.parametrize("make", OPTIMIZERS.values())
def test_it_acts_in_place_keeps_the_dtype_and_leaves_the_gradient_alone(make: type) -> None:
    vector, gradient = np.ones(3, np.float32), np.array([1, -2, 0], np.float32)
    gradient.flags.writeable = False
    view = vector[1:]
    make(0.5).step(vector, gradient)
    assert vector.dtype == np.float32
    assert view[0] > 1  # downhill, and seen through every view
    assert vector[0] < 1
    assert vector[2] == 1


@pytest.mark.parametrize("make", OPTIMIZERS.values())
def test_the_rate_halves_after_every_so_many_steps(make: type) -> None:
    optimizer = make(0.8, halve_every=2)
    rates = []
    for _ in range(6):
        rates.append(optimizer.learning_rate)
        optimizer.step(np.zeros(1), np.ones(1))
    assert rates == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    assert make(0.8).learning_rate == 0.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", OPTIMIZERS.values())
def test_the_largest_gradient_leaves_the_state_finite(make: type, dtype: type) -> None:
    optimizer = make(dtype(1e-30))
    largest = dtype(optimizer.largest_gradient(dtype))
    if largest > optimizer.largest_gradient(dtype):
        largest = np.nextafter(largest, dtype(0))
    vector = np.zeros(1, dtype)
    optimizer.step(vector, np.array([largest], dtype))
    assert all(np.isfinite(slot).all() for slot in optimizer.slots.values())
    assert np.isfinite(vector).all()


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("make", OPTIMIZERS.values())
def test_a_rate_that_is_none_is_refused(make: type, rate: float) -> None:
    with pytest.raises(UserError, match="learning_rate is"):
        make(rate)


def test_bad_decay_and_momentum_are_refused() -> None:
    with pytest.raises(UserError, match="halve_every is -1"):
        Adam(halve_every=-1)
    with pytest.raises(UserError, match="momentum is 1"):
        SGD(momentum=1.0)


def test_the_same_steps_as_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(20, 50))
    for ours, theirs in (
        (Adam(1e-3), lambda p: torch.optim.Adam(p, 1e-3)),
        (SGD(1e-2), lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9)),
    ):
        vector = rng.normal(size=50)
        weight = torch.tensor(vector.copy())
        optimizer = theirs([weight])
        for gradient in gradients:
            ours.step(vector, gradient)
            weight.grad = torch.tensor(gradient)
            optimizer.step()
        # some 12 roundings a step on either side, of magnitudes below 8
        assert np.abs(vector - weight.numpy()).max() <= 2 * 12 * 20 * 2.0**-52 * 8
