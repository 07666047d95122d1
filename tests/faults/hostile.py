# ruff: noqa: E501 (a table: a line an entry)
"""The smallest files that broke a promise, one for each mechanism, and files that somebody made to break one."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from tests.faults import mutants as m


@dataclass(frozen=True)
class Hostile:
    """name: what it is. format: whose reader gets it. make: from the undamaged content.

    reason: why the promise is not held yet; None where it is.
    """

    name: str
    format: str
    make: Callable[[bytes], bytes]
    reason: str | None = None


def _text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def make(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return make


def _json(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def make(content: bytes) -> bytes:
        whole = json.loads(content)
        change(whole)
        return json.dumps(whole).encode()

    return make


def _tested(**values: object) -> Callable[[bytes], bytes]:
    return _json(lambda whole: whole["tests"][0].update(values))


def _hdf5(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    def make(content: bytes) -> bytes:
        block = m._user_block(content)
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return block + buffer.getvalue()[len(block) :]

    return make


def _attribute(name: str, value: object, at: str = "/") -> Callable[[bytes], bytes]:
    return _hdf5(lambda file: file[at].attrs.__setitem__(name, value))


def _without_attribute(name: str, at: str = "/") -> Callable[[bytes], bytes]:
    return _hdf5(lambda file: file[at].attrs.__delitem__(name))


def _replaced(name: str, how: str) -> Callable[[bytes], bytes]:
    """The data set of that name as mutants have it: "a NaN", "missing" and so on."""

    def change(file: Any) -> None:
        at = next(iter(file)) if name == "*" else name
        old = file[at]
        data = np.asarray(old[()]) if isinstance(old, h5py.Dataset) else np.zeros(1)
        attributes = dict(old.attrs)
        del file[at]
        m._REPLACEMENTS[how](file, at, data, np.random.default_rng(0))
        if isinstance(file.get(at, getlink=True), h5py.HardLink):
            file[at].attrs.update(attributes)

    return _hdf5(change)


def _npz(members: dict[str, bytes]) -> Callable[[bytes], bytes]:
    return lambda content: m._archive(members)


def _npy_bytes(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def _header(header: str) -> Callable[[bytes], bytes]:
    """An archive whose only array has this header."""
    return _npz({"block1.weight.npy": _npy_bytes(header)})


def _bomb(content: bytes) -> bytes:
    """Three megabytes that inflate to 640."""
    header = _npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (167772160,), }")
    zeros = bytes(1 << 20)
    buffer = io.BytesIO()
    packed = zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed, packed.open("block1.weight.npy", "w") as out:
        out.write(header)
        for _ in range(640):
            out.write(zeros)
    return buffer.getvalue()


def _claims(content: bytes) -> bytes:
    """The last member's packed size is 2 GiB, by the archive's own list."""
    at = content.rfind(b"PK\x01\x02") + 20
    return content[:at] + struct.pack("<I", 2**31 - 1) + content[at + 4 :]


def _lzma(content: bytes) -> bytes:
    """A damaged member that is packed by LZMA."""
    packed = bytearray(m._archive(m._members(content), zipfile.ZIP_LZMA))
    at = packed.find(b"block1.weight.npy") + len(b"block1.weight.npy")
    packed[at : at + 40] = bytes(40)
    return bytes(packed)


def _torch_save(content: bytes) -> bytes:
    """As torch.save writes it: a zip archive of a pickle and of raw numbers, no .npy among them."""
    return m._archive({"archive/data.pkl": pickle.dumps({}, 2), "archive/data/0": bytes(8), "archive/version": b"3\n"})


def _safetensors(shape: list[Any]) -> Callable[[bytes], bytes]:
    def make(content: bytes) -> bytes:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        begin, end = header["block1.weight"]["data_offsets"]
        for entry in (entry for name, entry in header.items() if name != "__metadata__"):
            entry["data_offsets"] = [at - (end - begin) if at > begin else at for at in entry["data_offsets"]]
        header["block1.weight"] |= {"shape": shape, "data_offsets": [begin, begin]}
        text = json.dumps(header).encode()
        data = content[8 + size :]
        return len(text).to_bytes(8, "little") + text + data[:begin] + data[end:]

    return make


def _doubling(content: bytes) -> bytes:
    """A class whose indices are a list of two of a list of two, 30 times, through the memo: 2^30 numbers."""
    code = b"]\x94K\x00a0" + b"".join(b"]\x94(h%bh%be0" % (bytes([k]), bytes([k])) for k in range(30))
    lists = b"X\x0a\x00\x00\x00class_dict}X\x03\x00\x00\x00n01h\x1es"
    images = b"X\x0a\x00\x00\x00image_data" + pickle.dumps(np.zeros((1, 84, 84, 3), np.uint8), 2)[2:-1]
    return b"\x80\x04" + code + b"}(" + lists + images + b"u."


def _colliding(content: bytes) -> bytes:
    """20,000 whole numbers of one hash as keys of a dict."""
    modulus = 2**61 - 1
    keys = b"".join(b"\x8a\x0a" + (modulus * k).to_bytes(10, "little", signed=True) + b"N" for k in range(1, 20_001))
    return b"\x80\x04}(" + keys + b"u."


def _grid(content: bytes) -> bytes:
    """10^9 points."""
    lists = ", ".join(map(str, range(1000)))
    return f"[grid]\nseed = [{lists}]\nthreshold = [{lists}]\nhalve_every = [{lists}]\n".encode()


HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"
DEEP, DIGITS = b"[" * 2_000, b"9" * 5_000
ELSEWHERE = "HDF5 may lead to another file: external storage, virtual data sets and links are followed"
UNCHECKED = "a checkpoint's content is taken as it is; missing, misshapen or odd parts are not refused"
NO_BOUND = "no bound on depth and digits before the parser"
HEADERS = "numpy's reader of headers fails in ways that are not told in one line"

HOSTILE = (
    Hostile("lists 2,000 deep", "config.toml", lambda content: b"a = " + DEEP),
    Hostile("a number of 5,000 digits", "config.toml", lambda content: b"seed = " + DIGITS),
    Hostile("a key of 100,000 parts", "config.toml", lambda content: b".".join([b"a"] * 100_000) + b" = 1"),
    Hostile("a learning_rate of 400 digits", "config.toml", lambda content: b"learning_rate = " + b"9" * 400),
    Hostile("lists 2,000 deep", "sweep .toml", lambda content: b"a = " + DEEP),
    Hostile("a number of 5,000 digits", "sweep .toml", lambda content: b"seed = " + DIGITS),
    Hostile("a key of 100,000 parts", "sweep .toml", lambda content: b".".join([b"a"] * 100_000) + b" = 1"),
    Hostile("a grid of 10^9 points", "sweep .toml", _grid),
    Hostile("lists 2,000 deep", "summary.json", lambda content: DEEP),
    Hostile("a number of 5,000 digits", "summary.json", _text(b'"seed": 0', b'"seed": ' + DIGITS)),
    Hostile("another interval", "summary.json", _tested(interval=0.0)),
    Hostile("another query", "summary.json", _tested(query=7)),
    Hostile("another norm", "summary.json", _tested(norm="episode")),
    Hostile("a test taken out", "summary.json", _json(lambda whole: whole["tests"].pop())),
    Hostile("episodes in another order", "test-episodes.h5, signed anew", _replaced("*", "reversed")),
    Hostile("a link to another file", "test-episodes.h5, signed anew", _replaced("*", "a link to another file")),
    Hostile("2^33 numbers without data", "test-episodes.h5, signed anew", _replaced("*", "2**33 numbers without data")),
    Hostile("a text of no size", "test-episodes.h5, signed anew", m.without_size),
    Hostile("a row altered", "metrics.csv, resumed", lambda content: content.replace(b"1,", b"1,1", 1)),
    Hostile("a column less", "metrics.csv, drawn", lambda content: b"\n".join(line.rpartition(b",")[0] for line in content.split(b"\n"))),
    Hostile("no version", "checkpoint, signed anew", _without_attribute("version")),
    Hostile("no net", "checkpoint, signed anew", _replaced("net", "missing")),
    Hostile("a net that is a data set", "checkpoint, signed anew", _replaced("net", "a number")),
    Hostile("a weight that is a text", "checkpoint, signed anew", _replaced("net/block1.weight", "a text")),
    Hostile("an episode that is a text", "checkpoint, signed anew", _attribute("episode", "")),
    Hostile("episode -5", "checkpoint, signed anew", _attribute("episode", -5)),
    Hostile("a weight that is NaN", "checkpoint, signed anew", _replaced("net/block1.weight", "a NaN")),
    Hostile("a negative variance", "checkpoint, signed anew", _replaced("net/block1.variance", "a negative number")),
    Hostile("std 0", "checkpoint, signed anew", _replaced("inputs/std", "a zero")),
    Hostile("no mean", "checkpoint, signed anew", _replaced("inputs/mean", "missing")),
    Hostile("image_shape of length 2", "checkpoint, signed anew", _replaced("inputs/image_shape", "one number less")),
    Hostile("cut to 600 bytes", "checkpoint, signed anew", lambda content: content[:600]),
    Hostile("stored in another file", "checkpoint, signed anew", _replaced("net/block1.scale", "stored in another file")),
    Hostile("a view of another file", "checkpoint, signed anew", _replaced("net/block1.scale", "a view of another file")),
    Hostile("a link to another file", "checkpoint, signed anew", _replaced("net/block1.scale", "a link to another file")),
    Hostile("2^33 numbers without data", "checkpoint, signed anew", _replaced("net/block1.scale", "2**33 numbers without data")),
    Hostile("no second moment", "checkpoint, resumed", _replaced("optimizer/second_moment", "missing")),
    Hostile("a misshapen second moment", "checkpoint, resumed", _replaced("optimizer/second_moment", "one number less")),
    Hostile("a second moment of NaN", "checkpoint, resumed", _replaced("optimizer/second_moment", "a NaN")),
    Hostile("episode 1 of 2", "checkpoint, resumed", _attribute("episode", 1)),
    Hostile("episode -5", "checkpoint, resumed", _attribute("episode", -5)),
    Hostile("a metrics_size of -1", "checkpoint, resumed", _attribute("metrics_size", -1)),
    Hostile("stored in another file", "embeddings .h5", _replaced("embeddings", "stored in another file")),
    Hostile("a view of another file", "embeddings .h5", _replaced("embeddings", "a view of another file")),
    Hostile("a link to another file", "embeddings .h5", _replaced("embeddings", "a link to another file")),
    Hostile("2^33 numbers without data", "embeddings .h5", _replaced("labels", "2**33 numbers without data")),
    Hostile("shape (10^30,)", "embeddings .npy", lambda content: _npy_bytes(HEADER.format("'<f4'", "(10**30,)"))),
    Hostile("a shape of parentheses 200 deep", "labels .npy", lambda content: _npy_bytes(HEADER.format("'<i8'", "(1, " * 200 + ")" * 200))),
    Hostile("torch.save's", "weights .npz", _torch_save),
    Hostile("shape (10^30,)", "weights .npz", _header(HEADER.format("'<f4'", f"({10**30},)"))),
    Hostile("descr ()", "weights .npz", _header(HEADER.format("()", "(2,)"))),
    Hostile("no closing brace", "weights .npz", _header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,")),
    Hostile("an indent", "weights .npz", _header("  " + HEADER.format("'<f4'", "(2,)"))),
    Hostile("damaged LZMA", "weights .npz", _lzma),
    Hostile("shape (0, 3, 1, 10^9)", "weights .npz", lambda content: m._archive(m._members(content) | {
        "block1.weight.npy": _npy_bytes(HEADER.format("'<f4'", f"(0, 3, 1, {10**9})"))})),
    Hostile("3 MB that inflate to 640 MB", "weights .npz", _bomb),
    Hostile("shape (0, 3, 1, 2000)", "weights .safetensors", _safetensors([0, 3, 1, 2000])),
    Hostile("a shape of 100,000 letters", "weights .safetensors", _safetensors(["x" * 100_000])),
    Hostile("a header of lists 2,000 deep", "weights .safetensors", lambda content: struct.pack("<q", 2_000) + DEEP),
    Hostile("a format that is a text", "vectors, signed anew", _attribute("format", "two")),
    Hostile("a format in bad UTF-8", "vectors, signed anew", _attribute("format", b"\xff\xfe")),
    Hostile("a format that is a list", "vectors, signed anew", _attribute("format", [2, 2])),
    Hostile("a format that is true", "vectors, signed anew", _attribute("format", True)),
    Hostile("a data set in a case's place", "vectors, signed anew", _replaced("relu/equal-x", "a number")),
    Hostile("a data set in an operation's place", "vectors, signed anew", _replaced("relu", "a number")),
    Hostile("contents in bad UTF-8", "vectors, signed anew", _attribute("contents", b"\xff\xfe", "relu/equal-x")),
    Hostile("a case without flags", "vectors, signed anew", _without_attribute("flags", "relu/equal-x")),
    Hostile("parameters that are no JSON", "vectors, exported", _attribute("parameters", "{", "relu/equal-x")),
    Hostile("lists 2,000 deep", "manifest.json of vectors", lambda content: DEEP),
    Hostile("a digest of 100,000 letters", "manifest.json of vectors", _json(lambda whole: whole["files"]["operations.h5"]["cases"].update({"relu/equal-x": "x" * 100_000}))),
    Hostile("files that is a list", "manifest.json of vectors", _json(lambda whole: whole.update(files=[]))),
    Hostile("cases of a number", "manifest.json of vectors", _json(lambda whole: whole["files"]["operations.h5"].update(cases=1))),
    Hostile("19 bytes that ask for 3 GB", "pickle", lambda content: b"\x80\x04\x8e" + struct.pack("<q", 3 << 30) + b"12345678"),
    Hostile("a bytearray of 3 GB", "pickle", lambda content: b"\x80\x05\x96" + struct.pack("<q", 3 << 30) + b"."),
    Hostile("lists doubled through the memo", "pickle", _doubling),
    Hostile("20,000 colliding keys", "pickle", _colliding),
    Hostile("a member that claims 2 GiB", "Omniglot zip", _claims),
    Hostile("not UTF-8", "expected failures", lambda content: b"\xff\xfe"),
    Hostile("a field of 200,000 letters", "label table", lambda content: content + b"\n" + b"x" * 200_000 + b",cat"),
    Hostile("a label with a NUL", "label table", _text(b",cat", b",c\0t")),
    Hostile("../ in a file's name", "label table", lambda content: content + b"\n../../../etc/hostname,cat"),
)  # fmt: skip
