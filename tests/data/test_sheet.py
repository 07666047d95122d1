from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from leakysm.data import load
from leakysm.data.sheet import class_sheet, episode_sheet, mosaic, save
from leakysm.episodes import sample
from leakysm.errors import UserError
from tests.data.conftest import noise, png, write_files


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 7), st.just(3), st.just(4), st.sampled_from([1, 3]))),
    st.integers(1, 4),
    st.booleans(),
)
def test_every_image_lies_in_its_cell(images: np.ndarray, columns: int, ink: bool) -> None:
    picture = mosaic(images, columns, ink=ink)
    rest = np.ones(picture.shape[:2], bool)
    for k, image in enumerate(images):
        top, left = (k // columns) * 5, (k % columns) * 6
        cell = picture[top : top + 3, left : left + 4]
        np.testing.assert_array_equal(cell, np.broadcast_to(255 - image if ink else image, (3, 4, 3)))
        rest[top : top + 3, left : left + 4] = False
    assert (picture[rest] == 255).all()


def test_a_sheet_names_its_classes_and_shows_their_first_images(tmp_path: Path) -> None:
    data = load("strokes")
    figure = class_sheet(data, "test", classes=4, samples=6)
    (axes,) = figure.axes
    chosen = [0, 41, 83, 124]
    assert [label.get_text() for label in axes.get_yticklabels()] == [data.splits["test"].names[k] for k in chosen]
    shown = np.concatenate([data.splits["test"].images[20 * k : 20 * k + 6] for k in chosen])
    np.testing.assert_array_equal(axes.images[0].get_array(), mosaic(shown, 6, ink=True))
    save(figure, tmp_path / "new" / "classes.png")
    assert np.asarray(Image.open(tmp_path / "new" / "classes.png")).std() > 10


def test_an_episode_shows_support_and_queries_class_by_class() -> None:
    data = load("strokes")
    test = data.splits["test"]
    episode = sample(test.starts, 5, 2, 3, seed=0, split="test", episode=7)
    figure = episode_sheet(data, "test", episode.support, episode.query, way=5, number=7)
    support, queries = figure.axes
    np.testing.assert_array_equal(support.images[0].get_array(), mosaic(test.images[episode.support], 2, ink=True))
    np.testing.assert_array_equal(queries.images[0].get_array(), mosaic(test.images[episode.query], 3, ink=True))
    names = [test.names[test.labels[k]] for k in episode.support[::2]]
    assert [label.get_text() for label in support.get_yticklabels()] == names
    assert (support.get_title(), queries.get_title()) == ("support", "queries")


def test_more_classes_and_samples_than_there_are_show_what_there_is(tmp_path: Path) -> None:
    files = {
        f"{split}/{name}/{k}.png": png(noise(k, 8, 8, 3))
        for split, name in (("test", "a"), ("test", "b"))
        for k in range(2)
    }
    data = load("folder", write_files(tmp_path, files))
    (axes,) = class_sheet(data, "test", classes=10, samples=5).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.images[0].get_array().shape == (18, 18, 3)


def test_names_are_shown_as_they_are_and_samples_end_with_the_largest_class(tmp_path: Path) -> None:
    data = load("strokes")
    one = replace(data.split("test"), names=tuple(f"$\\frac{{${name}" for name in data.split("test").names))
    figure = class_sheet(replace(data, splits={**data.splits, "test": one}), "test", classes=2, samples=10**9)
    save(figure, tmp_path / "sheet.png")
    assert figure.axes[0].get_yticklabels()[0].get_text().startswith("$\\frac{$")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"classes\.png: cannot be written"):
        save(class_sheet(load("strokes"), "test", classes=2, samples=2), tmp_path / "file" / "classes.png")
