"""safetensors: what is written is read back, by others too; damage is recognised."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leakysm.errors import UserError
from leakysm.exchange.safetensors import CODES, dump, load

arrays = hnp.arrays(
    st.sampled_from([*CODES, np.dtype(">f4"), np.dtype(">i2")]), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)
)
names = st.text(min_size=1).filter(lambda name: name != "__metadata__" and name.isprintable())
files = st.dictionaries(names, arrays, max_size=4)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.astype(other.dtype).tobytes() == other.tobytes()


@given(files, st.dictionaries(names, st.text(), max_size=2))
def test_what_is_written_is_read_back(file: dict, metadata: dict) -> None:
    found, told = load(dump(file, metadata), "it")
    assert told == metadata
    assert set(found) == set(file)
    assert all(same(file[name], array) and array.dtype.isnative for name, array in found.items())


@given(files)
def test_the_layout_is_the_published_one(file: dict) -> None:
    """Read anew from the format's description."""
    content = dump(file, {"a": "b"})
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__") == {"a": "b"}
    ends = []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        ends += [begin, end]
        assert entry["shape"] == list(file[name].shape)
        size = {"BOOL": 1}.get(entry["dtype"]) or int(entry["dtype"][1:]) // 8
        assert end - begin == size * file[name].size
        assert begin % size == 0
        assert (
            content[8 + length + begin : 8 + length + end]
            == file[name].astype(file[name].dtype.newbyteorder("<")).tobytes()
        )
    assert sorted(ends)[-1:] in ([], [len(content) - 8 - length])


@given(files)
def test_the_publishers_reader_agrees(file: dict) -> None:
    theirs = pytest.importorskip("safetensors.numpy")
    found = theirs.load(dump(file, {}))
    assert set(found) == set(file)
    assert all(same(file[name], array) for name, array in found.items())


@given(st.lists(st.integers(0, 2**16 - 1), max_size=9))
def test_bfloat16_is_the_upper_half_of_float32(bits: list[int]) -> None:
    header = json.dumps({"x": {"dtype": "BF16", "shape": [len(bits)], "data_offsets": [0, 2 * len(bits)]}}).encode()
    content = len(header).to_bytes(8, "little") + header + np.array(bits, "<u2").tobytes()
    found = load(content, "it")[0]["x"]
    assert found.dtype == np.float32
    assert found.view(np.uint32).tolist() == [b << 16 for b in bits]


@given(st.data())
def test_a_part_of_a_file_is_no_file(data: st.DataObject) -> None:
    content = dump({"x": np.arange(6.0), "y": np.arange(3, dtype=np.int8)}, {"a": "b"})
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(UserError, match=r"^w\.safetensors is not a complete safetensors file: .* undamaged copy$"):
        load(content[:cut], "w.safetensors")
    with pytest.raises(UserError, match="not a complete safetensors file"):
        load(content + b"\0", "w.safetensors")


def made(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        (2**63).to_bytes(8, "little") + b"{}",
        made([], b""),
        made({"x": 3}, b""),
        made({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        made({"x": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        made({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, bytes(4)),
        made({"x": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, bytes(4)),
        made({"x": {"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]}}, bytes(4)),
        made({"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        made({n: {"dtype": "U8", "shape": [2], "data_offsets": [i, i + 2]} for i, n in enumerate("xy")}, bytes(3)),
        made({"x": {"dtype": "F32", "shape": [1]}}, bytes(4)),
        made({"x": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}, bytes(4)),
    ],
)
def test_damage_is_told_in_one_line(content: bytes) -> None:
    with pytest.raises(UserError, match="not a complete safetensors file"):
        load(content, "it")
