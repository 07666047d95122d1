"""Training a few-shot classifier, testing it, and the folder in which a run lives."""

from leakysm.training.checkpoint import Checkpoint, load_checkpoint
from leakysm.training.config import TrainConfig
from leakysm.training.evaluate_run import evaluate_run
from leakysm.training.evaluation import Accuracy, embedder, evaluate, nearest_prototypes
from leakysm.training.images import SplitImages
from leakysm.training.prepare import prepare, to_resume, under_options
from leakysm.training.restore import Restored, restore
from leakysm.training.results import Summary, Tested
from leakysm.training.run import Progress, train
from leakysm.training.run_folder import RunFolder
from leakysm.training.trainer import Step, Trainer
from leakysm.training.within_alphabet import WithinAlphabet, evaluate_within_alphabet

__all__ = [
    "Accuracy",
    "Checkpoint",
    "Progress",
    "Restored",
    "RunFolder",
    "SplitImages",
    "Step",
    "Summary",
    "Tested",
    "TrainConfig",
    "Trainer",
    "WithinAlphabet",
    "embedder",
    "evaluate",
    "evaluate_run",
    "evaluate_within_alphabet",
    "load_checkpoint",
    "nearest_prototypes",
    "prepare",
    "restore",
    "to_resume",
    "train",
    "under_options",
]
