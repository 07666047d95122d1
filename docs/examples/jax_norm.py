"""JAX: squared Euclidean distance as the norm squared."""

import jax.numpy as jnp


def squared_euclidean(x, c):
    return jnp.linalg.norm(x[:, None, :] - c[None, :, :], axis=-1) ** 2


def euclidean(x, c):
    return jnp.linalg.norm(x[:, None, :] - c[None, :, :], axis=-1)
