"""A run on disk: its settings, folder, checkpoints and results. Start it, resume it, read it, and test it again."""

from leakysm.runs.checkpoint import Checkpoint, load_checkpoint
from leakysm.runs.evaluate import evaluate_run
from leakysm.runs.folder import RunFolder
from leakysm.runs.resolve import Loader, resolve, to_resume, under_options
from leakysm.runs.restore import Restored, restore
from leakysm.runs.results import Summary
from leakysm.runs.run import Progress, Stopped, train
from leakysm.runs.settings import TrainConfig
from leakysm.runs.within_alphabet import evaluate_within_alphabet
from leakysm.training.test_result import TestResult

__all__ = [
    "Checkpoint",
    "Loader",
    "Progress",
    "Restored",
    "RunFolder",
    "Stopped",
    "Summary",
    "TestResult",
    "TrainConfig",
    "evaluate_run",
    "evaluate_within_alphabet",
    "load_checkpoint",
    "resolve",
    "restore",
    "to_resume",
    "train",
    "under_options",
]
