"""One reader of HDF5: plain data sets of numbers and texts, from bytes in memory, within a bound.

HDF5 lets a file name other files, whose content is then read as its own: by external storage, virtual data sets, and
links. It also lets a data set claim any size. This reader follows no such name, and believes no such size.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5z

from leakysm import hdf5_heaps
from leakysm.files import RATIO, SPARE
from leakysm.seal import SIGNATURE, is_sealed

DEEPEST = 8  # groups in groups
MOST_OBJECTS = 200_000
LARGEST_ATTRIBUTE = 1 << 16  # bytes
NUMBERS = "biufc"
FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF}  # others load a library


class Hdf5Error(ValueError):
    """What is wrong with a file. The message is to follow the file's name."""


@dataclass(frozen=True)
class Node:
    """A group or a data set.

    array: a data set's numbers or texts; None for a group, or where arrays were left out. members: what was read of a
    group. names: all of a group's members, whether they were read or not.
    """

    attributes: dict[str, Any]
    array: np.ndarray[Any, Any] | None = None
    members: dict[str, Node] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def group(self, name: str) -> Node:
        """A member that is a group. Hdf5Error if there is none."""
        node = self.members.get(name)
        if node is None or node.array is not None:
            raise Hdf5Error(f"'{name}' is {'missing' if node is None else 'a data set'}, and a group is expected")
        return node

    def data(self, name: str) -> np.ndarray[Any, Any]:
        """The array of a member that is a data set. Hdf5Error if there is none."""
        node = self.members.get(name)
        if node is None or node.array is None:
            raise Hdf5Error(f"'{name}' is {'missing' if node is None else 'a group'}, and a data set is expected")
        return node.array

    def attribute(self, name: str, *kinds: type) -> Any:
        """An attribute of one of these kinds: int, float, str. Hdf5Error if there is none."""
        value = self.attributes.get(name)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if type(value) not in kinds:
            held = "missing" if value is None else repr(value)
            raise Hdf5Error(f"attribute '{name}' is {held}, and {kinds[0].__name__} is expected")
        return value


def read_hdf5(
    content: bytes,
    *,
    seal: str | None = None,
    only: Collection[str] | None = None,
    depth: int | None = None,
    attributes: bool = True,
) -> Node:
    """A file's content, or only the members that `only` names; the others may be of any kind.

    seal: the kind of a file that has a SHA-256 in front, which is checked before HDF5 opens it; files of older versions
    have none. depth: how deep groups are read; deeper ones are left out, and arrays then come empty. attributes: False
    leaves attributes out. An attribute comes as a text or as an array.
    Hdf5Error if the file is damaged, or holds more than groups, plain arrays and attributes, such as links.
    """
    if seal is not None and not content.startswith(SIGNATURE) and not is_sealed(content, seal):
        raise Hdf5Error(f"its {len(content)} bytes do not have the checksum that it states")
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return _Reader(file.id, content, depth, attributes).top(only)
    except Hdf5Error:
        raise
    except Exception as error:  # HDF5 fails in many ways on damaged files
        raise Hdf5Error(
            f"no HDF5 file, or a damaged one ({' '.join(str(error).split()) or type(error).__name__})"
        ) from None


class _Reader:
    """Reads one open file, and counts what it may still hold: bytes and objects."""

    def __init__(self, file: Any, content: bytes, depth: int | None, attributes: bool) -> None:
        self.file, self.content = file, content
        self.left, self.objects = SPARE + RATIO * len(content), 0
        self.depth, self.attributes = depth, attributes
        self.heaps_are_sound = False  # not known yet

    def top(self, only: Collection[str] | None) -> Node:
        return self._group(h5g.open(self.file, b"/"), "", 0, only)

    def _group(self, group: Any, at: str, depth: int, only: Collection[str] | None = None) -> Node:
        if depth > DEEPEST:
            raise Hdf5Error(f"{at[:40]}...: groups are more than {DEEPEST} deep")
        names = {name.decode("utf-8", "surrogateescape"): name for name in group}
        members = {
            name: self._member(group, raw, f"{at}/{name}", depth + 1)
            for name, raw in names.items()
            if (only is None or name in only) and depth != self.depth
        }
        return Node(self._attributes(group, at), None, members, tuple(names))

    def _member(self, group: Any, name: bytes, at: str, depth: int) -> Node:
        self.objects += 1
        if self.objects > MOST_OBJECTS:
            raise Hdf5Error(f"more than {MOST_OBJECTS} groups and data sets")
        if group.links.get_info(name).type != h5l.TYPE_HARD:
            raise Hdf5Error(f"{at} is a link to elsewhere, and a data set of this file is expected")
        member = h5o.open(group, name)
        if isinstance(member, h5g.GroupID):
            return self._group(member, at, depth)
        if not isinstance(member, h5d.DatasetID):
            raise Hdf5Error(f"{at} is a type, and a data set is expected")
        array = self._array(member, at) if self.depth is None else np.empty(0)
        return Node(self._attributes(member, at), array)

    def _array(self, data: Any, at: str) -> np.ndarray[Any, Any]:
        if data.get_space().get_simple_extent_type() == h5s.NULL:
            raise Hdf5Error(f"{at} is empty, and numbers are expected")
        dtype, shape = data.dtype, data.shape
        text = h5py.check_string_dtype(dtype) is not None
        if not text and dtype.kind not in NUMBERS:
            raise Hdf5Error(f"{at} holds {dtype}, and numbers are expected")
        size = math.prod(shape) * dtype.itemsize
        self.left -= size
        if self.left < 0:
            raise Hdf5Error(f"{at} claims {size} bytes, more than a file of this size holds")
        _require_stored(data, at, size)
        if text:
            self._require_sound_heaps()
            texts: np.ndarray[Any, Any] = np.asarray(h5py.Dataset(data).asstr(errors="surrogateescape")[...])
            return texts
        array = np.empty(shape, dtype)
        if array.size:
            data.read(h5s.ALL, h5s.ALL, array)
        return array

    def _require_sound_heaps(self) -> None:
        if not self.heaps_are_sound:
            if self.file.get_create_plist().get_sizes() != hdf5_heaps.SIZES or not hdf5_heaps.are_sound(self.content):
                raise Hdf5Error("the heap of its texts is damaged")
            self.heaps_are_sound = True

    def _attributes(self, node: Any, at: str) -> dict[str, Any]:
        count = h5a.get_num_attrs(node) if self.attributes else 0
        if count > 1000:
            raise Hdf5Error(f"{at or '/'} has {count} attributes")
        return dict(self._attribute(node, index, at) for index in range(count))

    def _attribute(self, node: Any, index: int, at: str) -> tuple[str, Any]:
        attribute = h5a.open(node, index=index)
        name = attribute.name.decode("utf-8", "surrogateescape")
        null = attribute.get_space().get_simple_extent_type() == h5s.NULL
        dtype = attribute.dtype
        text = h5py.check_string_dtype(dtype) is not None
        if null or attribute.get_storage_size() > LARGEST_ATTRIBUTE or not (text or dtype.kind in NUMBERS):
            raise Hdf5Error(f"attribute {name} of {at or '/'} is neither a number nor a text")
        array = np.empty(attribute.shape, dtype)
        if text:
            self._require_sound_heaps()
        attribute.read(array)
        if text:
            return name, _plain_text(array, name, at)
        return name, array


def _plain_text(array: np.ndarray[Any, Any], name: str, at: str) -> str:
    value = array.item() if array.ndim == 0 else None
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise Hdf5Error(f"attribute {name} of {at or '/'} is not UTF-8") from None
    if not isinstance(text, str):
        raise Hdf5Error(f"attribute {name} of {at or '/'} is not a single text")
    return text


def _require_stored(data: Any, at: str, size: int) -> None:
    """Hdf5Error unless all the bytes that the data set claims lie in this file."""
    plan = data.get_create_plist()
    layout = plan.get_layout()
    if layout not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED) or plan.get_external_count():
        raise Hdf5Error(f"{at} lies in another file, and a data set of this file is expected")
    if layout != h5d.CHUNKED:
        if size and data.get_storage_size() < size:
            raise Hdf5Error(f"{at} claims {size} bytes without holding them")
        return
    if unknown := {plan.get_filter(i)[0] for i in range(plan.get_nfilters())} - FILTERS:
        raise Hdf5Error(f"{at} is packed by filter {min(unknown)}, which this program does not know")
    chunk = plan.get_chunk()
    expected = math.prod(-(-length // part) for length, part in zip(data.shape, chunk, strict=True))
    if data.get_num_chunks() != expected or math.prod(chunk) * data.dtype.itemsize > max(SPARE, 2 * size):
        raise Hdf5Error(f"{at} claims {size} bytes without holding them")
