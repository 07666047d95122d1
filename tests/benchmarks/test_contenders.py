"""What the contenders do is the same work, and what a peer loses is found out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from leakysm_benchmarks import classes, distance, evaluation, loading, train_step
from leakysm_benchmarks.step_sizes import SIZES, Size, episodes, layers
from leakysm_cli.main import app
from typer.testing import CliRunner

from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.backends.numpy.threads import Workers
from tests.backends.cupy.block_cases import assert_close
from tests.benchmarks.torch_weights import take_weights
from tools import classes_plot, step_plot, step_profile, tricks

SMALL, ODD = Size(3, 2, 2, (16, 16, 3)), Size(3, 2, 2, (18, 17, 1))


def test_pytorch_makes_the_same_steps():
    """The same losses, one update after another, from the same weights; PyTorch's Adam is not ours bit for bit."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from leakysm_benchmarks.torch_conv4 import TorchStep

    for form in ("NCHW", "channels_last"):
        theirs = TorchStep(SMALL, form, threads=1)
        ours = train_step.OurStep(NumpyEngine(1), SMALL)
        take_weights(theirs.net, ours.net)
        for indices in episodes(SMALL, 3):
            mine, other = (np.array([float(player.step(indices))], "float32") for player in (ours, theirs))
            assert_close(mine, other.astype("float64"), 1 + abs(other), 4096, form)


def test_pytorch_embeds_the_same_images():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from leakysm_benchmarks.torch_conv4 import TorchEmbedding

    images = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
    ours, theirs = evaluation.OurEmbedding(NumpyEngine(1), images), TorchEmbedding(images, "channels_last", threads=1)
    take_weights(theirs.net, ours.net)
    runs = [(0, 4), (4, 10)]
    mine, other = ours.step(runs), theirs.step(runs)
    assert_close(mine, other.astype("float64"), 1 + abs(other), 1024)  # 1x1 at the end: flattening orders agree


def first_moment(ours):
    """A tenth of the gradient, after one step."""
    ours.step(episodes(ODD, 1)[0])
    return ours.optimizer.slots["first_moment"].copy()


@pytest.mark.parametrize("trick", tricks.tricks())
def test_without_a_trick_the_step_is_the_same_one(trick):
    """And the trick is back afterwards."""
    expected = first_moment(train_step.OurStep(NumpyEngine(1), ODD))
    with tricks.tricks()[trick]():
        found = first_moment(train_step.OurStep(NumpyEngine(1), ODD))
    assert_close(found, expected.astype("float64"), np.full_like(expected, abs(expected).max()), 256, trick)
    assert (first_moment(train_step.OurStep(NumpyEngine(1), ODD)) == expected).all()


@pytest.mark.parametrize("trick", tricks.engines(1))
def test_an_engine_without_a_trick_makes_the_same_step(trick):
    expected = first_moment(train_step.OurStep(NumpyEngine(1), ODD))
    found = first_moment(train_step.OurStep(tricks.engines(1)[trick], ODD))
    assert_close(found, expected.astype("float64"), np.full_like(expected, abs(expected).max()), 256, trick)


def test_the_profile_names_the_functions_of_a_step():
    found = step_profile.profile(SMALL, steps=1)
    names = [name for name, _ in found]
    assert {"products.py:multiply", "products.py:add", "pooling.py:pool", "windows.py:columns_of"} <= set(names)
    assert [ms for _, ms in found] == sorted((ms for _, ms in found), reverse=True)


def test_the_products_alone_are_the_products_of_a_step(monkeypatch):
    """Forward, and both gradients; the first layer has one."""
    done = []
    monkeypatch.setattr(train_step, "multiply", lambda a, b, out: done.append(a.shape[0] * a.shape[1] * b.shape[1]))

    class Counted(train_step.TransposedProduct):
        def add(self, a, b):
            done.append(a.shape[0] * a.shape[1] * b.shape[1])

    monkeypatch.setattr(train_step, "TransposedProduct", Counted)
    train_step.Products(Workers(1), SIZES[2]).step(None)
    first, *others = (64 * 9 * C * n for n, C in layers(SIZES[2]))
    assert sum(done) == 2 * first + 3 * sum(others)
    assert layers(SIZES[2])[2] == (320 * 21 * 21, 64)


@pytest.mark.parametrize("dtype", distance.DTYPES)
def test_who_loses_small_distances_is_found_out(dtype):
    kept = {"leakysm": distance.keeps_small_distances(distance.ours(NumpyEngine(1), True), dtype)}
    kept |= {n: distance.keeps_small_distances(make, dtype) for n, make in distance.peers((), True, 1)}
    assert kept == {"leakysm": True, "numpy broadcast": True}


@pytest.mark.parametrize("dtype", distance.DTYPES)
@pytest.mark.parametrize(("peer", "keeps"), [("torch", [True, False]), ("scipy", [True]), ("sklearn", [False])])
def test_of_the_peers_too(peer, keeps, dtype):
    pytest.importorskip({"torch": "torch", "scipy": "scipy", "sklearn": "sklearn"}[peer], reason="not installed")
    found = [distance.keeps_small_distances(make, dtype) for _, make in distance.peers((peer,), False, 1)[1:]]
    assert found == keeps


def test_peers_give_the_same_distances_and_gradients():
    x, c, dy = distance.arrays((30, 20, 16), "float64")
    results = [
        make(x, c, dy)() for _, make in [("", distance.ours(NumpyEngine(1), True)), *distance.peers((), True, 1)]
    ]
    for mine, other, scale in zip(*results, (1, 40, 60), strict=True):
        assert_close(mine, other, scale * (1 + abs(other)), 16)


def test_comparisons_have_the_promised_form():
    found = train_step.compare(threads=1, vs=(), sizes=[SMALL], rounds=1)
    assert [c["kind"] for c in found] == ["floor", "floor"]
    found += distance.compare(threads=1, vs=(), sizes=[(6, 5, 4)], rounds=1)
    found += evaluation.compare(threads=1, vs=(), sizes=[(4, 16, 16, 1)], rounds=1)
    found += loading.compare(sides=(16,), rounds=1)
    for c in found:
        assert isinstance(c["peer"], str)
        assert isinstance(c["size"], str)
        assert c["kind"] in ("peer", "floor")
        assert c["ratio"] > 0


def test_the_command_prints_one_json_object():
    result = CliRunner().invoke(app, ["bench", "loading", "--rounds", "1", "--json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["comparisons"]
    assert (found["benchmark"], found["kind"]) == ("loading", "peer")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bench", "speed"], "benchmark is 'speed'; choose one of train-step, evaluation"),
        (["bench", "--vs", "jax"], "--vs is 'jax'; choose one of torch, scipy, sklearn"),
        (["bench", "--threads", "2", "--device", "cuda"], "--threads is for measurements on the CPU; leave it out"),
        (["bench", "loading", "--device", "cuda"], "on a GPU only train-step is measured, not loading"),
    ],
)
def test_bad_use_is_told_in_a_line(arguments, told):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_pytorch_in_chunks_has_the_same_loss_and_gradients(monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(classes, "CHUNK", 7)
    given = classes.arrays(30, queries=5)
    mine = classes.ours(NumpyEngine(1), given, gradients=True)()
    theirs = classes.torch_in_chunks(given, gradients=True, threads=1)()
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_the_picture_of_many_classes_has_a_line_for_each_and_one_in_proportion(monkeypatch):
    monkeypatch.setattr(classes_plot, "take_turns", lambda players, *_, **__: np.array([[3.0, 2, 1], [6, 1, 2]]))
    found = classes_plot.measure([7, 70], queries=4)
    assert found == {
        "loss and both gradients": [3, 3],
        "loss": [1, 1],
        "distances alone, in chunks": [1, 1],
    }  # the shortest turn of each
    axis = classes_plot.figure_of([7, 70], found, queries=4).axes[0]
    assert {line.get_label(): list(line.get_ydata()) for line in axis.lines} == found | {"in proportion": [0.1, 1]}


def test_a_wait_is_held_to_its_bound(monkeypatch):
    """The commands that are waited for exist; one of them is run."""
    from leakysm_benchmarks import waits

    seen = []
    monkeypatch.setattr(waits, "leakysm", lambda command, environment: seen.append(command[0]))
    monkeypatch.setattr(waits, "IMAGES", 4)
    rows = waits.compare(rounds=1)
    assert {row["kind"] for row in rows} == {"bound"}
    assert all(row["ratio"] == row["theirs"][0] / row["ours"][0] for row in rows)
    commands = CliRunner().invoke(app, ["--help"]).stdout
    assert all(name in commands for name in seen)


def test_a_step_is_drawn_in_its_parts():
    def row(peer, kind, ratio, theirs):
        return {"peer": peer, "size": "a size", "kind": kind, "ratio": ratio, "ours": [4.0] * 3, "theirs": [theirs] * 3}

    floors = [row("matrix products alone", "floor", 0.5, 2.0), row("memory traffic alone", "floor", 0.25, 1.0)]
    rows = [row("torch NCHW", "peer", 1.5, 6.0), row("torch channels_last", "peer", 1.25, 5.0), *floors]
    assert step_plot.parts_of(rows) == ([0.5, 0.25, 0.25], 1.25)
    (axis,) = step_plot.figure_of(rows).axes
    assert [bar.get_width() for bar in axis.patches] == [0.5, 0.25, 0.25]
    assert [text.get_text() for text in axis.texts] == ["1.25"]
    (axis,) = step_plot.figure_of(floors).axes  # without a peer
    assert not axis.texts
