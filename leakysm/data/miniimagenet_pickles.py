"""miniImageNet's pickle caches, read without trusting them: a pickle may name any function and have it called.

Here a file may name only the few functions that arrays are pickled with, and each name gives an inert stand-in of
ours: no function that a file names is ever called, NumPy's included. Every other name is refused.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leakysm.data.dataset import USUAL_SPLITS, ClassSet, Dataset, normalised, refuse_shared, splits_digest, starts_of
from leakysm.data.miniimagenet import refuse_other_classes
from leakysm.errors import UserError
from leakysm.files import opened

_LARGEST_KEY = 1 << 32  # of a dict: whole numbers of one hash lie further apart
LARGEST_CACHE = 1 << 32  # bytes; the published files have up to 1.2 GB
_CACHES = {split: f"mini-imagenet-cache-{split}.pkl" for split in USUAL_SPLITS}  # as Ren et al. (2018) pass them on
VALIDATION = "mini-imagenet-cache-validation.pkl"  # as learn2learn calls the val split
_CATEGORY_SPLITS = {  # as Gidaris and Komodakis (2018) do; their `train_phase_val` holds more images of train's classes
    split: f"miniImageNet_category_split_{name}.pickle"
    for split, name in (("train", "train_phase_train"), ("val", "val"), ("test", "test"))
}


def has_caches(folder: Path) -> bool:
    """Whether any of the files `mini-imagenet-cache-<split>.pkl` is in the folder."""
    return _any_of(folder, _CACHES)


def has_category_splits(folder: Path) -> bool:
    """Whether any of the files `miniImageNet_category_split_<...>.pickle` is in the folder."""
    return _any_of(folder, _CATEGORY_SPLITS)


def _any_of(folder: Path, files: Mapping[str, str]) -> bool:
    return any((folder / file).exists() for file in files.values())


def pickle_dataset(root: Path) -> Dataset:
    """miniImageNet from three pickles in a folder: its caches if any is there, else its category splits.

    Splits train, val, test. UserError if a file is absent, damaged, no miniImageNet, or names anything but arrays and
    plain containers.
    """
    form = dict(_CACHES if has_caches(root) else _CATEGORY_SPLITS)
    if form == _CACHES and not (root / form["val"]).exists() and (root / VALIDATION).exists():
        form["val"] = VALIDATION
    files = {split: root / file for split, file in form.items()}
    splits = {
        split: read_cache(file, mend=f"all of {', '.join(form.values())} are needed") for split, file in files.items()
    }
    classes = {split: one.names for split, one in splits.items()}
    refuse_shared("class", classes, files)
    refuse_other_classes(root, classes)
    return normalised("miniimagenet", splits, splits_digest(splits))


def read_cache(file: Path, *, mend: str = "give the pickle's place") -> ClassSet:
    """One split from its file: a dict of `image_data` uint8 (n, 84, 84, 3) and `class_dict`, name -> indices of images;
    or of `data` uint8 (n, 84, 84, 3), `labels` (n,) and `catname2label`, name -> label.

    UserError if it holds anything else, or names anything but arrays and plain containers. It ends in `mend` if there
    is no such file.
    """
    expected = (
        "expected a dict of image_data, uint8 (n, 84, 84, 3), and class_dict, class -> indices; "
        "or of data, labels and catname2label"
    )
    data = _load(file, mend)
    try:
        data = {_text(key): value for key, value in data.items()}
        if "image_data" in data:
            images = data["image_data"].array()
            classes = _listed(data["class_dict"], len(images))
        else:
            images = data["data"].array()
            classes = _labelled(data["labels"], data["catname2label"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"{file} does not hold miniImageNet; {expected}") from None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (84, 84, 3):
        raise UserError(f"{file} holds images {images.dtype} {images.shape}; {expected}")
    names = sorted(classes)
    rows = np.concatenate([classes[name] for name in names]) if names else np.zeros(0, np.int64)
    if not all(len(classes[name]) for name in names) or not np.array_equal(np.sort(rows), np.arange(len(images))):
        raise UserError(f"{file} does not give each of its {len(images)} images one class; {expected}")
    starts = starts_of(len(classes[name]) for name in names)
    return ClassSet(images[rows], starts, tuple(names))


def _listed(class_dict: Any, most: int) -> dict[str, NDArray[np.int64]]:
    """The images of each class, at most so many of all. An error of Python's if the dict has another form."""
    classes = {}
    for name, indices in class_dict.items():
        classes[_text(name)] = _indices(indices)
        most -= len(classes[_text(name)])
        if most < 0:  # many names may share one list
            raise ValueError("more indices than images")
    return classes


def _labelled(labels: Any, label_of: Any) -> dict[str, NDArray[np.int64]]:
    """The images of each class that has some; many names may share a label, which gives one of them all its images."""
    values = _indices(labels)
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    rows = dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True))
    return {_text(name): rows.pop(label) for name, label in label_of.items() if label in rows}


def _load(file: Path, mend: str) -> Any:
    try:
        with opened(file, most=LARGEST_CACHE, mend=mend) as stream:
            return _Unpickler(_Bounded(stream), encoding="bytes").load()
    except _RefusedContentError as error:
        raise UserError(f"{file} {error}; nothing was run, get the file elsewhere") from None
    except UserError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way; none of them ran anything
        raise UserError(f"{file} is damaged or no pickle ({type(error).__name__}); download it again") from None


class _RefusedContentError(Exception):
    """What the file holds that no cache does; the words go on from the file's name."""


class _Bounded:
    """A file that refuses to give more bytes than it has: a few bytes may ask for gigabytes."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream, self.readline = stream, stream.readline
        self.size = os.fstat(stream.fileno()).st_size

    def read(self, size: int) -> bytes:
        """_RefusedContentError if the file does not have so many bytes."""
        if size > self.size:
            raise _RefusedContentError(f"asks for {size} bytes and has {self.size}")
        return self._stream.read(size)


class _Unpickler(pickle._Unpickler):
    """Takes dicts, lists, tuples, numbers, strings, bytes and NumPy arrays of numbers; refuses everything else.

    This is Python's own unpickler in Python, with two changes: `find_class` gives inert stand-ins, and the keys of
    dicts must be texts or numbers. The C unpickler with the same `find_class` does not do (tried on Python 3.11): a
    dict with a key of a million nested tuples, or a frozenset of them, ends the process, because hashing the tuples
    overflows the C stack before `find_class` is ever asked: four of the files `HOSTILE` in
    tests/data/test_miniimagenet_pickles.py. It also makes room for as many memo entries as a file claims, 34 GB for a
    file of a few bytes.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def find_class(self, module: str, name: str) -> Any:
        stand_in = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise _RefusedContentError(f"names {module}.{name}, which is neither an array nor a plain container")
        return stand_in()

    def load_bytearray8(self: Any) -> None:
        """A bytearray, as bytes: as many as the file has, because they are read before they are given room."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))


def _checking_keys(load: Any) -> Any:
    """One of the unpickler's steps that fill a dict, preceded by a look at the keys on the unpickler's stack."""

    def load_checked(self: Any) -> None:
        # SETITEM: [..., dict, key, value]. SETITEMS and DICT: [key, value, key, value, ...] since the mark.
        keys = self.stack[-2:-1] if load is _LOAD_SETITEM else self.stack[::2]
        if not all(isinstance(key, str | bytes) or (isinstance(key, int) and abs(key) < _LARGEST_KEY) for key in keys):
            raise _RefusedContentError("has a key that is neither a text nor a small number")
        load(self)

    return load_checked


def _refuse_set(_: Any) -> None:
    raise _RefusedContentError("holds a set, which no cache does")


_LOAD_SETITEM = _Unpickler.dispatch[pickle.SETITEM[0]]
for _opcode in (pickle.SETITEM, pickle.SETITEMS, pickle.DICT):
    _Unpickler.dispatch[_opcode[0]] = _checking_keys(_Unpickler.dispatch[_opcode[0]])
_Unpickler.dispatch[pickle.BYTEARRAY8[0]] = _Unpickler.load_bytearray8
for _opcode in (pickle.EMPTY_SET, pickle.FROZENSET):
    _Unpickler.dispatch[_opcode[0]] = _refuse_set


class _Array:
    """What a pickled array consists of: shape, dtype, order and bytes."""

    __slots__ = ("_state",)

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> NDArray[Any]:
        """The NumPy array; whatever error its parts give if they do not go together."""
        _, shape, dtype, fortran, data = self._state
        array = np.frombuffer(_bytes(data), dtype.dtype())
        return array.reshape(shape, order="F" if fortran else "C")


class _Dtype:
    """The type of a number: a code such as u1, and the byte order."""

    __slots__ = ("_code", "_state")

    def __init__(self, code: str) -> None:
        self._code = code
        self._state: Any = ("", "=")

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype. ValueError if it is not one of numbers."""
        order = _text(self._state[1])
        if self._code not in _CODES or order not in ("<", ">", "=", "|"):
            raise ValueError("not an array of numbers")
        return np.dtype(self._code).newbyteorder(order)  # type: ignore[arg-type]


_CODES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class _StandIn:
    """Stands for a name that a file may use. Without attributes: a pickle can set those of the objects it builds."""

    __slots__ = ()


class _NdarrayType(_StandIn):
    """numpy.ndarray, which `_reconstruct` is called with."""


class _DtypeFunction(_StandIn):
    """numpy.dtype(code, ...)."""

    def __call__(self, code: Any, *_: Any) -> _Dtype:
        return _Dtype(_text(code))


class _ReconstructFunction(_StandIn):
    """numpy.core.multiarray._reconstruct(...): an array whose state follows."""

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _FrombufferFunction(_StandIn):
    """numpy.core.numeric._frombuffer(data, dtype, shape, order): an array as protocol 5 writes it."""

    def __call__(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        array = _Array()
        array.__setstate__((1, shape, dtype, order == "F", data))
        return array


class _ScalarFunction(_StandIn):
    """numpy.core.multiarray.scalar(dtype, data): one number."""

    def __call__(self, dtype: Any, data: Any) -> Any:
        return np.frombuffer(_bytes(data), dtype.dtype())[0].item()


class _EncodeFunction(_StandIn):
    """_codecs.encode(text, "latin1"): how Python 3 writes bytes in the pickles that Python 2 can read."""

    def __call__(self, text: Any, encoding: Any) -> bytes:
        if encoding != "latin1":
            raise ValueError("bytes in an unknown encoding")
        return _bytes(text)


_STAND_INS: dict[tuple[str, str], type[_StandIn]] = {
    ("numpy", "ndarray"): _NdarrayType,
    ("numpy", "dtype"): _DtypeFunction,
    ("numpy.core.multiarray", "_reconstruct"): _ReconstructFunction,
    ("numpy.core.multiarray", "scalar"): _ScalarFunction,
    ("numpy.core.numeric", "_frombuffer"): _FrombufferFunction,
    ("_codecs", "encode"): _EncodeFunction,
}


def _bytes(data: Any) -> bytes:
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise TypeError("expected bytes")
    return bytes(data)  # no copy of bytes


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value


def _indices(value: Any) -> NDArray[np.int64]:
    """Indices from an array or a list of whole numbers. A list in a list may be larger than the file a thousandfold."""
    if not isinstance(value, _Array) and not all(isinstance(index, int) for index in value):
        raise ValueError("expected indices")
    array = value.array() if isinstance(value, _Array) else np.array([*value])
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError("expected indices")
    return array.astype(np.int64)
