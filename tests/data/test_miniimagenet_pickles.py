from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm.data import load
from leakysm.data.miniimagenet_pickles import read_split
from leakysm.errors import UserError
from tests.data.conftest import noise, wnids

IMAGES = {split: noise(k, 2 * len(wnids(split)), 84, 84, 3) for k, split in enumerate(("train", "val", "test"))}
ROWS = {split: np.random.default_rng(0).permutation(len(one)) for split, one in IMAGES.items()}  # sorted by class
CLASSES = {
    split: {
        name: rows.tolist() for name, rows in reversed([*zip(wnids(split), ROWS[split].reshape(-1, 2), strict=True)])
    }
    for split in IMAGES
}
SIX, TWO = noise(9, 6, 84, 84, 3), {"b": [0, 2, 4], "a": [5, 1, 3]}
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def python2(images: np.ndarray, classes: dict[str, list[int]]) -> bytes:
    """As Python 2 and its NumPy wrote it: byte strings everywhere, protocol 2."""
    out = io.BytesIO()

    def text(value: bytes) -> None:
        out.write(b"T" + len(value).to_bytes(4, "little") + value)

    def number(value: int) -> None:
        out.write(b"J" + value.to_bytes(4, "little", signed=True))

    out.write(b"\x80\x02}")
    text(b"image_data")
    out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(")
    number(0)
    out.write(b"t")
    text(b"b")
    out.write(b"\x87R(")
    number(1)
    out.write(b"(")
    for side in images.shape:
        number(side)
    out.write(b"tcnumpy\ndtype\n")
    text(b"u1")
    number(0)
    number(1)
    out.write(b"\x87R(")
    number(3)
    text(b"|")
    out.write(b"NNN")
    for value in (-1, -1, 0):
        number(value)
    out.write(b"tb\x89")
    text(images.tobytes())
    out.write(b"tbs")
    text(b"class_dict")
    out.write(b"}")
    for name, indices in classes.items():
        text(name.encode())
        out.write(b"](")
        for index in indices:
            number(index)
        out.write(b"es")
    out.write(b"s.")
    return out.getvalue()


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    for split, content in contents.items():
        (folder / f"mini-imagenet-cache-{split}.pkl").write_bytes(content)
    return folder


def plain(split: str, protocol: int = 4) -> bytes:
    return pickle.dumps({"image_data": IMAGES[split], "class_dict": CLASSES[split]}, protocol)


FORMS = {
    **{f"protocol {number}": lambda split, n=number: plain(split, n) for number in PROTOCOLS},
    "python 2": lambda split: python2(IMAGES[split], CLASSES[split]),
    "index arrays": lambda split: pickle.dumps(
        {"class_dict": {k: np.array(v) for k, v in CLASSES[split].items()}, "image_data": IMAGES[split]}
    ),
    "numpy numbers": lambda split: pickle.dumps(
        {"class_dict": {k: [*np.array(v)] for k, v in CLASSES[split].items()}, "image_data": IMAGES[split]}
    ),
    "column order": lambda split: pickle.dumps(
        {"class_dict": CLASSES[split], "image_data": np.asfortranarray(IMAGES[split])}
    ),
    "big endian indices": lambda split: pickle.dumps(
        {"class_dict": {k: np.array(v, ">i4") for k, v in CLASSES[split].items()}, "image_data": IMAGES[split]}, 2
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_that_is_about_gives_the_same_images(tmp_path: Path, form: str) -> None:
    data = load("miniimagenet", write(tmp_path, {split: FORMS[form](split) for split in IMAGES}))
    for split, one in data.splits.items():
        assert one.names == tuple(wnids(split))
        np.testing.assert_array_equal(one.images, IMAGES[split][ROWS[split]])
        assert (one.counts == 2).all()
    assert load("miniimagenet", tmp_path / "mini-imagenet-cache-val.pkl").digest == data.digest


def test_learn2learn_calls_val_validation(tmp_path: Path) -> None:
    """Its files are of protocol 2, written by Python 3."""
    write(tmp_path, {split: plain(split, 2) for split in IMAGES})
    expected = load("miniimagenet", tmp_path).digest
    (tmp_path / "mini-imagenet-cache-val.pkl").rename(tmp_path / "mini-imagenet-cache-validation.pkl")
    assert load("miniimagenet", tmp_path).digest == expected


CATEGORY_SPLITS = {"train": "train_phase_train", "val": "val", "test": "test"}


@pytest.mark.parametrize("array", [list, np.array])
def test_category_splits_give_the_same_images(tmp_path: Path, array: Any) -> None:
    """Pickles in the layout of Gidaris and Komodakis: the labels of val and test continue those of the split before."""
    first = 0
    for split, name in CATEGORY_SPLITS.items():
        labels = np.empty(len(IMAGES[split]), np.int64)
        labels[ROWS[split]] = first + np.repeat(np.arange(len(wnids(split))), 2)
        numbers = {one: first + k for k, one in enumerate(wnids(split))}
        content = {"catname2label": numbers, "labels": array(labels.tolist()), "data": IMAGES[split]}
        content["label2catname"] = {label: one for one, label in numbers.items()}
        (tmp_path / f"miniImageNet_category_split_{name}.pickle").write_bytes(pickle.dumps(content, 2))
        first += len(numbers)
    data = load("miniimagenet", tmp_path)
    for split, one in data.splits.items():
        assert one.names == tuple(wnids(split))
        np.testing.assert_array_equal(one.images, IMAGES[split][np.sort(ROWS[split].reshape(-1, 2)).ravel()])
    (tmp_path / "train.csv").touch()
    with pytest.raises(UserError, match=r"has train of train\.csv, val\.csv"):  # tables come first
        load("miniimagenet", tmp_path)


class Harm:
    """Would create a file when unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = (call, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (os.mkdir, "posix.mkdir"),
        (eval, "builtins.eval"),
        (getattr, "builtins.getattr"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (np.load, "numpy.load"),
        (np.arange, "numpy.arange"),
        (Path, "pathlib.Path"),
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_any_other_name_is_refused_and_runs_nothing(tmp_path: Path, call: Any, name: str, protocol: int) -> None:
    target = tmp_path / "harm"
    arguments = {"posix.mkdir": (str(target),), "builtins.eval": (f"__import__('os').mkdir({str(target)!r})",)}
    harm = Harm(call, *arguments.get(name, ()))
    content = pickle.dumps({"image_data": IMAGES["train"], "class_dict": {"a": harm}}, protocol)
    write(tmp_path, {"train": content, "val": plain("val"), "test": plain("test")})
    with pytest.raises(UserError, match=r"cache-train\.pkl names .*nothing was run") as caught:
        load("miniimagenet", tmp_path)
    written = name if protocol >= 3 else name.replace("builtins.", "__builtin__.")  # as Python 2 called it
    assert f" names {written}, which is neither" in str(caught.value)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_hidden_in_an_array_of_objects_it_is_refused_too(tmp_path: Path) -> None:
    target = tmp_path / "harm"
    objects = np.array([Harm(os.mkdir, str(target))], object)
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"image_data": objects, "class_dict": {}}))
    with pytest.raises(UserError, match=r"names posix\.mkdir"):
        read_split(file)
    file.write_bytes(pickle.dumps({"image_data": np.array([1, "a"], object), "class_dict": {}}))
    with pytest.raises(UserError, match="does not hold miniImageNet"):
        read_split(file)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"image_data": SIX},
        {"class_dict": TWO},
        {"image_data": SIX[..., 0], "class_dict": TWO},
        {"image_data": SIX[:, :28], "class_dict": TWO},
        {"image_data": SIX.astype(np.float32), "class_dict": TWO},
        {"image_data": SIX.tolist()[0], "class_dict": TWO},
        {"image_data": SIX, "class_dict": {"a": [0, 1, 2], "b": [3, 4]}},
        {"image_data": SIX, "class_dict": {"a": [0, 1, 2], "b": [3, 4, 4]}},
        {"image_data": SIX, "class_dict": {"a": [0, 1, 2], "b": [3, 4, 6]}},
        {"image_data": SIX, "class_dict": {"a": [0, 1, 2, 3, 4, 5], "b": []}},
        {"image_data": SIX, "class_dict": {"a": "012345"}},
        {"image_data": SIX, "class_dict": {"a": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}},
        {"image_data": SIX, "class_dict": {}},
        {"data": SIX, "labels": [0, 0, 0, 1, 1, 1], "catname2label": {"a": 0}},
        {"data": SIX, "labels": [0, 0, 0, 1, 1], "catname2label": {"a": 0, "b": 1}},
        {"data": SIX, "labels": [0, 0, 0, 1, 1, 1.0], "catname2label": {"a": 0, "b": 1}},
        {"data": SIX, "labels": [0, 0, 0, 1, 1, 1], "catname2label": {"a": 0, "b": [1]}},
        {"data": SIX, "labels": [0, 0, 0, 1, 1, 1]},
        {"image_data": SIX, "class_dict": {1: [0, 1, 2, 3, 4, 5]}},
    ],
)
def test_other_content_says_what_was_expected(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=r"expected a dict of image_data, uint8 \(n, 84, 84, 3\), and class_dict"):
        read_split(file)


SMALL = pickle.dumps({"image_data": noise(0, 1, 84, 84, 3), "class_dict": {"a": [0]}}, 2)
LABELLED = pickle.dumps({"data": noise(0, 1, 84, 84, 3), "labels": [64], "catname2label": {"a": 64}}, 2)
HEADS = [
    (content, position)
    for content in (SMALL, LABELLED)
    for opcode, _, position in pickletools.genops(content)
    if position is not None
]


@given(head=st.sampled_from(HEADS), byte=st.integers(0, 255), cut=st.booleans())
@example(head=(SMALL, 0), byte=0, cut=True)
def test_damaged_pickles_give_an_error_or_the_data(
    tmp_path_factory: pytest.TempPathFactory, head: tuple[bytes, int], byte: int, cut: bool
) -> None:
    content, place = head
    file = tmp_path_factory.getbasetemp() / "damaged.pkl"
    file.write_bytes(content[:place] if cut else content[:place] + bytes([byte]) + content[place + 1 :])
    with contextlib.suppress(UserError):
        assert read_split(file).images.shape == (1, 84, 84, 3)


def test_all_three_are_needed(tmp_path: Path) -> None:
    write(tmp_path, {"train": plain("train"), "test": plain("test")})
    with pytest.raises(UserError, match=r"cache-val\.pkl does not exist; all of .*-train\.pkl, .*-val\.pkl, .* needed"):
        load("miniimagenet", tmp_path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"cat": [0, 1, 2], "dog": [3, 4, 5]}, "2 of 2 val classes are named like 'cat'"),
        ({"n01532829": [0, 1, 2], "n01558993": [3, 4, 5]}, "64 train, 2 val, 20 test classes, expected 64 train, 16"),
    ],
)
def test_other_classes_do_not_go_by_miniimagenets_name(
    tmp_path: Path, classes: dict[str, list[int]], message: str
) -> None:
    other = pickle.dumps({"image_data": SIX, "class_dict": classes})
    write(tmp_path, {"train": plain("train"), "val": other, "test": plain("test")})
    with pytest.raises(UserError, match=f"{message}.*--dataset folder"):
        load("miniimagenet", tmp_path)


def test_splits_share_no_class(tmp_path: Path) -> None:
    shared = {"image_data": IMAGES["train"], "class_dict": CLASSES["train"]}
    write(tmp_path, {"train": plain("train"), "val": pickle.dumps(shared), "test": plain("test")})
    with pytest.raises(
        UserError, match=r"cache-val\.pkl has the class n\d+, which mini-imagenet-cache-train\.pkl has too"
    ):
        load("miniimagenet", tmp_path)


HOSTILE = {
    "a key of a million nested tuples": b"\x80\x02}(" + b")" + b"\x85" * 1_000_000 + b"K\x01u.",
    "the same by setitem": b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.",
    "the same by dict": b"\x80\x02()" + b"\x85" * 1_000_000 + b"K\x01d.",
    "a set": b"\x80\x04\x8f.",
    "a frozenset": b"\x80\x04()" + b"\x85" * 1_000_000 + b"\x91.",
    "memory for a memo of its own say": b"\x80\x02K\x01r" + (2**31).to_bytes(4, "little") + b".",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    file = tmp_path / "mini-imagenet-cache-train.pkl"
    file.write_bytes(HOSTILE[case])
    with pytest.raises(UserError, match=r"mini-imagenet-cache-train\.pkl") as caught:
        read_split(file)
    assert "\n" not in str(caught.value)
