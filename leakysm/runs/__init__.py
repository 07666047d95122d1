"""A run on disk: its settings, folder, checkpoints and results. Start it, resume it, read it, and test it again.

The way of a run: `resolve` and `fill_in` complete what a user gave, `settings` is the result and its config.toml,
`build` makes net and trainer on the engine of `device`, and `run` is the loop: steps, checkpoints, validation, test.
Its files: `folder` has their names and refuses to write over others; `checkpoint`, `journal` (metrics.csv), `results`
(summary.json), `curves`, `environment` and `manifest` write them; `schema`, `sound` and `summary_schema` check what is
read back.
Afterwards: `restore` reads the net, `evaluate` and `within_alphabet` test it again, and `kept_tests` adds such a test.
`estimate` says how long a run takes; `objects` is for runs with objects made in Python.
"""

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
