"""miniImageNet's pickle caches, read without trusting them: a pickle may name any function and have it called.

Here it may name the few that arrays are pickled with, and these stand for inert records of ours: no function that a
file names is ever called, NumPy's included. Everything else is refused by name.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leakysm.data.cache import splits_digest
from leakysm.data.dataset import USUAL_SPLITS, ClassSet, Dataset, normalised, refuse_shared, starts_of
from leakysm.data.miniimagenet import refuse_other_classes
from leakysm.errors import UserError


def has_caches(folder: Path) -> bool:
    """Whether any of the three is there."""
    return any(_cache_file(folder, split).exists() for split in USUAL_SPLITS)


def _cache_file(folder: Path, split: str) -> Path:
    return folder / f"mini-imagenet-cache-{split}.pkl"


def pickle_dataset(root: Path) -> Dataset:
    """miniImageNet from the three `mini-imagenet-cache-<split>.pkl` in a folder. Splits train, val, test.

    UserError if one is absent, damaged, no miniImageNet, or names anything but arrays and plain containers.
    """
    files = {split: _cache_file(root, split) for split in USUAL_SPLITS}
    splits = {split: read_cache(file) for split, file in files.items()}
    classes = {split: one.names for split, one in splits.items()}
    refuse_shared("class", classes, files)
    refuse_other_classes(root, classes)
    return normalised("miniimagenet", splits, splits_digest(splits))


def read_cache(file: Path) -> ClassSet:
    """One split: `image_data` uint8 (n, 84, 84, 3), `class_dict` name -> the indices of its images."""
    data = _load(file)
    expected = "expected a dict of image_data, uint8 (n, 84, 84, 3), and class_dict, class -> indices"
    try:
        data = {_text(key): value for key, value in data.items()}
        images = data["image_data"].array()
        classes = {_text(name): _indices(indices) for name, indices in data["class_dict"].items()}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"{file} does not hold miniImageNet; {expected}") from None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (84, 84, 3):
        raise UserError(f"{file} holds image_data {images.dtype} {images.shape}; {expected}")
    names = sorted(classes)
    rows = np.concatenate([classes[name] for name in names]) if names else np.zeros(0, np.int64)
    if not all(len(classes[name]) for name in names) or not np.array_equal(np.sort(rows), np.arange(len(images))):
        raise UserError(f"{file}: class_dict does not give each of the {len(images)} images one class; {expected}")
    starts = starts_of(len(classes[name]) for name in names)
    return ClassSet(images[rows], starts, tuple(names))


def _load(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            return _Unpickler(stream, encoding="bytes").load()
    except UserError as error:
        raise UserError(f"{file} {error}") from None
    except OSError as error:
        raise UserError(
            f"{file}: {error.strerror}; all of mini-imagenet-cache-{{train,val,test}}.pkl are needed"
        ) from None
    except Exception as error:  # a damaged pickle may fail in any way; none of them ran anything
        raise UserError(f"{file} is damaged or no pickle ({type(error).__name__}); download it again") from None


class _Unpickler(pickle._Unpickler):
    """Admits dicts, lists, tuples, numbers, strings, bytes (which name nothing) and NumPy arrays of numbers.

    In Python, for what the C one does to a hostile file: it hashes a key of a million nested tuples, which overflows
    its stack, and makes room for as many memo entries as the file says. Keys are texts or numbers, sets are refused.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        admitted = _ADMITTED.get((module.replace("numpy._core", "numpy.core"), name))
        if admitted is None:
            raise UserError(
                f"names {module}.{name}, which is neither an array nor a plain container; nothing was run, "
                "get the file elsewhere"
            )
        return admitted()


def _checking_keys(load: Any) -> Any:
    """`load`, one of the unpickler's, after a look at the keys that it puts into a dict; they stand after the mark."""

    def checked(self: Any) -> None:
        keys = self.stack[-2:-1] if load is _LOAD_ITEM else self.stack[::2]
        if not all(isinstance(key, str | bytes | int) for key in keys):
            raise UserError("has a key that is neither a text nor a number; nothing was run, get the file elsewhere")
        load(self)

    return checked


def _refuse_set(_: Any) -> None:
    raise UserError("holds a set, which no cache does; nothing was run, get the file elsewhere")


_LOAD_ITEM = _Unpickler.dispatch[pickle.SETITEM[0]]
for _opcode in (pickle.SETITEM, pickle.SETITEMS, pickle.DICT):
    _Unpickler.dispatch[_opcode[0]] = _checking_keys(_Unpickler.dispatch[_opcode[0]])
for _opcode in (pickle.EMPTY_SET, pickle.FROZENSET):
    _Unpickler.dispatch[_opcode[0]] = _refuse_set


class _Array:
    """What a pickled array consists of: shape, dtype, order and bytes."""

    __slots__ = ("_state",)

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> NDArray[Any]:
        _, shape, dtype, fortran, data = self._state
        array = np.frombuffer(_bytes(data), dtype.dtype())
        return array.reshape(shape, order="F" if fortran else "C")


class _Dtype:
    """A number's type: a code such as u1, and the byte order."""

    __slots__ = ("_code", "_state")

    def __init__(self, code: str) -> None:
        self._code = code
        self._state: Any = ("", "=")

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def dtype(self) -> np.dtype[Any]:
        order = _text(self._state[1])
        if self._code not in _CODES or order not in ("<", ">", "=", "|"):
            raise ValueError("not an array of numbers")
        return np.dtype(self._code).newbyteorder(order)  # type: ignore[arg-type]


_CODES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class _Named:
    """Stands for an admitted name; has no attributes that a pickle could set."""

    __slots__ = ()


class _TypeNdarray(_Named):
    pass


class _CallDtype(_Named):
    def __call__(self, code: Any, *_: Any) -> _Dtype:
        return _Dtype(_text(code))


class _CallReconstruct(_Named):
    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _CallFrombuffer(_Named):
    def __call__(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        array = _Array()
        array.__setstate__((1, shape, dtype, order == "F", data))
        return array


class _CallScalar(_Named):
    def __call__(self, dtype: Any, data: Any) -> Any:
        return np.frombuffer(_bytes(data), dtype.dtype())[0].item()


class _CallEncode(_Named):
    """How Python 3 writes bytes in the pickles that Python 2 can read."""

    def __call__(self, text: Any, encoding: Any) -> bytes:
        if encoding != "latin1":
            raise ValueError("bytes in an unknown encoding")
        return _bytes(text)


_ADMITTED: dict[tuple[str, str], type[_Named]] = {
    ("numpy", "ndarray"): _TypeNdarray,
    ("numpy", "dtype"): _CallDtype,
    ("numpy.core.multiarray", "_reconstruct"): _CallReconstruct,
    ("numpy.core.multiarray", "scalar"): _CallScalar,
    ("numpy.core.numeric", "_frombuffer"): _CallFrombuffer,
    ("_codecs", "encode"): _CallEncode,
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
    array = value.array() if isinstance(value, _Array) else np.array([*value])
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError("expected indices")
    return array.astype(np.int64)
