"""Data sets for few-shot learning: images sorted by class, in splits that share no class.

`registry` loads one by its name. `strokes` are drawn; `omniglot` is read from its archives; miniImageNet and Caltech
101 from `split_tables` and images, miniImageNet also from `miniimagenet_pickles`, its classes checked by
`miniimagenet_classes`; a `folder` of your own images in any of the layouts of `class_folders`. `within_alphabet` is a
task of Omniglot's. All return a `dataset`; its `inputs` say how pixels become a net's input.

`folder_or_zip` reads folders and archives alike, `pickles` reads pickles without running code, `images` decodes and
checks pictures, `resize` makes them one size, `cache` keeps what was read, `fetch` downloads, and `sheet` draws a data
set.
"""

from leakysm.choices import DATASETS, SPLITS
from leakysm.data.dataset import ClassSet, Dataset
from leakysm.data.registry import load

__all__ = ["DATASETS", "SPLITS", "ClassSet", "Dataset", "load"]
