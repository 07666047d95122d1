"""Evaluation: the accuracy that the definition gives, on embeddings whose answer is known and on a real net's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import leakysm as lk
from leakysm.data import Dataset
from leakysm.episodes import EpisodeForm, Indices, sample
from leakysm.errors import CheckFailed, UserError
from leakysm.training import SplitEmbeddings, SplitImages, embed_split, evaluate

FORM = EpisodeForm(way=3, shot=2, query=3)


@pytest.fixture(scope="module")
def images(data: Dataset) -> SplitImages:
    return SplitImages(lk.backend("numpy"), data, "test")


def classes_of(images: SplitImages, indices: Indices) -> np.ndarray:
    return np.searchsorted(images.starts, indices, side="right") - 1


def table_of(images: SplitImages, table: np.ndarray) -> SplitEmbeddings:
    """Each image's embedding is its row of the table."""
    return SplitEmbeddings(images, "running", lambda indices: table[indices])


def test_embeddings_that_tell_the_class_are_always_right(images: SplitImages) -> None:
    result = evaluate(
        table_of(images, np.eye(6)[classes_of(images, np.arange(len(images)))]),
        lk.SquaredEuclidean(),
        FORM,
        episodes=9,
        seed=0,
    )
    assert (result.accuracy, result.interval, result.episodes) == (100, 0, 9)
    assert result.per_episode.tolist() == [1] * 9


@given(seed=st.integers(0, 2**32), episodes=st.integers(2, 12))
def test_mean_and_interval_are_those_of_the_episodes(images: SplitImages, seed: int, episodes: int) -> None:
    table = np.random.default_rng(seed).normal(size=(len(images), 4))
    metric = lk.LeakySquaredEuclidean()
    result = evaluate(table_of(images, table), metric, FORM, episodes=episodes, seed=seed)
    expected = []
    for k in range(episodes):  # one query after another
        episode = sample(images.starts, *FORM, seed=seed, split="test", episode=k)
        centres = [table[episode.support[episode.support_labels == c]].mean(0) for c in range(3)]
        guesses = [min(range(3), key=lambda c: ((table[q] - centres[c]) ** 2).sum()) for q in episode.query]
        expected.append(np.mean(np.array(guesses) == episode.query_labels))
    assert result.per_episode.tolist() == expected
    scale = 100 * len(expected) * np.finfo(float).eps
    assert abs(result.accuracy - 100 * np.mean(expected)) <= scale
    assert abs(result.interval - 196 * np.std(expected, ddof=1) / np.sqrt(episodes)) <= 196 * scale


def test_looking_up_is_embedding_each_episode_with_the_running_statistics(images: SplitImages) -> None:
    net = lk.Conv4(1, seed=1, engine=images.engine)
    _, saved = net.forward(images(np.arange(20)))
    net.update_running(saved)
    indices = np.array([3, 30, 4, 3])
    looked_up, embedded = embed_split(net, images, "running").of(indices), net.embed(images(indices), norm="running")
    # two products of the same rows in batches of other sizes: sums of up to 576 terms, four blocks deep
    assert np.abs(looked_up - embedded).max() <= 4 * 24 * np.finfo(np.float32).eps * np.abs(embedded).max()
    assert np.array_equal(embed_split(net, images, "episode").of(indices), net.embed(images(indices), norm="episode"))


def test_the_chunks_cover_every_image_once(images: SplitImages, monkeypatch: pytest.MonkeyPatch) -> None:
    net = lk.Conv4(1, seed=1, engine=images.engine)
    whole = embed_split(net, images, "running").of(np.arange(len(images)))
    monkeypatch.setattr("leakysm.training.evaluation.CHUNK_PIXELS", 7 * 16 * 16)
    chunked = embed_split(net, images, "running").of(np.arange(len(images)))
    assert chunked.shape == whole.shape == (36, 64)
    assert np.abs(chunked - whole).max() <= 4 * 24 * np.finfo(np.float32).eps * np.abs(whole).max()


def test_the_seed_chooses_the_episodes(images: SplitImages) -> None:
    table = np.random.default_rng(0).normal(size=(len(images), 2))
    first, again, other = (
        evaluate(table_of(images, table), lk.SquaredEuclidean(), FORM, episodes=30, seed=seed).per_episode
        for seed in (4, 4, 5)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_embeddings_that_are_not_finite_are_an_error(images: SplitImages) -> None:
    table = np.full((len(images), 2), np.nan)
    with pytest.raises(CheckFailed, match="not finite"):
        evaluate(table_of(images, table), lk.SquaredEuclidean(), FORM, episodes=2, seed=0)


class Lost(lk.Restriction):
    """Somebody's own, NaN in use."""

    def value(self, xp, d):
        return xp.nan * d


def test_an_own_distance_that_is_not_finite_is_not_blamed_on_the_net(images: SplitImages) -> None:
    table = table_of(images, np.eye(6)[classes_of(images, np.arange(len(images)))])
    with pytest.raises(CheckFailed, match="the distance Lost per=pair is not finite, though the net's embeddings are"):
        evaluate(table, lk.RestrictedSquaredEuclidean(Lost()), FORM, episodes=2, seed=0)


def test_an_episode_that_the_split_cannot_give_is_an_error(images: SplitImages) -> None:
    with pytest.raises(UserError, match="the smallest class of the test split has 5 images"):
        evaluate(table_of(images, np.zeros((36, 2))), lk.Cosine(), EpisodeForm(2, 3, 3), episodes=2, seed=0)
