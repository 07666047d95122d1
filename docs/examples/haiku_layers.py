"""haiku: its max pool and batch norm, on JAX arrays."""

import haiku
import jax.numpy as jnp


def max_pool2d(x):
    return haiku.max_pool(x, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def batch_norm(x, scale, shift, *, eps=1e-5):
    def normalised(x):
        norm = haiku.BatchNorm(False, False, 0.0, eps)
        y = norm(x, is_training=True, scale=scale, offset=shift)
        return y, norm.mean_ema.average[(0,) * (x.ndim - 1)], norm.var_ema.average[(0,) * (x.ndim - 1)]

    net = haiku.without_apply_rng(haiku.transform_with_state(normalised))
    parameters, state = net.init(None, jnp.ones_like(x))
    return net.apply(parameters, state, x)[0]
