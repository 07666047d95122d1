"""The training step and what it is made of: images, loss, sparsity figures, trainer, evaluation."""

from leakysm.training.evaluation import SplitEmbeddings, TestResult, embed_split, evaluate, nearest_prototypes
from leakysm.training.images import SplitImages
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
