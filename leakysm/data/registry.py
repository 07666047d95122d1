"""Every data set by its name."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

from leakysm.choices import DATASETS, SPLITS
from leakysm.data.dataset import Dataset, Report
from leakysm.errors import UserError, require_kind, suggestion
from leakysm.files import expanded


def load(
    name: str,
    path: str | Path | None = None,
    *,
    split: str = "lake",
    seed: int = 0,
    cache_dir: str | Path | None = None,
    report: Report | None = None,
) -> Dataset:
    """The data set of this name, one of DATASETS.

    path: the folder of its files, or one of these files; not needed for strokes, nor for omniglot after
    `leakysm data fetch omniglot`. split: one of SPLITS, only for omniglot. seed: determines the images of strokes, and
    how a folder's classes are divided into splits. report(done, total) is called while images are read for the first
    time. UserError if files are missing, damaged or wrong.

    Examples
    --------
    >>> lk.load_dataset("strokes").split("test").images.shape
    (2500, 28, 28, 1)
    """
    if isinstance(name, str) and name.startswith("own:"):
        raise UserError(
            f"the data set {name.removeprefix('own:')} was made in Python from arrays; give the same object "
            "again, in Python: data=..."
        )
    if name not in DATASETS:
        raise UserError(f"unknown data set {name!r}; {suggestion(name, DATASETS)}")
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; {suggestion(split, SPLITS)}")
    if name != "omniglot" and split != "lake":
        raise UserError(f"the split '{split}' is Omniglot's; leave --split out for {name}")
    require_kind("seed", seed, Integral, "a whole number is expected: give one")
    if not 0 <= seed < 2**64:
        raise UserError(f"seed {seed} is out of range; give one from 0 to 2**64 - 1")
    if name == "strokes":
        from leakysm.data.strokes import strokes

        if path is not None:
            raise UserError(
                "strokes are made by the package and read no files; leave --data out, or choose another --dataset"
            )
        return strokes(seed)
    if name == "omniglot":
        from leakysm.data.omniglot import omniglot

        return omniglot(_existing(name, path), split=split, cache_dir=cache_dir, report=report)
    if name == "folder":
        from leakysm.data.folder import folder_dataset

        return folder_dataset(_existing(name, path), seed=seed, cache_dir=cache_dir, report=report)
    if name in ("miniimagenet", "caltech101"):
        return _photographs(name, _existing(name, path), cache_dir, report)
    raise NotImplementedError(f"leakysm/data/registry.py has no loader for {name}")


def _photographs(name: str, path: Path, cache_dir: str | Path | None, report: Report | None) -> Dataset:
    from leakysm.data.miniimagenet_pickles import has_pickles, pickle_dataset
    from leakysm.data.split_tables import has_tables, table_dataset

    root = path.parent if path.is_file() else path
    if has_pickles(root):
        if name == "miniimagenet":
            return pickle_dataset(root)
        if not has_tables(root):
            raise UserError(f"{root} holds miniImageNet's pickles, and no tables of {name}; use --dataset miniimagenet")
    return table_dataset(name, path, cache_dir=cache_dir, report=report)


def _existing(name: str, path: str | Path | None) -> Path:
    """Where the files are: as given, or where `leakysm data fetch` puts them."""
    if path is not None:
        path = expanded(path)
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; check the path after --data")
        return path
    from leakysm.data.cache import known_cache_folder

    cache = known_cache_folder()
    if name == "omniglot" and cache and (fetched := cache / "omniglot").is_dir():
        return fetched
    fetch = ", or run `leakysm data fetch omniglot`" if name == "omniglot" else ""
    raise UserError(f"dataset {name} needs its files: give the folder that holds them with --data{fetch}")
