"""NumPy's files of arrays, npy and npz, from bytes in memory: no array takes more room than the file has for it.

Source of the format: numpy.lib.format. Arrays of Python objects are refused: reading them would run code.
"""

from __future__ import annotations

import ast
import io
import math
import re
import zipfile

import numpy as np

from leakysm.files import RATIO, SPARE

MAGIC = b"\x93NUMPY"
LARGEST_HEADER = 1 << 14  # bytes
DEEPEST = 20  # brackets in a header


class NumpyFileError(ValueError):
    """What is wrong with a file, in words that fit into a sentence."""


def read_npy(content: bytes) -> np.ndarray:
    """The array of an npy file, read-only. NumpyFileError if the file is damaged, or holds Python objects."""
    length_at, width = 8, 2 if content[6:7] == b"\x01" else 4
    start = length_at + width
    length = int.from_bytes(content[length_at:start], "little")
    if content[:6] != MAGIC or content[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise NumpyFileError("it does not begin as an npy file")
    if length > LARGEST_HEADER or start + length > len(content):
        raise NumpyFileError(f"its header has {length} bytes")
    dtype, fortran, shape = _header(content[start : start + length].decode("latin1"))
    size = math.prod(shape) * dtype.itemsize
    if size > len(content) - start - length:
        raise NumpyFileError(f"its header claims {size} bytes, {len(content) - start - length} are there")
    flat = np.frombuffer(content, dtype, math.prod(shape), start + length)
    return flat.reshape(shape, order="F" if fortran else "C")


def read_npz(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz archive by name. NumpyFileError as for `read_npy`, or if it inflates beyond its bound."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            inflated = sum(member.file_size for member in members)
            if inflated > SPARE + RATIO * len(content):
                raise NumpyFileError(f"it claims {inflated} bytes, too many for {len(content)} packed ones")
            if any(member.compress_size > len(content) for member in members):
                raise NumpyFileError("a member claims more bytes than the archive has")
            contents = {member.filename: archive.read(member) for member in members}
    except NumpyFileError:
        raise
    except Exception as error:  # zipfile and its packers fail in many ways
        raise NumpyFileError(f"{' '.join(str(error).split()) or type(error).__name__}") from None
    arrays = {}
    for name, member in contents.items():
        try:
            arrays[name.removesuffix(".npy")] = read_npy(member)
        except NumpyFileError as error:
            raise NumpyFileError(f"{name}: {error}") from None
    return arrays


def _header(text: str) -> tuple[np.dtype, bool, tuple[int, ...]]:
    """(dtype, whether in Fortran's order, shape) of a header, which is a dict as Python writes it."""
    try:
        if text.count("(") > DEEPEST:  # for more, Python says that memory is short
            raise ValueError
        header = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text).strip())  # Python 2 wrote 3L
        descr, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
        plain = isinstance(descr, str) and type(fortran) is bool and len(header) == 3
        counts = isinstance(shape, tuple) and all(type(length) is int and 0 <= length < 1 << 62 for length in shape)
        dtype = np.dtype(descr) if plain and counts and len(shape) <= 32 else None
    except Exception as error:  # Python's parser fails in many ways
        raise NumpyFileError(f"its header cannot be read ({type(error).__name__})") from None
    if dtype is None:
        raise NumpyFileError("its header is not that of an array of numbers")
    if dtype.hasobject:
        raise NumpyFileError("it holds Python objects")
    if not dtype.itemsize:
        raise NumpyFileError(f"its numbers are {dtype}")
    return dtype, fortran, shape
