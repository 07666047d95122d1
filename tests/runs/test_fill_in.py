"""Defaults: what is given stands, what is not is chosen so that the classes suffice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.data import ClassSet, Dataset
from leakysm.data.inputs import InputFormat
from leakysm.episodes import check_episode
from leakysm.errors import UserError
from leakysm.runs.fill_in import fit, with_defaults

MACHINE = {"device": "cpu", "backend": "numpy"}


def dataset(name: str, counts: dict[str, list[int]]) -> Dataset:
    splits = {}
    for split, of in counts.items():
        starts = np.concatenate([[0], np.cumsum(of)]).astype(np.int64)
        splits[split] = ClassSet(np.zeros((starts[-1], 1, 1, 1), np.uint8), starts, tuple(map(str, range(len(of)))))
    return Dataset(name, splits, InputFormat.unscaled((1, 1, 1)), "")


sizes = st.lists(st.integers(2, 30), min_size=2, max_size=40)


@given(sizes, sizes, st.sampled_from(["strokes", "omniglot", "miniimagenet", "folder"]))
def test_the_defaults_suit_any_classes(train: list[int], test: list[int], name: str) -> None:
    data = dataset(name, {"train": train, "test": test})
    config = fit(with_defaults({"dataset": name}) | MACHINE, data)
    check_episode(data.split("train").starts, config.way, config.shot, config.query, split="train")
    for way in config.test_way:
        check_episode(data.split("test").starts, way, config.test_shot, config.test_query, split="test")


def test_what_is_given_stands() -> None:
    data = dataset("strokes", {"train": [20] * 50, "test": [20] * 30})
    given = {"way": 7, "shot": 2, "query": 3, "test_way": (4,), "test_shot": 1, "test_query": 2, "seed": 9}
    config = fit(with_defaults(given | {"slope": 0.3, "threads": None}) | MACHINE, data)
    assert given.items() <= config.settings().items()
    assert (config.slope, config.threshold, config.threads) == (0.3, 1.0, None)


def test_omniglot_follows_the_published_protocol() -> None:
    data = dataset("omniglot", {"train": [20] * 100, "test": [20] * 100})
    config = fit(with_defaults({"dataset": "omniglot"}) | MACHINE, data)
    assert (config.way, config.shot, config.query, config.test_way, config.test_episodes) == (60, 1, 5, (5, 20), 1000)
    assert (config.optimizer, config.learning_rate, config.halve_every) == ("adam", 1e-3, 2000)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"way": 51}, "way is 51, but the train split has 50 classes"),
        ({"test_way": (5, 31)}, "way is 31, but the test split has 30 classes"),
        ({"shot": 15, "query": 6}, "shot \\+ query is 15 \\+ 6 = 21, but class '0' of the train split has 20"),
        ({"test_shot": 15, "test_query": 6}, "class '0' of the test split has 20"),
        ({"distance": "euclidean", "slope": 0.5}, "slope is given, but the distance is euclidean"),
        ({"split": "lake"}, "split is given, but strokes has no choice of splits"),
        ({"distance": "leaky", "slope": 1e-50}, "slope is 1e-50, which is 0 in float32"),
        ({"dataset": "strocks"}, "dataset is 'strocks': did you mean 'strokes'"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, object], message: str) -> None:
    data = dataset("strokes", {"train": [20] * 50, "test": [20] * 30})
    with pytest.raises(UserError, match=message):
        fit(with_defaults(given) | MACHINE, data)
