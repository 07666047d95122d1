"""Comparisons from finished runs: pairs within seeds, Student's interval over them, and what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.errors import UserError
from leakysm.experiments.compare.comparison import Comparison, compare, to_json
from leakysm.experiments.compare.report import markdown
from leakysm.experiments.finished import FinishedRun
from leakysm.runs import TestResult, TrainConfig
from leakysm.runs.fill_in import with_defaults

EPISODES = 4
accuracies = st.lists(st.integers(0, 64).map(lambda i: i / 64), min_size=EPISODES, max_size=EPISODES)
EPS = 2.0**-52


def config(**settings: object) -> TrainConfig:
    given = {
        "way": 5,
        "query": 5,
        "test_way": (5,),
        "test_shot": 1,
        "test_query": 15,
        "backend": "numpy",
        "device": "cpu",
    }
    return TrainConfig(**with_defaults({**given, **settings}))


def finished(per_episode: list[float], digest: str = "d", **settings: object) -> FinishedRun:
    values = np.array(per_episode)
    interval = 100 * 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    tested = TestResult(5, 1, 15, "running", 100 * float(values.mean()), interval, len(values), per_episode=values)
    chosen = config(**settings)
    path = Path(f"{chosen.distance}-{chosen.seed}")
    return FinishedRun(path, chosen, digest, (tested,))


def pair(first: list[list[float]], second: list[list[float]]) -> Comparison:
    runs = [finished(values, distance="squared-euclidean", seed=seed) for seed, values in enumerate(first)]
    return compare(runs + [finished(values, distance="euclidean", seed=seed) for seed, values in enumerate(second)])


@given(st.lists(st.tuples(accuracies, accuracies), min_size=1, max_size=5))
def test_the_differences_are_paired_within_seeds(values: list[tuple[list[float], list[float]]]) -> None:
    first, second = ([pair[i] for pair in values] for i in range(2))
    comparison = pair(first, second)
    (form,) = comparison.forms
    found = comparison.difference("euclidean", form)
    exact = [100 * (np.mean(b) - np.mean(a)) for a, b in values]
    assert found.n == len(values)
    assert abs(found.mean - np.mean(exact)) <= 16 * EPS * 100
    if len(values) < 3:
        assert found.interval is found.p_value is None
        assert "fewer than 3 seeds give none" in markdown(comparison)
    else:
        assert found.interval is not None
        assert found.interval >= 0
        assert 0 <= found.p_value <= 1
        spread = np.std(exact, ddof=1)
        if spread > 1e-6:
            stats = pytest.importorskip("scipy.stats")
            theirs = stats.ttest_1samp(exact, 0)
            condition = 100 / spread  # differences of two accuracies of up to 100, against their spread
            assert abs(found.p_value - theirs.pvalue) <= 256 * EPS * condition * (1 + abs(theirs.statistic))
    for seed, (a, b) in enumerate(values):
        difference, interval = comparison.seed_difference("euclidean", seed, form)
        assert abs(difference - exact[seed]) <= 16 * EPS * 100
        assert abs(interval - 196 * np.std(np.subtract(b, a), ddof=1) / EPISODES**0.5) <= 16 * EPS * 196


@given(st.lists(st.tuples(accuracies, accuracies), min_size=3, max_size=4))
def test_turned_round_the_difference_changes_its_sign_alone(values: list[tuple[list[float], list[float]]]) -> None:
    first, second = ([pair[i] for pair in values] for i in range(2))
    one, other = pair(first, second), pair(second, first)
    (form,) = one.forms
    a, b = one.difference("euclidean", form), other.difference("euclidean", form)
    assert (a.mean, a.interval, a.p_value) == (-b.mean, b.interval, b.p_value)


def test_json_holds_the_folders_and_every_number() -> None:
    comparison = pair([[0.5, 0.5, 1, 1]] * 3, [[1, 1, 1, 0.5], [1, 1, 1, 1], [0.5, 0.5, 1, 1]])
    table = json.loads(json.dumps(to_json(comparison)))
    assert (table["baseline"], table["seeds"]) == ("squared-euclidean", [0, 1, 2])
    (test,) = table["tests"]
    assert (test["way"], test["shot"], test["query"], test["episodes"]) == (5, 1, 15, 4)
    base, other = test["settings"]
    assert base["accuracy"] == 75
    assert "difference" not in base
    assert "p_holm" not in other  # one difference needs no correction
    assert "Holm" not in markdown(comparison)
    assert other["difference"] == 12.5
    # 12.5, 25 and 0: deviation 12.5; Student's t of 2 degrees of freedom in closed form
    t = 0.95 * (2 / (4 * 0.975 * 0.025)) ** 0.5
    assert abs(other["difference_interval"] - t * 12.5 / 3**0.5) <= 64 * EPS * 32
    assert [seed["difference"] for seed in other["seeds"]] == [12.5, 25, 0]
    assert [seed["run"] for seed in other["seeds"]] == ["euclidean-0", "euclidean-1", "euclidean-2"]


def test_labels_tell_what_the_runs_differ_in_and_no_more() -> None:
    values = [0.5, 1, 0.5, 1]
    runs = [
        finished(values, distance="leaky", slope=0.1, learning_rate=0.01),
        finished(values, distance="leaky", slope=0.1, way=20, backend="reference", threads=1),
        finished(values, distance="cosine"),
    ]
    assert compare(runs).labels == (
        "leaky,way=5,threshold=1,slope=0.1,learning_rate=0.01",
        "leaky,way=20,threshold=1,slope=0.1,learning_rate=0.001",
        "cosine,way=5,learning_rate=0.001",
    )


def squared(**settings: object) -> FinishedRun:
    return finished([0.5] * EPISODES, distance="squared-euclidean", **settings)


def other_form() -> FinishedRun:
    run = finished([0.5] * EPISODES, distance="euclidean")
    (test,) = run.tests
    return replace(run, tests=(replace(test, query=1),))


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([squared()], "1 run is given; name at least two"),
        ([squared(), squared()], "are both squared-euclidean, seed 0"),
        ([squared(), squared(seed=1)], "all runs are squared-euclidean"),
        ([squared(), squared(seed=1), finished([0.5] * 4)], "has no run with seed 1, but another setting has"),
        ([squared(), finished([0.5] * 4, digest="e")], "were made on different data"),
        ([squared(), other_form()], "share no test of .* it has .* queries, .* has .* with 1 queries, .*; add one to"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(runs: list[FinishedRun], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        compare(runs)
    assert "\n" not in str(caught.value)
