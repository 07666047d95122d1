"""What a user can choose: the names, and each setting of a run with its range, its default and what it means.

This file imports nothing of the package and nothing heavy, so that `leakysm --help` can read it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

DatasetName = Literal["strokes", "omniglot", "miniimagenet", "caltech101", "folder"]
SplitName = Literal["lake", "vinyals", "vinyals-trainval", "minimal1", "minimal2"]
Per = Literal["pair", "coordinate"]
NormName = Literal["running", "episode"]
OptimizerName = Literal["adam", "sgd"]
BackendName = Literal["reference", "numpy", "cupy"]
ProductsName = Literal["float32", "split", "tf32"]

DATASETS: tuple[str, ...] = get_args(DatasetName)
SPLITS: tuple[str, ...] = get_args(SplitName)  # of Omniglot
DISTANCES = ("squared-euclidean", "leaky", "euclidean", "cosine", "log", "root")  # beside FILE.py:CLASS
PER: tuple[str, ...] = get_args(Per)
NORMS: tuple[str, ...] = get_args(NormName)
OPTIMIZERS: tuple[str, ...] = get_args(OptimizerName)
BACKENDS: tuple[str, ...] = get_args(BackendName)
PRODUCTS: tuple[str, ...] = get_args(ProductsName)  # how a GPU makes float32 matrix products

# The leaky distance's defaults; LeakySquaredEuclidean says where they are from.
LEAKY_THRESHOLD = 1.0
LEAKY_SLOPE = 0.03
LEAKY_PER: Per = "pair"

# What a user may give instead of a choice: a class in a file, or an object that was made in Python.
OWN_DISTANCE = r".+\.py:[^\W\d]\w*|own:[^\W\d]\w*"
OWN_DATASET = r"own:[\w .+-]+"
OWN_NET = r"[^\W\d]\w*"

CONV4 = {"channels": 64, "blocks": 4}
USUAL: dict[str, Any] = {
    **CONV4,
    "learn_scale": False,
    "products": "float32",
}  # defaults left out of config.toml

LARGEST = (1 << 63) - 1  # the largest whole number that TOML takes


class Setting(NamedTuple):
    """One setting of a run.

    kind: bool, int, float, str, dict for parameters by name, or tuple for a list of whole numbers. help: a sentence for
    the command line.
    default: what holds for every data set where DATASET_DEFAULTS has nothing else; None if there is no such value.
    shown: the default in words, if it is no fixed value. choices: the names that it can have.
    limits: of the number, or of each number of a list, by pydantic's names: ge is >=, gt is >, le is <=, lt is <.
    own: a regular expression for further values that are allowed.
    """

    kind: type
    help: str
    default: Any = None
    shown: str = ""
    choices: tuple[str, ...] = ()
    limits: Mapping[str, float] = {}
    own: str = ""


def _count(
    least: int, help: str, default: Any = None, shown: str = "", kind: type = int, most: int = LARGEST
) -> Setting:
    """A whole number from `least` to `most`, or a list of them."""
    return Setting(kind, help, default, shown, limits={"ge": least, "le": most})


def _name(choices: tuple[str, ...], help: str, default: str | None = None, shown: str = "") -> Setting:
    """One of the choices."""
    return Setting(str, help, default, shown, choices)


SETTINGS: dict[str, Setting] = {  # in the order of a run's config.toml
    "dataset": Setting(str, "Data set; strokes is built in.", "strokes", choices=DATASETS, own=OWN_DATASET),
    "data": Setting(str, "Folder of the data set's files, or one of these files."),
    "split": _name(SPLITS, "Which classes of Omniglot are for training, and which for the test.", shown="lake"),
    "way": _count(2, "Number of classes in a training episode.", 20),
    "shot": _count(1, "Number of support images of each class in a training episode.", 1),
    "query": _count(1, "Number of query images of each class in a training episode.", 5),
    "episodes": _count(1, "Number of training episodes."),
    "test_way": _count(
        2, "Number of classes in a test episode; may be given several times.", (5, 20), "5 and 20", kind=tuple
    ),
    "test_shot": _count(1, "Number of support images of each class in a test episode.", shown="as --shot"),
    "test_query": _count(1, "Number of query images of each class in a test episode.", 15),
    "test_episodes": _count(2, "Number of test episodes.", 1000),
    "distance": Setting(
        str,
        f"Distance between a query and a prototype: {', '.join(DISTANCES)}, or your own, FILE.py:CLASS.",
        "leaky",
        choices=DISTANCES,
        own=OWN_DISTANCE,
    ),
    "threshold": Setting(
        float,
        "Leaky distance: threshold t, above which a distance grows more slowly; 0 <= t <= inf.",
        shown=f"{LEAKY_THRESHOLD:g}, if leaky",
        limits={"ge": 0, "le": float("inf")},
    ),
    "slope": Setting(
        float,
        "Leaky distance: slope s above the threshold; 0 < s <= 1.",
        shown=f"{LEAKY_SLOPE:g}, if leaky",
        limits={"gt": 0, "le": 1},
    ),
    "per": _name(
        PER,
        "What the formula changes: the distance of a pair, or the square of each coordinate.",
        shown=f"{LEAKY_PER}, if restricted",
    ),
    "set": Setting(dict, "Parameter of log, root or your own distance, NAME=VALUE; may be repeated."),
    "formula": Setting(str, "SHA-256 of the file that holds your own distance."),
    "learn_scale": Setting(
        bool, "Multiply distances by exp(a), where the number a is trained with the net.", shown="off"
    ),
    "channels": _count(1, "Number of channels of each block of the net.", shown="64", most=1 << 12),
    "blocks": _count(1, "Number of blocks of the net, each of which halves the image.", shown="4", most=16),
    "net": Setting(str, "Class of your own net.", own=OWN_NET),
    "norm": _name(
        NORMS,
        "Batch norm in the test: running has training's statistics, episode those of the episode.",
        "running",
    ),
    "optimizer": _name(OPTIMIZERS, "Optimizer; sgd has momentum 0.9.", "adam"),
    "learning_rate": Setting(float, "Learning rate of the first step.", 1e-3, limits={"gt": 0, "lt": float("inf")}),
    "halve_every": _count(0, "Halve the learning rate each time after this many episodes; 0 means never.", 2000),
    "seed": _count(0, "Seed for initial weights and episodes.", 0),
    "checkpoint_every": _count(1, "Number of episodes between checkpoints, and between validations.", 200),
    "backend": _name(BACKENDS, "Engine that computes.", shown="the device's fastest"),
    "device": Setting(str, "Device to compute on: cpu, cuda, cuda:N or auto.", shown="auto"),
    "threads": _count(1, "Number of CPU threads.", shown="one for each core"),
    "products": _name(
        PRODUCTS,
        "Matrix products on a GPU: float32; split, on tensor cores within the same error bounds; or tf32, 10 bits.",
        shown="float32",
    ),
}

ALSO_CALLED = {  # other usual names
    "lr": "learning_rate",
    "t": "threshold",
    "s": "slope",
    "metric": "distance",
    "epochs": "episodes",
    "gpu": "device",
    "tf32": "products",
}

LEAKY: dict[str, Any] = {"threshold": LEAKY_THRESHOLD, "slope": LEAKY_SLOPE, "per": LEAKY_PER}
METRIC_PARAMETERS = (*LEAKY, "set")

# What differs from the table above. Published sets: the protocol of Snell et al. 2017, sections 3.1 and 3.2.
DATASET_DEFAULTS: dict[str, dict[str, Any]] = {
    "strokes": {"episodes": 300, "halve_every": 150, "checkpoint_every": 100},
    "omniglot": {"split": "lake", "way": 60, "episodes": 10_000},
    "miniimagenet": {"way": 30, "query": 15, "episodes": 10_000, "test_episodes": 600},
    "caltech101": {"way": 30, "query": 15, "episodes": 10_000, "test_episodes": 600},
    "folder": {"episodes": 1000},
}
FITTED = ("way", "query", "test_way", "test_query")  # their defaults are lowered to what the data's classes allow
