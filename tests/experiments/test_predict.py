"""Prediction from a few examples: the net's own distances, images read as in training, bad files told by name."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from leakysm.backends import backend
from leakysm.data import load
from leakysm.data.images import to_input_format
from leakysm.data.inputs import InputFormat
from leakysm.errors import CheckFailed, UserError
from leakysm.ops import prototypes
from leakysm.predict.predict import predict, read_support
from leakysm.runs import restore
from tests.experiments.command import leakysm, refused


def drawing(k: int, j: int) -> np.ndarray:
    """Image j of test class k of strokes, ink (28, 28, 1)."""
    test = load("strokes").split("test")
    image: np.ndarray = test.images[test.starts[k] + j]
    return image


def save(path: Path, ink: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 - ink[..., 0]).save(path)
    return path


@pytest.fixture
def support(tmp_path: Path) -> Path:
    """Three classes with 1, 2 and 3 examples."""
    for k in range(3):
        for j in range(k + 1):
            save(tmp_path / "support" / f"class{k}" / f"{j}.png", drawing(40 * k, j))
    return tmp_path / "support"


def test_of_a_run_that_is_not_finished_the_checkpoint_is_named(run: Path, support: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    words = ("--support", support, support / "class0" / "0.png")
    assert "not finished" not in leakysm("predict", copy, *words).err
    (copy / "summary.json").unlink()
    assert "run is not finished: classified with checkpoint-best.h5, after" in leakysm("predict", copy, *words).err


@pytest.mark.parametrize("norm", ["running", "episode"])
def test_distances_and_probabilities_are_those_of_the_nets_embeddings(run: Path, norm: str) -> None:
    restored = restore(run, backend("reference"))
    shown = {f"class{k}": np.stack([drawing(40 * k, j) for j in range(k + 1)]) for k in range(3)}
    queries = np.stack([drawing(40 * k, 9) for k in (2, 0)])
    ranked = predict(restored, shown, queries, norm)

    x = np.concatenate([*shown.values(), queries]).astype(np.float32) / np.float32(255)
    z = restored.net.embed(x, norm)  # type: ignore[arg-type]
    distances = restored.config.metric(z[6:], prototypes(z[:6], np.array([0, 1, 1, 2, 2, 2]), 3)).astype(np.float64)
    weights = np.exp(distances.min(axis=1, keepdims=True) - distances)
    for row, classes in enumerate(ranked):
        order = np.argsort(distances[row], kind="stable")
        assert [one.name for one in classes] == [f"class{k}" for k in order]
        assert [one.distance for one in classes] == distances[row][order].tolist()
        expected = weights[row][order] / weights[row].sum()
        assert all(
            abs(one.probability - p) <= 32 * 2.0**-52 * p * (1 + distances[row].max())
            for one, p in zip(classes, expected, strict=True)
        )


def test_an_example_itself_is_at_distance_0_of_its_class(run: Path, support: Path) -> None:
    found = json.loads(leakysm("predict", run, "--support", support, support / "class0" / "0.png", "--json").out)
    (prediction,) = found["predictions"]
    assert prediction["image"] == str(support / "class0" / "0.png")
    assert (prediction["classes"][0]["name"], prediction["classes"][0]["distance"]) == ("class0", 0)
    assert abs(sum(one["probability"] for one in prediction["classes"]) - 1) <= 8 * 2.0**-52


@given(hnp.arrays(np.uint8, (28, 28, 1)), st.booleans())
def test_a_grey_image_of_the_nets_size_is_read_pixel_by_pixel(pixels: np.ndarray, ink: bool) -> None:
    inputs = InputFormat.unscaled((28, 28, 1), ink=ink)
    expected = 255 - pixels if ink else pixels
    for mode in ("L", "RGB"):  # grey in colour is the same grey
        image = Image.fromarray(pixels[..., 0]).convert(mode)
        assert np.array_equal(to_input_format(encoded(image), "it", inputs), expected)


@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(1, 90), st.integers(1, 90))
def test_an_even_colour_survives_every_resizing(colour: tuple[int, int, int], width: int, height: int) -> None:
    image = Image.new("RGB", (width, height), colour)
    found = to_input_format(encoded(image), "it", InputFormat.unscaled((20, 31, 3)))
    assert found.shape == (20, 31, 3)
    assert (found == colour).all()


def encoded(image: Image.Image) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_table_lists_the_nearest_classes_of_each_image(run: Path, support: Path, tmp_path: Path) -> None:
    images = [save(tmp_path / f"{k}.png", drawing(40 * k, 7)) for k in range(2)]
    outcome = leakysm("predict", run, "--support", support, *images, "--top", 2, "--picture", tmp_path / "p" / "p.png")
    header, *rows, _, told = outcome.out.splitlines()
    assert header.split() == ["image", "class", "probability", "distance", "spreads"]
    assert told.startswith("1 spread is the mean distance between two classes of the support. 95 % of ")
    assert [row.split()[0] for row in rows[::2]] == [str(path) for path in images]
    assert len(rows) == 4
    assert (tmp_path / "p" / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("limit", "close", "words"),
    [(0.0, False, "nothing here is close"), (1e9, True, "within 1000000000.00 spreads"), (None, None, "is unknown")],
)
def test_an_image_that_is_like_no_class_is_told(
    run: Path,
    support: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: float | None,
    close: bool | None,
    words: str,
) -> None:
    monkeypatch.setattr("leakysm.training.closeness.limit_for", lambda limits, shot: limit)
    blank = save(tmp_path / "blank.png", np.zeros((28, 28, 1), np.uint8))
    command = ("predict", run, "--support", support, blank)
    assert words in leakysm(*command).out
    found = json.loads(leakysm(*command, "--json").out)
    assert (found["closeness_limit"], found["predictions"][0]["close"]) == (limit, close)


def test_a_run_tells_what_was_usual_in_its_validation_unless_it_is_an_old_one(run: Path, tmp_path: Path) -> None:
    limits = restore(run, backend("reference")).closeness()
    stored = json.loads((run / "summary.json").read_text())["closeness"]
    assert {str(shot): limit for shot, limit in limits.items()} == stored
    assert list(limits) == [1, 2, 3, 5]
    restored = restore(run, backend("reference"))
    other = replace(restored.config, distance="cosine", threshold=None, slope=None, per=None)
    assert replace(restored, config=other).closeness() == {}
    assert replace(restored, config=replace(restored.config, norm="running")).closeness() == {}
    old = shutil.copytree(run, tmp_path / "old")
    (old / "manifest.json").unlink()
    content = json.loads((old / "summary.json").read_text())
    (old / "summary.json").write_text(json.dumps({key: content[key] for key in content if key != "closeness"}))
    assert restore(old, backend("reference")).closeness() == {}
    (old / "summary.json").write_text(json.dumps(content | {"closeness": "far"}))
    with pytest.raises(UserError, match="closeness is 'far'"):
        restore(old, backend("reference")).closeness()


def test_images_that_cannot_be_read_stop_no_other(run: Path, support: Path, tmp_path: Path) -> None:
    good, bad, missing = save(tmp_path / "q.png", drawing(0, 3)), tmp_path / "bad.png", tmp_path / "missing.png"
    bad.write_text("no image")
    command = ("predict", run, "--support", support, bad, good, missing)
    outcome = leakysm(*command, "--picture", tmp_path / "p.png")
    assert outcome.code == 1
    assert str(good) in outcome.out
    assert [line.split()[1] for line in outcome.err.splitlines()] == [str(bad), str(missing), "2"]
    found = json.loads(leakysm(*command, "--json").out)["predictions"]
    assert [one["image"] for one in found] == [str(path) for path in (bad, good, missing)]
    assert ["error" in one for one in found] == [True, False, True]
    assert "none of 2 images can be read" in refused(*command[:4], bad, missing)
    assert f"name image files, e.g. {tmp_path}/*.png" in refused(*command[:4], tmp_path)


def test_embeddings_that_are_not_finite_are_told(run: Path) -> None:
    restored = restore(run, backend("reference"))
    state = restored.net.state()
    state["block4.shift"][:] = np.inf
    restored.net.load_state(state)
    images = np.stack([drawing(0, 0)])
    with pytest.raises(CheckFailed, match="embeddings are not finite"), np.errstate(invalid="ignore"):
        predict(restored, {"a": images, "b": images}, images, "running")


def test_bad_use_is_one_line(run: Path, support: Path, tmp_path: Path) -> None:
    query = save(tmp_path / "q.png", drawing(0, 3))
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGBA", (28, 28)).save(tmp_path / "clear.png")

    def told(*images: Path, of: Path = support, net: Path = run) -> str:
        return refused("predict", net, "--support", of, *images)

    assert "give a name that ends in .png" in refused(
        "predict", run, "--support", support, query, "--picture", tmp_path / "p.jpg"
    )
    assert not (tmp_path / "p.jpg").exists()
    before = query.read_bytes()
    over = ("predict", run, "--support", support, query, "--picture")
    assert "q.png, an image to classify; give the drawing another name" in refused(*over, query)
    assert "among the examples in" in refused(*over, next(support.glob("*/*.png")))
    assert query.read_bytes() == before
    (tmp_path / "folder.png").mkdir()
    assert "folder.png is a folder, and a file is expected" in refused(*over, tmp_path / "folder.png")
    assert "missing.png does not exist; check its name" in told(tmp_path / "missing.png")
    assert "text.png is not an image" in told(tmp_path / "text.png")
    assert "clear.png has transparency" in told(tmp_path / "clear.png")
    assert "holds no run" in told(query, net=support)
    assert "is not a folder; expected a folder for each class" in told(query, of=tmp_path / "q.png")
    save(tmp_path / "one" / "a" / "0.png", drawing(0, 0))
    assert "holds 1 class folder(s); two or more are expected" in told(query, of=tmp_path / "one")
    save(tmp_path / "flat" / "0.png", drawing(0, 0))
    assert f"holds images, not class folders; did you mean {tmp_path}?" in told(query, of=tmp_path / "flat")
    (support / "class9").mkdir()
    assert "class9 is an empty folder" in told(query)
    (support / "class9" / "notes.txt").write_text("")
    assert "class9/notes.txt is not an image by its name" in told(query)


def test_the_support_has_the_layouts_of_the_data_set_folder(tmp_path: Path) -> None:
    for name, number in (("train/a", 0), ("train/ a", 1), ("Valid/b", 2), ("test/c", 3)):
        save(tmp_path / "x" / "x" / name / "0.png", drawing(number, 0))
    (tmp_path / "x" / "README.md").touch()
    inputs = InputFormat.unscaled((28, 28, 1))
    found = read_support(inputs, tmp_path / "x")
    assert {name: len(images) for name, images in found.items()} == {" a": 2, "b": 1, "c": 1}
    expected = to_input_format((tmp_path / "x" / "x" / "test" / "c" / "0.png").read_bytes(), "c", inputs)
    np.testing.assert_array_equal(found["c"][0], expected)


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="there is no device without an end")
def test_a_device_is_no_image(run: Path, support: Path, tmp_path: Path) -> None:
    told = "/dev/zero is a device, and a file is expected"
    assert told in refused("predict", run, "--support", support, "/dev/zero")
    (support / "class0" / "endless.png").symlink_to("/dev/zero")
    query = save(tmp_path / "q.png", drawing(0, 3))
    assert "endless.png is a device" in refused("predict", run, "--support", support, query)


@pytest.mark.skipif(os.name != "posix", reason="a file's name is bytes")
def test_names_that_are_no_text_are_shown_all_the_same(run: Path, support: Path, tmp_path: Path) -> None:
    query = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xc3\xbc.png"))
    save(query, drawing(0, 3))
    picture = tmp_path / "p.png"
    outcome = leakysm("predict", run, "--support", support, query, "--picture", picture, "--json")
    assert outcome.code == 0
    assert picture.exists()
    assert json.loads(outcome.out)["predictions"][0]["image"] == f"{tmp_path}/\\xff ü.png"
