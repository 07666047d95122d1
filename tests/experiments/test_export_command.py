"""`leakysm export` as it is typed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from leakysm.backends import backend
from leakysm.errors import UserError
from leakysm.exchange import imported_run, safetensors
from leakysm.exchange.torch_layout import from_torch, to_torch
from leakysm.exchange.weights import read_weights
from leakysm.nets import Conv4
from leakysm.runs import restore
from tests.exchange.test_torch_layout import random_state
from tests.experiments.command import leakysm, refused


def trained(run: Path) -> dict[str, np.ndarray]:
    return restore(run, backend("reference")).net.state()


def copied(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder / "copy")
    return folder / "copy"


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_default_is_a_safetensors_file_in_the_run(run: Path, tmp_path: Path) -> None:
    run = copied(run, tmp_path)
    outcome = leakysm("export", run)
    values = sum(array.size for array in trained(run).values())
    assert outcome.out == f"{run / 'conv4.safetensors'}: 20 arrays, {values} values, leakysm layout\n"
    arrays, about = safetensors.load((run / "conv4.safetensors").read_bytes(), "it")
    assert equal(arrays, trained(run))
    assert json.loads(about["image_shape"]) == [28, 28, 1]
    assert (json.loads(about["mean"]), json.loads(about["std"]), json.loads(about["ink"])) == ([0.0], [1.0], True)
    assert about["config"] == (run / "config.toml").read_text()
    assert about["embedding_order"] == "row, column, channel"


def test_of_a_run_that_is_not_finished_the_checkpoint_is_named(run: Path, tmp_path: Path) -> None:
    assert leakysm("export", run, "--out", tmp_path / "net.npz").err == ""
    run = copied(run, tmp_path)
    (run / "summary.json").unlink()
    told = leakysm("export", run).err
    assert re.fullmatch(
        rf"{re.escape(str(run))} is not finished: exported checkpoint-best.h5, after \d episodes\n", told
    )


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("layout", ["leakysm", "torch"])
def test_every_form_leads_back_to_the_net(run: Path, tmp_path: Path, suffix: str, layout: str) -> None:
    file = tmp_path / f"net.{suffix}"
    assert leakysm("export", run, "--layout", layout, "--out", file).code == 0
    assert equal(read_weights(file), trained(run))
    again = tmp_path / "again.npz"
    assert leakysm("export", file, "--out", again).code == 0
    assert equal(dict(np.load(again)), trained(run))


def test_the_torch_layout_has_the_names_and_biases_that_are_asked_for(run: Path, tmp_path: Path) -> None:
    for options, expected in (
        (("--prefix", "f."), to_torch(trained(run), prefix="f.", batches=2)),
        (("--no-bias",), to_torch(trained(run), bias=False, batches=2)),
    ):
        file = tmp_path / f"net{options[0]}.npz"
        leakysm("export", run, "--layout", "torch", "--out", file, *options)
        assert equal(dict(np.load(file)), expected)


def test_a_pytorch_file_is_taken_over_with_its_biases_folded(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state_dict = {f"net.{name}": array for name, array in to_torch(random_state(5)).items()}
    state_dict["net.encoder.1.0.bias"] = np.array([1.0, 2.0, 3.0])
    np.savez(tmp_path / "theirs.npz", **{name: torch.from_numpy(array).numpy() for name, array in state_dict.items()})
    assert leakysm("export", tmp_path / "theirs.npz", "--out", tmp_path / "ours.npz").code == 0
    ours = dict(np.load(tmp_path / "ours.npz"))
    assert equal(ours, from_torch(state_dict))
    assert not np.array_equal(ours["block2.mean"], random_state(5)["block2.mean"])


def other_net(seed: int, **keywords: int) -> dict[str, np.ndarray]:
    return Conv4(engine=backend("reference"), seed=seed, **keywords).state()


def test_weights_from_elsewhere_become_a_run(run: Path, tmp_path: Path) -> None:
    state = other_net(7)
    np.savez(tmp_path / "theirs.npz", **to_torch(state))
    outcome = leakysm("export", tmp_path / "theirs.npz", "--like", run, "--out", tmp_path / "new")
    assert outcome.code == 0
    assert equal(trained(tmp_path / "new"), state)
    tested = json.loads(leakysm("evaluate", tmp_path / "new", "--json").out)
    assert tested["episodes"] == 3
    assert "holds imported weights" in leakysm("evaluate", tmp_path / "new").err
    told = f"new holds imported weights, not a finished run; test them: leakysm evaluate {tmp_path / 'new'}"
    assert told in refused("compare", tmp_path / "new")
    assert leakysm("train", "--resume", "--out", tmp_path / "new").code == 0
    assert (tmp_path / "new" / "config.toml").read_text() == (run / "config.toml").read_text()
    # the same episodes as the run's own, from other weights
    ours, theirs = ((folder / "metrics.csv").read_text().splitlines() for folder in (run, tmp_path / "new"))
    assert len(ours) == len(theirs) == 3
    assert ours[1] != theirs[1]
    # and from the run's own first weights, the run itself
    np.savez(tmp_path / "first.npz", **other_net(0))
    leakysm("export", tmp_path / "first.npz", "--like", run, "--out", tmp_path / "again")
    leakysm("train", "--resume", "--out", tmp_path / "again")
    assert (tmp_path / "again" / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()


def test_a_run_whose_weights_cannot_be_written_is_none(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left behind, its configuration would be a run that begins from other weights."""

    def full(path: Path, checkpoint: object) -> None:
        raise UserError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr(imported_run, "save_checkpoint", full)
    like = ("export", run, "--like", run, "--out", tmp_path / "new")
    assert "No space left" in refused(*like)
    assert not list((tmp_path / "new").iterdir())
    monkeypatch.undo()
    assert leakysm(*like).code == 0


@pytest.mark.parametrize("option", [("--prefix", "x."), ("--bias",), ("--no-bias",)])
def test_options_of_the_torch_layout_are_refused_without_it(run: Path, tmp_path: Path, option: tuple[str]) -> None:
    assert f"{option[0]} needs --layout torch" in refused("export", run, "--out", tmp_path / "x.npz", *option)


def test_bad_use_is_one_line(run: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object))
    spoilt = random_state(0)
    spoilt["block1.scale"][1] = np.nan
    np.savez(tmp_path / "nan.npz", **spoilt)
    (tmp_path / "text.npz").write_text("no archive")
    for name, wrong in {"negative": np.float64(-1), "beyond": np.float64(1e300), "complex": 1j}.items():
        np.savez(tmp_path / f"{name}.npz", **random_state(0) | {"block1.variance": wrong * np.ones(3)})
    (tmp_path / "empty").mkdir()
    out = ("--out", tmp_path / "x.npz")
    assert "expected a name that ends in .safetensors or .npz" in refused("export", run, "--out", tmp_path / "x.pt")
    assert "--out is missing" in refused("export", tmp_path / "other.npz")
    assert "mistyped: no such file or folder" in refused("export", tmp_path / "mistyped")
    itself = tmp_path / "other.npz"
    before = itself.read_bytes()
    assert "the source itself; give another name" in refused("export", itself, "--out", itself)
    assert itself.read_bytes() == before
    assert "0 convolutions and 0 batch norms" in refused("export", tmp_path / "other.npz", *out)
    assert "not a complete npz file of numbers" in refused("export", tmp_path / "pickled.npz", *out)
    assert "not a complete npz file" in refused("export", tmp_path / "text.npz", *out)
    assert "block1.variance holds negative numbers" in refused("export", tmp_path / "negative.npz", *out)
    assert "block1.variance holds numbers beyond float32" in refused("export", tmp_path / "beyond.npz", *out)
    assert "block1.variance has dtype complex128" in refused("export", tmp_path / "complex.npz", *out)
    assert "block1.scale holds numbers that are not finite" in refused("export", tmp_path / "nan.npz", *out)
    assert "missing.npz: no such file" in refused("export", tmp_path / "missing.npz", *out)
    assert "holds no run" in refused("export", tmp_path / "empty", *out)
    assert not (tmp_path / "x.npz").exists()
    np.savez(tmp_path / "narrow.npz", **other_net(0, channels=8))
    like = ("--like", run, "--out", tmp_path / "new")
    assert "a run's net has 64 channels, for 1 of the image" in refused("export", tmp_path / "narrow.npz", *like)
    assert "give that as --out" in refused("export", tmp_path / "narrow.npz", "--like", run)
    assert not (tmp_path / "new").exists()
    np.savez(tmp_path / "whole.npz", **other_net(0))
    assert "already holds a run" in refused("export", tmp_path / "whole.npz", "--like", run, "--out", run)


def test_a_file_that_is_there_is_not_written_over(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.npz"
    for _ in range(2):  # writing the same again changes nothing
        assert leakysm("export", run, "--out", file).code == 0
    before = file.read_bytes()
    assert "exists already and holds something else" in refused("export", run, "--layout", "torch", "--out", file)
    assert file.read_bytes() == before


def test_a_learned_scale_is_in_the_metadata(tmp_path: Path) -> None:
    small = ("--way", 3, "--query", 1, "--episodes", 1, "--test-way", 2, "--test-query", 1, "--test-episodes", 2)
    small += ("--norm", "episode")
    made = leakysm("train", *small, "--distance", "squared-euclidean", "--learn-scale", "--out", tmp_path / "run")
    assert made.code == 0
    assert "squared-euclidean, learned scale, on " in made.out
    scale = restore(tmp_path / "run", backend("reference")).scale
    assert f"learned scale {scale:.4g}" in made.out
    assert "--distance squared-euclidean --learn-scale  # what the distance does to gradients" in made.out
    *_, said = leakysm("export", tmp_path / "run").out.splitlines()
    assert said == f"learned scale of the distances {scale:.9g}: in the metadata, as scale"
    _, about = safetensors.load((tmp_path / "run" / "conv4.safetensors").read_bytes(), "it")
    assert float(about["scale"]) == scale
    *_, said = leakysm("export", tmp_path / "run", "--out", tmp_path / "it.npz").out.splitlines()
    assert said.endswith("an .npz file has no place for it")
    weights = tmp_path / "run" / "conv4.safetensors"
    assert leakysm("export", weights, "--like", tmp_path / "run", "--out", tmp_path / "like").code == 0
    assert restore(tmp_path / "like", backend("reference")).scale == scale
