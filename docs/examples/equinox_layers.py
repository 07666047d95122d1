"""equinox: its convolution and max pool, which are NCHW, on JAX arrays."""

import equinox
import jax
import jax.numpy as jnp


def conv2d(x, w):
    layer = equinox.nn.Conv2d(*w.shape[2:], 3, padding=1, use_bias=False, key=jax.random.key(0))
    layer = equinox.tree_at(lambda a: a.weight, layer, jnp.transpose(w, (3, 2, 0, 1)))
    return jnp.moveaxis(jax.vmap(layer)(jnp.moveaxis(x, -1, 1)), 1, -1)


def max_pool2d(x):
    return jnp.moveaxis(jax.vmap(equinox.nn.MaxPool2d(2, 2))(jnp.moveaxis(x, -1, 1)), 1, -1)
