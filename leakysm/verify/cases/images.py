"""Small images and channels for convolution, pooling, normalisation and the fused block."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.case import Case
from leakysm.verify.cases.numbers import Floats, cotangent, half, noise, single, whole


def conv2d_cases() -> list[Case]:
    def case(name: str, x: Any, w: Any, flags: tuple[str, ...], note: str, own: bool = False) -> Case:
        dy = cotangent(name, (*x.shape[:3], w.shape[3]), x, w)
        return Case("conv2d", name, (x, w), dy, {}, flags, note, own)

    def weights(c: int, f: int, bits: int = 24) -> Floats:
        return noise(f"w{c}{f}", 3, 3, c, f, bits=bits)

    delta = np.zeros((1, 5, 5, 1))
    delta[0, 2, 2, 0] = 1
    gradient = np.broadcast_to(np.arange(36.0).reshape(1, 6, 6, 1), (1, 6, 6, 1)).copy()
    return [
        case("plain", noise("i1", 2, 5, 6, 2), weights(2, 3), ("plain",), "numbers of float32"),
        case("plain-double", noise("i2", 2, 4, 4, 2, bits=53), weights(2, 2, 53), ("plain",), "numbers of float64"),
        case("plain-half", noise("i3", 2, 4, 4, 2, bits=11), weights(2, 2, 11), ("plain",), "numbers of float16"),
        case("delta", delta, np.arange(9.0).reshape(3, 3, 1, 1), ("plain",), "a single pixel shows the kernel: cross-correlation, not convolution"),
        case("gradient-image", gradient, whole("wg", 3, 3, 1, 2), ("plain",), "rows and columns differ: axes must not be exchanged"),
        case("one-pixel", noise("i4", 2, 1, 1, 3), weights(3, 2), ("border", "one"), "1x1: only the kernel's centre counts"),
        case("one-row", noise("i5", 1, 1, 4, 2), weights(2, 2), ("border",), "height 1"),
        case("one-column", noise("i6", 1, 4, 1, 2), weights(2, 2), ("border",), "width 1"),
        case("odd", noise("i7", 2, 3, 7, 1), weights(1, 4), ("odd",), "3x7"),
        case("channels", noise("i8", 1, 4, 4, 64), weights(64, 4), ("wide",), "64 input channels"),
        case("filters", noise("i9", 1, 4, 4, 2), weights(2, 64), ("wide",), "64 filters"),
        case("positive", abs(noise("i10", 4, 10, 10, 8)), abs(weights(8, 4)), ("wide",), "sums of one sign, where rounding drifts most"),
        case("large-mean", single(100 + noise("i11", 1, 5, 5, 2)), weights(2, 2), ("large-mean",), "pixels near 100"),
        case("spike", np.where(noise("i12", 1, 8, 8, 1) > 0.9, 2.0**20, noise("i13", 1, 8, 8, 1)), weights(1, 2), ("mixed",), "large pixels beside small ones: a transformed convolution smears their error"),
        case("tiny", single(noise("i14", 1, 4, 4, 1) * 1e-30), single(weights(1, 1) * 1e-10), ("subnormal",), "products subnormal in float32"),
        case("no-image", np.zeros((0, 4, 4, 1)), weights(1, 2), ("empty",), "N = 0", own=True),
    ]  # fmt: skip


def relu_cases() -> list[Case]:
    x = noise("r1", 2, 3, 2)
    zeros = np.array([[-1.0, 0.0, -0.0, 1.0, 2.0, -3.0]])
    tiny = single(np.array([1e-45, -1e-45, 1e-39, -1e-39, 1e-38]))

    def case(name: str, values: Any, flags: tuple[str, ...], note: str, own: bool = False) -> Case:
        return Case("relu", name, (values,), cotangent(name, values.shape, values), {}, flags, note, own)

    return [
        case("plain", x, ("plain",), "numbers of float32"),
        case("plain-double", noise("r2", 5, bits=53), ("plain",), "numbers of float64"),
        case("zero", zeros, ("ties",), "the gradient at 0 is 0"),
        case("subnormal", tiny, ("subnormal",), "subnormal numbers of float32, both signs", own=True),
        case("large", single(np.array([3e38, -3e38, 1e38])), ("large",), "near float32's end"),
        case("image", noise("r3", 2, 4, 4, 3), ("plain",), "four axes"),
        case("cut-off", -abs(noise("r4", 3, 3)) - 1, ("cut-off",), "nothing is positive"),
        case(
            "small",
            single(np.array([1e-3, -1e-3, 1e-8, -1e-8, 1e-20, -1e-20, 1e-30])),
            ("mixed",),
            "small numbers are not 0",
        ),
        case("empty", np.zeros((0, 3)), ("empty",), "no element"),
    ]


def max_pool2d_cases() -> list[Case]:
    def case(name: str, x: Any, flags: tuple[str, ...], note: str, own: bool = False) -> Case:
        n, h, w, c = x.shape
        return Case("max_pool2d", name, (x,), cotangent(name, (n, h // 2, w // 2, c), x), {}, flags, note, own)

    pattern = np.array([[1.0, 1.0, 0.0, 2.0], [0.0, 1.0, 2.0, 2.0], [3.0, 0.0, 5.0, 4.0], [3.0, 3.0, 4.0, 5.0]])
    return [
        case("plain", noise("m1", 2, 4, 6, 3), ("plain",), "numbers of float32"),
        case("plain-double", noise("m2", 1, 4, 4, 2, bits=53), ("plain",), "numbers of float64"),
        case("ties", pattern.reshape(1, 4, 4, 1), ("ties",), "equal maxima at every two places of a window: the first counts"),
        case("all-equal", np.full((2, 4, 4, 2), 0.5), ("ties",), "every window is constant: its first position counts"),
        case("zeros", np.where(noise("m3", 2, 4, 4, 2) > 0, 0.0, -0.0), ("ties",), "0 and -0 are equal"),
        case("odd", noise("m4", 2, 5, 7, 2), ("odd",), "the last row and column are cut, their gradient is 0"),
        case("odd-with-maximum", np.pad(noise("m5", 1, 4, 4, 1), ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=9), ("odd",), "the largest values lie in what is cut"),
        case("close", single(1 + np.arange(16.0).reshape(1, 4, 4, 1) * 2.0**-23), ("ulp-apart",), "neighbours one float32 ulp apart"),
        case("negative", -abs(noise("m6", 1, 4, 4, 2)) - 1, ("plain",), "all negative: no padding with 0"),
        case("one-window", noise("m7", 3, 2, 2, 2), ("one",), "2x2"),
        case("one-row", noise("m8", 1, 1, 4, 2), ("empty",), "height 1: no window at all", own=True),
        case("large", single(noise("m9", 1, 4, 4, 1) * 3e38), ("large",), "near float32's end"),
        case("subnormal", single(noise("m10", 1, 4, 4, 1) * 1e-40), ("subnormal",), "subnormal in float32", own=True),
    ]  # fmt: skip


def _channels(name: str, c: int, bits: int = 24) -> tuple[Floats, Floats]:
    return noise(name + "scale", c, bits=bits), noise(name + "shift", c, bits=bits)


def _batches() -> list[tuple[str, Any, tuple[str, ...], str, dict[str, Any]]]:
    """name, x, flags, note, parameters: for normalisation by batch and by given statistics."""
    constant = noise("b5", 8, 3)
    constant[:, 1] = 0.7109375
    return [
        ("plain", noise("b1", 2, 3, 4, 2), ("plain",), "numbers of float32", {}),
        ("plain-double", noise("b2", 2, 2, 2, 3, bits=53), ("plain",), "numbers of float64", {}),
        ("plain-half", noise("b3", 2, 3, 3, 2, bits=11), ("plain",), "numbers of float16", {}),
        ("matrix", noise("b4", 10, 3), ("plain",), "(n, C), eps 1e-3", {"eps": 1e-3}),
        ("constant", constant, ("constant",), "one channel has no variance", {}),
        ("large-mean", single(100 + noise("b6", 2, 4, 4, 2)), ("large-mean",), "mean 100, deviation 0.6", {}),
        ("larger-mean", single(4000 + noise("b7", 16, 2)), ("large-mean",), "mean 4000, deviation 0.6", {}),
        ("small", single(noise("b8", 12, 2) * 1e-3), ("constant",), "variance below eps", {}),
        ("tiny", single(noise("b9", 6, 2) * 1e-30), ("subnormal",), "variance underflows in float32", {}),
        ("large", single(noise("b10", 6, 2) * 1e16), ("large",), "variance near 1e32", {}),
        ("few", noise("b11", 2, 3), ("few",), "two values a channel", {}),
        ("zero", np.zeros((4, 2)), ("constant",), "all zeros: a black image", {}),
        ("wide", noise("b12", 600, 1), ("wide",), "600 values a channel", {}),
        ("outlier", single(np.concatenate([noise("b13", 20, 2) / 64, np.full((1, 2), 50.0)])), ("mixed",), "one value far from all others", {}),
    ]  # fmt: skip


def batch_norm_cases() -> list[Case]:
    def case(
        name: str, x: Any, flags: tuple[str, ...], note: str, parameters: dict[str, Any], scale: Any = None
    ) -> Case:
        default, shift = _channels(name, x.shape[-1], 11)
        arguments = (x, default if scale is None else np.asarray(scale), shift)
        return Case("batch_norm", name, arguments, cotangent(name, x.shape, x), parameters, flags, note)

    x = noise("bz", 2, 3, 3, 3)
    return [case(*batch) for batch in _batches()] + [
        case("zero-scale", x, ("zero-scale",), "scale 0, negative and positive", {}, [0.0, -1.5, 2.0]),
        case("ones", np.ones((3, 2)), ("constant",), "all ones, sums exact", {}),
    ]


def batch_norm_inference_cases() -> list[Case]:
    cases = []
    for name, x, flags, note, parameters in _batches():
        scale, shift = _channels(name, x.shape[-1], 11)
        mean = half(noise(name + "mean", x.shape[-1], bits=11) + 0.5)
        variance = half(noise(name + "variance", x.shape[-1], bits=8) + 1.25)
        arguments = (x, scale, shift, mean, variance)
        cases.append(
            Case("batch_norm_inference", name, arguments, cotangent(name, x.shape, x), parameters, flags, note)
        )
    x = noise("bi", 3, 2, 2, 2)
    start = (x, np.ones(2), np.zeros(2), np.zeros(2), np.ones(2))
    still = (x, np.ones(2), np.zeros(2), np.zeros(2), np.zeros(2))
    dy = noise("dybi", 3, 2, 2, 2, bits=8)
    return [
        *cases,
        Case(
            "batch_norm_inference", "start", start, dy, {}, ("plain",), "the running statistics as they start: 0 and 1"
        ),
        Case("batch_norm_inference", "no-variance", still, dy, {}, ("constant",), "variance 0: eps alone"),
    ]


def _blocks() -> list[tuple[str, Any, Any, Any, Any, tuple[str, ...], str, dict[str, Any]]]:
    """name, x, w, scale, shift, flags, note, parameters."""
    x, w = noise("k1", 2, 4, 4, 2), noise("k1w", 3, 3, 2, 3)
    ties = whole("k4", 1, 4, 4, 1, low=0, high=1)
    return [
        ("plain", x, w, noise("ks", 3) + 1, noise("kt", 3), ("plain",), "numbers of float32", {}),
        ("plain-double", noise("k2", 2, 4, 4, 1, bits=53), noise("k2w", 3, 3, 1, 2, bits=53), np.array([1.0, 0.5]), np.array([0.25, -0.25]), ("plain",), "numbers of float64", {}),
        ("plain-half", noise("k3", 2, 4, 4, 1, bits=11), noise("k3w", 3, 3, 1, 2, bits=11), np.array([1.0, 0.5]), np.array([0.25, -0.25]), ("plain",), "numbers of float16", {}),
        ("negative-scale", x, w, -abs(noise("kn", 3)) - 0.5, noise("kt", 3), ("zero-scale",), "negative scales: the window's smallest value counts", {}),
        ("mixed-scale", x, w, np.array([-1.0, 0.5, 1.0]), noise("kt", 3), ("zero-scale",), "scales of both signs", {}),
        ("zero-scale", x, w, np.array([0.0, 1.0, 0.0]), np.array([0.5, 0.25, -0.5]), ("zero-scale",), "scale 0: output relu(shift), dscale by each window's first position", {}),
        ("start", x, w, np.ones(3), np.zeros(3), ("plain",), "scale 1 and shift 0, as at the start of training", {}),
        ("cut-off", x, w, np.ones(3), np.full(3, -20.0), ("cut-off",), "ReLU cuts everything off", {}),
        ("pass-all", x, w, np.ones(3), np.full(3, 20.0), ("plain",), "ReLU cuts nothing off", {}),
        ("odd", noise("k5", 2, 5, 7, 1), noise("k5w", 3, 3, 1, 2), np.ones(2), np.array([0.5, 0.0]), ("odd",), "5x7: pooling cuts, the statistics do not", {}),
        ("one-window", noise("k6", 2, 2, 2, 1), noise("k6w", 3, 3, 1, 1), np.ones(1), np.full(1, 0.5), ("one",), "2x2 images", {}),
        ("ties", ties, whole("k4w", 3, 3, 1, 1), np.ones(1), np.full(1, 0.5), ("ties",), "small integers: equal values within windows", {}),
        ("black", np.zeros((1, 2, 4, 1)), noise("k7w", 3, 3, 1, 2), np.ones(2), np.array([0.5, -0.5]), ("constant", "ties"), "a black image: no variance, every window tied", {}),
        ("large-mean", single(50 + noise("k8", 2, 4, 4, 1)), abs(noise("k8w", 3, 3, 1, 2)), np.ones(2), np.zeros(2), ("large-mean",), "a convolution output far from 0", {}),
        ("channels", noise("k9", 2, 4, 4, 16), noise("k9w", 3, 3, 16, 4), np.ones(4), np.zeros(4), ("wide",), "16 channels", {}),
        ("eps", single(x / 16), single(w / 16), np.ones(3), np.zeros(3), ("plain",), "eps 1e-3, as large as the variance", {"eps": 1e-3}),
        ("batch", noise("k10", 12, 6, 7, 3), noise("k10w", 3, 3, 3, 5), np.ones(5), np.zeros(5), ("wide", "odd"), "504 values a channel", {}),
    ]  # fmt: skip


def conv_block_cases() -> list[Case]:
    return [
        Case("conv_block", name, (x, w, scale, shift), _block_dy(name, x, w), parameters, flags, note)
        for name, x, w, scale, shift, flags, note, parameters in _blocks()
    ]


def conv_block_inference_cases() -> list[Case]:
    cases = []
    for name, x, w, scale, shift, flags, note, parameters in _blocks():
        mean = noise("mean " + name, w.shape[-1], bits=8)
        variance = noise("variance " + name, w.shape[-1], bits=8) + 1.5
        arguments = (x, w, scale, shift, mean, variance)
        cases.append(Case("conv_block_inference", name, arguments, _block_dy(name, x, w), parameters, flags, note))
    return cases


def _block_dy(name: str, x: Any, w: Any) -> Floats:
    return cotangent(name, (x.shape[0], x.shape[1] // 2, x.shape[2] // 2, w.shape[-1]), x, w)
