"""JAX by autodiff: array expressions, and functions of one pair, row or channel under vmap. All can be compiled."""

import functools

import jax
import jax.numpy as jnp
from jax import lax


def power_of_two(size):
    """2^-e without a gradient, with size * 2^-e near 1, as far as that is a normal number."""
    most = 100 if size.dtype == jnp.float32 else 1000
    _, e = jnp.frexp(lax.stop_gradient(size))
    return jnp.ldexp(jnp.ones_like(size), jnp.clip(-e, -most, most))


def guarded_root(squares):
    """sqrt, with value and gradient 0 at 0."""
    zero = squares == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))


def softmax_parts(logits):
    """Of one row or several: exp(z - max z), the sum of all but the first maximum's, and whether an entry is that."""
    at = jnp.argmax(logits, -1, keepdims=True)
    first = jnp.arange(logits.shape[-1]) == at
    powers = jnp.exp(logits - jnp.take_along_axis(logits, at, -1))
    return powers, jnp.where(first, 0, powers).sum(-1, keepdims=True)


@jax.custom_vjp
def log_sum(logits):
    """log1p(S) of rows, (..., 1); its gradient is the probabilities."""
    return jnp.log1p(softmax_parts(logits)[1])


def _log_sum_forward(logits):
    powers, others = softmax_parts(logits)
    return jnp.log1p(others), powers / (1 + others)


log_sum.defvjp(_log_sum_forward, lambda p, dy: (p * dy,))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def row_losses(logits, label):
    """log1p(S) - a_label of rows; label: which entry it is, a mask (N, M)."""
    own = jnp.where(label, logits, 0).sum(-1)
    return jnp.log1p(softmax_parts(logits)[1])[:, 0] + (logits.max(-1) - own)


@row_losses.defjvp
def _row_losses_jvp(label, primals, tangents):
    (logits,), (change,) = primals, tangents
    powers, others = softmax_parts(logits)
    rest = jnp.where(label, 0, powers).sum(-1, keepdims=True)
    return row_losses(logits, label), (jnp.where(label, -rest, powers) / (1 + others) * change).sum(-1)


def restricted(d, threshold, slope):
    offset = threshold - slope * threshold if threshold < float("inf") else 0.0
    return jnp.where(d <= threshold, d, slope * d + offset)


def restricted_by(d, restriction):
    """r(d) of a built-in restriction, by its name."""
    p, kind = restriction.parameters, type(restriction).__name__
    if kind == "Log":
        return p["scale"] * jnp.log1p(d / p["scale"])
    if kind == "Leak":
        return restricted(d, p["threshold"], p["slope"])
    t = p["threshold"]
    return d if t == float("inf") else jnp.where(d <= t, d, 2 * t**0.5 * jnp.sqrt(jnp.where(d <= t, 1, d)) - t)


def batch_norm_of_channel(x, scale, shift, eps):
    """x (n,), the others scalars."""
    power = jnp.minimum(power_of_two(jnp.abs(x - x.mean()).max()), 1)
    scaled = x * power
    mean = scaled.mean()
    centred = scaled - mean
    variance = (centred**2).mean()
    return centred / jnp.sqrt(variance + eps * power**2) * scale + shift, mean / power, variance / power / power


class Broadcast:
    """Array expressions."""

    def squared_euclidean(self, x, c):
        return ((x[:, None] - c[None]) ** 2).sum(-1)

    def leaky_squared_euclidean(self, x, c, *, threshold, slope, per="pair"):
        squares = (x[:, None] - c[None]) ** 2
        if per == "coordinate":
            return restricted(squares, threshold, slope).sum(-1)
        return restricted(squares.sum(-1), threshold, slope)

    def restricted_squared_euclidean(self, x, c, *, restriction, per="pair"):
        squares = (x[:, None] - c[None]) ** 2
        if per == "coordinate":
            return restricted_by(squares, restriction).sum(-1)
        return restricted_by(squares.sum(-1), restriction)

    def euclidean(self, x, c):
        difference = x[:, None] - c[None]
        power = power_of_two(jnp.abs(difference).max(-1, keepdims=True))
        return (guarded_root(((difference * power) ** 2).sum(-1, keepdims=True)) / power)[..., 0]

    def _unit(self, vectors):
        scaled = vectors * power_of_two(jnp.abs(vectors).max(-1, keepdims=True))
        squares = (scaled**2).sum(-1, keepdims=True)
        zero = squares == 0
        return jnp.where(zero, 0, scaled / jnp.sqrt(jnp.where(zero, 1, squares)))

    def cosine_distance(self, x, c):
        return 1 - (self._unit(x)[:, None] * self._unit(c)[None]).sum(-1)

    def prototypes(self, z, labels, n_classes):
        """A class without a shot, which only the loss asks for, is at 0."""
        own = labels[None, :] == jnp.arange(n_classes)[:, None]
        shots = jnp.maximum(own.sum(1), 1).astype(z.dtype)
        return jnp.where(own[:, :, None], z[None] / shots[:, None, None], 0).sum(1)

    def log_softmax(self, logits):
        return (logits - lax.stop_gradient(logits.max(-1, keepdims=True))) - log_sum(logits)

    def cross_entropy(self, logits, labels):
        """Where the label is the maximum, log1p of the others' sum by differences to it; elsewhere log-sum-exp."""
        label = jnp.arange(logits.shape[1]) == labels[:, None]
        top = lax.stop_gradient(logits.max(1, keepdims=True))
        own = jnp.take_along_axis(logits, labels[:, None], 1)
        hit = jnp.argmax(logits, 1, keepdims=True) == labels[:, None]
        powers = jnp.exp(logits - jnp.where(hit, own, top))
        others = jnp.log1p(jnp.where(label, 0, powers).sum(1, keepdims=True))
        missed = jnp.log(powers.sum(1, keepdims=True)) + (top - own)
        return jnp.where(hit, others, missed).mean()

    def distance_cross_entropy(self, x, c, labels, *, distance):
        return self.cross_entropy(-getattr(self, distance.operation)(x, c, **distance.parameters), labels)

    def prototypical_loss(self, support, support_labels, query, query_labels, *, distance):
        """As many classes as there could be, since a compiled function can't know how many there are."""
        most = len(support_labels)
        centres = self.prototypes(support, support_labels, most)
        d = getattr(self, distance.operation)(query, centres, **distance.parameters)
        there = jnp.arange(most) <= support_labels.max()
        return self.cross_entropy(jnp.where(there, -d, -jnp.inf), query_labels)

    def conv2d(self, x, w):
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        height, width = x.shape[1:3]
        taps = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return (jnp.stack(taps, 3)[..., None] * w.reshape(9, *w.shape[2:])).sum((3, 4))

    def batch_norm(self, x, scale, shift, *, eps=1e-5):
        rows = x.reshape(-1, x.shape[-1])
        power = jnp.minimum(power_of_two(jnp.abs(rows - rows.mean(0)).max(0)), 1)
        scaled = rows * power
        mean = scaled.mean(0)
        variance = ((scaled - mean) ** 2).mean(0)
        y = (scaled - mean) / jnp.sqrt(variance + eps * power**2) * scale + shift
        return y.reshape(x.shape), mean / power, variance / power / power

    def batch_norm_inference(self, x, scale, shift, mean, variance, *, eps=1e-5):
        return (x - mean) / jnp.sqrt(variance + eps) * scale + shift

    def relu(self, x):
        return jnp.where(x > 0, x, 0)

    def max_pool2d(self, x):
        height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        best, *others = (x[:, i:height:2, j:width:2] for i in range(2) for j in range(2))
        for other in others:
            best = jnp.where(other > best, other, best)
        return best

    def conv_block(self, x, w, scale, shift, *, eps=1e-5):
        y, mean, variance = self.batch_norm(self.conv2d(x, w), scale, shift, eps=eps)
        return self.max_pool2d(self.relu(y)), mean, variance

    def conv_block_inference(self, x, w, scale, shift, mean, variance, *, eps=1e-5):
        y = self.batch_norm_inference(self.conv2d(x, w), scale, shift, mean, variance, eps=eps)
        return self.max_pool2d(self.relu(y))


def over_pairs(distance):
    """A distance of two vectors for all pairs."""
    return jax.vmap(jax.vmap(distance, (None, 0)), (0, None))


class Vmap(Broadcast):
    """Functions of one pair, row or channel, mapped; JAX's own convolution, segment sums and ReLU."""

    def squared_euclidean(self, x, c):
        return over_pairs(lambda a, b: jnp.vdot(a - b, a - b))(x, c)

    def leaky_squared_euclidean(self, x, c, *, threshold, slope, per="pair"):
        if per == "coordinate":
            return over_pairs(lambda a, b: restricted(jnp.square(a - b), threshold, slope).sum())(x, c)
        return over_pairs(lambda a, b: restricted(jnp.square(a - b).sum(), threshold, slope))(x, c)

    def restricted_squared_euclidean(self, x, c, *, restriction, per="pair"):
        if per == "coordinate":
            return over_pairs(lambda a, b: restricted_by(jnp.square(a - b), restriction).sum())(x, c)
        return over_pairs(lambda a, b: restricted_by(jnp.square(a - b).sum(), restriction))(x, c)

    def euclidean(self, x, c):
        return over_pairs(lambda a, b: Broadcast.euclidean(self, a[None], b[None])[0, 0])(x, c)

    def _unit(self, vectors):
        return jax.vmap(lambda v: Broadcast._unit(self, v))(vectors)

    def cosine_distance(self, x, c):
        return 1 - over_pairs(jnp.dot)(self._unit(x), self._unit(c))

    def prototypes(self, z, labels, n_classes):
        shots = jnp.maximum(jnp.bincount(labels, length=n_classes), 1).astype(z.dtype)
        return jax.ops.segment_sum(z / shots[labels, None], labels, n_classes)

    def log_softmax(self, logits):
        return jax.vmap(lambda row: (row - lax.stop_gradient(row.max())) - log_sum(row))(logits)

    def cross_entropy(self, logits, labels):
        return row_losses(logits, jnp.arange(logits.shape[1]) == labels[:, None]).mean()

    def conv2d(self, x, w):
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def batch_norm(self, x, scale, shift, *, eps=1e-5):
        rows = x.reshape(-1, x.shape[-1])
        of_channels = jax.vmap(batch_norm_of_channel, (1, 0, 0, None), (1, 0, 0))
        y, mean, variance = of_channels(rows, scale, shift, eps)
        return y.reshape(x.shape), mean, variance

    def batch_norm_inference(self, x, scale, shift, mean, variance, *, eps=1e-5):
        def of_channel(x, scale, shift, mean, variance):
            return scale * ((x - mean) * lax.rsqrt(variance + eps)) + shift

        return jax.vmap(of_channel, -1, -1)(x, scale, shift, mean, variance)

    def relu(self, x):
        return jax.nn.relu(x)


STYLES = {"jax_broadcast": Broadcast(), "jax_vmap": Vmap()}
