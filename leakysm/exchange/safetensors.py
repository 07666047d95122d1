"""Read and write safetensors files: named arrays that load without running anything.

    8 bytes: N, little-endian | N bytes: JSON, {name: {dtype, shape, data_offsets: [begin, end)}} | the arrays' bytes

Arrays are little-endian and row-major, without gaps; `__metadata__` is a map of texts. Source: the format's
description in https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from leakysm.errors import UserError
from leakysm.small_texts import parse_json
from leakysm.strict_json import json_text

Arrays = dict[str, np.ndarray]
DTYPES = {
    code: np.dtype(text)
    for code, text in zip(
        ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"),
        ("<f8", "<f4", "<f2", "<u2", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1"),
        strict=True,
    )
}
CODES = {dtype: code for code, dtype in DTYPES.items() if code != "BF16"}
LARGEST_HEADER = 1 << 22  # bytes; the format's own limit is 100 MB
ALIGNMENT = 8


def dump(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The file's content. Arrays of float16 to 64, int8 to 64, uint8 or bool; KeyError for another dtype."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, position = [], 0
    # widest elements first, so that each array starts at a multiple of its element's size
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        content = little.tobytes()
        offsets = [position, position + len(content)]
        header[name] = {"dtype": CODES[little.dtype], "shape": list(array.shape), "data_offsets": offsets}
        parts.append(content)
        position += len(content)
    text = json_text(header, compact=True).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def load(content: bytes, where: str) -> tuple[Arrays, dict[str, str]]:
    """(arrays, metadata); bfloat16 comes as float32. UserError naming `where` if the content is damaged."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(LARGEST_HEADER, len(content) - 8):
        raise _damaged(where, f"its header does not fit into {len(content)} bytes")
    try:
        header = parse_json(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        spans = sorted((entry["data_offsets"], name) for name, entry in header.items())
        arrays = {name: _array(header[name], memoryview(content)[8 + length :]) for _, name in spans}
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(where, f"its header cannot be read ({error})") from None
    ends = [0, *(offsets[1] for offsets, _ in spans)]
    if [offsets[0] for offsets, _ in spans] != ends[:-1] or ends[-1] != len(content) - 8 - length:
        raise _damaged(where, "its arrays overlap, or leave gaps")
    return arrays, metadata


def _array(entry: Mapping[str, Any], data: memoryview) -> np.ndarray:
    """One array, copied. ValueError, KeyError or TypeError if the entry does not go with the data."""
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    dtype = DTYPES[entry["dtype"]]
    if not 0 <= begin <= end <= len(data) or math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"shape {list(shape)} of {entry['dtype']} in bytes {begin} to {end} of {len(data)}")
    array = np.frombuffer(data[begin:end], dtype).reshape(shape)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(dtype.newbyteorder("="))


def _damaged(where: str, what: str) -> UserError:
    return UserError(f"{where} is not a complete safetensors file: {what}; put back an undamaged copy")
