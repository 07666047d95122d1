"""leakysm: the reference implementation of leaky squared Euclidean distance for one-shot classification.

A name is imported when it is first used, so that `import leakysm.errors` needs no NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakysm import ops as ops
    from leakysm.backends import backend
    from leakysm.nets import Conv4
    from leakysm.ops import *  # noqa: F403

    __version__: str

__all__ = [
    "Conv4",
    "Cosine",
    "Euclidean",
    "LeakySquaredEuclidean",
    "Metric",
    "SquaredEuclidean",
    "__version__",
    "backend",
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
    "squared_euclidean",
    "squared_euclidean_vjp",
]

_ELSEWHERE = {"Conv4": "leakysm.nets", "backend": "leakysm.backends"}  # all others stand in leakysm.ops


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("leakysm")
    elif name in __all__:
        value = getattr(import_module(_ELSEWHERE.get(name, "leakysm.ops")), name)
    elif name in ("ops", "nets", "backends"):
        value = import_module(f"leakysm.{name}")
    else:
        raise AttributeError(f"module 'leakysm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
