"""Pickles of arrays, read without trusting them: a pickle may name any function and have it called.

Here a file may name only the few functions that arrays are pickled with, and each name gives an inert stand-in of
ours: no function that a file names is ever called, NumPy's included. Every other name is refused.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.files import opened

_LARGEST_KEY = 1 << 32  # of a dict: below it all whole numbers differ in hash
_LARGEST = 1 << 32  # bytes; miniImageNet's published files have up to 1.2 GB


def read_pickle(file: Path, *, mend: str) -> Any:
    """What the file holds: plain containers and values; an array as an object whose method `array()` gives it.

    UserError if it is damaged, or names anything but arrays and plain containers; ending in `mend` if it is absent.
    """
    try:
        with opened(file, most=_LARGEST, mend=mend) as stream:
            return _Unpickler(_Bounded(stream), encoding="bytes").load()
    except _RefusedContentError as error:
        raise UserError(f"{file} {error}; nothing was run, get the file elsewhere") from None
    except UserError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way; none of them ran anything
        raise UserError(f"{file} is damaged or no pickle ({type(error).__name__}); download it again") from None


class _RefusedContentError(Exception):
    """What is wrong with the file, in words that follow the file's name."""


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
    dicts must be texts or numbers. The C unpickler with the same `find_class` is not safe (tried on Python 3.11). A
    dict with a key of a million nested tuples, or a frozenset of them, ends the process, because hashing the tuples
    overflows the C stack before `find_class` is called; four of the files `HOSTILE` in
    tests/data/test_miniimagenet_pickles.py do this. The C unpickler also makes room for as many memo entries as a file
    claims, 34 GB for a file of a few bytes.
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
        """A bytearray, as bytes. They are read before room is made, so no more than the file has."""
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
        """The NumPy array. Any of Python's or NumPy's errors if its parts do not fit together."""
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
        order = as_text(self._state[1])
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
        return _Dtype(as_text(code))


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


def as_text(value: Any) -> str:
    """A text, or bytes of one: Python 2 wrote those. TypeError for anything else."""
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value


def as_indices(value: Any) -> NDArray[np.int64]:
    """Indices from an array or a list of whole numbers. No lists in a list: they may be 1,000 times the file's size."""
    if not isinstance(value, _Array) and not all(isinstance(index, int) for index in value):
        raise ValueError("expected indices")
    array = value.array() if isinstance(value, _Array) else np.array([*value])
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError("expected indices")
    return array.astype(np.int64)
