from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leakysm.data import DATASETS, ClassSet, Dataset, load
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from tests.data.conftest import noise


@st.composite
def class_sets(draw: st.DrawFn) -> ClassSet:
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    images = draw(arrays(np.uint8, (sum(counts), 2, 3, draw(st.sampled_from([1, 3])))))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ClassSet(images, starts, tuple(f"class{k}" for k in range(len(counts))))


@given(class_sets())
def test_labels_and_counts_say_where_each_class_lies(one: ClassSet) -> None:
    for k in range(one.n_classes):
        assert (one.labels[one.starts[k] : one.starts[k + 1]] == k).all()
        assert one.counts[k] == (one.labels == k).sum()


@given(class_sets(), st.data())
def test_take_moves_whole_classes(one: ClassSet, data: st.DataObject) -> None:
    chosen = np.array(data.draw(st.permutations(range(one.n_classes))))[: data.draw(st.integers(1, one.n_classes))]
    taken = one.take(chosen)
    assert taken.names == tuple(one.names[k] for k in chosen)
    for k, old in enumerate(chosen):
        np.testing.assert_array_equal(
            taken.images[taken.starts[k] : taken.starts[k + 1]], one.images[one.starts[old] : one.starts[old + 1]]
        )


@given(class_sets(), st.data())
def test_a_slice_is_what_take_gives_and_shares_memory(one: ClassSet, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, one.n_classes - 1))
    last = data.draw(st.integers(first + 1, one.n_classes))
    cut, taken = one.slice(first, last), one.take(np.arange(first, last))
    np.testing.assert_array_equal(cut.images, taken.images)
    np.testing.assert_array_equal(cut.starts, taken.starts)
    assert cut.names == taken.names
    assert np.shares_memory(cut.images, one.images)


def test_images_cannot_be_overwritten() -> None:
    one = ClassSet(np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 2]), ("a",))
    with pytest.raises(ValueError, match="read-only"):
        one.images[0] = 1


@pytest.mark.parametrize("starts", [[0, 1], [1, 2], [0, 0, 2], [0, 3], [0, 2, 1]])
def test_offsets_that_do_not_fit_are_refused(starts: list[int]) -> None:
    names = tuple("abc"[: len(starts) - 1])
    with pytest.raises(ValueError, match="starts"):
        ClassSet(np.zeros((2, 1, 1, 1), np.uint8), np.array(starts), names)


def test_labels_in_two_unicode_forms_are_one_class() -> None:
    labels = ["\u00e9", "e\u0301", "b", "b"]
    data = Dataset.from_arrays(noise(0, 4, 28, 28), labels, splits={"train": ["e\u0301"], "test": ["b"]})
    assert [len(data.split(name).images) for name in ("train", "test")] == [2, 2]


def test_splits_of_another_size_than_the_inputs_are_refused() -> None:
    data = load("strokes")
    with pytest.raises(ValueError, match=r"train: images \(28, 28, 1\), expected \(84, 84, 3\)"):
        replace(data, inputs=InputFormat.unscaled((84, 84, 3)))


def test_an_unknown_split_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="strokes has no split 'validation'; did you mean 'val'"):
        load("strokes").split("validation")


def test_an_unknown_data_set_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match=f"unknown data set 'mnist'; choose one of {', '.join(DATASETS)}"):
        load("mnist")


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "strokes"])
def test_every_data_set_has_a_loader_and_it_names_a_missing_folder(name: str) -> None:
    with pytest.raises(UserError, match="/no/such: no such file or folder"):
        load(name, "/no/such")


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "strokes"])
def test_data_that_need_files_ask_for_them(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} needs its files: give the folder that holds them with --data"):
        load(name)


def test_splits_of_omniglot_are_refused_elsewhere() -> None:
    with pytest.raises(UserError, match="unknown split 'ravi'; choose one of lake, vinyals"):
        load("omniglot", split="ravi")
    with pytest.raises(UserError, match="'vinyals' is Omniglot's"):
        load("strokes", split="vinyals")


def test_strokes_take_no_files_and_only_seeds_in_range() -> None:
    with pytest.raises(UserError, match="strokes are made by the package"):
        load("strokes", ".")
    for seed in (-1, 2**64):
        with pytest.raises(UserError, match=f"seed {seed} is out of range"):
            load("strokes", seed=seed)
