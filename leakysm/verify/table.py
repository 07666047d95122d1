"""The one table of error bounds: the roundings r of every output and gradient, k = r / 2. Everything reads it here.

How r is counted. An addition, multiplication, division or square root rounds by at most eps / 2, relatively. r is the
number of such roundings on the longest path from an input to the result. `sum(n)`, `product(n)` and `blocks(n)` are the
roundings of a sum of n terms; what they are depends on who adds, and on whether the bound is to hold for any data
(`leakysm.verify.bounds`). `other(n)` are roundings that only another formula has: a distance that is a squared square
root, a multiplication by a reciprocal.

Scaling by powers of two is exact. exp and log1p are allowed 5.1 roundings each: the least accurate that we know is NumPy's
float32 exp, 2.52 units in the last place. Terms of second order, eps squared, are left out.

Where an operation is a chain, its scale is the sum of the steps' scales, each carried through the later steps (the
oracle's docstrings say how), and its r the largest of the steps', each with the roundings of the later steps.
"""

from __future__ import annotations

from collections.abc import Mapping

from leakysm.verify.bounds import Bound

_SQUARED = {
    "y": Bound("sum(D) + 3 + other(3)", "d", "x - c counts twice in its square; the square; the sum over D"),
    "dx": Bound("sum(M) + 2 + other(4)", "sum over j of |2 (x_i - c_j) dy_ij|", "x - c, times dy, the sum over j"),
    "dc": Bound("sum(N) + 2 + other(4)", "sum over i of |2 (x_i - c_j) dy_ij|", "x - c, times dy, the sum over i"),
}
_LEAKY = {
    "y": Bound(
        "sum(D) + 6 + other(3)",
        "d if d <= t, else t + s d + s t (per coordinate: the sum of these)",
        "as squared Euclidean, then d - t, times s, plus t",
    ),
    "dx": Bound("sum(M) + 3 + other(4)", "sum over j of |2 f (x_i - c_j) dy_ij|, f = 1 if d <= t, else s", "times f"),
    "dc": Bound("sum(N) + 3 + other(4)", "sum over i of |2 f (x_i - c_j) dy_ij|, f = 1 if d <= t, else s", "times f"),
}
# The roundings of r(d) and of r'(d), by the restriction's class. d: sum(T) + 3, where T is D for a pair and 1 for a
# coordinate, whose r(d) are then added: sum(D) - sum(T).
# Leak: as the leaky distance. Its derivative is exact: 1 or s.
# Log: d / s, log1p (5.1), times s. d's own error counts at most once, since d r' <= r: r is concave and r(0) = 0. Close to 0
# r(d) is d, where the next term, d / 2 s, is below a rounding. Where d / s overflows, s (log d - log s): both logarithms
# are at most their difference, so log (5.1), the rounded log s, the subtraction, times s. The derivative: s / d, plus 1,
# the division, with d's error at most once.
# Root: half of d's error; the two roots and twice half a rounding for their arguments, the product: 4, for 2 sqrt(t d);
# root - t, and its sum with root: 1.5. Its derivative: half of d's error, two roots, half a rounding, the division.
# Arctan, of a case: d / s, atan (5.1), times s. Its derivative: twice d's error and d / s, the square, 1 +, the division.
RESTRICTIONS: Mapping[str, tuple[str, str]] = {
    "Leak": ("sum(D) + 6", "0"),
    "Log": ("sum(D) + 10.1", "sum(T) + 6"),
    "Arctan": ("sum(D) + 10.1", "2 * sum(T) + 11"),
    "Root": ("max(sum(T) + 3, (sum(T) + 3) / 2 + 5.5) + sum(D) - sum(T)", "(sum(T) + 3) / 2 + 3.5"),
}
_RESTRICTED = {
    "y": Bound(
        "V + other(3)",
        "leak: as leaky. log: r(d). root: d if d <= t, else 2 sqrt(t d) + t (per coordinate: the sum of these)",
        "V, r's value: leak sum(D) + 6, log sum(D) + 10.1, "
        "root max(sum(T) + 3, (sum(T) + 3) / 2 + 5.5) + sum(D) - sum(T)",
    ),
    "dx": Bound(
        "sum(M) + 3 + J + other(4)",
        "sum over j of |2 r' (x_i - c_j) dy_ij|",
        "as squared Euclidean, times r'; J, its own: leak 0, log sum(T) + 6, root (sum(T) + 3) / 2 + 3.5",
    ),
    "dc": Bound(
        "sum(N) + 3 + J + other(4)",
        "sum over i of |2 r' (x_i - c_j) dy_ij|",
        "as squared Euclidean, times r'; J, its own: leak 0, log sum(T) + 6, root (sum(T) + 3) / 2 + 3.5",
    ),
}
_EUCLIDEAN = {
    "y": Bound("(sum(D) + 3) / 2 + 1 + other(1)", "d", "the root halves the relative error of d, and rounds"),
    "dx": Bound(
        "sum(M) + (sum(D) + 3) / 2 + 4 + other(3)",
        "sum over j of |(x_i - c_j) / d_ij dy_ij|",
        "x - c, d, the division, times dy, the sum over j",
    ),
    "dc": Bound(
        "sum(N) + (sum(D) + 3) / 2 + 4 + other(3)",
        "sum over i of |(x_i - c_j) / d_ij dy_ij|",
        "x - c, d, the division, times dy, the sum over i",
    ),
}
# A norm: squares, their sum, the root: (sum(D) + 1) / 2 + 1. A unit vector: a division more.
_COSINE = {
    "y": Bound(
        "2 * sum(D) + 7 + other(3)",
        "C + |1 - cos|, C = sum_k |x_k c_k| / (|x| |c|)",
        "two unit vectors, (sum(D) + 1) / 2 + 2 each; their products, the sum over D, the subtraction",
    ),
    "dx": Bound(
        "3 * sum(D) + sum(M) + 14 + other(4)",
        "sum over j of (|c| / |c|_2 + C |x| / |x|_2) / |x|_2 |dy_ij|",
        "the cosine, times a unit vector, the subtraction, times dy, the sum over j, the division by a norm",
    ),
    "dc": Bound(
        "3 * sum(D) + sum(N) + 14 + other(4)",
        "sum over i of (|x| / |x|_2 + C |c| / |c|_2) / |c|_2 |dy_ij|",
        "as dx, with the sum over i",
    ),
}
_PROTOTYPES = {
    "y": Bound("sum(K) + 1 + other(1)", "mean of |z| over the class's K shots", "the division, the sum over K"),
    "dz": Bound("1 + other(1)", "|dy| / K", "the division"),
}
# A probability: exp with the rounding of a; the denominator with its own; the division: sum(M) + 12.2. The
# denominator's share of the roundings of a, sum_m p_m |a_m|, is at most ln M: log2(M) of them.
_LOG_SOFTMAX = {
    "y": Bound(
        "sum(M) + 6.1 + other(2)",
        "|a_j| + log1p(S) + sum over m != max of p_m (1 + |a_m|)",
        "exp, the sum over M, the subtraction; or log1p and the subtraction",
    ),
    "dlogits": Bound(
        "2 * sum(M) + log2(M) + 14.2 + other(3)",
        "|dy_j| + p_j (1 + |a_j|) sum_m |dy_m|",
        "a probability, times the sum of dy, the subtraction",
    ),
}
_CROSS_ENTROPY = {
    "y": Bound(
        "sum(M) + sum(N) + 8.1 + other(3)",
        "mean over rows of |a_label| + log1p(S) + sum over m != max of p_m (1 + |a_m|)",
        "exp, the sum over M, the subtraction, the division by N, the sum over N",
    ),
    "dlogits": Bound(
        "2 * sum(M) + log2(M) + 14.2 + other(4)",
        "|dy| / N p_j (1 + |a_j|); at the label the sum of the others'",
        "a probability, at the label their sum over M; dy / N and its product",
    ),
}
_CONV2D = {
    "y": Bound("product(9 * C)", "|x| * |w|", "a matrix product over a window's 9 C values"),
    "dx": Bound("product(9 * F)", "|dy| * |w turned|", "a matrix product over 9 F values"),
    "dw": Bound("blocks(N * H * W)", "sum of |window| |dy|", "matrix products over the pixels, in blocks"),
}
# x-hat: x - mean, times 1 / sigma; the variance is sum(n) + 4, its root half of that; eps, the root, the reciprocal:
# sum(n) / 2 + 7.5 in all. The mean, sum(n) + 2, enters x-hat through B / sigma.
_BATCH_NORM = {
    "y": Bound(
        "max(sum(n) + 5, sum(n) / 2 + 10) + other(3)",
        "|scale| P + |shift|, P = B / sigma + |x-hat| V / sigma^2, B = mean |x|",
        "x-hat, times scale, plus shift",
    ),
    "mean": Bound("sum(n) + 2 + other(1)", "B", "the sum over n, the division, the correction"),
    "variance": Bound(
        "sum(n) + 5 + other(2)",
        "V = variance + sigma B / 4 + kappa B^2, kappa = (n + 2) 2^-24",
        "x - mean counts twice in its square, the square, the sum over n, the division",
    ),
    "dx": Bound(
        "2.5 * sum(n) + 25 + other(4)",
        "|scale| / sigma [Q (|dy| + mean |dy| + |x-hat| mean |dy x-hat|) + P mean |dy x-hat| + |x-hat| mean(|dy| P)], "
        "Q = V / sigma^2",
        "x-hat twice, sum(n) / 2 + 7.5 each; the sum over n, three products and quotients, the subtraction, 1 / sigma "
        "and scale",
    ),
    "dscale": Bound(
        "max(1.5 * sum(n) + 9, 2 * sum(n) + 5) + other(2)", "sum of |dy| P", "x-hat, times dy, the sum over n"
    ),
    "dshift": Bound("sum(n)", "sum of |dy|", "the sum over n"),
}
_BATCH_NORM_INFERENCE = {
    "y": Bound(
        "7 + other(3)", "|scale| (|x| + |mean|) / sigma + |shift|", "x - mean, 1 / sigma (3), two products, plus shift"
    ),
    "dx": Bound("5 + other(2)", "|dy scale| / sigma", "1 / sigma (3), two products"),
    "dscale": Bound("sum(n) + 6 + other(2)", "sum of |dy| (|x| + |mean|) / sigma", "x-hat, times dy, the sum over n"),
    "dshift": Bound("sum(n)", "sum of |dy|", "the sum over n"),
    "dmean": Bound(
        "sum(n) + 5 + other(2)", "sum of |dy| |scale| / sigma", "1 / sigma (3), two products, the sum over n"
    ),
    "dvariance": Bound(
        "sum(n) + 14 + other(4)",
        "sum of |dy| (|x| + |mean|) |scale| / (2 sigma^3)",
        "dscale, 1 / sigma twice more, three products",
    ),
}
_EXACT = "none: the result is a copy, or 0"
# A step behind a convolution carries its product(9 C) roundings in V = |x| * |w|, or its own in what it computes.
_CONV_BLOCK = {
    "y": Bound(
        "max(product(9 * C), sum(n) + 5, sum(n) / 2 + 10) + other(3)",
        "batch_norm's with V = |x| * |w| beside |z|, the largest of the window",
        "the convolution, or batch_norm",
    ),
    "mean": Bound("max(product(9 * C), sum(n) + 2) + other(1)", "mean of |z| + V", "the convolution, or batch_norm"),
    "variance": Bound(
        "max(product(9 * C), sum(n) + 5) + other(2)",
        "variance + sigma B / 4 + kappa B^2 + 2 sigma mean(|x-hat| V), B = mean of |z| + V, kappa = (n + 9 C + 2) 2^-24",
        "the convolution, or batch_norm",
    ),
    "dx": Bound(
        "product(9 * F) + max(product(9 * C), 2.5 * sum(n) + 25) + other(4)",
        "batch_norm's dx scale, correlated with |w turned|",
        "dz, then the convolution's product",
    ),
    "dw": Bound(
        "blocks(n) + max(product(9 * C), 2.5 * sum(n) + 25) + other(4)",
        "sum of |window| times batch_norm's dx scale",
        "dz, then the convolution's product",
    ),
    "dscale": Bound(
        "max(product(9 * C), 1.5 * sum(n) + 9, 2 * sum(n) + 5) + sum(n) + other(2)",
        "sum of |dy| P",
        "x-hat, times dy, the sum over n",
    ),
    "dshift": Bound("sum(n)", "sum of |dy|", "the sum over n"),
}
_CONV_BLOCK_INFERENCE = {
    "y": Bound(
        "max(product(9 * C), 7) + other(3)",
        "|scale| (|z| + V + |mean|) / sigma + |shift|, the largest of the window",
        "the convolution, or batch_norm_inference",
    ),
    "dx": Bound("product(9 * F) + 5 + other(2)", "|dz| * |w turned|", "dz, then the convolution's product"),
    "dw": Bound("blocks(n) + 5 + other(2)", "sum of |window| |dz|", "dz, then the convolution's product"),
    "dscale": Bound(
        "max(product(9 * C), sum(n) + 6) + other(2)",
        "sum of |dy| (|z| + V + |mean|) / sigma",
        "the convolution, or batch_norm_inference",
    ),
    "dshift": Bound("sum(n)", "sum of |dy|", "the sum over n"),
    "dmean": Bound("sum(n) + 5 + other(2)", "sum of |dy| |scale| / sigma", "as batch_norm_inference"),
    "dvariance": Bound(
        "max(product(9 * C), sum(n) + 14) + other(4)",
        "sum of |dy| (|z| + V + |mean|) |scale| / (2 sigma^3)",
        "the convolution, or batch_norm_inference",
    ),
}
# R, RX, RC: the roundings of the metric's own y, dx and dc (for dc with Q queries). Prototypes: sum(K) + 1. These two
# enter the scale with a quarter, and count four times.
_PROTOTYPICAL_LOSS = {
    "y": Bound(
        "max(4 * R, 4 * sum(K) + 4, sum(M) + sum(Q) + 8.1) + other(4)",
        "cross_entropy's, plus |onehot - p| times a quarter of the distances' scale",
        "R for the metric's y; the metric, the prototypes, or cross_entropy",
    ),
    "dsupport": Bound(
        "max(4 * R, 4 * sum(K) + 4, 2 * sum(M) + log2(M) + 14.2) + RC + 1 + other(4)",
        "the metric's, with the scale of dL/dd for |dy|, over K",
        "dL/dd, as cross_entropy's gradient, or the distance or prototype behind it; the metric's dc; the division by K",
    ),
    "dquery": Bound(
        "max(4 * R, 4 * sum(K) + 4, 2 * sum(M) + log2(M) + 14.2) + RX + other(4)",
        "the metric's, with the scale of dL/dd for |dy|",
        "dL/dd, as cross_entropy's gradient, or the distance or prototype behind it; the metric's dx",
    ),
}
# R, RX, RC: as above. Runs of classes are summed one by one, then all runs: one addition more than sum(M).
_DISTANCE_CROSS_ENTROPY = {
    "y": Bound(
        "max(4 * R, sum(M) + sum(N) + 9.1) + other(4)",
        "cross_entropy's, plus |onehot - p| times a quarter of the distances' scale",
        "R for the metric's y; the metric, or cross_entropy",
    ),
    "dx": Bound(
        "max(4 * R, 2 * sum(M) + log2(M) + 16.2) + RX + 1 + other(4)",
        "the metric's, with the scale of dL/dd for |dy|",
        "dL/dd, as cross_entropy's gradient, or the distance behind it; the metric's dx",
    ),
    "dc": Bound(
        "max(4 * R, 2 * sum(M) + log2(M) + 16.2) + RC + other(4)",
        "the metric's, with the scale of dL/dd for |dy|",
        "dL/dd, as cross_entropy's gradient, or the distance behind it; the metric's dc",
    ),
}

BOUNDS: Mapping[str, Mapping[str, Bound]] = {
    "squared_euclidean": _SQUARED,
    "leaky_squared_euclidean": _LEAKY,
    "restricted_squared_euclidean": _RESTRICTED,
    "euclidean": _EUCLIDEAN,
    "cosine_distance": _COSINE,
    "prototypes": _PROTOTYPES,
    "log_softmax": _LOG_SOFTMAX,
    "cross_entropy": _CROSS_ENTROPY,
    "prototypical_loss": _PROTOTYPICAL_LOSS,
    "distance_cross_entropy": _DISTANCE_CROSS_ENTROPY,
    "conv2d": _CONV2D,
    "batch_norm": _BATCH_NORM,
    "batch_norm_inference": _BATCH_NORM_INFERENCE,
    "relu": {"y": Bound("0", _EXACT, "a copy"), "dx": Bound("0", _EXACT, "a copy")},
    "max_pool2d": {"y": Bound("0", _EXACT, "a copy"), "dx": Bound("0", _EXACT, "a copy")},
    "conv_block": _CONV_BLOCK,
    "conv_block_inference": _CONV_BLOCK_INFERENCE,
}

# How well a computation knows the argument of a discrete choice: the distance or the square beside the threshold, the
# normalised values of a pooling window.
CHOICES: Mapping[str, Bound] = {
    "leaky_squared_euclidean": Bound("sum(T) + 3 + other(3)", "d, or (x_k - c_k)^2 for a coordinate"),
    "restricted_squared_euclidean": Bound("sum(T) + 3 + other(3)", "d, or (x_k - c_k)^2 for a coordinate"),
    "distance_cross_entropy": Bound("sum(T) + 3 + other(3)", "d, or (x_k - c_k)^2 for a coordinate"),
    "prototypical_loss": Bound("max(sum(T) + 3, sum(K) + 1) + other(3)", "d, plus what the prototypes' rounding moves"),
    "conv_block": _CONV_BLOCK["y"],
    "conv_block_inference": _CONV_BLOCK_INFERENCE["y"],
}
