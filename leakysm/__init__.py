"""leakysm: the reference implementation of leaky squared Euclidean distance for one-shot classification.

Names are imported at their first use, so that `import leakysm` alone, or `leakysm.errors`, does not load NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakysm import ops
    from leakysm.backends import Engine, backend
    from leakysm.data import Dataset
    from leakysm.data import load as load_dataset
    from leakysm.episodes import EpisodeForm
    from leakysm.errors import ArrayError, CheckFailed, LeakysmError, UserError
    from leakysm.nets import Conv4, Net
    from leakysm.ops import *
    from leakysm.optim import SGD, Adam, Optimizer
    from leakysm.runs import TrainConfig, evaluate_run, train
    from leakysm.runs.resolve import resolve
    from leakysm.training import SplitImages, Trainer, embed_split, evaluate

    __version__: str

__all__ = [
    "SGD",
    "Adam",
    "ArrayError",
    "CheckFailed",
    "Conv4",
    "Cosine",
    "Dataset",
    "Engine",
    "EpisodeForm",
    "Euclidean",
    "Leak",
    "LeakySquaredEuclidean",
    "LeakysmError",
    "Log",
    "Metric",
    "Net",
    "Optimizer",
    "RestrictedSquaredEuclidean",
    "Restriction",
    "Root",
    "SplitImages",
    "SquaredEuclidean",
    "TrainConfig",
    "Trainer",
    "UserError",
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
    "distance_cross_entropy",
    "distance_cross_entropy_vjp",
    "embed_split",
    "euclidean",
    "euclidean_vjp",
    "evaluate",
    "evaluate_run",
    "leaky_squared_euclidean",
    "leaky_squared_euclidean_vjp",
    "load_dataset",
    "log_softmax",
    "log_softmax_vjp",
    "max_pool2d",
    "max_pool2d_vjp",
    "metric_named",
    "ops",
    "prototypes",
    "prototypes_vjp",
    "prototypical_loss",
    "prototypical_loss_vjp",
    "relu",
    "relu_vjp",
    "resolve",
    "restricted_squared_euclidean",
    "restricted_squared_euclidean_vjp",
    "squared_euclidean",
    "squared_euclidean_vjp",
    "train",
]

# Where each name is at home; whatever is not listed here is an operation or a metric, from leakysm.ops.
_HOMES = {
    "leakysm.backends": ("Engine", "backend"),
    "leakysm.data": ("Dataset",),
    "leakysm.episodes": ("EpisodeForm",),
    "leakysm.errors": ("ArrayError", "CheckFailed", "LeakysmError", "UserError"),
    "leakysm.nets": ("Conv4", "Net"),
    "leakysm.optim": ("SGD", "Adam", "Optimizer"),
    "leakysm.runs": ("TrainConfig", "evaluate_run", "resolve", "train"),
    "leakysm.training": ("SplitImages", "Trainer", "embed_split", "evaluate"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use. AttributeError for any other name."""
    if name not in __all__:
        raise AttributeError(f"module 'leakysm' has no attribute {name!r}")
    value: Any
    if name == "__version__":
        from importlib.metadata import version

        value = version("leakysm")
    elif name == "ops":
        value = importlib.import_module("leakysm.ops")
    elif name == "load_dataset":
        value = importlib.import_module("leakysm.data").load
    else:
        value = getattr(importlib.import_module(_HOME_OF.get(name, "leakysm.ops")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
