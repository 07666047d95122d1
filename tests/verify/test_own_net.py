"""The check of somebody's own net: right gradients pass, wrong ones are found, parameters are left as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakysm as lk
from leakysm.errors import UserError
from leakysm.verify.own_net import check_net

SHAPE = (4, 3, 2)
HIDDEN, WIDTH = 7, 5
SIZES = (24 * HIDDEN, HIDDEN, HIDDEN * WIDTH)


class TwoLayers(lk.Net):
    """z = relu(x u + b) w, without a bias of the second layer."""

    def __init__(self, seed: int = 0, dtype: str = "float32") -> None:
        self.engine = lk.backend("numpy")
        self.vector = np.random.default_rng(seed).normal(0, 0.3, sum(SIZES)).astype(dtype)

    def parts(self) -> tuple[Any, Any, Any]:
        u, b, w = np.split(self.vector, np.cumsum(SIZES)[:2])
        return u.reshape(24, HIDDEN), b, w.reshape(HIDDEN, WIDTH)

    def forward(self, x: Any) -> tuple[Any, Any]:
        u, b, w = self.parts()
        flat = x.reshape(len(x), -1)
        hidden = np.maximum(flat @ u + b, 0)
        return hidden @ w, (flat, hidden)

    def backward(self, saved: Any, dz: Any) -> Any:
        flat, hidden = saved
        dh = (dz @ self.parts()[2].T) * (hidden > 0)
        return np.concatenate([(flat.T @ dh).ravel(), dh.sum(axis=0), (hidden.T @ dz).ravel()])

    def embed(self, x: Any, norm: str = "running") -> Any:
        return self.forward(x)[0]

    def embedding_size(self, image_shape: tuple[int, ...]) -> int:
        return WIDTH


class NoMask(TwoLayers):
    def backward(self, saved: Any, dz: Any) -> Any:
        return super().backward((saved[0], np.ones_like(saved[1])), dz)


class MeanBias(TwoLayers):
    def backward(self, saved: Any, dz: Any) -> Any:
        gradient = super().backward(saved, dz)
        gradient[SIZES[0] : SIZES[0] + HIDDEN] /= len(dz)
        return gradient


class Transposed(TwoLayers):
    def backward(self, saved: Any, dz: Any) -> Any:
        gradient = super().backward(saved, dz)
        gradient[: SIZES[0]] = gradient[: SIZES[0]].reshape(24, HIDDEN).T.ravel()
        return gradient


class Constant(TwoLayers):
    """Its second layer has no gradient."""

    def backward(self, saved: Any, dz: Any) -> Any:
        gradient = super().backward(saved, dz)
        gradient[-SIZES[2] :] = 0
        return gradient


class Negative(TwoLayers):
    def backward(self, saved: Any, dz: Any) -> Any:
        return -super().backward(saved, dz)


class Dropout(TwoLayers):
    def forward(self, x: Any) -> tuple[Any, Any]:
        z, saved = super().forward(x)
        return z * np.random.default_rng().integers(0, 2, z.shape), saved


class Updating(TwoLayers):
    def backward(self, saved: Any, dz: Any) -> Any:
        gradient = super().backward(saved, dz)
        self.vector -= (0.1 * gradient).astype(self.vector.dtype)
        return gradient


class Cast(TwoLayers):
    def forward(self, x: Any) -> tuple[Any, Any]:
        if x.dtype != np.float32:
            raise ValueError("float32 only")
        return super().forward(x)


@given(st.integers(0, 10_000), st.sampled_from(["float32", "float64"]))
@settings(max_examples=30)
def test_a_right_net_passes_and_is_left_as_it_was(seed: int, dtype: str) -> None:
    net = TwoLayers(seed, dtype)
    before = net.vector.copy()
    findings = check_net(net, SHAPE)
    assert findings.problem is None
    assert findings.directions > 100
    assert np.array_equal(net.vector, before)


@pytest.mark.parametrize("wrong", [NoMask, MeanBias, Transposed, Constant, Negative])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wrong_gradient_is_found(wrong: type[TwoLayers], dtype: str) -> None:
    for seed in range(10):
        problem = check_net(wrong(seed, dtype), SHAPE).problem
        assert problem is not None
        assert problem.startswith(f"backward of {wrong.__name__} is wrong: for 6 random images, gradient[")


def test_the_counterexample_names_one_parameter() -> None:
    problem = check_net(MeanBias(), SHAPE).problem or ""
    place = int(problem.partition("gradient[")[2].partition("]")[0])
    assert SIZES[0] <= place < SIZES[0] + HIDDEN


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Dropout, "forward of Dropout gives two results for the same images"),
        (Updating, "forward or backward of Updating changes its vector"),
    ],
)
def test_bad_manners_are_told(kind: type[TwoLayers], told: str) -> None:
    assert told in (check_net(kind(), SHAPE).problem or "")


@pytest.mark.parametrize("seed", range(3))
def test_the_built_in_net_passes(seed: int) -> None:
    for blocks in (1, 2):
        assert check_net(lk.Conv4(2, channels=4, blocks=blocks, seed=seed, dtype="float64"), (8, 8, 2)).problem is None


def test_a_net_without_float64_is_told() -> None:
    for net in (lk.Conv4(2, channels=4), Cast()):
        with pytest.raises(
            UserError, match=r"refuses images of float64; for this check, make a net whose vector is fl"
        ):
            check_net(net, (16, 16, 2) if isinstance(net, lk.Conv4) else SHAPE)
