"""Draw few-shot episodes: episode k of a seed and split is the same on every machine.

The random words are those of the counter-based generator Philox4x64-10 (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", 2011), whose stream NumPy promises to keep. None of NumPy's
`Generator` methods is used: they may change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError, require_kind

Indices = NDArray[np.int64]


class EpisodeForm(NamedTuple):
    """The size of an episode: way classes, and shot support images and query images of each class.

    Examples
    --------
    >>> lk.EpisodeForm(way=5, shot=1, query=15)
    EpisodeForm(way=5, shot=1, query=15)
    """

    way: int
    shot: int
    query: int


@dataclass(frozen=True)
class Episode:
    """One few-shot task.

    support (way * shot,) and query (way * query,): indices of a class set's images, class by class. support_labels and
    query_labels: the number of each image's class in the episode, 0 to way - 1. All int64.
    """

    support: Indices
    query: Indices
    support_labels: Indices
    query_labels: Indices


def sample(
    starts: NDArray[np.integer], way: int, shot: int, query: int, *, seed: int, split: str, episode: int
) -> Episode:
    """Episode number `episode` of `seed` on the split named `split`.

    starts: (n_classes + 1,) offsets: class i's images are starts[i] to starts[i + 1] - 1. `way` classes are drawn
    without replacement, then `shot + query` images of each without replacement: the first `shot` are the support.
    UserError if the split has too few classes, or a class too few images.
    """
    check_episode(starts, way, shot, query, split=split)
    starts = np.asarray(starts, np.int64)
    counts = np.diff(starts)
    words = _words(seed, split, episode, len(counts) + way * int(counts.max()))

    classes = np.argsort(words[: len(counts)], kind="stable")[:way]
    keys = words[len(counts) :].reshape(way, -1)
    keys[np.arange(keys.shape[1]) >= counts[classes][:, None]] = np.iinfo(np.uint64).max  # places beyond a class's end
    images = starts[classes][:, None] + np.argsort(keys, axis=1, kind="stable")[:, : shot + query]

    labels = np.arange(way)
    return Episode(
        images[:, :shot].ravel(), images[:, shot:].ravel(), np.repeat(labels, shot), np.repeat(labels, query)
    )


def check_episode(
    starts: NDArray[np.integer],
    way: int,
    shot: int,
    query: int,
    *,
    split: str,
    names: Sequence[str] = (),
    prefix: str = "",
) -> None:
    """UserError unless a split with these class offsets has enough classes, and enough images of each.

    names: of the classes; then the error names the class that has too few images. prefix: of the names way, shot and
    query in an error, such as test_.
    """
    require_classes(starts, split)
    names_of = [f"{prefix}{one}" for one in ("way", "shot", "query")]
    for name, value, least in zip(names_of, (way, shot, query), (2, 1, 1), strict=True):
        require_kind(name, value, Integral, f"a whole number is expected: give {least} or more")
        if value < least:
            raise UserError(f"{name} is {value}: an episode needs at least {least}; give {name} {least} or more")
    counts = np.diff(starts)
    if way > len(counts):
        raise UserError(
            f"{prefix}way is {way}, but the {split} split has {len(counts)} class{'es' * (len(counts) != 1)}; "
            f"give a {prefix}way of {len(counts)} or less"
        )
    smallest = int(counts.argmin())
    fewest = int(counts[smallest])
    if shot + query > fewest:
        name = f"class {names[smallest]!r}" if names else "the smallest class"
        mend = f"lower {prefix}shot or {prefix}query, or add images" if fewest > 1 else "add images to it, or remove it"
        raise UserError(
            f"{prefix}shot + {prefix}query is {shot} + {query} = {shot + query}, but {name} of the {split} split has "
            f"{fewest} image{'s' * (fewest != 1)}; {mend}"
        )


def require_classes(starts: NDArray[np.integer], split: str) -> None:
    """UserError unless a split with these class offsets has classes enough for any episode."""
    if (n := len(starts) - 1) < 2:
        raise UserError(
            f"the {split} split has {n} class{'es' * (n != 1)}, but an episode needs at least 2; add classes to it"
        )


def _words(seed: int, split: str, episode: int, n: int) -> NDArray[np.uint64]:
    """n random 64-bit words. Their key is (seed, split); the episode is the counter's highest word, so that the words
    of two episodes never come from the same part of the stream."""
    key = np.frombuffer(hashlib.sha256(f"{seed}/{split}".encode()).digest()[:16], "<u8").astype(np.uint64)
    counter = np.array([0, 0, 0, episode], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(n)
