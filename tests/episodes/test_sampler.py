"""The sampler: legal episodes, the same ones everywhere, drawn evenly, from the documented generator."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.episodes import Episode, check_episode, sample
from leakysm.errors import UserError

WORD = 2**64


def starts_of(counts: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])


@st.composite
def tasks(draw: st.DrawFn) -> tuple[list[int], int, int, int]:
    """Class sizes (unequal), and a way, shot and query that they allow."""
    shot, query = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    counts = draw(st.lists(st.integers(shot + query, 30), min_size=2, max_size=12))
    return counts, draw(st.integers(2, len(counts))), shot, query


@given(tasks(), st.integers(0, WORD - 1), st.integers(0, WORD - 1))
def test_an_episode_is_legal(task: tuple[list[int], int, int, int], seed: int, number: int) -> None:
    counts, way, shot, query = task
    starts = starts_of(counts)
    episode = sample(starts, way, shot, query, seed=seed, split="train", episode=number)
    assert episode.support.shape == episode.support_labels.shape == (way * shot,)
    assert episode.query.shape == episode.query_labels.shape == (way * query,)
    assert {a.dtype for a in vars(episode).values()} == {np.dtype(np.int64)}
    images = np.concatenate([episode.support, episode.query])
    assert len(set(images.tolist())) == way * (shot + query)  # nothing twice, support and query apart
    support_classes = np.searchsorted(starts, episode.support, side="right") - 1
    query_classes = np.searchsorted(starts, episode.query, side="right") - 1
    classes = support_classes[::shot]
    assert len(set(classes.tolist())) == way
    assert np.array_equal(support_classes, classes[episode.support_labels])
    assert np.array_equal(query_classes, classes[episode.query_labels])
    assert np.array_equal(episode.support_labels, np.repeat(np.arange(way), shot))  # class by class
    assert np.array_equal(episode.query_labels, np.repeat(np.arange(way), query))


def draw(seed: int = 0, split: str = "train", number: int = 0, way: int = 5, shot: int = 1, query: int = 3) -> Episode:
    return sample(starts_of([20] * 40), way, shot, query, seed=seed, split=split, episode=number)


def same(a: Episode, b: Episode) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def test_seed_split_and_number_each_choose_the_episode_and_nothing_else_does() -> None:
    first = draw()
    draw(number=7)  # what was drawn in between leaves no trace
    assert same(first, draw())
    assert not any(same(first, other) for other in (draw(seed=1), draw(split="test"), draw(number=1)))


def test_more_queries_leave_the_support_set_as_it_is() -> None:
    assert np.array_equal(draw(query=3).support, draw(query=9).support)
    assert np.array_equal(draw(query=3).query.reshape(5, 3), draw(query=9).query.reshape(5, 9)[:, :3])


def philox4x64(key: list[int], counter: list[int]) -> list[int]:
    """The 10-round Philox4x64 block function, straight from table 2 of the paper, in Python's integers."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = x0 * 0xD2E7470EE14C6C93, x2 * 0xCA5A826395121157
        x0, x1, x2, x3 = (b // WORD) ^ x1 ^ k0, b % WORD, (a // WORD) ^ x3 ^ k1, a % WORD
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % WORD, (k1 + 0xBB67AE8584CAA73B) % WORD
    return [x0, x1, x2, x3]


@pytest.mark.parametrize("number", [0, 1, 123456, WORD - 1])
def test_the_draw_is_that_of_philox_in_plain_integers(number: int) -> None:
    counts, way, shot, query = [4, 7, 5, 6, 9], 3, 1, 2
    starts = starts_of(counts)
    digest = hashlib.sha256(b"11/val").digest()
    key = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    n = len(counts) + way * max(counts)
    words = [w for block in range(1, n // 4 + 2) for w in philox4x64(key, [block, 0, 0, number])]
    classes = sorted(range(len(counts)), key=lambda i: words[i])[:way]
    support, queries = [], []
    for place, i in enumerate(classes):
        row = words[len(counts) + place * max(counts) :][: counts[i]]
        order = [int(starts[i]) + j for j in sorted(range(counts[i]), key=lambda j: row[j])]
        support += order[:shot]
        queries += order[shot : shot + query]
    episode = sample(starts, way, shot, query, seed=11, split="val", episode=number)
    assert episode.support.tolist() == support
    assert episode.query.tolist() == queries


def test_classes_and_images_are_drawn_evenly() -> None:
    n, way = 4000, 5
    drawn = [draw(number=i, way=way) for i in range(n)]
    images = np.bincount(np.concatenate([e.support for e in drawn]), minlength=800)
    classes = images.reshape(40, 20).sum(1)
    for counts in (images, classes):  # binomial counts: 6 standard deviations either side
        mean = n * way / len(counts)
        assert np.all(np.abs(counts - mean) < 6 * np.sqrt(mean))


def test_a_class_with_too_few_images_is_named() -> None:
    with pytest.raises(UserError, match="class 'b' of the val split has 1 image; add images to it, or remove it"):
        check_episode(np.array([0, 3, 4]), 2, 1, 1, split="val", names=("a", "b"))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ((41, 1, 1), "way is 41, but the train split has 40 classes; give a way of 40 or less"),
        ((1, 1, 1), "way is 1: an episode needs at least 2"),
        (("a", 1, 1), "way is of type str; a whole number is expected: give 2 or more"),
        ((5, 1.0, 1), "shot is of type float; a whole number is expected: give 1 or more"),
        ((5, 0, 1), "shot is 0: an episode needs at least 1"),
        ((5, 1, 0), "query is 0: an episode needs at least 1"),
        ((5, 6, 15), "shot + query is 6 + 15 = 21, but the smallest class of the train split has 20 images"),
    ],
)
def test_impossible_episodes_are_refused(form: tuple[Any, Any, Any], message: str) -> None:
    way, shot, query = form
    with pytest.raises(UserError) as caught:
        draw(way=way, shot=shot, query=query)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
