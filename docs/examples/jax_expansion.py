"""JAX: squared Euclidean distance by the matrix-product expansion, cut off at 0."""

import jax.numpy as jnp


def squared_euclidean(x, c):
    return jnp.maximum((x**2).sum(1)[:, None] - 2 * x @ c.T + (c**2).sum(1)[None, :], 0)
