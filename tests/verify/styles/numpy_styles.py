"""NumPy, gradients by hand: one set of formulas, parametrised by how it adds."""

import functools
import inspect
from types import SimpleNamespace

import numpy as np

from leakysm.ops.registry import OPERATIONS


def at_once(terms, axis):
    """NumPy's own sum."""
    return np.sum(terms, axis=axis)


def one_by_one(terms, axis):
    """A loop's sum, first to last, in the dtype of the terms."""
    return np.take(np.add.accumulate(terms, axis=axis), -1, axis=axis)


def compensated(terms, axis):
    """Neumaier's sum: what each addition loses is kept and added at last."""
    terms = np.moveaxis(terms, axis, 0)
    total = np.array(terms[0])
    lost = np.zeros_like(total)
    for term in terms[1:]:
        new = total + term
        lost += np.where(np.abs(total) >= np.abs(term), (total - new) + term, (term - new) + total)
        total = new
    return np.where(np.isfinite(total), total + lost, total)


def _restrict(restriction, d):
    """r(d) and r'(d) of a built-in restriction, by its name."""
    p, kind = restriction.parameters, type(restriction).__name__
    if kind == "Log":
        return p["scale"] * np.log1p(d / p["scale"]), 1 / (1 + d / p["scale"])
    t = p["threshold"]
    if kind == "Leak":
        return np.where(d <= t, d, t + p["slope"] * (d - t)), np.where(d <= t, 1, p["slope"])
    beyond = np.where(d > t, d, 1)  # elsewhere anything that has a root
    return np.where(d > t, 2 * t**0.5 * np.sqrt(beyond) - t, d), np.where(d > t, t**0.5 / np.sqrt(beyond), 1)


class Formulas:
    """The operations in the dtype of their arguments, all sums by `add(terms, axis)`."""

    def __init__(self, add):
        self.add = add

    # Distances

    def squared_euclidean(self, x, c):
        difference = x[:, None] - c[None]
        return self.add(difference * difference, -1)

    def squared_euclidean_vjp(self, x, c, dy):
        return self._both(2 * dy[:, :, None] * (x[:, None] - c[None]))

    def _both(self, terms):
        return self.add(terms, 1), -self.add(terms, 0)

    def leaky_squared_euclidean(self, x, c, *, threshold, slope, per="pair"):
        squares = (x[:, None] - c[None]) ** 2
        d = self.add(squares, -1) if per == "pair" else squares
        restricted = np.where(d <= threshold, d, threshold + slope * (d - threshold))
        return restricted if per == "pair" else self.add(restricted, -1)

    def leaky_squared_euclidean_vjp(self, x, c, dy, *, threshold, slope, per="pair"):
        difference = x[:, None] - c[None]
        squares = difference**2
        d = self.add(squares, -1)[:, :, None] if per == "pair" else squares
        factor = np.where(d <= threshold, 1, slope).astype(x.dtype)
        return self._both(2 * factor * dy[:, :, None] * difference)

    def restricted_squared_euclidean(self, x, c, *, restriction, per="pair"):
        squares = (x[:, None] - c[None]) ** 2
        restricted = _restrict(restriction, self.add(squares, -1) if per == "pair" else squares)[0]
        return restricted if per == "pair" else self.add(restricted, -1)

    def restricted_squared_euclidean_vjp(self, x, c, dy, *, restriction, per="pair"):
        difference = x[:, None] - c[None]
        squares = difference**2
        d = self.add(squares, -1)[:, :, None] if per == "pair" else squares
        factor = _restrict(restriction, d)[1].astype(x.dtype)
        return self._both(2 * factor * dy[:, :, None] * difference)

    def _norm(self, vectors):
        """Vectors times 2^-e, their norms, and e: the norm proper is ldexp(norm, e)."""
        e = np.frexp(np.max(np.abs(vectors), axis=-1, keepdims=True))[1]
        scaled = np.ldexp(vectors, -e)
        return scaled, np.sqrt(self.add(scaled * scaled, -1))[..., None], e

    def euclidean(self, x, c):
        _, norm, e = self._norm(x[:, None] - c[None])
        return np.ldexp(norm, e)[..., 0]

    def euclidean_vjp(self, x, c, dy):
        scaled, norm, _ = self._norm(x[:, None] - c[None])
        return self._both(dy[:, :, None] * (scaled / np.where(norm == 0, 1, norm)))

    def _unit(self, vectors):
        """Unit vectors (0 for a zero vector), norms (inf for a zero vector) and e."""
        scaled, norm, e = self._norm(vectors)
        norm = np.where(norm == 0, np.inf, norm).astype(vectors.dtype)
        return scaled / norm, norm, e

    def cosine_distance(self, x, c):
        return 1 - self._cosine(self._unit(x)[0], self._unit(c)[0])

    def _cosine(self, u, v):
        return self.add(u[:, None] * v[None], -1)

    def cosine_distance_vjp(self, x, c, dy):
        (u, x_norm, x_e), (v, c_norm, c_e) = self._unit(x), self._unit(c)
        cosine, dy = self._cosine(u, v)[:, :, None], dy[:, :, None]
        du = self.add(dy * (cosine * u[:, None] - v[None]), 1)
        dv = self.add(dy * (cosine * v[None] - u[:, None]), 0)
        return np.ldexp(du / x_norm, -x_e), np.ldexp(dv / c_norm, -c_e)

    # Loss

    def prototypes(self, z, labels, n_classes):
        return np.stack([self.add(z[labels == m] / np.sum(labels == m), 0).astype(z.dtype) for m in range(n_classes)])

    def prototypes_vjp(self, z, labels, n_classes, dy):
        shots = np.bincount(labels, minlength=n_classes)[:, None].astype(z.dtype)
        return (dy / shots)[labels]

    def _softmax(self, logits):
        """a = z - max z, exp(a), and the sum of all exp(a) but the first maximum's, (N, 1)."""
        top = np.argmax(logits, axis=-1)[:, None]
        a = logits - np.take_along_axis(logits, top, -1)
        powers = np.exp(a)
        return a, powers, self._without(powers, top)

    def _without(self, powers, left_out):
        kept = np.arange(powers.shape[1]) != left_out
        return self.add(np.where(kept, powers, 0).astype(powers.dtype), -1)[:, None]

    def log_softmax(self, logits):
        a, _, others = self._softmax(logits)
        return a - np.log1p(others)

    def log_softmax_vjp(self, logits, dy):
        _, powers, others = self._softmax(logits)
        return dy - powers / (1 + others) * self.add(dy, -1)[:, None]

    def cross_entropy(self, logits, labels):
        a, _, others = self._softmax(logits)
        losses = np.log1p(others) - np.take_along_axis(a, labels[:, None], -1)
        return self.add(losses[:, 0] / len(labels), 0)

    def cross_entropy_vjp(self, logits, labels, dy):
        _, powers, others = self._softmax(logits)
        label = labels[:, None]
        change = np.where(np.arange(powers.shape[1]) == label, -self._without(powers, label), powers)
        return change / (1 + others) * (dy / len(labels))

    def distance_cross_entropy(self, x, c, labels, *, distance):
        return self.cross_entropy(-getattr(self, distance.operation)(x, c, **distance.parameters), labels)

    def distance_cross_entropy_vjp(self, x, c, labels, dy, *, distance):
        d = getattr(self, distance.operation)(x, c, **distance.parameters)
        dd = -self.cross_entropy_vjp(-d, labels, dy)
        return getattr(self, distance.operation + "_vjp")(x, c, dd, **distance.parameters)

    def prototypical_loss(self, support, support_labels, query, query_labels, *, distance):
        centres = self.prototypes(support, support_labels, support_labels.max() + 1)
        d = getattr(self, distance.operation)(query, centres, **distance.parameters)
        return self.cross_entropy(-d, query_labels)

    def prototypical_loss_vjp(self, support, support_labels, query, query_labels, dy, *, distance):
        way = support_labels.max() + 1
        centres = self.prototypes(support, support_labels, way)
        d = getattr(self, distance.operation)(query, centres, **distance.parameters)
        dd = -self.cross_entropy_vjp(-d, query_labels, dy)
        dquery, dcentres = getattr(self, distance.operation + "_vjp")(query, centres, dd, **distance.parameters)
        return self.prototypes_vjp(support, support_labels, way, dcentres), dquery

    # Images

    def _patches(self, x):
        """(N, H, W, C) -> (N H W, 9 C)."""
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        h, w = x.shape[1:3]
        taps = [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
        return np.stack(taps, axis=3).reshape(-1, 9 * x.shape[3])

    def conv2d(self, x, w):
        kernel = w.reshape(-1, w.shape[3])
        return self.add(self._patches(x)[:, :, None] * kernel[None], 1).reshape(*x.shape[:3], w.shape[3])

    def conv2d_vjp(self, x, w, dy):
        turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
        rows = dy.reshape(-1, dy.shape[3])
        return self.conv2d(dy, turned), self.add(self._patches(x)[:, :, None] * rows[:, None], 0).reshape(w.shape)

    def _normalised(self, x, eps):
        """x-hat (n, C), sigma, mean, variance (C,): squares of x - mean times a power of two, so none overflows."""
        rows = x.reshape(-1, x.shape[-1])
        n = len(rows)
        mean = self.add(rows, 0) / n
        centred = rows - mean
        least = np.frexp(np.sqrt(eps))[1] if eps else -(2**14)
        e = np.maximum(np.frexp(np.max(np.abs(centred), axis=0))[1], least)
        scaled = np.ldexp(centred, -e)
        variance = self.add(scaled * scaled, 0) / n
        sigma = np.ldexp(np.sqrt(variance + np.ldexp(x.dtype.type(eps), -2 * e)), e)
        return centred / sigma, sigma, mean, np.ldexp(variance, 2 * e)

    def batch_norm(self, x, scale, shift, *, eps=1e-5):
        normalised, _, mean, variance = self._normalised(x, eps)
        return (normalised * scale + shift).reshape(x.shape), mean, variance

    def batch_norm_vjp(self, x, scale, shift, dy, *, eps=1e-5):
        normalised, sigma, _, _ = self._normalised(x, eps)
        rows = dy.reshape(normalised.shape)
        n = len(rows)
        dscale, dshift = self.add(rows * normalised, 0), self.add(rows, 0)
        dx = (rows - dshift / n - normalised * (dscale / n)) / sigma * scale
        return dx.reshape(x.shape), dscale, dshift

    def batch_norm_inference(self, x, scale, shift, mean, variance, *, eps=1e-5):
        return (x - mean) / np.sqrt(variance + eps) * scale + shift

    def batch_norm_inference_vjp(self, x, scale, shift, mean, variance, dy, *, eps=1e-5):
        sigma = np.sqrt(variance + eps)
        rows = dy.reshape(-1, dy.shape[-1])
        normalised = (x.reshape(rows.shape) - mean) / sigma
        dscale, dshift = self.add(rows * normalised, 0), self.add(rows, 0)
        return dy * (scale / sigma), dscale, dshift, -scale * dshift / sigma, -scale * (dscale / sigma) / (2 * sigma)

    def relu(self, x):
        return np.maximum(x, 0)

    def relu_vjp(self, x, dy):
        return np.where(x > 0, dy, 0).astype(x.dtype)

    def _windows(self, x):
        """(N, H, W, C) -> (N, H // 2, W // 2, C, 4), row by row."""
        n, h, w, c = x.shape
        cut = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
        return cut.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)

    def max_pool2d(self, x):
        return np.max(self._windows(x), axis=-1)

    def max_pool2d_vjp(self, x, dy):
        first = np.argmax(self._windows(x), axis=-1)[..., None] == np.arange(4)
        n, h, w, c = dy.shape
        spread = np.where(first, dy[..., None], 0).reshape(n, h, w, c, 2, 2)
        dx = np.zeros_like(x)
        dx[:, : 2 * h, : 2 * w] = spread.transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c)
        return dx

    def conv_block(self, x, w, scale, shift, *, eps=1e-5):
        y, mean, variance = self.batch_norm(self.conv2d(x, w), scale, shift, eps=eps)
        return self.max_pool2d(self.relu(y)), mean, variance

    def _back_to_norm(self, y, dy):
        return self.relu_vjp(y, self.max_pool2d_vjp(self.relu(y), dy))

    def conv_block_vjp(self, x, w, scale, shift, dy, *, eps=1e-5):
        z = self.conv2d(x, w)
        y, _, _ = self.batch_norm(z, scale, shift, eps=eps)
        dz, *channels = self.batch_norm_vjp(z, scale, shift, self._back_to_norm(y, dy), eps=eps)
        return (*self.conv2d_vjp(x, w, dz), *channels)

    def conv_block_inference(self, x, w, scale, shift, mean, variance, *, eps=1e-5):
        y = self.batch_norm_inference(self.conv2d(x, w), scale, shift, mean, variance, eps=eps)
        return self.max_pool2d(self.relu(y))

    def conv_block_inference_vjp(self, x, w, scale, shift, mean, variance, dy, *, eps=1e-5):
        z, given = self.conv2d(x, w), (scale, shift, mean, variance)
        y = self.batch_norm_inference(z, *given, eps=eps)
        dz, *channels = self.batch_norm_inference_vjp(z, *given, self._back_to_norm(y, dy), eps=eps)
        return (*self.conv2d_vjp(x, w, dz), *channels)


WIDER = {"float32": np.float64, "float64": np.longdouble}


def _widened(function):
    """The function in a wider dtype, its results rounded once."""

    @functools.wraps(function)
    def call(*arguments, **parameters):
        floats = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arguments]
        dtype = arguments[floats.index(True)].dtype
        wide = [a.astype(WIDER[dtype.name]) if f else a for a, f in zip(arguments, floats, strict=True)]
        result = function(*wide, **parameters)
        if isinstance(result, tuple):
            return tuple(np.asarray(r).astype(dtype) for r in result)
        return np.asarray(result).astype(dtype)

    call.__signature__ = inspect.signature(function)
    return call


def wide(formulas):
    """Everything in a wider dtype, rounded at the end."""
    names = [name + part for name in OPERATIONS for part in ("", "_vjp")]
    return SimpleNamespace(**{name: _widened(getattr(formulas, name)) for name in names})


STYLES = {
    "broadcast": Formulas(at_once),
    "loop": Formulas(one_by_one),
    "wide": wide(Formulas(at_once)),
    "compensated": Formulas(compensated),
}
