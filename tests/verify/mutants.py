"""Planted mutants: our own operations with one mistake each, such as people make. The suite must catch every one.

MUTANTS: name -> (operation, the functions that replace it). `OWN_PROMISES` names those that break only what binds this
package, not others (a strict check catches them).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

import leakysm as lk
from leakysm.ops.registry import OPERATIONS

MUTANTS: dict[str, tuple[str, SimpleNamespace]] = {}
OWN_PROMISES = {
    "right_derivative_at_the_kink",
    "not_exactly_zero_at_coincident_points",
    "other_bits_without_a_restriction",
    "mean_of_a_sum_that_overflows",
}


def mutant(operation: str, part: str = "vjp", **others: Callable[..., Any]) -> Callable[[Any], Any]:
    """Register a function as the operation's mutated value or vjp; the rest, and `others`, stay right."""
    right = OPERATIONS[operation]

    def plant(function: Callable[..., Any]) -> Callable[..., Any]:
        functions = {operation: right.value, operation + "_vjp": right.vjp, **others}
        functions[operation if part == "value" else operation + "_vjp"] = function
        MUTANTS[function.__name__] = operation, SimpleNamespace(**functions)
        return function

    return plant


def _difference(x, c):
    return x[:, None, :] - c[None, :, :]


def _pulled_back(x, c, weight):
    terms = 2 * _difference(x, c) * (weight[..., None] if weight.ndim == 2 else weight)
    return terms.sum(1), -terms.sum(0)


# Distances


@mutant("squared_euclidean", "value")
def expanded_distance(x, c):
    return (x**2).sum(1)[:, None] - 2 * x @ c.T + (c**2).sum(1)[None]


@mutant("squared_euclidean", "value")
def distance_by_norm_squared_in_half_precision(x, c):
    return lk.squared_euclidean(x.astype(np.float32), c.astype(np.float32)).astype(x.dtype)


@mutant("squared_euclidean", "value")
def not_exactly_zero_at_coincident_points(x, c):
    return lk.squared_euclidean(x, c) + np.finfo(x.dtype).tiny / 4


@mutant("squared_euclidean", "value")
def rows_of_the_first_tile_alone(x, c):
    return np.where(np.arange(len(x))[:, None] < 256, lk.squared_euclidean(x, c), 0).astype(x.dtype)


@mutant("squared_euclidean", "value")
def coordinates_of_the_first_tile_alone(x, c):
    return lk.squared_euclidean(x[:, :2048], c[:, :2048])


@mutant("squared_euclidean")
def classes_of_the_first_tile_alone(x, c, dy):
    return lk.squared_euclidean_vjp(x, c, np.where(np.arange(len(c)) < 256, dy, 0).astype(x.dtype))


@mutant("squared_euclidean")
def factor_two_forgotten(x, c, dy):
    dx, dc = lk.squared_euclidean_vjp(x, c, dy)
    return dx / 2, dc / 2


@mutant("squared_euclidean")
def prototype_gradient_with_the_wrong_sign(x, c, dy):
    dx, dc = lk.squared_euclidean_vjp(x, c, dy)
    return dx, -dc


@mutant("squared_euclidean")
def gradient_by_expansion(x, c, dy):
    return 2 * (x * dy.sum(1)[:, None] - dy @ c), 2 * (c * dy.sum(0)[:, None] - dy.T @ x)


@mutant("leaky_squared_euclidean")
def gradient_without_the_slope(x, c, dy, *, threshold, slope, per="pair"):
    return lk.squared_euclidean_vjp(x, c, dy)


@mutant("leaky_squared_euclidean")
def right_derivative_at_the_kink(x, c, dy, *, threshold, slope, per="pair"):
    squares = _difference(x, c) ** 2
    d = squares.sum(-1) if per == "pair" else squares
    factor = np.where(d < threshold, 1, slope).astype(x.dtype)
    return _pulled_back(x, c, factor * (dy if per == "pair" else dy[..., None]))


@mutant("leaky_squared_euclidean")
def slope_below_the_threshold(x, c, dy, *, threshold, slope, per="pair"):
    squares = _difference(x, c) ** 2
    d = squares.sum(-1) if per == "pair" else squares
    factor = np.where(d > threshold, 1, slope).astype(x.dtype)
    return _pulled_back(x, c, factor * (dy if per == "pair" else dy[..., None]))


@mutant("leaky_squared_euclidean", "value")
def jump_at_the_threshold(x, c, *, threshold, slope, per="pair"):
    squares = _difference(x, c) ** 2
    d = squares.sum(-1) if per == "pair" else squares
    d = np.where(d <= threshold, d, slope * d).astype(x.dtype)
    return d if per == "pair" else d.sum(-1)


@mutant("leaky_squared_euclidean", "value", squared_euclidean=lk.squared_euclidean)
def other_bits_without_a_restriction(x, c, *, threshold, slope, per="pair"):
    d = lk.leaky_squared_euclidean(x, c, threshold=threshold, slope=slope, per=per)
    other = np.where(np.isinf(d), d, np.nextafter(d, x.dtype.type(0)))
    return other if np.isinf(threshold) or slope == 1 else d


@mutant("leaky_squared_euclidean", "value")
def coordinates_restricted_as_pairs(x, c, *, threshold, slope, per="pair"):
    return lk.leaky_squared_euclidean(x, c, threshold=threshold, slope=slope)


@mutant("restricted_squared_euclidean")
def gradient_without_the_derivative(x, c, dy, *, restriction, per="pair"):
    return lk.squared_euclidean_vjp(x, c, dy)


@mutant("restricted_squared_euclidean")
def derivative_of_the_pair_for_every_coordinate(x, c, dy, *, restriction, per="pair"):
    return lk.restricted_squared_euclidean_vjp(x, c, dy, restriction=restriction)


@mutant("restricted_squared_euclidean", "value")
def sum_of_restricted_coordinates(x, c, *, restriction, per="pair"):
    return lk.restricted_squared_euclidean(x, c, restriction=restriction, per="coordinate")


@mutant("restricted_squared_euclidean", "value")
def log_of_a_rounded_sum(x, c, *, restriction, per="pair"):
    if not isinstance(restriction, lk.Log):
        return lk.restricted_squared_euclidean(x, c, restriction=restriction, per=per)
    squares = _difference(x, c) ** 2
    d = squares.sum(-1) if per == "pair" else squares
    y = restriction.scale * np.log(1 + d / restriction.scale)
    return y if per == "pair" else y.sum(-1)


@mutant("euclidean")
def unguarded_square_root(x, c, dy):
    unit = _difference(x, c) / np.sqrt((_difference(x, c) ** 2).sum(-1))[..., None]
    return (unit * dy[..., None]).sum(1), -(unit * dy[..., None]).sum(0)


@mutant("euclidean", "value")
def square_root_with_epsilon(x, c):
    return np.sqrt(lk.squared_euclidean(x, c) + x.dtype.type(1e-12))


@mutant("cosine_distance", "value")
def cosine_with_clamped_norm(x, c):
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(c, axis=1)[None]
    return 1 - x @ c.T / np.maximum(norms, x.dtype.type(1e-8))


@mutant("cosine_distance")
def cosine_gradient_without_the_projection(x, c, dy):
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(c, axis=1)[None]
    weight = np.divide(dy, lengths, out=np.zeros_like(dy), where=lengths > 0)
    return -weight @ c, -weight.T @ x


# Loss


@mutant("log_softmax", "value")
def softmax_without_the_maximum(logits):
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


@mutant("log_softmax")
def softmax_gradient_of_the_diagonal_alone(logits, dy):
    p = np.exp(lk.ops.log_softmax(logits))
    return dy - p * dy


@mutant("cross_entropy", "value")
def unstable_log_sum_exp(logits, labels):
    rows = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    return rows.mean(dtype=logits.dtype)


@mutant("cross_entropy", "value")
def loss_capped_by_an_epsilon(logits, labels):
    p = np.exp(lk.ops.log_softmax(logits))[np.arange(len(labels)), labels]
    return -np.log(p + logits.dtype.type(1e-8)).mean(dtype=logits.dtype)


@mutant("cross_entropy", "value")
def sum_of_rows_for_their_mean(logits, labels):
    return lk.cross_entropy(logits, labels) * logits.dtype.type(max(len(labels), 1))


@mutant("cross_entropy")
def gradient_as_p_minus_one(logits, labels, dy=1.0):
    p = np.exp(lk.ops.log_softmax(logits))
    p[np.arange(len(labels)), labels] -= 1
    return p * (dy / logits.dtype.type(max(len(labels), 1)))


@mutant("cross_entropy")
def cotangent_ignored(logits, labels, dy=1.0):
    return lk.cross_entropy_vjp(logits, labels)


# Episodes


@mutant("prototypes", "value")
def prototypes_by_the_mean_shot(z, labels, n_classes):
    sums = np.stack([z[labels == j].sum(0) for j in range(n_classes)]) if n_classes else np.zeros_like(z)
    return (sums * n_classes / max(len(labels), 1)).astype(z.dtype)


@mutant("prototypes", "value")
def mean_of_a_sum_that_overflows(z, labels, n_classes):
    means = [z[labels == j].sum(0) / z.dtype.type((labels == j).sum()) for j in range(n_classes)]
    return np.stack(means) if n_classes else z[:0]


@mutant("prototypes")
def support_gradient_not_divided_by_shots(z, labels, n_classes, dy):
    return dy[labels]


@mutant("prototypical_loss")
def support_gradient_forgotten(support, support_labels, query, query_labels, dy=1.0, *, distance):
    ds, dq = lk.prototypical_loss_vjp(support, support_labels, query, query_labels, dy, distance=distance)
    return 0 * ds, dq


@mutant("distance_cross_entropy")
def label_s_class_pushed_away(x, c, labels, dy=1.0, *, distance):
    dx, dc = lk.distance_cross_entropy_vjp(x, c, labels, dy, distance=distance)
    return dx, -dc


@mutant("distance_cross_entropy", "value")
def label_s_probability_left_out(x, c, labels, *, distance):
    logits = -distance(x, c)
    others = logits - np.where(np.arange(len(c)) == np.asarray(labels)[:, None], np.inf, 0).astype(x.dtype)
    own = np.take_along_axis(logits, np.asarray(labels)[:, None], 1)[:, 0]
    with np.errstate(all="ignore"):
        return np.asarray(np.mean(np.log(np.exp(others).sum(1)) - own))


# Images


@mutant("conv2d", "value")
def true_convolution(x, w):
    return lk.conv2d(x, np.ascontiguousarray(w[::-1, ::-1]))


@mutant("conv2d", "value")
def axes_of_the_kernel_exchanged(x, w):
    return lk.conv2d(x, np.ascontiguousarray(w.transpose(1, 0, 2, 3)))


@mutant("conv2d")
def input_gradient_with_the_unturned_kernel(x, w, dy):
    return lk.conv2d(dy, np.ascontiguousarray(w.transpose(0, 1, 3, 2))), lk.conv2d_vjp(x, w, dy)[1]


@mutant("relu")
def gradient_one_at_zero(x, dy):
    return np.where(x >= 0, dy, 0).astype(x.dtype)


@mutant("max_pool2d")
def tie_to_the_last_maximum(x, dy):
    _n, h, w, _c = x.shape
    flipped = x[:, : h // 2 * 2, : w // 2 * 2][:, ::-1, ::-1]
    dx = np.zeros_like(x)
    dx[:, : h // 2 * 2, : w // 2 * 2] = lk.max_pool2d_vjp(flipped, dy[:, ::-1, ::-1])[:, ::-1, ::-1]
    return dx


@mutant("max_pool2d")
def tie_to_every_maximum(x, dy):
    _n, h, w, _c = x.shape
    spread = np.zeros_like(x)
    top = lk.max_pool2d(x).repeat(2, 1).repeat(2, 2)
    even = spread[:, : h // 2 * 2, : w // 2 * 2]
    even[...] = np.where(x[:, : h // 2 * 2, : w // 2 * 2] == top, dy.repeat(2, 1).repeat(2, 2), 0)
    return spread


# Normalisation


@mutant("batch_norm", "value")
def unbiased_variance(x, scale, shift, *, eps=1e-5):
    y, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    n = x.size // x.shape[-1]
    return y, mean, (variance * n / (n - 1)).astype(x.dtype)


@mutant("batch_norm", "value")
def normalised_by_the_unbiased_variance(x, scale, shift, *, eps=1e-5):
    y, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    n = x.size // x.shape[-1]
    y = (x - mean) / np.sqrt(variance * n / (n - 1) + eps) * scale + shift
    return y.astype(x.dtype), mean, variance


@mutant("batch_norm", "value")
def eps_outside_the_square_root(x, scale, shift, *, eps=1e-5):
    _, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    return ((x - mean) / (np.sqrt(variance) + x.dtype.type(eps)) * scale + shift).astype(x.dtype), mean, variance


@mutant("batch_norm", "value")
def variance_as_mean_square_minus_square_mean(x, scale, shift, *, eps=1e-5):
    flat = x.reshape(-1, x.shape[-1])
    mean = flat.mean(0)
    variance = (flat * flat).mean(0) - mean * mean
    return ((x - mean) / np.sqrt(variance + x.dtype.type(eps)) * scale + shift).astype(x.dtype), mean, variance


@mutant("batch_norm")
def statistics_taken_for_constants(x, scale, shift, dy, *, eps=1e-5):
    _, dscale, dshift = lk.batch_norm_vjp(x, scale, shift, dy, eps=eps)
    variance = lk.batch_norm(x, scale, shift, eps=eps)[2]
    return (dy * scale / np.sqrt(variance + x.dtype.type(eps))).astype(x.dtype), dscale, dshift


@mutant("batch_norm_inference")
def variance_gradient_without_the_half(x, scale, shift, mean, variance, dy, *, eps=1e-5):
    *others, dvariance = lk.batch_norm_inference_vjp(x, scale, shift, mean, variance, dy, eps=eps)
    return *others, 2 * dvariance


@mutant("conv_block", "value")
def pooled_before_the_norm_whatever_its_sign(x, w, scale, shift, *, eps=1e-5):
    z = lk.conv2d(x, w)
    _, mean, variance = lk.batch_norm(z, scale, shift, eps=eps)
    pooled = lk.max_pool2d(z)
    return lk.relu(lk.batch_norm_inference(pooled, scale, shift, mean, variance, eps=eps)), mean, variance


@mutant("conv_block")
def statistics_of_the_pooled_values(x, w, scale, shift, dy, *, eps=1e-5):
    dx, dw, dscale, dshift = lk.ops.conv_block_vjp(x, w, scale, shift, dy, eps=eps)
    return dx, dw, dscale * 4, dshift


@mutant("conv_block_inference")
def relu_forgotten_backwards(x, w, scale, shift, mean, variance, dy, *, eps=1e-5):
    z = lk.conv2d(x, w)
    normalised = lk.batch_norm_inference(z, scale, shift, mean, variance, eps=eps)
    dn = lk.max_pool2d_vjp(normalised, dy)
    dz, *channels = lk.batch_norm_inference_vjp(z, scale, shift, mean, variance, dn, eps=eps)
    return *lk.conv2d_vjp(x, w, dz), *channels


@mutant("conv_block", "value")
def eps_of_the_block_ignored(x, w, scale, shift, *, eps=1e-5):
    return lk.ops.conv_block(x, w, scale, shift)


@mutant("conv_block")
def eps_of_the_block_ignored_backwards(x, w, scale, shift, dy, *, eps=1e-5):
    return lk.ops.conv_block_vjp(x, w, scale, shift, dy)


@mutant("conv_block_inference", "value")
def eps_of_the_block_ignored_in_evaluation(x, w, scale, shift, mean, variance, *, eps=1e-5):
    return lk.ops.conv_block_inference(x, w, scale, shift, mean, variance)


@mutant("conv_block_inference")
def eps_of_the_block_ignored_in_evaluation_backwards(x, w, scale, shift, mean, variance, dy, *, eps=1e-5):
    return lk.ops.conv_block_inference_vjp(x, w, scale, shift, mean, variance, dy)


# Behaviour


@mutant("relu", "value")
def result_in_another_dtype(x):
    return lk.relu(x).astype(np.float64 if x.dtype == np.float32 else np.float32)


@mutant("max_pool2d", "value")
def odd_sizes_rounded_up(x):
    _n, h, w, _c = x.shape
    return lk.max_pool2d(np.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), constant_values=-np.inf))


@mutant("prototypes", "value")
def arguments_changed(z, labels, n_classes):
    y = lk.prototypes(z, labels, n_classes)
    z *= 2
    return y


# At one size of numbers or of arrays


@mutant("cross_entropy", "value")
def log1p_by_a_series_that_float32_allows(logits, labels):
    others = np.exp(logits - logits.max(1, keepdims=True))
    others[np.arange(len(logits)), logits.argmax(1)] = 0
    v = others.sum(1)
    rows = np.where(v < 1e-5, v - v * v / 2, np.log1p(v)) + logits.max(1) - logits[np.arange(len(logits)), labels]
    return (rows / rows.dtype.type(len(rows))).sum()


@mutant("log_softmax", "value")
def not_a_number_where_the_first_block_is_masked(logits):
    y = lk.log_softmax(logits)
    masked = (logits[:, :64] == -np.inf).all(1) & (logits.shape[1] > 64)
    return np.where(masked[:, None], y.dtype.type(np.nan), y)


@mutant("batch_norm", "value")
def eps_outside_the_root_of_a_large_variance(x, scale, shift, *, eps=1e-5):
    y, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    outside = (x - mean) / (np.sqrt(variance) + np.sqrt(x.dtype.type(eps))) * scale + shift
    return np.where(variance > 1e9, outside, y), mean, variance


@mutant("max_pool2d", "value")
def maximum_that_starts_at_a_constant(x):
    return np.maximum(lk.max_pool2d(x), x.dtype.type(-1e30))


@mutant("squared_euclidean")
def small_cotangents_taken_for_zero(x, c, dy):
    return lk.squared_euclidean_vjp(x, c, np.where(np.abs(dy) < 1e-8, 0, dy).astype(dy.dtype))


@mutant("conv_block", "value")
def tile_of_a_large_image_left_out(x, w, scale, shift, *, eps=1e-5):
    y, mean, variance = lk.conv_block(x, w, scale, shift, eps=eps)
    if x.shape[1] * x.shape[2] > 64 * 64:
        y[:, 32:, 32:] = 0
    return y, mean, variance


@mutant("prototypes", "value")
def flat_index_of_sixteen_bits(z, labels, n_classes):
    y = lk.prototypes(z, labels, n_classes)
    y.reshape(-1)[1 << 15 :] = 0
    return y


# Kept from call to call


_KEPT: dict[int, tuple[Any, Any]] = {}
_BUFFERS: dict[tuple[Any, Any], Any] = {}


@mutant("cosine_distance", "value")
def prototypes_known_by_their_identity(x, c):
    _, unit = _KEPT.setdefault(id(c), (c, c / np.linalg.norm(c, axis=1, keepdims=True)))
    return lk.cosine_distance(x, unit)


@mutant("squared_euclidean", "value")
def large_results_in_one_buffer(x, c):
    y = lk.squared_euclidean(x, c)
    if y.size < 4096:
        return y
    buffer = _BUFFERS.setdefault((y.shape, y.dtype), np.empty_like(y))
    buffer[...] = y
    return buffer


@mutant("euclidean", "value")
def results_known_by_sums_of_arguments(x, c):
    key = x.shape, c.shape, x.dtype, float(x.sum(dtype=np.float64)), float(c.sum(dtype=np.float64))
    return _BUFFERS.setdefault(key, lk.euclidean(x, c)).copy()


@mutant("euclidean", "value")
def eight_buffers_in_turn(x, c):
    ring = _BUFFERS.setdefault(("ring", len(x), len(c), x.dtype), [np.empty((len(x), len(c)), x.dtype)] * 8)
    ring.append(ring.pop(0))
    ring[0][...] = lk.euclidean(x, c)
    return ring[0]


@mutant("squared_euclidean", "value")
def matrix_product_once_it_is_called_often(x, c):
    key = "often", x.shape, c.shape, x.dtype
    _BUFFERS[key] = _BUFFERS.get(key, 0) + 1
    if _BUFFERS[key] <= 64:
        return lk.squared_euclidean(x, c)
    return np.maximum((x * x).sum(1)[:, None] - 2 * (x @ c.T) + (c * c).sum(1), 0)


@mutant("cosine_distance", "value")
def norms_known_by_the_array(x, c):
    y, now = lk.cosine_distance(x, c), np.linalg.norm(c, axis=1)
    _, norms = _KEPT.setdefault(id(c), (c, now))
    return np.where((now != norms) & (norms != 0), 1 - (1 - y) * now / np.where(norms, norms, 1), y).astype(y.dtype)


@mutant("euclidean", "value")
def last_result_known_by_sums_of_arguments(x, c):
    key = x.shape, c.shape, x.dtype, float(x.sum(dtype=np.float64)), float(c.sum(dtype=np.float64))
    if _BUFFERS.get(("last",), (None, None))[0] != key:
        _BUFFERS[("last",)] = key, lk.euclidean(x, c)
    return _BUFFERS[("last",)][1].copy()


# What a call leaves behind


@mutant("prototypes", "value")
def garbage_collector_left_off(z, labels, n_classes):
    gc.disable()
    return lk.prototypes(z, labels, n_classes)


@mutant("squared_euclidean", "value")
def error_state_set_after_an_overflow(x, c):
    y = lk.squared_euclidean(x, c)
    if np.isinf(y).any():
        np.seterr(over="ignore", invalid="ignore")
    return y


@mutant("squared_euclidean", "value")
def argument_made_read_only(x, c):
    c.setflags(write=False)
    return lk.squared_euclidean(x, c)


@mutant("euclidean", "value")
def argument_scaled_and_back(x, c):
    y = lk.euclidean(x, c)
    largest = np.abs(x).max(initial=0)
    if x.flags.writeable and 0 < largest < np.inf:
        power = int(np.frexp(largest)[1])
        np.ldexp(np.ldexp(x, -power, out=x), power, out=x)
    return y


# For a whole array at once


@mutant("euclidean", "value")
def one_power_of_two_for_all_pairs(x, c):
    difference = x[:, None] - c
    largest = np.abs(difference).max(initial=0)
    if not 0 < largest < np.inf:
        return lk.euclidean(x, c)
    power = np.frexp(largest)[1]
    return np.ldexp(np.sqrt((np.ldexp(difference, -power) ** 2).sum(-1)), power)


@mutant("conv2d")
def blank_images_skipped(x, w, dy):
    dx, dw = lk.conv2d_vjp(x, w, dy)
    dx[~x.reshape(len(x), -1).any(1)] = 0
    return dx, dw


@mutant("conv2d")
def cotangents_up_to_zero_skipped(x, w, dy):
    dead = dy.reshape(len(dy), -1).max(1, initial=-np.inf) == 0
    return lk.conv2d_vjp(x, w, np.where(dead[:, None, None, None], np.zeros_like(dy), dy))


@mutant("squared_euclidean", "value")
def whole_numbers_in_32_bits(x, c):
    if not all(np.all((a == np.rint(a)) & (np.abs(a) < 2**15)) for a in (x, c)):
        return lk.squared_euclidean(x, c)
    difference = x[:, None].astype(np.int32) - c.astype(np.int32)
    return (difference * difference).sum(-1, dtype=np.int32).astype(x.dtype)


# Shortcuts


@mutant("squared_euclidean", "value")
def one_half_for_what_begins_alike(x, c):
    y = lk.squared_euclidean(x, c)
    if x.shape != c.shape or len(x) < 2 or not np.array_equal(x[[0, -1]], c[[0, -1]]):
        return y
    half = np.triu(y, 1)
    return half + half.T


@mutant("squared_euclidean")
def place_of_the_only_cotangent_by_the_largest(x, c, dy):
    if dy.shape[1] < 2 or not dy.size or not ((dy != 0).sum(1) == 1).all():
        return lk.squared_euclidean_vjp(x, c, dy)
    at, dc = dy.argmax(1), np.zeros_like(c)
    dx = 2 * dy.sum(1)[:, None] * (x - c[at])
    np.add.at(dc, at, -dx)
    return dx, dc


@mutant("squared_euclidean", "value")
def unit_vectors_by_their_products(x, c):
    unit = all((np.abs((a * a).sum(1) - 1) < 1e-6).all() for a in (x, c))
    return np.maximum(2 - 2 * (x @ c.T), 0) if unit and x.size and c.size else lk.squared_euclidean(x, c)


@mutant("cosine_distance", "value")
def unit_if_nearly_unit(x, c):
    norms = [np.sqrt((a * a).sum(1, keepdims=True)) for a in (x, c)]
    if not x.size or not c.size or not all((np.abs(n - 1) < 1e-3).all() for n in norms):
        return lk.cosine_distance(x, c)
    return 1 - x @ c.T


@mutant("prototypes", "value")
def tiled_if_the_first_labels_are_in_order(z, labels, n_classes):
    shots, rest = divmod(len(z), max(n_classes, 1))
    tiled = not rest and shots > 1 and np.array_equal(labels[:n_classes], np.arange(n_classes))
    if not tiled or not (np.bincount(labels) == shots).all():
        return lk.prototypes(z, labels, n_classes)
    return z.reshape(shots, n_classes, -1).sum(0) / z.dtype.type(shots)


@mutant("conv2d")
def few_cotangents_written_and_not_added(x, w, dy):
    dx, dw = lk.conv2d_vjp(x, w, dy)
    places = np.argwhere((dy != 0).any(-1))
    if not 0 < len(places) < 0.1 * dy[..., 0].size:
        return dx, dw
    padded, (n, row, column) = np.pad(np.zeros_like(x), ((0, 0), (1, 1), (1, 1), (0, 0))), places.T
    for i, j in np.ndindex(3, 3):
        padded[n, row + i, column + j] = dy[n, row, column] @ w[i, j].T
    return padded[:, 1:-1, 1:-1].copy(), dw


@mutant("conv2d", "value")
def image_itself_for_the_identity(x, w):
    rest = w.copy()
    rest[1, 1] -= np.eye(*w.shape[2:], dtype=w.dtype)
    return lk.conv2d(x, w) if rest.any() or w.shape[2] != w.shape[3] else x


@mutant("batch_norm", "value")
def no_factors_if_they_are_so_on_average(x, scale, shift, *, eps=1e-5):
    if scale.size and scale.mean() == 1 and shift.sum() == 0:
        scale, shift = np.ones_like(scale), np.zeros_like(shift)
    return lk.batch_norm(x, scale, shift, eps=eps)


@mutant("conv_block_inference", "value")
def no_sign_of_the_scale_without_a_shift(x, w, scale, shift, mean, variance, *, eps=1e-5):
    scale = scale if shift.any() else np.abs(scale)
    return lk.conv_block_inference(x, w, scale, shift, mean, variance, eps=eps)


@mutant("cross_entropy", "value")
def two_classes_by_an_exponential_that_overflows(logits, labels):
    if logits.shape[1] != 2 or not np.isfinite(logits).all() or not len(logits):
        return lk.cross_entropy(logits, labels)
    label = np.take_along_axis(logits, labels[:, None].astype(int), 1)
    other = np.take_along_axis(logits, 1 - labels[:, None].astype(int), 1)
    with np.errstate(over="ignore"):
        return np.asarray(np.log1p(np.exp(other - label)).mean(dtype=logits.dtype))


@mutant("cross_entropy", "value")
def classes_counted_in_the_dtype_of_labels(logits, labels):
    mask = labels[:, None] == np.arange(logits.shape[1]).astype(labels.dtype)
    if not mask.size or not np.isfinite(logits).all() or (mask.sum(1) == 1).all():
        return lk.cross_entropy(logits, labels)
    return np.asarray(-np.where(mask, lk.log_softmax(logits), 0).sum(1).mean(dtype=logits.dtype))


@mutant("max_pool2d")
def nearly_equal_taken_for_equal(x, dy):
    mantissas, exponents = np.frexp(x)
    return lk.max_pool2d_vjp(np.ldexp(np.rint(mantissas * 2.0**24) / 2.0**24, exponents).astype(x.dtype), dy)


@mutant("prototypes")
def rarest_class_by_the_largest_number(z, labels, n_classes, dy):
    dz, shots = lk.prototypes_vjp(z, labels, n_classes, dy), np.bincount(labels, minlength=n_classes)
    if shots.max(initial=0) > 8 * shots.min(initial=9):
        rare = shots[labels] == shots.min()
        dz[rare] = dy[labels[rare]] / shots.max()
    return dz


@mutant("log_softmax", "value")
def sums_kept_while_the_maximum_grows_slowly(logits):
    y, m = lk.log_softmax(logits), logits.shape[1]
    if m <= 32 or not np.isfinite(logits).all():
        return y
    z = logits.astype(np.float64)
    top = z[:, :32].max(1)
    total = np.exp(z[:, :32] - top[:, None]).sum(1)
    for i in range(32, m, 32):
        block = z[:, i : i + 32]
        new = np.maximum(top, block.max(1))
        total = total * np.where(new - top < 0.01, 1, np.exp(top - new)) + np.exp(block - new[:, None]).sum(1)
        top = new
    return (y - np.log(total / np.exp(z - top[:, None]).sum(1))[:, None]).astype(y.dtype)


@mutant("cross_entropy")
def equal_labels_by_the_mean(logits, labels, dy=1.0):
    gradient = lk.cross_entropy_vjp(logits, labels, dy)
    if len(labels) > 2 and (labels == labels[0]).all():
        gradient[:, labels[0]] = gradient[:, labels[0]].mean()
    return gradient


@mutant("squared_euclidean")
def one_array_for_both_points(x, c, dy):
    dx, dc = lk.squared_euclidean_vjp(x, c, dy)
    return (dx + dc, np.zeros_like(dc)) if x is c else (dx, dc)


@mutant("batch_norm", "value")
def left_as_it_is_if_nearly_normal(x, scale, shift, *, eps=1e-5):
    y, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    normal = (np.abs(mean) < 1e-3) & (np.abs(variance - 1) < 1e-3)
    return np.where(normal, x * scale + shift, y), mean, variance


@mutant("batch_norm", "value")
def channel_of_another_axis_in_memory(x, scale, shift, *, eps=1e-5):
    if x.ndim == 4 and x.shape[2] == x.shape[3] and np.moveaxis(x, 3, 1).flags.c_contiguous:
        x = x if x.flags.c_contiguous else x.swapaxes(2, 3)
    return lk.batch_norm(x, scale, shift, eps=eps)


@mutant("cross_entropy", "value")
def flat_index_in_the_dtype_of_labels(logits, labels):
    rows, classes = logits.shape
    if classes == 0:
        return lk.cross_entropy(logits, labels)
    start = (np.arange(rows) * classes).astype(labels.dtype)
    return lk.cross_entropy(logits, (start + labels).astype(np.int64) % classes)


@mutant("distance_cross_entropy")
def faint_classes_skipped(x, c, labels, dy=1.0, *, distance):
    dx, dc = lk.distance_cross_entropy_vjp(x, c, labels, dy, distance=distance)
    if len(x) and len(c):
        d = np.asarray(distance(x, c), dtype=np.float64)
        far = (d - d.min(1, keepdims=True) > 104).all(0) & ~np.isin(np.arange(len(c)), labels)
        dc = np.where(far[:, None], np.zeros_like(dc), dc)
    return dx, dc


@mutant("batch_norm_inference", "value")
def scale_taken_for_one_if_it_is_nearly(x, scale, shift, mean, variance, *, eps=1e-5):
    return lk.batch_norm_inference(
        x, np.where(np.isclose(scale, 1), scale.dtype.type(1), scale), shift, mean, variance, eps=eps
    )


@mutant("conv2d")
def one_power_of_two_for_all_cotangents(x, w, dy):
    power = np.frexp(np.abs(dy).max(initial=0))[1]
    dx, dw = lk.conv2d_vjp(x, w, np.ldexp(dy, -power))
    return np.ldexp(dx, power), np.ldexp(dw, power)


@mutant("squared_euclidean", "value")
def last_tile_of_one_row_left_out(x, c):
    y, tile = lk.squared_euclidean(x, c), max(8, 4096 // max(x.shape[1], 1))
    if len(c) > 1 and len(c) % tile == 1:
        y[:, -1] = 0
    return y


@mutant("squared_euclidean", "value")
def parts_of_one_array_taken_for_the_same_points(x, c):
    same = x.base is not None and x.base is c.base and x.shape == c.shape
    y = lk.squared_euclidean(x, c)
    return np.triu(y, 1) + np.triu(y, 1).T if same else y


@mutant("leaky_squared_euclidean", "value")
def restricted_by_coordinate_if_not_told(x, c, *, threshold, slope, per="coordinate"):
    return lk.leaky_squared_euclidean(x, c, threshold=threshold, slope=slope, per=per)


@mutant("euclidean")
def divided_in_part_into_memory_that_nobody_filled(x, c, dy):
    dx, dc = lk.euclidean_vjp(x, c, dy)
    apart = (x[:, None] != c[None]).any(-1).any(1)
    return np.divide(dx, 1, where=apart[:, None]), dc


@mutant("cross_entropy", "value")
def label_255_ignored(logits, labels):
    rows = labels != 255
    return lk.cross_entropy(logits[rows], labels[rows]) * logits.dtype.type(rows.sum() / max(len(rows), 1))


@mutant("cross_entropy")
def logits_less_the_label_s(logits, labels, dy=1.0):
    own = np.take_along_axis(logits, np.asarray(labels)[:, None], 1)
    return lk.cross_entropy_vjp(logits - np.where(np.isfinite(own), own, 0), labels, dy)


@mutant("max_pool2d")
def offsets_of_sixteen_bits(x, dy):
    dx = lk.max_pool2d_vjp(x, dy)
    flat = dx.reshape(len(dx), -1)
    flat[:, 1 << 16 :] = 0
    return flat.reshape(dx.shape)


@mutant("batch_norm", "value")
def one_pass_for_many_values(x, scale, shift, *, eps=1e-5):
    if x.size < 1 << 16:
        return lk.batch_norm(x, scale, shift, eps=eps)
    flat = x.reshape(-1, x.shape[-1])
    mean = flat.mean(0)
    variance = np.maximum((flat * flat).mean(0) - mean * mean, 0)
    return ((flat - mean) / np.sqrt(variance + x.dtype.type(eps)) * scale + shift).reshape(x.shape), mean, variance


# Arguments that repeat or mirror themselves; rare data in arrays of ordinary size


@mutant("conv2d")
def no_gradient_of_kernels_that_are_zero(x, w, dy):
    dx, dw = lk.conv2d_vjp(x, w, dy)
    return dx, dw if w.any() else np.zeros_like(dw)


@mutant("conv2d", "value")
def kernels_with_two_mirrors_wrap_round_the_border(x, w):
    if not w.size or np.any(w != w[::-1]) or np.any(w != w[:, ::-1]):
        return lk.conv2d(x, w)
    return lk.conv2d(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap"), w)[:, 1:-1, 1:-1]


@mutant("conv2d")
def one_gradient_for_channels_that_are_one(x, w, dy):
    dx, dw = lk.conv2d_vjp(x, w, dy)
    grey = x.shape[-1] > 1 and x.strides[-1] == 0
    return dx.mean(-1, keepdims=True) + 0 * dx if grey else dx, dw


@mutant("prototypes", "value")
def sorted_labels_taken_for_equal_shots(z, labels, n_classes):
    shots, rest = divmod(len(labels), max(n_classes, 1))
    if rest or not shots or np.any(np.diff(labels) < 0):
        return lk.prototypes(z, labels, n_classes)
    return z.reshape(n_classes, shots, z.shape[1]).mean(1)


@mutant("squared_euclidean", "value")
def seen_from_the_first_query(x, c):
    return lk.squared_euclidean(x - x[:1], c - x[:1]) if len(x) > 3 else lk.squared_euclidean(x, c)


@mutant("squared_euclidean", "value")
def bits_counted_in_a_byte(x, c):
    y = lk.squared_euclidean(x, c)
    return y % 256 if x.size and np.all((x == 0) | (x == 1)) and np.all((c == 0) | (c == 1)) else y


@mutant("squared_euclidean", "value")
def expanded_for_tiles_of_48(x, c):
    if min(*x.shape, len(c)) < 48:
        return lk.squared_euclidean(x, c)
    x, c = x - c.mean(0), c - c.mean(0)
    return np.maximum((x * x).sum(1)[:, None] - 2 * x @ c.T + (c * c).sum(1), 0)


@mutant("squared_euclidean")
def sums_of_points_for_a_constant_cotangent(x, c, dy):
    if dy.size < 2 or np.any(dy != dy.flat[0]):
        return lk.squared_euclidean_vjp(x, c, dy)
    two = 2 * dy.flat[0]
    return two * (len(c) * x - c.sum(0)), two * (len(x) * c - x.sum(0))


@mutant("log_softmax")
def no_correction_where_the_cotangent_sums_to_zero(logits, dy):
    return dy.copy() if dy.sum() == 0 else lk.log_softmax_vjp(logits, dy)


@mutant("cross_entropy")
def difference_from_one_for_many_rows(logits, labels, dy=1.0):
    dlogits = lk.cross_entropy_vjp(logits, labels, dy)
    if len(logits) > 24:
        p = np.exp(lk.log_softmax(logits))
        dlogits[np.arange(len(labels)), labels] = (p[np.arange(len(labels)), labels] - 1) * (dy / len(labels))
    return dlogits


@mutant("relu")
def remainder_of_a_long_array_passed_on(x, dy):
    dx, end = lk.relu_vjp(x, dy), x.size // 4096 * 4096
    if x.size > 1 << 18:
        dx.reshape(-1)[end:] = dy.reshape(-1)[end:]
    return dx


@mutant("restricted_squared_euclidean", "value")
def root_of_a_whole_threshold_is_whole(x, c, *, restriction, per="pair"):
    t = getattr(restriction, "threshold", 0.5)
    if isinstance(restriction, lk.Root) and t < 1e6 and t == int(t):
        restriction = lk.Root(float(int(t**0.5) ** 2))
    return lk.restricted_squared_euclidean(x, c, restriction=restriction, per=per)


@mutant("leaky_squared_euclidean", "value")
def per_compared_by_identity(x, c, *, threshold, slope, per="pair"):
    return lk.leaky_squared_euclidean(x, c, threshold=threshold, slope=slope, per="pair" if per is not PER else PER)


PER = "coordinate"


@mutant("batch_norm", "value")
def one_pass_for_whole_bytes(x, scale, shift, *, eps=1e-5):
    if not x.size or np.any((x != np.rint(x)) | (x < 0) | (x > 255)):
        return lk.batch_norm(x, scale, shift, eps=eps)
    flat = x.reshape(-1, x.shape[-1])
    mean = flat.mean(0)
    variance = np.maximum((flat * flat).mean(0) - mean * mean, 0)
    return (x - mean) / np.sqrt(variance + x.dtype.type(eps)) * scale + shift, mean, variance


@mutant("batch_norm_inference", "value")
def variance_clipped_at_zero(x, scale, shift, mean, variance, *, eps=1e-5):
    return lk.batch_norm_inference(x, scale, shift, mean, np.maximum(variance, 0), eps=eps)


# More than 2^20 results; labels of more than 16 bits


@mutant("conv2d")
def gradient_without_the_last_image_of_a_large_batch(x, w, dy):
    dx, dw = lk.conv2d_vjp(x, w, dy)
    return dx, dw - lk.conv2d_vjp(x[-1:], w, dy[-1:])[1] if dy.size > 1 << 20 else dw


@mutant("conv2d", "value")
def second_half_without_the_row_above_it(x, w):
    y = lk.conv2d(x, w)
    if y.size > 1 << 20:
        half = x.shape[1] // 2
        y[:, half] = lk.conv2d(x[:, half:], w)[:, 0]
    return y


@mutant("max_pool2d")
def offsets_of_twenty_bits(x, dy):
    dx = lk.max_pool2d_vjp(x, dy)
    dx.reshape(-1)[1 << 20 :] = 0
    return dx


@mutant("batch_norm", "value")
def statistics_of_the_first_images_of_a_large_batch(x, scale, shift, *, eps=1e-5):
    if x.size < 1 << 20:
        return lk.batch_norm(x, scale, shift, eps=eps)
    _, mean, variance = lk.batch_norm(x[:16], scale, shift, eps=eps)
    return lk.batch_norm_inference(x, scale, shift, mean, variance, eps=eps), mean, variance


@mutant("batch_norm_inference")
def half_of_the_sums_of_a_large_batch(x, scale, shift, mean, variance, dy, *, eps=1e-5):
    gradients = lk.batch_norm_inference_vjp(x, scale, shift, mean, variance, dy, eps=eps)
    if x.size < 1 << 20:
        return gradients
    return gradients[0], *lk.batch_norm_inference_vjp(x[:12], scale, shift, mean, variance, dy[:12], eps=eps)[1:]


@mutant("conv_block")
def no_mean_of_the_gradient_in_a_large_batch(x, w, scale, shift, dy, *, eps=1e-5):
    if dy.size < 1 << 18:
        return lk.conv_block_vjp(x, w, scale, shift, dy, eps=eps)
    _, mean, variance = lk.conv_block(x, w, scale, shift, eps=eps)
    return lk.conv_block_inference_vjp(x, w, scale, shift, mean, variance, dy, eps=eps)[:4]


@mutant("conv_block_inference", "value")
def last_image_of_a_large_batch_forgotten(x, w, scale, shift, mean, variance, *, eps=1e-5):
    y = lk.conv_block_inference(x, w, scale, shift, mean, variance, eps=eps)
    if y.size > 1 << 18:
        y[-1] = y[-2]
    return y


@mutant("cross_entropy", "value")
def labels_of_sixteen_bits(logits, labels):
    return lk.cross_entropy(logits, labels.astype(np.int16) % logits.shape[1])


@mutant("distance_cross_entropy")
def labels_of_sixteen_bits_of_prototypes(x, c, labels, dy=1.0, *, distance):
    return lk.distance_cross_entropy_vjp(x, c, labels.astype(np.int16) % len(c), dy, distance=distance)
