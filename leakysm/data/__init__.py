"""Data sets for few-shot learning: images sorted by class, in splits that share no class.

`registry` loads a data set by its name. `strokes` draws its images. `omniglot` reads Omniglot's archives.
`split_tables` reads miniImageNet and Caltech 101 from tables and images, `miniimagenet_pickles` reads miniImageNet from
pickles, and `miniimagenet_classes` checks its classes. `folder` reads your own images in any of the layouts of
`class_folders`. All of these return a `dataset`; its `inputs` say how pixels become a net's input. `within_alphabet`
reads the tasks of Omniglot.

`folder_or_zip` reads folders and archives alike, `pickles` reads pickles without running code, `images` decodes and
checks pictures, `resize` makes them one size, `cache` keeps what was read, `fetch` downloads, and `sheet` draws a data
set.
"""

from leakysm.choices import DATASETS, SPLITS
from leakysm.data.dataset import ClassSet, Dataset
from leakysm.data.registry import load

__all__ = ["DATASETS", "SPLITS", "ClassSet", "Dataset", "load"]
