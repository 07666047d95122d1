"""The heaps in which HDF5 keeps texts of any length ("global heaps"): one that is damaged keeps HDF5 busy for ever.

    heap    "GCOL" | version 1 | 3 bytes | size of the heap (8 bytes) | objects, to the heap's end
    object  index (2 bytes) | count (2) | 4 bytes | size (8) | content, filled up to a multiple of 8

Index 0 is free room, whose size counts its header. Numbers are little-endian. HDF5 goes from object to object by their
sizes, and does not notice that a size of 0 leads nowhere. Source: HDF5 File Format Specification, III.E.
"""

from __future__ import annotations

import struct

BEGIN = b"GCOL\x01"
HEADER = 16  # bytes, of a heap and of an object
SMALLEST = 4096
SIZES = (8, 8)  # bytes of an address and of a size in a file that h5py writes


def are_sound(content: bytes) -> bool:
    """Whether HDF5 comes to the end of each heap in the file.

    A heap that goes beyond the end of the file is left to HDF5, which refuses it.
    """
    at = content.find(BEGIN)
    while at >= 0:
        if at + HEADER <= len(content):
            (size,) = struct.unpack_from("<8xQ", content, at)
            if at + size <= len(content) and not _is_sound(content, at, size):
                return False
        at = content.find(BEGIN, at + 1)
    return True


def _is_sound(content: bytes, heap: int, size: int) -> bool:
    at, end = heap + HEADER, heap + size
    while at + HEADER <= end:
        index, length = struct.unpack_from("<H6xQ", content, at)
        step = HEADER + -(-length // 8) * 8 if index else length
        if step < HEADER or at + step > end:
            return False
        at += step
    return size >= SMALLEST
