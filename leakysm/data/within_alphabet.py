"""Omniglot's within-alphabet task (Lake et al., 2015): 20 runs of 20-way 1-shot classification, from `all_runs.zip`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leakysm.data.dataset import Images
from leakysm.data.folder_or_zip import Source, open_source
from leakysm.data.omniglot import grey_drawing, ink
from leakysm.errors import UserError

RUNS, WAYS = 20, 20


@dataclass(frozen=True)
class Task:
    """One of the 20 tasks.

    training: ink uint8 (20, 28, 28, 1), one drawing of each class. test: ink uint8 (20, 28, 28, 1), the items to
    classify. answers (20,): each item's class.
    """

    name: str
    training: Images
    test: Images
    answers: NDArray[np.int64]


def within_alphabet(path: Path) -> list[Task]:
    """`path`: all_runs.zip, the folder that it unpacks to, or the folder that holds either.

    UserError if it is absent, incomplete or damaged, or if a list of answers does not fit the images.
    """
    source = _find(path)
    prefix = "all_runs/" if any(name.startswith("all_runs/") for name in source.names) else ""
    return [_run(source, prefix, f"run{number:02d}") for number in range(1, RUNS + 1)]


def _find(path: Path) -> Source:
    if path.is_file() or (path / "run01").is_dir():
        return open_source(path)
    for candidate in (path / "all_runs.zip", path / "all_runs"):
        if candidate.exists():
            return open_source(candidate)
    raise UserError(
        f"{path} holds no all_runs.zip and no run01 to run20; get it with `leakysm data fetch omniglot --all`"
    )


def _run(source: Source, prefix: str, run: str) -> Task:
    """One task. UserError if a file of it is absent."""
    training = [f"{run}/training/class{k:02d}.png" for k in range(1, WAYS + 1)]
    test = [f"{run}/test/item{k:02d}.png" for k in range(1, WAYS + 1)]
    labels = f"{run}/class_labels.txt"
    there = set(source.names)
    absent = [name for name in [labels, *training, *test] if prefix + name not in there]
    if absent:
        raise UserError(
            f"{source.path} lacks {absent[0]}{f' and {len(absent) - 1} more of {run}' if len(absent) > 1 else ''}; "
            "expected Omniglot's all_runs.zip, download it again"
        )

    def read(names: list[str]) -> Images:
        return ink(np.stack([grey_drawing(source, prefix + name) for name in names]))

    answer = _answers(source, prefix, labels, training, test)
    answers = np.array([training.index(answer[name]) for name in test], np.int64)
    return Task(run, read(training), read(test), answers)


def _answers(source: Source, prefix: str, labels: str, training: list[str], test: list[str]) -> dict[str, str]:
    """Each test item's training image, from the file `labels`. UserError unless it gives every item one."""
    text = source.read(prefix + labels).decode(errors="replace")
    pairs = [line.split() for line in text.splitlines() if line.strip()]
    answer = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    if len(pairs) != WAYS or sorted(answer) != test or not set(answer.values()) <= set(training):
        raise UserError(
            f"{source.path}: {labels} does not give each of the 20 test items a training class; expected lines such as "
            f"'{test[0]} {training[7]}', download it again"
        )
    return answer
