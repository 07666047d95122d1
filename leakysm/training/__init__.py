"""The training step and its parts, and tests in episodes.

`trainer` takes step after step: an episode's `images`, the net, the `distance` with its `learned_scale`, the `loss`,
the optimizer; `sparsity` has the figures of the gradients. On a GPU `device_step` is the whole step. `evaluation` tests
a net, `test_result` is the result, and `closeness` decides whether an image is close to any class.
"""

from leakysm.training.evaluation import SplitEmbeddings, embed_split, evaluate, nearest_prototypes
from leakysm.training.images import SplitImages
from leakysm.training.test_result import TestResult
from leakysm.training.trainer import Step, Trainer

__all__ = [
    "SplitEmbeddings",
    "SplitImages",
    "Step",
    "TestResult",
    "Trainer",
    "embed_split",
    "evaluate",
    "nearest_prototypes",
]
