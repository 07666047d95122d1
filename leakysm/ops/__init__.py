"""The reference implementation: one short file for each operation, with its value `f` and its gradient `f_vjp`.

`registry` lists the operations. What they share: `arrays` (checks, exact functions) and `pairs` (sums over all pairs of
rows). `metrics` has the distances as values with parameters, `restriction` the formulas r(d), `formula_file` reads
a user's own from a file, and `own_code` turns what it raises into one line.
"""

from leakysm.ops.batch_norm import batch_norm, batch_norm_vjp
from leakysm.ops.batch_norm_inference import batch_norm_inference, batch_norm_inference_vjp
from leakysm.ops.conv2d import conv2d, conv2d_vjp
from leakysm.ops.conv_block import conv_block, conv_block_inference, conv_block_inference_vjp, conv_block_vjp
from leakysm.ops.cosine_distance import cosine_distance, cosine_distance_vjp
from leakysm.ops.cross_entropy import cross_entropy, cross_entropy_vjp
from leakysm.ops.distance_cross_entropy import distance_cross_entropy, distance_cross_entropy_vjp
from leakysm.ops.euclidean import euclidean, euclidean_vjp
from leakysm.ops.leaky_squared_euclidean import leaky_squared_euclidean, leaky_squared_euclidean_vjp
from leakysm.ops.log_softmax import log_softmax, log_softmax_vjp
from leakysm.ops.max_pool2d import max_pool2d, max_pool2d_vjp
from leakysm.ops.metrics import (
    Cosine,
    Euclidean,
    LeakySquaredEuclidean,
    Metric,
    RestrictedSquaredEuclidean,
    SquaredEuclidean,
    metric_named,
)
from leakysm.ops.prototypes import prototypes, prototypes_vjp
from leakysm.ops.prototypical_loss import prototypical_loss, prototypical_loss_vjp
from leakysm.ops.relu import relu, relu_vjp
from leakysm.ops.restricted_squared_euclidean import restricted_squared_euclidean, restricted_squared_euclidean_vjp
from leakysm.ops.restriction import Leak, Log, Restriction, Root
from leakysm.ops.squared_euclidean import squared_euclidean, squared_euclidean_vjp

__all__ = [
    "Cosine",
    "Euclidean",
    "Leak",
    "LeakySquaredEuclidean",
    "Log",
    "Metric",
    "RestrictedSquaredEuclidean",
    "Restriction",
    "Root",
    "SquaredEuclidean",
    "batch_norm",
    "batch_norm_inference",
    "batch_norm_inference_vjp",
    "batch_norm_vjp",
    "conv2d",
    "conv2d_vjp",
    "conv_block",
    "conv_block_inference",
    "conv_block_inference_vjp",
    "conv_block_vjp",
    "cosine_distance",
    "cosine_distance_vjp",
    "cross_entropy",
    "cross_entropy_vjp",
    "distance_cross_entropy",
    "distance_cross_entropy_vjp",
    "euclidean",
    "euclidean_vjp",
    "leaky_squared_euclidean",
    "leaky_squared_euclidean_vjp",
    "log_softmax",
    "log_softmax_vjp",
    "max_pool2d",
    "max_pool2d_vjp",
    "metric_named",
    "prototypes",
    "prototypes_vjp",
    "prototypical_loss",
    "prototypical_loss_vjp",
    "relu",
    "relu_vjp",
    "restricted_squared_euclidean",
    "restricted_squared_euclidean_vjp",
    "squared_euclidean",
    "squared_euclidean_vjp",
]
