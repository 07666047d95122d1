"""The training step and what it is made of: images, loss, sparsity figures, trainer, evaluation."""

from leakysm.training.evaluation import Accuracy, embedder, evaluate, nearest_prototypes
from leakysm.training.images import SplitImages
from leakysm.training.trainer import Step, Trainer

__all__ = ["Accuracy", "SplitImages", "Step", "Trainer", "embedder", "evaluate", "nearest_prototypes"]
