"""Embeddings from files: whatever form they come in, the same classes; whatever is wrong, named in one line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.errors import UserError
from leakysm.experiments.gradients.embeddings import episodes_of, read_embeddings


def made(classes: int = 4, each: int = 3, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (n, 2), each telling its class and number, and labels that neither start at 0 nor are dense."""
    labels = np.repeat(10 * np.arange(classes) - 5, each)
    return np.stack([labels, np.tile(np.arange(each), classes)], axis=1).astype(dtype), labels


def write(folder: Path, form: str, z: np.ndarray, labels: np.ndarray) -> tuple[Path, Path | None]:
    if form == "h5":
        with h5py.File(folder / "z.h5", "w") as file:
            file["embeddings"], file["labels"] = z, labels
        return folder / "z.h5", None
    np.save(folder / "z.npy", z)
    np.save(folder / "labels.npy", labels)
    return folder / "z.npy", folder / "labels.npy"


@pytest.mark.parametrize("form", ["npy", "h5"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rows_in_any_order_are_sorted_by_class(tmp_path: Path, form: str, dtype: str) -> None:
    z, labels = made(dtype=dtype)
    order = np.random.default_rng(0).permutation(len(z))
    found, starts = read_embeddings(*write(tmp_path, form, z[order], labels[order]))
    assert found.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert starts.tolist() == [0, 3, 6, 9, 12]
    assert np.array_equal(found[:, 0], z[:, 0])
    for first, last in pairwise(starts):
        assert sorted(found[first:last, 1]) == [0, 1, 2]


def test_three_axes_are_classes_and_examples(tmp_path: Path) -> None:
    z, _ = made()
    np.save(tmp_path / "z.npy", z.reshape(4, 3, 2))
    found, starts = read_embeddings(tmp_path / "z.npy")
    assert np.array_equal(found, z)
    assert starts.tolist() == [0, 3, 6, 9, 12]


@given(st.integers(2, 4), st.integers(1, 2), st.integers(0, 99))
def test_an_episode_holds_support_then_queries_class_by_class(way: int, shot: int, seed: int) -> None:
    z, _ = made()
    starts = np.arange(0, 13, 3)
    for episode in episodes_of(z, starts, way=way, shot=shot, query=1, seed=seed, episodes=2):
        assert episode.z.shape == (way * (shot + 1), 2)
        support, query = episode.z[: way * shot], episode.z[way * shot :]
        assert np.array_equal(support[:, 0], np.repeat(query[:, 0], shot))
        assert len({tuple(row) for row in episode.z.tolist()}) == len(episode.z)


def test_left_open_way_and_query_are_what_the_classes_allow() -> None:
    z, _ = made(classes=40)
    (episode,) = episodes_of(z, np.arange(0, 121, 3), way=None, shot=1, query=None, seed=0, episodes=1)
    assert (episode.way, episode.query) == (30, 2)


def test_more_than_there_is_is_refused() -> None:
    z, _ = made()
    with pytest.raises(UserError, match="way is 5, but the embeddings split has 4 classes"):
        list(episodes_of(z, np.arange(0, 13, 3), way=5, shot=1, query=1, seed=0, episodes=1))


def bad_files(folder: Path) -> dict[str, tuple[Path, Path | None]]:
    z, labels = made()
    hole = z.copy()
    hole[7, 1] = np.nan
    for name, array in {"z": z, "whole": z.astype(int), "hole": hole, "labels": labels, "short": labels[1:]}.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(folder / "archive.npz", z=z)
    (folder / "archive.npz").rename(folder / "archive.npy")
    (folder / "text.npy").write_text("no numbers")
    (folder / "text.h5").write_text("no numbers")
    with h5py.File(folder / "other.h5", "w") as file:
        file["z"] = z
    with h5py.File(folder / "nothing.h5", "w") as file:
        file["embeddings"], file["labels"] = h5py.Empty("f"), "text"
    np.save(folder / "one.npy", np.float32(1))
    np.save(folder / "no classes.npy", np.zeros((0, 2, 3)))
    header = (folder / "z.npy").read_bytes()
    (folder / "header.npy").write_bytes(header.replace(b"{", b"(", 1))
    pairs = {
        "expected a name that ends in .npy or .h5": ("z.txt", None),
        "missing.npy does not exist": ("missing.npy", None),
        "missing.h5 does not exist": ("missing.h5", None),
        "which does not give the classes": ("z.npy", None),
        "expected floats": ("whole.npy", "labels.npy"),
        "embedding 7 is not finite": ("hole.npy", "labels.npy"),
        r"labels are int64 of shape \(11,\)": ("z.npy", "short.npy"),
        "labels are float32": ("z.npy", "z.npy"),
        "not an .npy file of numbers .it holds Python objects": ("pickled.npy", None),
        "is an archive": ("archive.npy", None),
        "text.npy is not an .npy file": ("text.npy", None),
        "no HDF5 file": ("text.h5", None),
        "no dataset 'embeddings', it has z": ("other.h5", None),
        "embeddings is empty, and numbers are expected": ("nothing.h5", None),
        r"embeddings are float32 of shape \(\)": ("one.npy", "labels.npy"),
        "at least one number is expected": ("no classes.npy", None),
        "header.npy is not an .npy file": ("header.npy", None),
        "leave --labels out": ("other.h5", "labels.npy"),
    }
    return {message: (folder / path, folder / other if other else None) for message, (path, other) in pairs.items()}


def test_bad_files_are_told_in_one_line(tmp_path: Path) -> None:
    for message, (path, labels) in bad_files(tmp_path).items():
        with pytest.raises(UserError, match=message) as caught:
            read_embeddings(path, labels)
        assert "\n" not in str(caught.value)
