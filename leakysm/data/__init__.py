"""Data sets for few-shot learning: images sorted by class, in splits that share no class.

`registry` loads one by its name: `strokes`, `omniglot`, `miniimagenet`, or your own `folder` of images. `sources` reads
folders and archives alike, `images` decodes and checks pictures, `resize` makes them one size, `cache` keeps what was
read, and `fetch` downloads. All return a `dataset`; its `inputs` say how pixels become a net's input.
"""

from leakysm.choices import DATASETS, SPLITS
from leakysm.data.dataset import ClassSet, Dataset
from leakysm.data.registry import load

__all__ = ["DATASETS", "SPLITS", "ClassSet", "Dataset", "load"]
