"""The SHA-256 in front of leakysm's HDF5 files. It is checked before HDF5 reads the file.

It is in a block of 512 bytes, HDF5's "user block", which HDF5 leaves to the application. So any reader of HDF5
opens the file. Files of older versions have no block, and begin with HDF5's signature.
"""

from __future__ import annotations

import hashlib
import io

BLOCK = 512  # bytes; HDF5's smallest
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def sealed(buffer: io.BytesIO, kind: str) -> memoryview:
    """The content of an HDF5 file that was made in `buffer` with userblock_size=BLOCK, with its block filled in."""
    content = buffer.getbuffer()
    content[:BLOCK] = _block(content[BLOCK:], kind)
    return content


def is_sealed(content: bytes, kind: str) -> bool:
    """Whether this is a whole file of that kind, byte for byte as it was written."""
    return content[:BLOCK] == _block(memoryview(content)[BLOCK:], kind)


def _block(content: memoryview, kind: str) -> bytes:
    line = f"leakysm {kind}; SHA-256 of the bytes after {BLOCK}: {hashlib.sha256(content).hexdigest()}\n"
    return line.encode().ljust(BLOCK, b"\0")
