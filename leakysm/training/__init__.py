"""The training step and its parts: images, loss, sparsity figures, trainer, evaluation."""

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
