"""A user's own embeddings from an .npy or .h5 file, drawn as episodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leakysm.data.dataset import starts_of
from leakysm.episodes import sample
from leakysm.errors import UserError
from leakysm.experiments.gradients.suggest import EmbeddedEpisode
from leakysm.files import read_file
from leakysm.hdf5 import Hdf5Error, read_hdf5
from leakysm.numpy_files import NumpyFileError, read_npy

LARGEST = 1 << 34  # bytes of a file of embeddings


def read_embeddings(path: Path, labels: Path | None = None) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Embeddings (n, D) sorted by class, float32 or float64, and starts (classes + 1,), the classes' offsets.

    An .npy file holds (classes, n, D); or (n, D), and `labels` is an .npy file of n whole numbers. An .h5 file holds
    datasets `embeddings` (n, D) and `labels` (n,). UserError for anything else.
    """
    if path.suffix in (".h5", ".hdf5"):
        if labels is not None:
            raise UserError(f"{labels}: an .h5 file holds its own dataset 'labels'; leave --labels out")
        z, classes = _from_hdf5(path)
    elif path.suffix == ".npy":
        z, classes = _from_npy(path, labels)
    else:
        raise UserError(f"{path}: expected a name that ends in .npy or .h5; convert the embeddings to one of them")
    return _sorted(path, z, classes, labels or path)


def episodes_of(
    z: NDArray[np.floating],
    starts: NDArray[np.int64],
    *,
    way: int | None,
    shot: int,
    query: int | None,
    seed: int,
    episodes: int,
) -> Iterator[EmbeddedEpisode]:
    """Episodes drawn from embeddings in the way that training draws them from images.

    way: None takes all classes, up to 30. query: None takes what the smallest class has left, up to 5. UserError if
    there are too few classes, or embeddings of a class.
    """
    counts = np.diff(starts)
    way = min(30, len(counts)) if way is None else way
    query = max(1, min(5, int(counts.min()) - shot)) if query is None else query
    for number in range(episodes):
        episode = sample(starts, way, shot, query, seed=seed, split="embeddings", episode=number)
        yield EmbeddedEpisode(z[np.concatenate([episode.support, episode.query])], way, shot, query)


def _from_npy(path: Path, labels: Path | None) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    z = _load(path)
    if z.ndim == 3 and labels is not None:
        raise UserError(
            f"{path} has shape {z.shape}, which is (classes, n, D) and gives the classes; leave --labels out"
        )
    if z.ndim == 3:
        classes, each, size = z.shape
        return z.reshape(classes * each, size), np.repeat(np.arange(classes), each)  # (classes, n, D) -> (classes n, D)
    if z.ndim == 2 and labels is None:
        raise UserError(
            f"{path} has shape {z.shape}, which does not give the classes; add --labels, or give shape (classes, n, D)"
        )
    return z, np.zeros(0, np.int64) if labels is None else _load(labels)


def _load(path: Path) -> NDArray[np.generic]:
    content = read_file(path, most=LARGEST, mend="name an .npy file")
    if content.startswith(b"PK"):
        raise UserError(f"{path} is an archive of arrays, expected one array; save it by numpy.save")
    try:
        return read_npy(content)
    except NumpyFileError as error:
        raise UserError(f"{path} is not an .npy file of numbers ({error}); save it by numpy.save") from None


def _from_hdf5(path: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    wanted = ("embeddings", "labels")
    content = read_file(path, most=LARGEST, mend="name a readable .h5 file")
    try:
        file = read_hdf5(content, only=wanted, attributes=False)
        for name in wanted:
            if name not in file.names:
                raise UserError(f"{path} has no dataset '{name}', it has {', '.join(file.names) or 'none'}; add it")
        embeddings, labels = (file.data(name) for name in wanted)
    except Hdf5Error as error:
        raise UserError(f"{path}: {error}; name a readable .h5 file with plain data sets") from None
    return embeddings, labels


def _sorted(
    path: Path, z: NDArray[np.generic], classes: NDArray[np.generic], labels: Path
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Embeddings sorted by class, and the offsets of the classes; other floats than float64 become float32."""
    if z.ndim != 2 or not np.issubdtype(z.dtype, np.floating):
        raise UserError(f"{path}: embeddings are {z.dtype} of shape {z.shape}; expected floats of shape (n, D)")
    if not z.size:
        raise UserError(
            f"{path}: embeddings have shape {z.shape}; at least one number is expected: give those of images"
        )
    n = len(z)
    if classes.shape != (n,) or not np.issubdtype(classes.dtype, np.integer):
        raise UserError(
            f"{labels}: labels are {classes.dtype} of shape {classes.shape}; expected whole numbers of shape ({n},)"
        )
    if not np.isfinite(z).all():
        row = int(np.flatnonzero(~np.isfinite(z).all(axis=1))[0])
        raise UserError(f"{path}: embedding {row} is not finite; expected finite numbers: leave it out")
    counts = np.unique(classes, return_counts=True)[1]
    values: NDArray[np.floating] = z.astype(np.float64 if z.dtype == np.float64 else np.float32)
    return values[np.argsort(classes, kind="stable")], starts_of(counts)
