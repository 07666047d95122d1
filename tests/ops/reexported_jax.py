"""Our operations on JAX arrays, without their `_vjp`s: their gradients are jax.vjp's."""

import jax  # noqa: F401  (says which arrays to use)

from leakysm import (  # noqa: F401
    batch_norm,
    batch_norm_inference,
    conv2d,
    conv_block,
    conv_block_inference,
    cosine_distance,
    cross_entropy,
    distance_cross_entropy,
    euclidean,
    leaky_squared_euclidean,
    log_softmax,
    max_pool2d,
    prototypes,
    prototypical_loss,
    relu,
    restricted_squared_euclidean,
    squared_euclidean,
)
