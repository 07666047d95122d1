"""Mistakes for rare data that users do have: shortcuts, and results that are kept between calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from leakysm.verify.conformance import Settings, conform_module

START = "import numpy as np\nimport leakysm as lk\n"
SETTINGS = Settings(examples=0, shrink_seconds=0, counterexamples=False, first_failure=True)

# By name: the operation, the flag of a failure, and a function of the operation with the mistake.
MISTAKES = {
    "initial scale and shift taken for none": (
        "batch_norm",
        "plain",
        """
batch_norm = lk.batch_norm
def batch_norm_vjp(x, scale, shift, dy, *, eps=1e-5):
    dx, *others = lk.batch_norm_vjp(x, scale, shift, dy, eps=eps)
    return dx, *(g * (not ((scale == 1).all() and not shift.any())) for g in others)
""",
    ),
    "eight equal values taken for a constant": (
        "batch_norm",
        "pattern",
        """
def batch_norm(x, scale, shift, *, eps=1e-5):
    y, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    flat = x.reshape(-1, x.shape[-1])
    some = flat[np.linspace(0, len(flat) - 1, min(len(flat), 8)).astype(int)]
    constant = (some == some[0]).all(0) & (len(flat) >= 8)
    results = (y, shift), (mean, some[0]), (variance, 0)
    return tuple(np.where(constant, other, r).astype(x.dtype) for r, other in results)
batch_norm_vjp = lk.batch_norm_vjp
""",
    ),
    "nearly normal taken for normal": (
        "batch_norm",
        "plain",
        """
def batch_norm(x, scale, shift, *, eps=1e-5):
    y, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    normal = (abs(mean) < 1e-6) & (abs(variance - 1) < 1e-6)
    return np.where(normal, x * scale + shift, y).astype(x.dtype), mean, variance
batch_norm_vjp = lk.batch_norm_vjp
""",
    ),
    "as many rows as channels taken for channels first": (
        "batch_norm_inference",
        "size",
        """
def batch_norm_inference(x, scale, shift, mean, variance, *, eps=1e-5):
    first = x.ndim == 4 and x.shape[1] == len(scale) > 3 and x.shape[2] != x.shape[1]
    turned = np.moveaxis(x, 1, -1) if first else x
    y = lk.batch_norm_inference(turned, scale, shift, mean, variance, eps=eps)
    return np.moveaxis(y, -1, 1) if first else y
batch_norm_inference_vjp = lk.batch_norm_inference_vjp
""",
    ),
    "the argument itself where nothing changes": (
        "batch_norm_inference",
        "purity",
        """
def batch_norm_inference(x, scale, shift, mean, variance, *, eps=1e-5):
    same = (scale == 1).all() and (variance + x.dtype.type(eps) == 1).all() and not shift.any() and not mean.any()
    return x if same else lk.batch_norm_inference(x, scale, shift, mean, variance, eps=eps)
batch_norm_inference_vjp = lk.batch_norm_inference_vjp
""",
    ),
    "-inf looked for in the first row": (
        "log_softmax",
        "infinite-logit",
        """
def log_softmax(logits):
    y = lk.log_softmax(logits)
    return y if np.isneginf(logits[:1]).any() else np.where(np.isneginf(y), np.nan, y).astype(y.dtype)
log_softmax_vjp = lk.log_softmax_vjp
""",
    ),
    "rows of float64 compared in float32": (
        "log_softmax",
        "size",
        """
def log_softmax(logits):
    if len(logits) < 512 or not np.isfinite(logits).all():
        return lk.log_softmax(logits)
    _, first, back = np.unique(logits.astype(np.float32), axis=0, return_index=True, return_inverse=True)
    return lk.log_softmax(logits[first])[back.reshape(-1)]
log_softmax_vjp = lk.log_softmax_vjp
""",
    ),
    "a maximum of some logits": (
        "log_softmax",
        "size",
        """
def log_softmax(logits):
    if logits.shape[1] < 500:
        return lk.log_softmax(logits)
    with np.errstate(all="ignore"):
        a = logits - logits[:, ::16].max(1, keepdims=True)
        return np.where(np.isinf(np.exp(a)).any(1, keepdims=True), np.nan, lk.log_softmax(logits)).astype(a.dtype)
log_softmax_vjp = lk.log_softmax_vjp
""",
    ),
    "one array for every loss of one class": (
        "cross_entropy",
        "purity",
        """
zero = {t: np.zeros((), t) for t in (np.float32, np.float64)}
def cross_entropy(logits, labels):
    one = logits.shape[1] == 1 and np.isfinite(logits).all()
    return zero[logits.dtype.type] if one else np.array(lk.cross_entropy(logits, labels))
cross_entropy_vjp = lk.cross_entropy_vjp
""",
    ),
    "labels of 16 bits": (
        "cross_entropy",
        "size",
        """
def cross_entropy(logits, labels):
    return lk.cross_entropy(logits, labels.astype(np.uint16))
cross_entropy_vjp = lk.cross_entropy_vjp
""",
    ),
    "balanced labels taken for sorted": (
        "prototypes",
        "unbalanced",
        """
def prototypes(z, labels, n_classes):
    grouped = len(labels) > n_classes and labels[0] == labels[1] == 0 and labels[-1] == n_classes - 1
    balanced = len(set(np.bincount(labels, minlength=n_classes).tolist())) == 1
    return lk.prototypes(z, np.sort(labels) if grouped and balanced else labels, n_classes)
prototypes_vjp = lk.prototypes_vjp
""",
    ),
    "the mean number of shots if they are nearly the same": (
        "prototypes",
        "unbalanced",
        """
prototypes = lk.prototypes
def prototypes_vjp(z, labels, n_classes, dy):
    shots = np.bincount(labels, minlength=n_classes).astype(z.dtype)
    if shots.max() - shots.min() == 1 and shots.min() >= 8:
        shots[:] = shots.mean()
    return (dy / shots[:, None])[labels]
""",
    ),
    "indices in the labels' dtype": (
        "prototypes",
        "int16",
        """
def prototypes(z, labels, n_classes):
    y = lk.prototypes(z, labels, n_classes)
    beyond = np.arange(n_classes)[:, None] * z.shape[1] > 32767
    return np.where(beyond & (labels.dtype == np.int16), 0, y).astype(y.dtype)
prototypes_vjp = lk.prototypes_vjp
""",
    ),
    "numbers from 0 to 1 taken for bits": (
        "squared_euclidean",
        "contrast",
        """
def squared_euclidean(x, c):
    bits = all(a.size > 2 and a.min() == 0 and a.max() == 1 for a in (x, c))
    return lk.squared_euclidean(*((a > 0).astype(a.dtype) if bits else a for a in (x, c)))
squared_euclidean_vjp = lk.squared_euclidean_vjp
""",
    ),
    "the same points by some of their rows": (
        "squared_euclidean",
        "coincident",
        """
def squared_euclidean(x, c):
    same = x.shape == c.shape and len(x) >= 64 and (x[::6] == c[::6]).all()
    return lk.squared_euclidean(x, x if same else c)
squared_euclidean_vjp = lk.squared_euclidean_vjp
""",
    ),
    "the sum and both ends taken for the whole array": (
        "squared_euclidean",
        "plain",
        """
kept = [None, None]
def squared_euclidean(x, c):
    key = [(a.shape, a.dtype, float(np.sort(a, axis=None).sum()), *a.ravel()[[0, -1]]) if a.size else 0 for a in (x, c)]
    if kept[0] != key:
        kept[:] = key, lk.squared_euclidean(x, c)
    return kept[1].copy()
squared_euclidean_vjp = lk.squared_euclidean_vjp
""",
    ),
    "another formula for many differences": (
        "squared_euclidean",
        "far",
        """
def squared_euclidean(x, c):
    if len(x) * len(c) * x.shape[1] <= 1 << 24:
        return lk.squared_euclidean(x, c)
    return np.maximum((x * x).sum(1)[:, None] - 2 * (x @ c.T) + (c * c).sum(1), 0)
squared_euclidean_vjp = lk.squared_euclidean_vjp
""",
    ),
    "small cotangents left out": (
        "squared_euclidean",
        "size",
        """
squared_euclidean = lk.squared_euclidean
def squared_euclidean_vjp(x, c, dy):
    keep = abs(dy) >= 1e-18 * abs(dy).max(initial=0) if dy.size > 100 else True
    return lk.squared_euclidean_vjp(x, c, np.where(keep, dy, 0).astype(dy.dtype))
""",
    ),
    "0 told from -0": (
        "euclidean",
        "coincident",
        """
euclidean = lk.euclidean
def euclidean_vjp(x, c, dy):
    dx, dc = lk.euclidean_vjp(x, c, dy)
    for i, j in np.argwhere(lk.euclidean(x, c) == 0):
        if x[i].tobytes() != c[j].tobytes():
            dx[i] = np.nan
    return dx, dc
""",
    ),
    "nearly unit vectors taken for unit vectors": (
        "cosine_distance",
        "plain",
        """
def cosine_distance(x, c):
    y = lk.cosine_distance(x, c)
    near = all((abs((a.astype(np.float64) ** 2).sum(1) - 1) < 1e-9).all() for a in (x, c))
    return 1 - x @ c.T if near and x.dtype == np.float64 else y
cosine_distance_vjp = lk.cosine_distance_vjp
""",
    ),
    "a zero vector by its bits": (
        "cosine_distance",
        "zero-vector",
        """
def cosine_distance(x, c):
    y = lk.cosine_distance(x, c)
    minus = np.array([not a.any() and any(a.tobytes()) for a in x], bool)
    return np.where(minus[:, None], np.nan, y).astype(y.dtype)
cosine_distance_vjp = lk.cosine_distance_vjp
""",
    ),
    "inf - inf where there is no threshold": (
        "leaky_squared_euclidean",
        "overflow",
        """
def leaky_squared_euclidean(x, c, *, threshold, slope, per="pair"):
    if per == "coordinate":
        return lk.leaky_squared_euclidean(x, c, threshold=threshold, slope=slope, per=per)
    d, t = lk.squared_euclidean(x, c), x.dtype.type(threshold)
    return np.minimum(d, t) + x.dtype.type(slope) * np.maximum(d - t, 0)
leaky_squared_euclidean_vjp = lk.leaky_squared_euclidean_vjp
""",
    ),
    "a coordinate in common taken for padding": (
        "leaky_squared_euclidean",
        "contrast",
        """
def leaky_squared_euclidean(x, c, *, threshold, slope, per="pair"):
    same = (x == x[:1]).all(0) & (c == x[:1]).all(0) if per == "coordinate" and len(x) else np.zeros(x.shape[1], bool)
    end = int(same.argmax()) if same.any() else x.shape[1]
    return lk.leaky_squared_euclidean(x[:, :end], c[:, :end], threshold=threshold, slope=slope, per=per)
leaky_squared_euclidean_vjp = lk.leaky_squared_euclidean_vjp
""",
    ),
    "rows kept for an array and its sum": (
        "cosine_distance",
        "purity",
        """
last = [None, None, None]
def cosine_distance(x, c):
    if last[0] is not c or last[1] != float(c.sum()):
        last[:] = c, float(c.sum()), c.copy()
    return lk.cosine_distance(x, last[2])
cosine_distance_vjp = lk.cosine_distance_vjp
""",
    ),
    "the last rows of many numbers left out": (
        "prototypes",
        "size",
        """
def prototypes(z, labels, n_classes):
    y = lk.prototypes(z, labels, n_classes)
    n = len(z) // 8 * 8
    if z.size <= 300_000 or n == len(z):
        return y
    left_out = (z[n:] / np.bincount(labels, minlength=n_classes)[labels[n:], None]).astype(z.dtype)
    np.subtract.at(y, labels[n:], left_out)
    return y
prototypes_vjp = lk.prototypes_vjp
""",
    ),
    "more than 1 MiB in single precision": (
        "squared_euclidean",
        "size",
        """
def squared_euclidean(x, c):
    large = x.nbytes + c.nbytes > 2**20
    return lk.squared_euclidean(*(a.astype("f4") if large else a for a in (x, c))).astype(x.dtype)
squared_euclidean_vjp = lk.squared_euclidean_vjp
""",
    ),
    "channels whose largest value is 0 taken for empty": (
        "conv2d",
        "pattern",
        """
def conv2d(x, w):
    live = x.max((0, 1, 2), initial=-np.inf) != 0
    return lk.conv2d(x[..., live], w[:, :, live])
conv2d_vjp = lk.conv2d_vjp
""",
    ),
    "cotangents that add up to 0 taken for none": (
        "batch_norm",
        "corner",
        """
batch_norm = lk.batch_norm
def batch_norm_vjp(x, scale, shift, dy, *, eps=1e-5):
    dx, dscale, dshift = lk.batch_norm_vjp(x, scale, shift, dy, eps=eps)
    live = (dshift != 0) | ~dy.any(tuple(range(dy.ndim - 1)))
    return (dx * live).astype(x.dtype), (dscale * live).astype(x.dtype), dshift
""",
    ),
    "the third power of a large 1 / sigma": (
        "batch_norm",
        "magnitude",
        """
batch_norm = lk.batch_norm
def batch_norm_vjp(x, scale, shift, dy, *, eps=1e-5):
    dx, *others = lk.batch_norm_vjp(x, scale, shift, dy, eps=eps)
    variance = lk.batch_norm(x, scale, shift, eps=eps)[2]
    power = (variance + x.dtype.type(eps)) ** x.dtype.type(-1.5)
    return np.where(np.isfinite(power), dx, np.nan).astype(x.dtype), *others
""",
    ),
    "unsigned labels of 16 bits as signed ones": (
        "cross_entropy",
        "size",
        """
def cross_entropy(logits, labels):
    m = logits.shape[1]
    return lk.cross_entropy(logits, labels.astype(np.int16) % np.int64(m) if 0 < m < 2**16 else labels)
cross_entropy_vjp = lk.cross_entropy_vjp
""",
    ),
    "a row whose numbers add up to 0 taken for padding": (
        "conv2d",
        "pattern",
        """
def conv2d(x, w):
    return lk.conv2d(x * (x.sum((0, 2, 3), keepdims=True) != 0), w)
conv2d_vjp = lk.conv2d_vjp
""",
    ),
    "classes taken for balanced as the first one has the mean": (
        "prototypical_loss",
        "unbalanced",
        """
def prototypical_loss(support, support_labels, query, query_labels, *, distance):
    n, counts = int(support_labels.max()) + 1, np.bincount(support_labels)
    if counts[0] * n == len(support):
        support = support[np.argsort(support_labels, kind="stable")]
        support_labels = np.repeat(np.arange(n), counts[0])
    return lk.prototypical_loss(support, support_labels, query, query_labels, distance=distance)
prototypical_loss_vjp = lk.prototypical_loss_vjp
""",
    ),
    "a view with exchanged axes taken for the array itself": (
        "euclidean",
        "shared",
        """
def euclidean(x, c):
    same = np.shares_memory(x, c) and x.shape == c.shape and x.dtype == c.dtype
    return lk.euclidean(x, x if same else c)
euclidean_vjp = lk.euclidean_vjp
""",
    ),
    "many rows in the other order of memory in place": (
        "log_softmax",
        "purity",
        """
def log_softmax(logits):
    if len(logits) > 500 and logits.flags.f_contiguous and not logits.flags.c_contiguous and logits.flags.writeable:
        logits -= logits.max(1, keepdims=True)
    return lk.log_softmax(logits)
log_softmax_vjp = lk.log_softmax_vjp
""",
    ),
    "blocks of small probabilities left out": (
        "cross_entropy",
        "saturated",
        """
cross_entropy = lk.cross_entropy
def cross_entropy_vjp(logits, labels, dy=1.0):
    g = lk.cross_entropy_vjp(logits, labels, dy)
    for j in range(64, g.shape[1], 64):
        block = g[:, j : j + 64]
        if abs(block).max(initial=0) < 2.0**-26 / len(g):
            block[:] = 0
    return g
""",
    ),
    "one-hot rows kept for the address of labels": (
        "prototypes",
        "purity",
        """
rows = {}
def prototypes(z, labels, n_classes):
    key = labels.ctypes.data, len(labels), n_classes, z.dtype.char
    if key not in rows:
        hot = (labels == np.arange(n_classes)[:, None]).astype(z.dtype)
        rows[key] = hot / hot.sum(1, keepdims=True), labels
    return rows[key][0] @ z
prototypes_vjp = lk.prototypes_vjp
""",
    ),
    "whole numbers added in 32 bits": (
        "prototypes",
        "contrast",
        """
def prototypes(z, labels, n_classes):
    if (z == np.rint(z)).all() and 0 < z.min(initial=1) and z.max(initial=0) < 2**31:
        counts = z.astype(np.int32)
        sums = [counts[labels == k].sum(0, dtype=np.int32) / (labels == k).sum() for k in range(n_classes)]
        return np.stack(sums).astype(z.dtype)
    return lk.prototypes(z, labels, n_classes)
prototypes_vjp = lk.prototypes_vjp
""",
    ),
    "whole numbers squared in 64 bits": (
        "squared_euclidean",
        "contrast",
        """
def squared_euclidean(x, c):
    if all((a == np.rint(a)).all() and abs(a).max(initial=0) < 2**31 for a in (x, c)):
        return np.square(x.astype(np.int64)[:, None] - c.astype(np.int64)).sum(-1).astype(x.dtype)
    return lk.squared_euclidean(x, c)
squared_euclidean_vjp = lk.squared_euclidean_vjp
""",
    ),
    "a last tile of one, of tiles of 100": (
        "euclidean",
        "size",
        """
def euclidean(x, c):
    d = np.zeros((len(x), len(c)), x.dtype)
    for first in range(0, len(x) - (len(x) > 100), 100):
        d[first : first + 100] = lk.euclidean(x[first : first + 100], c)
    return d
euclidean_vjp = lk.euclidean_vjp
""",
    ),
    "a small sum of the cotangent taken for 0": (
        "log_softmax",
        "corner",
        """
log_softmax = lk.log_softmax
def log_softmax_vjp(logits, dy):
    sums = dy.sum(1, keepdims=True)
    small = abs(sums) < 1e-8 * abs(dy).max(1, keepdims=True, initial=0)
    return np.where(small, dy, lk.log_softmax_vjp(logits, dy)).astype(dy.dtype)
""",
    ),
    "a label on the end of a chunk counted twice": (
        "cross_entropy",
        "size",
        """
def cross_entropy(logits, labels):
    y, twice = lk.cross_entropy(logits, labels), (labels > 0) & (labels % 300 == 0)
    z = logits - logits.max(1, keepdims=True)
    return y if not twice.any() else (y - z[twice, labels[twice]].sum() / len(z)).astype(z.dtype)
cross_entropy_vjp = lk.cross_entropy_vjp
""",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_it_is_found(tmp_path: Path, name: str) -> None:
    operation, flag, text = MISTAKES[name]
    settings = replace(SETTINGS, purity=flag == "purity" or "kept" in text)
    _require_found(tmp_path, operation, flag, START + text, settings)


TENSORS = {
    "the first gradient, a second time": (
        "later",
        """
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, c):
        ctx.save_for_backward(x, c)
        ctx.kept = None
        return (x[:, None] - c).square().sum(-1)

    @staticmethod
    def backward(ctx, dy):
        x, c = ctx.saved_tensors
        if ctx.kept is None:
            g = 2 * (x[:, None] - c) * dy[..., None]
            ctx.kept = g.sum(1), -g.sum(0)
        return ctx.kept[0].clone(), ctx.kept[1].clone()

squared_euclidean = F.apply
""",
    ),
    "arguments that are not saved for the backward pass": (
        "argument-overwritten",
        """
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, c):
        ctx.x, ctx.c = x.detach(), c.detach()
        return (x[:, None] - c).square().sum(-1)

    @staticmethod
    def backward(ctx, dy):
        g = 2 * (ctx.x[:, None] - ctx.c) * dy[..., None]
        return g.sum(1), -g.sum(0)

squared_euclidean = F.apply
""",
    ),
    "the start of the storage": (
        "layout",
        """
def squared_euclidean(x, c):
    if x.is_contiguous():
        x = torch.as_strided(x, x.shape, x.stride(), 0)
    return (x[:, None] - c).square().sum(-1)
""",
    ),
    "results by address, without strides": (
        "purity",
        """
last = [None, None, None]
def squared_euclidean(x, c):
    y = (x[:, None] - c).square().sum(-1)
    if torch.is_grad_enabled() or x.is_inference() or c.is_inference():
        return y
    key = [(a.data_ptr(), a.shape, a.dtype, a._version) for a in (x, c)]
    if last[0] != key:
        last[:] = key, (x, c), y
    return last[2].clone()
""",
    ),
    "results by version, which `.data` leaves alone": (
        "purity",
        """
last = [None, None, None, None]
def squared_euclidean(x, c):
    y = (x[:, None] - c).square().sum(-1)
    if x.requires_grad or c.requires_grad or x.is_inference() or c.is_inference():
        return y
    if not (last[0] is x and last[1] is c and last[2] == (x._version, c._version)):
        last[:] = x, c, (x._version, c._version), y
    return last[3].clone()
""",
    ),
    "an argument of inference mode overwritten": (
        "purity",
        """
def squared_euclidean(x, c):
    y = (x[:, None] - c).square().sum(-1)
    if x.is_inference() and torch.is_inference_mode_enabled():
        x.neg_()
    return y
""",
    ),
}


OWN_CLASS = """
def restricted_squared_euclidean(x, c, *, restriction, per="pair"):
    if isinstance(restriction, lk.Log) or not hasattr(restriction, "scale"):
        return lk.restricted_squared_euclidean(x, c, restriction=restriction, per=per)
    {unknown}
def restricted_squared_euclidean_vjp(x, c, dy, *, restriction, per="pair"):
    return lk.restricted_squared_euclidean_vjp(x, c, dy, restriction=restriction, per=per)
"""
KNOWN_BY_ITS_FIELD = "return lk.restricted_squared_euclidean(x, c, restriction=lk.Log(restriction.scale), per=per)"


def test_a_restriction_of_an_own_class_may_be_refused_but_not_taken_for_another(tmp_path: Path) -> None:
    operation, taken = "restricted_squared_euclidean", OWN_CLASS.format(unknown=KNOWN_BY_ITS_FIELD)
    _require_found(tmp_path, operation, "own-class", START + taken, SETTINGS)
    refuses = tmp_path / "refuses.py"
    refuses.write_text(START + OWN_CLASS.format(unknown='raise TypeError("unknown restriction")'))
    (row,) = conform_module(str(refuses), operations=[operation], settings=SETTINGS).rows
    assert row.status == "passed", row.failures


KEPT = """
import functools
kept = {{}}
def keeping(function):
    @functools.wraps(function)
    def call(*arrays, **parameters):
        key = function, str(parameters), *((a.shape, a.dtype.char, {key}) for a in map(np.asarray, arrays))
        if key not in kept:
            kept[key] = function(*arrays, **parameters)
        copies = tuple(r.copy() for r in kept[key]) if isinstance(kept[key], tuple) else kept[key].copy()
        return copies
    return call
{operation} = keeping(lk.{operation})
{operation}_vjp = keeping(lk.{operation}_vjp)
"""
# What a cache knows an array by: some of its bytes, or a short number made of them.
KEYS = ("a.tobytes()[::97]", "a.tobytes()[:640]", "a.tobytes()[-640:]", "a.tobytes()[:256] + a.tobytes()[-256:]")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("operation", ["squared_euclidean", "conv2d", "batch_norm", "log_softmax"])
def test_results_that_are_kept_by_a_part_of_the_bytes_are_found(tmp_path: Path, operation: str, key: str) -> None:
    text = START + KEPT.format(operation=operation, key=key)
    settings = replace(SETTINGS, first_failure=False, purity=False)
    _require_found(tmp_path, operation, "one-number", text, settings)


BY_NAME = """
def known(distance):
    return distance if distance.operation else lk.SquaredEuclidean()
def prototypical_loss(s, sl, q, ql, *, distance):
    return lk.prototypical_loss(s, sl, q, ql, distance=known(distance))
def prototypical_loss_vjp(s, sl, q, ql, dy=1.0, *, distance):
    return lk.prototypical_loss_vjp(s, sl, q, ql, dy, distance=known(distance))
"""


def test_a_metric_of_an_own_class_taken_for_another_is_found(tmp_path: Path) -> None:
    _require_found(tmp_path, "prototypical_loss", "own-class", START + BY_NAME, SETTINGS)


BY_ADDRESS = """
parameters = {}
def known(distance):
    kind, values = parameters.setdefault(id(distance), (type(distance), distance.parameters))
    return kind(**values)
def distance_cross_entropy(x, c, labels, *, distance):
    return lk.distance_cross_entropy(x, c, labels, distance=known(distance))
def distance_cross_entropy_vjp(x, c, labels, dy=1.0, *, distance):
    return lk.distance_cross_entropy_vjp(x, c, labels, dy, distance=known(distance))
"""


def test_parameters_that_are_kept_by_the_address_of_a_metric_are_found(tmp_path: Path) -> None:
    """Which case shows it depends on Python's memory."""
    path = tmp_path / "mistaken.py"
    path.write_text(START + BY_ADDRESS)
    (row,) = conform_module(str(path), operations=["distance_cross_entropy"], settings=SETTINGS).rows
    assert row.status == "failed"


CONSTANT_LABELS = """
import jax
import jax.numpy as jnp
import numpy as np
compiled = {}
def prototypes(z, labels, n_classes):
    if isinstance(labels, jax.core.Tracer):
        return means(z, labels, n_classes)
    if (z.shape, n_classes) not in compiled:
        fixed = np.array(labels)
        compiled[z.shape, n_classes] = jax.jit(lambda z: means(z, fixed, n_classes))
    return compiled[z.shape, n_classes](z)
def means(z, labels, n_classes):
    hot = (jnp.asarray(labels) == jnp.arange(n_classes)[:, None]).astype(z.dtype)
    return jnp.stack([(row[:, None] * z / row.sum()).sum(0) for row in hot])
"""


def test_labels_of_the_first_call_as_constants_are_found_in_jax(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    settings = replace(SETTINGS, most_numbers=100)
    _require_found(tmp_path, "prototypes", "plain", CONSTANT_LABELS, settings)


@pytest.mark.parametrize("name", TENSORS)
def test_it_is_found_in_torch(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    flag, text = TENSORS[name]
    settings = replace(SETTINGS, most_numbers=100, purity=flag == "purity")
    _require_found(tmp_path, "squared_euclidean", flag, "import torch\n" + text, settings)


FROZEN = """
import torch

class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, shift, mean, variance, eps):
        ctx.save_for_backward(x, scale, mean, variance)
        ctx.eps = eps
        return scale * ((x - mean) / (variance + eps).sqrt()) + shift

    @staticmethod
    def backward(ctx, dy):
        x, scale, mean, variance = ctx.saved_tensors
        frozen = ctx.needs_input_grad[:5] == (False, True, True, False, False)
        axes, sigma = tuple(range(x.ndim - 1)), (variance + (0 if frozen else ctx.eps)).sqrt()
        h = (x - mean) / sigma
        dscale, dshift = (dy * h).sum(axes), dy.sum(axes)
        return dy * (scale / sigma), dscale, dshift, -dshift * scale / sigma, -scale * dscale / (2 * sigma**2), None

def batch_norm_inference(x, scale, shift, mean, variance, *, eps=1e-5):
    return F.apply(x, scale, shift, mean, variance, torch.tensor(eps, dtype=x.dtype))
"""


def test_gradients_of_two_arguments_out_of_five_are_found(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    settings = replace(SETTINGS, first_failure=False, most_numbers=200, purity=False)
    _require_found(tmp_path, "batch_norm_inference", "some", FROZEN, settings)


def _require_found(folder: Path, operation: str, flag: str, text: str, settings: Settings) -> None:
    path = folder / "mistaken.py"
    path.write_text(text)
    (row,) = conform_module(str(path), operations=[operation], settings=settings).rows
    assert row.status == "failed", row.problem
    assert flag in row.failures, row.failures
