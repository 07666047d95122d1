"""Checkpoints: the same bits back, and not one altered byte accepted."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.runs.checkpoint import BLOCK, Checkpoint, load_checkpoint, save_checkpoint

floats = hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(max_dims=4, max_side=3))


def checkpoint(weight: np.ndarray, episode: int = 3) -> Checkpoint:
    inputs = InputFormat.unscaled((28, 28, 1), ink=True)
    optimizer = {"steps": np.asarray(episode), "velocity": np.array([-0.0, np.nan, 1e-45], np.float32)}
    config = 'dataset = "strokes"\n'
    return Checkpoint(episode, {"block1.weight": weight}, optimizer, inputs, config, "ab", 2, 71.25, 99, "cd")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "checkpoint-last.h5"
    save_checkpoint(path, checkpoint(np.arange(6, dtype=np.float32)))
    return path


@settings(max_examples=15)  # each waits for the disk
@given(weight=floats, episode=st.integers(0, 2**40))
def test_what_is_saved_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, weight: np.ndarray, episode: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "checkpoint-last.h5"
    saved = checkpoint(weight, episode)
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path)
    for name, value in vars(saved).items():
        back = getattr(loaded, name)
        if name == "inputs":
            value, back = value.to_arrays(), dict(sorted(back.to_arrays().items()))
        if not isinstance(value, dict):
            assert (back, type(back)) == (value, type(value))
            continue
        assert list(back) == sorted(value)
        for key, array in value.items():
            assert (back[key].dtype, back[key].shape) == (array.dtype, array.shape)
            assert back[key].tobytes() == array.tobytes()


def test_the_same_state_gives_the_same_file(file: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "again.h5", load_checkpoint(file))
    assert (tmp_path / "again.h5").read_bytes() == file.read_bytes()


def test_any_reader_of_hdf5_can_open_it(file: Path) -> None:
    with h5py.File(file, "r") as h5:
        assert h5["net/block1.weight"][...].tolist() == [0, 1, 2, 3, 4, 5]
        assert h5.attrs["format"] == "leakysm checkpoint"


def refused(content: bytes, folder: Path) -> str:
    path = folder / "damaged.h5"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    return str(caught.value)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_altered_bit_is_noticed(
    file: Path, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    assert "damaged" in refused(bytes(content), tmp_path_factory.getbasetemp())


@given(part=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_noticed(file: Path, tmp_path_factory: pytest.TempPathFactory, part: float) -> None:
    content = file.read_bytes()
    assert "damaged" in refused(content[: int(part * len(content))], tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\0" * BLOCK, b"\0" * 10_000])
def test_another_file_is_noticed(content: bytes, tmp_path: Path) -> None:
    assert "not a checkpoint" in refused(content, tmp_path)


def test_a_longer_file_is_noticed(file: Path, tmp_path: Path) -> None:
    assert "damaged" in refused(file.read_bytes() + b"\0", tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.h5 does not exist"):
        load_checkpoint(tmp_path / "gone.h5")


def test_a_later_format_is_not_guessed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = tmp_path / "later.h5"
    with monkeypatch.context() as patch:
        patch.setattr("leakysm.runs.checkpoint.VERSION", 2)
        save_checkpoint(later, checkpoint(np.zeros(2, np.float32)))
    with pytest.raises(UserError, match=r"format version 2, this program reads 1"):
        load_checkpoint(later)
