"""Data sets for few-shot learning: images sorted by class, in splits that share no class."""

from leakysm.choices import DATASETS, SPLITS
from leakysm.data.dataset import ClassSet, Dataset
from leakysm.data.registry import load

__all__ = ["DATASETS", "SPLITS", "ClassSet", "Dataset", "load"]
