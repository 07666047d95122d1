"""The one table of error bounds: k of every output and gradient. Everything that compares numbers reads it here.

How k is derived. An addition, multiplication, division or square root rounds by at most u = eps / 2, relatively. k is the
number of such roundings on the longest path from an input to the result: counted in u, used in eps, so that the bound
leaves a factor of two for other orders of the same sums. A sum of n terms by pairwise halving is log2(n) deep; the
absolute error of a sum is then at most log2(n) u times the sum of absolute values, which is what scale is.
exp, log and log1p of the usual libraries are counted as 3 roundings each (seen: at most 2.5 eps, NumPy's float32 exp).

Matrix products are summed in the order that the BLAS likes. Rounding errors of such long sums behave like a random walk,
sqrt(n) u / 3 of the scale for n terms of one sign (standard deviation; less for mixed signs), so sqrt(n) eps is six
deviations: `measured` means that this is not a worst case, and that `leakysm verify` shows how far from it we stay.

Steps add up: where an operation is a chain, its k is the sum of the steps' k, and its scale the sum of the steps' scales,
each carried through the later steps (the oracle's docstrings say how).
"""

from __future__ import annotations

from collections.abc import Mapping

from leakysm.verify.bounds import Bound

# Distances. x - c, its square (both factors carry the rounding of x - c): 3, then the sum over D. Derivatives: x - c, times 2,
# times dy, then the sum. Leaky: d - t, times s, plus t, and the roundings of t and s to the working dtype: 4 more.
_SQUARED = {
    "y": Bound("log2(D) + 3", "d"),
    "dx": Bound("log2(M) + 4", "sum over j of |2 (x_i - c_j) dy_ij|"),
    "dc": Bound("log2(N) + 4", "sum over i of |2 (x_i - c_j) dy_ij|"),
}
_LEAKY = {
    "y": Bound("log2(D) + 7", "d if d <= t, else t + s d + s t (per coordinate: the sum of these)"),
    "dx": Bound("log2(M) + 6", "sum over j of |2 f (x_i - c_j) dy_ij|, f = 1 if d <= t, else s"),
    "dc": Bound("log2(N) + 6", "sum over i of |2 f (x_i - c_j) dy_ij|, f = 1 if d <= t, else s"),
}
# The square root halves the relative error of d and rounds once; division, dy and the sum follow.
_EUCLIDEAN = {
    "y": Bound("log2(D) / 2 + 3", "d"),
    "dx": Bound("log2(D) / 2 + log2(M) + 6", "sum over j of |(x_i - c_j) / d_ij dy_ij|"),
    "dc": Bound("log2(D) / 2 + log2(N) + 6", "sum over i of |(x_i - c_j) / d_ij dy_ij|"),
}
# The product sum: log2(D) + 1; two norms, log2(D) / 2 + 2 each; their product, the division, the subtraction.
# Derivative: the cosine again, times a unit vector (norm and division), the subtraction, division by the norm, dy, the sum.
_COSINE = {
    "y": Bound("2 * log2(D) + 8", "1 + C, C = sum_k |x_k c_k| / (|x| |c|)"),
    "dx": Bound("3 * log2(D) + log2(M) + 14", "sum over j of (|c| / |c|_2 + C |x| / |x|_2) / |x|_2 |dy_ij|"),
    "dc": Bound("3 * log2(D) + log2(N) + 14", "sum over i of (|x| / |x|_2 + C |c| / |c|_2) / |c|_2 |dy_ij|"),
}
_PROTOTYPES = {
    "y": Bound("log2(K) + 2", "mean of |z| over the class's K shots"),
    "dz": Bound("2", "|dy| / K"),
}
# a = z - max: 1, exp: 3, the sum over M, log1p: 3, the subtraction. The denominator of p carries sum_m p_m |a_m| <= ln M
# roundings of a, which is why log2(M) is counted twice where p enters.
_LOG_SOFTMAX = {
    "y": Bound("log2(M) + 8", "|a_j| + log1p(S) + sum over m != max of p_m (1 + |a_m|)"),
    "dlogits": Bound("3 * log2(M) + 12", "|dy_j| + p_j (1 + |a_j|) sum_m |dy_m|"),
}
_CROSS_ENTROPY = {
    "y": Bound(
        "log2(M) + log2(N) + 10", "mean over rows of |a_label| + log1p(S) + sum over m != max of p_m (1 + |a_m|)"
    ),
    "dlogits": Bound("3 * log2(M) + 12", "|dy| / N p_j (1 + |a_j|); at the label the sum of the others'"),
}
_CONV2D = {
    "y": Bound("sqrt(9 * C) + 2", "|x| * |w|", "measured"),
    "dx": Bound("sqrt(9 * F) + 2", "|dy| * |w turned|", "measured"),
    "dw": Bound("sqrt(N * H * W) + 2", "sum of |window| |dy|", "measured"),
}
# Mean: log2(n) + 1; x - mean, square, sum, division: log2(n) + 4 on top; sigma; x-hat; scale and shift. Gradients: two
# more means, of dy and of dy x-hat.
_BATCH_NORM = {
    "y": Bound("2 * log2(n) + 10", "|scale| P + |shift|, P = B / sigma + |x-hat| (1 + B / sigma), B = mean |x|"),
    "mean": Bound("log2(n) + 2", "B"),
    "variance": Bound("2 * log2(n) + 6", "variance + 2 sigma B"),
    "dx": Bound(
        "3 * log2(n) + 16",
        "|scale| / sigma [Q (|dy| + mean |dy| + |x-hat| mean |dy x-hat|) + P mean |dy x-hat| + |x-hat| mean(|dy| P)], Q = 1 + B / sigma",
    ),
    "dscale": Bound("3 * log2(n) + 10", "sum of |dy| P"),
    "dshift": Bound("log2(n) + 1", "sum of |dy|"),
}
_BATCH_NORM_INFERENCE = {
    "y": Bound("8", "|scale| (|x| + |mean|) / sigma + |shift|"),
    "dx": Bound("6", "|dy scale| / sigma"),
    "dscale": Bound("log2(n) + 8", "sum of |dy| (|x| + |mean|) / sigma"),
    "dshift": Bound("log2(n) + 1", "sum of |dy|"),
    "dmean": Bound("log2(n) + 8", "sum of |dy| |scale| / sigma"),
    "dvariance": Bound("log2(n) + 14", "sum of |dy| (|x| + |mean|) |scale| / (2 sigma^3)"),
}
_EXACT = "none: the result is a copy, or 0"
_CONV_BLOCK = {
    "y": Bound(
        "sqrt(9 * C) + 2 * log2(n) + 14",
        "batch_norm's with V = |x| * |w| for |x|, the largest of the window",
        "measured",
    ),
    "mean": Bound("sqrt(9 * C) + log2(n) + 4", "mean of |z| + V", "measured"),
    "variance": Bound("sqrt(9 * C) + 2 * log2(n) + 8", "variance + 2 sigma (mean V + mean(|x-hat| V))", "measured"),
    "dx": Bound(
        "sqrt(9 * C) + sqrt(9 * F) + 3 * log2(n) + 20", "batch_norm's dx scale, correlated with |w turned|", "measured"
    ),
    "dw": Bound("sqrt(9 * C) + sqrt(n) + 3 * log2(n) + 20", "sum of |window| times batch_norm's dx scale", "measured"),
    "dscale": Bound("sqrt(9 * C) + 3 * log2(n) + 14", "sum of |dy| P", "measured"),
    "dshift": Bound("log2(n) + 1", "sum of |dy|"),
}
_CONV_BLOCK_INFERENCE = {
    "y": Bound(
        "sqrt(9 * C) + 10", "|scale| (|z| + V + |mean|) / sigma + |shift|, the largest of the window", "measured"
    ),
    "dx": Bound("sqrt(9 * F) + 8", "|dz| * |w turned|", "measured"),
    "dw": Bound("sqrt(n) + 8", "sum of |window| |dz|", "measured"),
    "dscale": Bound("sqrt(9 * C) + log2(n) + 10", "sum of |dy| (|z| + V + |mean|) / sigma", "measured"),
    "dshift": Bound("log2(n) + 1", "sum of |dy|"),
    "dmean": Bound("log2(n) + 8", "sum of |dy| |scale| / sigma"),
    "dvariance": Bound(
        "sqrt(9 * C) + log2(n) + 16", "sum of |dy| (|z| + V + |mean|) |scale| / (2 sigma^3)", "measured"
    ),
}
# The sum of the steps: prototypes, the most costly metric, cross-entropy, and backwards the same once more.
_PROTOTYPICAL_LOSS = {
    "y": Bound(
        "log2(K) + 2 * log2(D) + log2(M) + log2(Q) + 20",
        "cross_entropy's, plus |onehot - p| times the distances' scale",
    ),
    "dsupport": Bound(
        "log2(K) + 5 * log2(D) + 3 * log2(M) + log2(Q) + 34", "the metric's, with the scale of dL/dd for |dy|, over K"
    ),
    "dquery": Bound("log2(K) + 5 * log2(D) + 4 * log2(M) + 32", "the metric's, with the scale of dL/dd for |dy|"),
}

BOUNDS: Mapping[str, Mapping[str, Bound]] = {
    "squared_euclidean": _SQUARED,
    "leaky_squared_euclidean": _LEAKY,
    "euclidean": _EUCLIDEAN,
    "cosine_distance": _COSINE,
    "prototypes": _PROTOTYPES,
    "log_softmax": _LOG_SOFTMAX,
    "cross_entropy": _CROSS_ENTROPY,
    "prototypical_loss": _PROTOTYPICAL_LOSS,
    "conv2d": _CONV2D,
    "batch_norm": _BATCH_NORM,
    "batch_norm_inference": _BATCH_NORM_INFERENCE,
    "relu": {"y": Bound("0", _EXACT), "dx": Bound("0", _EXACT)},
    "max_pool2d": {"y": Bound("0", _EXACT), "dx": Bound("0", _EXACT)},
    "conv_block": _CONV_BLOCK,
    "conv_block_inference": _CONV_BLOCK_INFERENCE,
}
