"""Altered files: by their bytes, whatever they hold, or by what they say, in formats that are known here.

A mutation takes a file's content and a random generator, and gives the altered content and what was altered. One that
does not fit the content raises NoFit.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import h5py
import numpy as np
from PIL import Image

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], tuple[bytes, str]]


class NoFit(Exception):  # noqa: N818  (the next mutation is tried)
    """The content offers nothing to this mutation."""


def _somewhere(content: bytes, rng: Rng) -> int:
    """A byte: near the beginning or the end, where headers are, as often as anywhere."""
    size = len(content)
    if not size:
        raise NoFit
    near = min(size - 1, int(size ** rng.random()) - 1)
    return int((near, size - 1 - near, rng.integers(size))[rng.integers(3)])


def flip(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """One bit."""
    at, bit = _somewhere(content, rng), int(rng.integers(8))
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :], f"bit {bit} of byte {at} flipped"


def replace_byte(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """One byte by an extreme, or any other."""
    at, value = _somewhere(content, rng), int(rng.choice([0, 255, 127, 128, rng.integers(256)]))
    return content[:at] + bytes([value]) + content[at + 1 :], f"byte {at} is {value}"


def cut(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """The end is missing."""
    at = _somewhere(content, rng)
    return content[:at], f"cut to {at} bytes"


def double(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A range stands there twice."""
    at, size = _somewhere(content, rng), int(2 ** rng.integers(1, 10))
    return content[: at + size] + content[at:], f"bytes {at} to {at + size} doubled"


def remove(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A range is missing."""
    at, size = _somewhere(content, rng), int(2 ** rng.integers(0, 10))
    return content[:at] + content[at + size :], f"bytes {at} to {at + size} removed"


def zero(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A range of zeros, as a disk leaves that lost power."""
    at, size = _somewhere(content, rng), int(2 ** rng.integers(0, 13))
    end = min(len(content), at + size)
    return content[:at] + bytes(end - at) + content[end:], f"bytes {at} to {end} zeroed"


def huge(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """Eight bytes that say a huge number, where a size may stand."""
    at = _somewhere(content, rng) & ~3
    value = int(rng.choice([2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1]))
    return content[:at] + struct.pack("<q", value) + content[at + 8 :], f"bytes {at} to {at + 8} say {value}"


BYTES: tuple[Mutation, ...] = (flip, flip, replace_byte, cut, double, remove, zero, huge)

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, -5, 2**31, 2**63, 10**30, 10**400, -0.5, 0.5, 1e300, float("nan"), float("inf"), "", "a",
    "\udcff", "\x00", "x" * 100_000, [], [[]], [0], [1, 2], {}, {"a": 1}, [[[]]],
)  # fmt: skip


def _odd(rng: Rng) -> Any:
    return ODD[rng.integers(len(ODD))]


def _deep(rng: Rng, opening: str, closing: str) -> tuple[str, str]:
    depth = int(rng.choice([100, 2_000, 100_000]))
    return opening * depth + closing * depth, f"{opening!r} {depth} deep"


def _digits(rng: Rng) -> str:
    return "9" * int(rng.choice([20, 400, 5_000, 100_000]))


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) < 60 else f"{text[:50]}... ({len(text)} characters)"


def json_value(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A value of a JSON document is another, or a key is missing."""
    try:
        whole = json.loads(content)
    except ValueError:
        raise NoFit from None
    places = list(_places(whole, ()))
    if not places:
        raise NoFit
    *path, last = places[rng.integers(len(places))]
    holder = whole
    for step in path:
        holder = holder[step]
    where = "/".join(map(str, [*path, last]))
    choice = rng.integers(8)
    if choice == 0:
        del holder[last]
        return json.dumps(whole).encode(), f"{where} removed"
    holder[last] = "@@"
    if choice == 1:
        text, what = _deep(rng, "[", "]")
    elif choice == 2:
        text = _digits(rng)
        what = f"a number of {len(text)} digits"
    else:
        value = _odd(rng)
        text, what = json.dumps(value), _short(value)
    return json.dumps(whole).replace('"@@"', text).encode(), f"{where} is {what}"


def _places(value: Any, path: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


_TOML = (
    "1", "0", "-1", "1e400", "nan", "inf", "true", '""', '"a"', "[]", "[[]]", "[1, 1]", "{}", "{a = 1}", "1979-05-27",
    '"\\u0000"', '"""x"""', "0x7fffffffffffffffff", "[1, 'a']", "'\x7f'",
)  # fmt: skip


def toml_line(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A line of `key = value` is another, doubled, or missing; or a table is opened."""
    lines = content.decode().splitlines()
    at = int(rng.integers(len(lines)))
    key, _, value = lines[at].partition(" = ")
    choice = rng.integers(7)
    if choice == 0:
        what, new = "removed", []
    elif choice == 1:
        what, new = "doubled", [lines[at], lines[at]]
    elif choice == 2:
        dots = int(rng.choice([2, 100, 20_000]))
        what, new = f"a key of {dots} parts", [".".join(["a"] * dots) + " = 1"]
    elif choice == 3:
        name = str(rng.choice(["a", "grid", "control", "threads", "", "a.b", "[control]"]))
        what, new = f"table {name}", [f"[{name}]", lines[at]]
    else:
        if choice == 4:
            value, what = _deep(rng, "[", "]")
        elif choice == 5:
            value = _digits(rng)
            what = f"a number of {len(value)} digits"
        else:
            value = what = str(rng.choice(_TOML))
        new = [f"{key} = {value}"]
    return "\n".join([*lines[:at], *new, *lines[at + 1 :], ""]).encode(), f"line {at + 1} ({key}): {what}"


def csv_line(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A line is missing, doubled, has a field more or less, or an odd field."""
    lines = content.split(b"\n")
    at = int(rng.integers(len(lines)))
    odd = (
        b"",
        b'"',
        b"\x00",
        b"\xff",
        b"../../etc/passwd",
        b"/dev/zero",
        b"x" * 200_000,
        b"nan",
        b"-1",
        b"a\rb",
        b"=1",
    )
    field = odd[rng.integers(len(odd))]
    fields = lines[at].split(b",")
    choice = int(rng.integers(5))
    if choice == 0:
        new, what = [], "removed"
    elif choice == 1:
        new, what = [lines[at]] * 2, "doubled"
    elif choice == 2:
        new, what = [lines[at] + b"," + field], f"one field more, {_short(field)}"
    elif choice == 3:
        new, what = [b",".join(fields[1:])], "one field less"
    else:
        fields[rng.integers(len(fields))] = field
        new, what = [b",".join(fields)], f"a field is {_short(field)}"
    return b"\n".join([*lines[:at], *new, *lines[at + 1 :]]), f"line {at + 1}: {what}"


def hdf5_object(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A data set or group of an HDF5 file is missing, of another kind, shape or type, or a link to elsewhere."""
    buffer = io.BytesIO(content)
    block = _user_block(content)
    with h5py.File(buffer, "r+", userblock_size=None) as file:
        names: list[str] = []
        file.visit(names.append)
        if not names:
            raise NoFit
        name = names[rng.integers(len(names))]
        old = file[name]
        data = np.asarray(old[()]) if isinstance(old, h5py.Dataset) else np.zeros(0)
        choices = list(_REPLACEMENTS)
        what = choices[rng.integers(len(choices))]
        attributes = dict(old.attrs)
        del file[name]
        _REPLACEMENTS[what](file, name, data, rng)
        if name in file and isinstance(file.get(name, getlink=True), h5py.HardLink):
            file[name].attrs.update(attributes)
    return block + buffer.getvalue()[len(block) :], f"{name}: {what}"


def without_size(content: bytes) -> bytes:
    """An HDF5 file whose first text says that it has no bytes, which keeps HDF5 busy for ever."""
    at = content.index(b"GCOL") + 16 + 8
    return content[:at] + bytes(8) + content[at + 8 :]


def _user_block(content: bytes) -> bytes:
    """What stands before HDF5's own signature."""
    at = content.find(b"\x89HDF\r\n\x1a\n")
    if at < 0:
        raise NoFit
    return content[:at]


def _put(make: Callable[[np.ndarray[Any, Any]], Any]) -> Callable[[Any, str, Any, Rng], None]:
    def put(file: Any, name: str, data: Any, rng: Rng) -> None:
        try:
            file[name] = make(data)
        except (ValueError, TypeError, IndexError):
            raise NoFit from None

    return put


def _numbers(value: float) -> Callable[[Any, str, Any, Rng], None]:
    def put(file: Any, name: str, data: Any, rng: Rng) -> None:
        if data.dtype.kind not in "fiu" or not data.size or (data.dtype.kind != "f" and not np.isfinite(value)):
            raise NoFit
        flat = data.ravel().copy()
        with np.errstate(all="ignore"):
            flat[rng.integers(flat.size)] = np.asarray(value).astype(data.dtype)
        file[name] = flat.reshape(data.shape)

    return put


def _chunked(file: Any, name: str, data: Any, rng: Rng) -> None:
    file.create_dataset(name, shape=(2**33,), dtype="f4", chunks=(1024,))


def _external(file: Any, name: str, data: Any, rng: Rng) -> None:
    file.create_dataset(name, shape=data.shape or (1,), dtype=data.dtype, external=[("/etc/hostname", 0, 2**40)])


def _virtual(file: Any, name: str, data: Any, rng: Rng) -> None:
    layout = h5py.VirtualLayout(shape=data.shape or (1,), dtype=data.dtype)
    layout[...] = h5py.VirtualSource("/etc/hostname", "a", shape=data.shape or (1,))
    file.create_virtual_dataset(name, layout)


def _link(link: Any) -> Callable[[Any, str, Any, Rng], None]:
    def put(file: Any, name: str, data: Any, rng: Rng) -> None:
        file[name] = link

    return put


_REPLACEMENTS: dict[str, Callable[[Any, str, Any, Rng], None]] = {
    "missing": lambda file, name, data, rng: None,
    "a group": lambda file, name, data, rng: file.create_group(name) and None,
    "a text": _put(lambda data: "text"),
    "a text in bad UTF-8": _put(lambda data: b"\xff\xfe"),
    "a number": _put(lambda data: 3),
    "float64": _put(lambda data: data.astype(np.float64)),
    "int8": _put(lambda data: data.astype(np.int8)),
    "complex": _put(lambda data: data.astype(np.complex64)),
    "empty": _put(lambda data: data.ravel()[:0]),
    "without data": _put(lambda data: h5py.Empty("f4")),
    "one number less": _put(lambda data: data.ravel()[1:]),
    "one axis more": _put(lambda data: data[None]),
    "flat": _put(lambda data: data.ravel()),
    "reversed": _put(lambda data: data[::-1]),
    "of references": _put(lambda data: np.zeros(1, h5py.ref_dtype)),
    "a NaN": _numbers(np.nan),
    "an infinity": _numbers(np.inf),
    "a negative number": _numbers(-1),
    "a huge number": _numbers(1e30),
    "a zero": _numbers(0),
    "2**33 numbers without data": _chunked,
    "stored in another file": _external,
    "a view of another file": _virtual,
    "a soft link": _link(h5py.SoftLink("/nowhere")),
    "a circle": _link(h5py.SoftLink("/")),
    "a link to another file": _link(h5py.ExternalLink("/etc/hostname", "/a")),
}


def hdf5_attribute(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """An attribute of an HDF5 file is missing, or odd."""
    buffer = io.BytesIO(content)
    block = _user_block(content)
    with h5py.File(buffer, "r+") as file:
        places = [(name, key) for name in _with_attributes(file) for key in file[name].attrs]
        if not places:
            raise NoFit
        # a file's own attributes say most, and are few beside those of its cases
        own = [place for place in places if place[0] == "/"]
        chosen = own if own and rng.random() < 0.5 else places
        name, key = chosen[rng.integers(len(chosen))]
        values: tuple[Any, ...] = (*ODD[:19], b"\xff\xfe", h5py.Empty("f4"), np.arange(3), np.zeros((2, 2)), "1,2", "{")
        value = values[rng.integers(len(values))]
        if rng.random() < 0.15:
            del file[name].attrs[key]
            what = "missing"
        else:
            try:
                file[name].attrs[key] = "None" if value is None else value
            except (TypeError, ValueError, OverflowError, UnicodeEncodeError):
                raise NoFit from None
            what = f"is {_short(value)}"
    return block + buffer.getvalue()[len(block) :], f"attribute {key} of {name} {what}"


def _with_attributes(file: Any) -> list[str]:
    names = ["/"]
    file.visit(names.append)
    return names


HDF5: tuple[Mutation, ...] = (*BYTES, hdf5_object, hdf5_object, hdf5_object, hdf5_attribute, hdf5_attribute)


def npz_header(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """The header of an archive's array is another, or has a byte altered; the archive's own checksums are right."""
    members = _members(content)
    name = list(members)[rng.integers(len(members))]
    members[name], what = npy_header(members[name], rng)
    return _archive(members), f"{name}: {what}"


def npy_header(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """The header of an .npy file says another shape or type, or is no header."""
    size = int.from_bytes(content[8:10], "little")
    header = content[10 : 10 + size].decode("latin1")
    shapes = ("(10**30,)", "(1000000000000000000000000000000,)", "(-1,)", "()", "(0, 3, 1, 1000000000)", "(1e3,)", "2",
              "(2**62, 4)", "(True,)", "(9223372036854775807, 2)", "(1, " * 200 + ")" * 200)  # fmt: skip
    types = (
        "()",
        "'|O'",
        "'<f9'",
        "'<M8[s]'",
        "[('a', '<f4')]",
        "'<U1000000000'",
        "'|V0'",
        "''",
        "'<c8'",
        "'<f2'",
        "'>f4'",
        "None",
    )
    choice = int(rng.integers(6))
    if choice == 0:
        shape = str(rng.choice(shapes))
        new, what = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {shape}", header), f"shape {shape[:40]}"
    elif choice == 1:
        kind = str(rng.choice(types))
        new, what = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': {kind}", header), f"type {kind}"
    elif choice == 2:
        new, what = header.replace("}", ""), "no closing brace"
    elif choice == 3:
        new, what = "  " + header, "an indent"
    elif choice == 4:
        new, what = _deep(rng, "(", ")")
        new = new[:60_000]
    else:
        changed, what = flip(header.encode("latin1"), rng)
        new, what = changed.decode("latin1"), f"header: {what}"
    text = new.encode("latin1")
    return content[:8] + len(text).to_bytes(2, "little") + text + content[10 + size :], what


def zip_member(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """A member is missing, doubled, renamed, altered or another kind of file; the archive's own checksums are right."""
    members = _members(content)
    name = list(members)[rng.integers(len(members))]
    choice = int(rng.integers(8))
    if choice == 0:
        del members[name]
        return _archive(members), f"{name} removed"
    if choice == 1:
        return _archive([*members.items(), (name, members[name])]), f"{name} twice"
    if choice == 2:
        odd = str(rng.choice(["../x.png", "/x.png", "C:/x.png", "a\\..\\b.png", "x", "x/", "", "é.png", "x" * 60_000]))
        return _archive(
            [(odd if key == name else key, data) for key, data in members.items()]
        ), f"{name} is {_short(odd)}"
    if choice == 3:
        method = int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
        packed, what = flip(_archive(members, method), rng)
        return packed, f"packed by method {method}, {what}"
    if choice == 4:
        members[name], what = postscript(members[name], rng)
    else:
        mutation = BYTES[rng.integers(len(BYTES))]
        members[name], what = mutation(members[name], rng)
    return _archive(members), f"{name}: {what}"


def postscript(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """An image that a program would have to run."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "EPS")
    return buffer.getvalue(), "an EPS file"


def other_image(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """An image in another format, mode or size."""
    kind = str(rng.choice(["PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "PCX", "SGI", "TGA", "ICO", "PDF", "JPEG2000"]))
    mode = str(rng.choice(["L", "RGB", "RGBA", "1", "P", "I;16", "F", "CMYK"]))
    buffer = io.BytesIO()
    try:
        Image.new(mode, (int(rng.choice([1, 16, 84, 3000])), 16)).save(buffer, kind)
    except (OSError, KeyError, ValueError, SystemError):
        raise NoFit from None
    return buffer.getvalue(), f"a {kind} image in mode {mode}"


def _members(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        raise NoFit from None


def _archive(members: Any, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that stand there twice
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return buffer.getvalue()


def safetensors_header(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """The JSON of a safetensors file is another; its length is right."""
    size = int.from_bytes(content[:8], "little")
    header, what = json_value(content[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + size :], what


def pickle_opcode(content: bytes, rng: Rng) -> tuple[bytes, str]:
    """Opcodes between others."""
    odd = (
        b"N", b"(", b"0", b"1", b"2", b"t", b"l", b"d", b"}", b"]", b")", b"a", b"e", b"s", b"u", b"b", b"R", b"\x81",
        b"cos\nsystem\n", b"cbuiltins\neval\n", b"\x8c\x02os\x8c\x06system\x93", b"J\xff\xff\xff\x7f",
        b"\x8b\xff\xff\xff\x7f",
        b"\x8a\xff", b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"h\x00", b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f",
        b"(" * 100_000, b"]" * 100_000 + b"a" * 99_999, b"\x80\x05",
        b"\x95" + b"\xff" * 8, b"\x96" + b"\x00" * 4 + b"\x01\x00\x00\x00",
        b"\x97", b"\x98", b"Pabc\n", b"Q", b"\x82\x01", b"I" + b"9" * 5_000 + b"\n", b"F1e999\n", b"S'a'\n", b".",
    )  # fmt: skip
    at, code = _somewhere(content, rng), odd[rng.integers(len(odd))]
    return content[:at] + code + content[at:], f"opcode {_short(code)} at byte {at}"


def mutate(content: bytes, mutations: tuple[Mutation, ...], rng: Rng) -> tuple[bytes, str]:
    """By one mutation that fits, and alters something."""
    for _ in range(100):
        try:
            altered, what = mutations[rng.integers(len(mutations))](content, rng)
        except NoFit:
            continue
        if altered != content:
            return altered, what
    raise AssertionError("no mutation fits")
