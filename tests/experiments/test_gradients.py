"""The early-sparsity experiment: what is compared is comparable, and the paper's effect shows."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from leakysm.backends import backend
from leakysm.data import Dataset, load
from leakysm.errors import CheckFailed
from leakysm.experiments.gradients.files import summary, write
from leakysm.experiments.gradients.measure import Traces, compare_early_steps
from leakysm.experiments.settings import METRIC_KEYS, parse_settings, resolve_each
from leakysm.training.trainer import STEP_COLUMNS

GIVEN = {"way": 5, "query": 2, "device": "cpu", "test_way": 5}


@lru_cache
def data() -> Dataset:
    return load("strokes")


def traces(*texts: str, seeds: tuple[int, ...] = (0,), steps: int = 3, watch: tuple[int, ...] = ()) -> Traces:
    settings = parse_settings(texts, (*METRIC_KEYS, "learning_rate"))
    configs, _ = resolve_each(GIVEN, settings, lambda _: data())
    return compare_early_steps(configs, seeds, data(), backend("numpy", threads=1), steps, watch=watch)


def test_squared_euclidean_is_the_leaky_distance_without_a_leak_bit_for_bit() -> None:
    found = traces("squared-euclidean", "leaky,threshold=inf", "leaky,slope=1").figures
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_seed_gives_the_same_figures_alone_and_among_others_watched_or_not() -> None:
    together = traces("euclidean", "leaky", seeds=(3, 4), watch=(0, 2))
    alone = traces("leaky", seeds=(4,))
    assert np.array_equal(together.figures[1, 1], alone.figures[0, 0])
    assert not np.array_equal(together.figures[1, 0], alone.figures[0, 0])


def test_all_settings_start_at_the_same_weights_on_the_same_episode() -> None:
    """The nearest prototype is the same under any increasing function of the distance, until a step is taken."""
    accuracy = traces("squared-euclidean", "leaky,threshold=3", "euclidean").figure("accuracy")
    assert len(set(accuracy[:, 0, 0])) == 1


def test_the_figures_are_those_of_the_watched_pairs() -> None:
    found = traces("squared-euclidean", "leaky", watch=(0, 1))
    for (label, _, step), pairs in found.watched.items():
        i = found.labels.index(label)
        assert pairs.distances.shape == pairs.gradients.shape == (10, 5)
        vanished = found.figure("vanished_distance_gradients")[i, 0, step]
        assert round(vanished * 50) == np.sum(pairs.gradients < 1e-3)
        mean = float(found.figure("mean_distance")[i, 0, step])
        # a float32 mean of 50 terms, summed by halves
        assert abs(pairs.distances.mean() - mean) <= 8 * 2.0**-23 * mean
        probabilities = np.exp(-pairs.distances)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        wrong = np.arange(10)[:, None] // 2 != np.arange(5)
        scale = probabilities * (1 + pairs.distances)
        assert (np.abs(pairs.gradients - probabilities)[wrong] <= (64 * 2.0**-23 * scale + 2.0**-126)[wrong]).all()


def test_the_effect_shows() -> None:
    """Spec: the leaky distance at its defaults leaves less than a quarter of squared Euclidean's vanished entries."""
    vanished = traces("squared-euclidean", "leaky", seeds=(0, 1, 2), steps=1).figure("vanished_distance_gradients")
    assert (vanished[1] < vanished[0] / 4).all()


def test_the_effect_shows_on_omniglot(
    omniglot_path: Path, omniglot_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKYSM_CACHE", str(omniglot_cache))
    given = {"dataset": "omniglot", "data": str(omniglot_path), "way": 30, "device": "cpu"}
    images = load("omniglot", omniglot_path)
    configs, _ = resolve_each(given, parse_settings(["squared-euclidean", "leaky"]), lambda _: images)
    found = compare_early_steps(configs, (0,), images, backend("numpy"), 1).figure("vanished_distance_gradients")
    assert found[1, 0, 0] < found[0, 0, 0] / 4
    assert found[0, 0, 0] > 0.7


def test_a_loss_that_is_not_finite_names_the_setting_and_the_seed() -> None:
    with pytest.raises(CheckFailed, match=r"^squared-euclidean,learning_rate=3e\+38, seed 5: the .* is (nan|inf)"):
        traces("squared-euclidean,learning_rate=3e38", seeds=(5,), steps=4)


def test_the_files_hold_every_step_of_every_run(tmp_path: Path) -> None:
    found = traces("squared-euclidean", "cosine", seeds=(0, 1), steps=2, watch=(1,))
    configs, _ = resolve_each(GIVEN, parse_settings(["squared-euclidean", "cosine"]), lambda _: data())
    result = summary(configs, found)
    write(tmp_path, result, "strokes", found, [1])
    with (tmp_path / "gradients.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(row["setting"], row["seed"], row["step"]) for row in table] == [
        (label, seed, step) for label in ("squared-euclidean", "cosine") for seed in "01" for step in "01"
    ]
    numbers = np.array([[float(row[name]) for name in STEP_COLUMNS] for row in table])
    assert np.array_equal(numbers.astype(np.float32), found.figures.reshape(8, -1).astype(np.float32))
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{stem}.{suffix}" for stem in ("gradients", "histogram") for suffix in ("csv", "png")
    } | {"gradients.json", "claims.csv"}
    first = result["settings"][1]["first"]["mean_distance"]
    assert first["seeds"] == found.figure("mean_distance")[1, :, 0].tolist()
    for picture in tmp_path.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
