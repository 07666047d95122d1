"""`load`: one name, one data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from leakysm.data.dataset import Dataset
from leakysm.errors import UserError

DATASETS = ("strokes", "omniglot", "miniimagenet", "caltech101", "folder")
SPLITS = ("lake", "vinyals", "minimal1", "minimal2")


def load(
    name: str,
    path: str | Path | None = None,
    *,
    split: str = "lake",
    seed: int = 0,
    cache_dir: str | Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The data set of that name, one of DATASETS.

    path: the folder that holds the published files, or one of them; strokes needs none, omniglot is looked for where
    `leakysm data fetch` puts it. split: one of SPLITS, for omniglot alone. seed: of strokes.
    report(done, total): called while images are read for the first time. UserError for whatever is amiss.
    """
    if name not in DATASETS:
        raise UserError(f"unknown data set '{name}': choose {', '.join(DATASETS)}")
    if split not in SPLITS:
        raise UserError(f"unknown split '{split}': choose {', '.join(SPLITS)}")
    if name != "omniglot" and split != "lake":
        raise UserError(f"the split '{split}' is Omniglot's; leave --split out for {name}")
    if name == "strokes":
        from leakysm.data.strokes import strokes

        if path is not None:
            raise UserError(
                "strokes are made by the package and read no files; leave --data out, or choose another --dataset"
            )
        return strokes(seed)
    if name == "omniglot":
        from leakysm.data.omniglot import omniglot

        return omniglot(_existing(name, path), split=split, cache_dir=cache_dir, report=report)[0]
    raise UserError(f"{name}: not there yet")


def _existing(name: str, path: str | Path | None) -> Path:
    if path is None:
        raise UserError(f"{name} needs its files: give their folder with --data")
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give the place of {name}'s files with --data")
    return path
