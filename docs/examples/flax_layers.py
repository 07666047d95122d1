"""flax: the layers of flax.linen, on JAX arrays."""

import jax.numpy as jnp
from flax import linen


def conv2d(x, w):
    return linen.Conv(w.shape[-1], (3, 3), use_bias=False, param_dtype=w.dtype).apply({"params": {"kernel": w}}, x)


def max_pool2d(x):
    return linen.max_pool(x, (2, 2), (2, 2))


def batch_norm(x, scale, shift, *, eps=1e-5):
    norm = linen.BatchNorm(use_running_average=False, momentum=0.0, epsilon=eps, param_dtype=x.dtype)
    start = {"mean": jnp.zeros_like(scale), "var": jnp.ones_like(scale)}
    given = {"params": {"scale": scale, "bias": shift}, "batch_stats": start}
    y, changed = norm.apply(given, x, mutable=["batch_stats"])
    return y, changed["batch_stats"]["mean"], changed["batch_stats"]["var"]


def batch_norm_inference(x, scale, shift, mean, variance, *, eps=1e-5):
    norm = linen.BatchNorm(use_running_average=True, epsilon=eps, param_dtype=x.dtype)
    return norm.apply({"params": {"scale": scale, "bias": shift}, "batch_stats": {"mean": mean, "var": variance}}, x)
