"""HDF5 files that lead elsewhere, or claim what they do not hold, are refused; plain ones come back as they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from leakysm.hdf5 import Hdf5Error, read_hdf5
from leakysm.seal import BLOCK, is_sealed, sealed


def written(fill: Callable[[Any], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def test_what_is_plain_comes_back() -> None:
    def fill(file: Any) -> None:
        file["a/numbers"], file["a/none"], file["names"] = (
            np.arange(6).reshape(2, 3),
            np.zeros((0, 3), "f4"),
            ["x", "é"],
        )
        file.create_dataset("packed", data=np.zeros(10_000), compression="gzip", shuffle=True)
        file["a"].attrs["text"], file["a"].attrs["count"] = "t", 3

    root = read_hdf5(written(fill))
    assert root.names == ("a", "names", "packed")
    np.testing.assert_array_equal(root.group("a").data("numbers"), [[0, 1, 2], [3, 4, 5]])
    assert root.group("a").data("none").shape == (0, 3)
    assert root.data("names").tolist() == ["x", "é"]
    assert root.data("packed").sum() == 0
    assert (root.group("a").attribute("text", str), root.group("a").attribute("count", int)) == ("t", 3)


@pytest.mark.parametrize(
    ("message", "fill"),
    [
        ("/x is a link", lambda file: file.update(x=h5py.SoftLink("/y"))),
        ("/x is a link", lambda file: file.update(x=h5py.ExternalLink("other.h5", "/y"))),
        ("/x lies in", lambda file: file.create_dataset("x", (2,), "f4", external=[("/etc/hostname", 0, 8)])),
        ("/x claims 40000 bytes without", lambda file: file.create_dataset("x", (10_000,), "f4", chunks=(10,))),
        ("/x claims 8 bytes without", lambda file: file.create_dataset("x", (2,), "f4")),
        ("/x claims 34359738368 bytes, more", lambda file: file.create_dataset("x", (2**33,), "f4")),
        ("/x is empty", lambda file: file.update(x=h5py.Empty("f4"))),
        ("/x holds", lambda file: file.update(x=np.zeros(2, [("a", "f4")]))),
        ("/x is a type", lambda file: file.update(x=np.dtype("f4"))),
        ("groups are more than", lambda file: file.create_group("/".join("a" * 20))),
        ("groups are more than", lambda file: file.update(x=file["/"])),
    ],
)
def test_what_is_not_plain_is_refused(message: str, fill: Callable[[Any], object]) -> None:
    with pytest.raises(Hdf5Error, match=message):
        read_hdf5(written(fill))


def test_members_that_are_not_asked_for_may_be_of_any_kind() -> None:
    content = written(lambda file: file.update(x=h5py.SoftLink("/y"), z=np.arange(2)))
    assert read_hdf5(content, only=("z",)).data("z").tolist() == [0, 1]


def with_texts(**options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        file["names"] = ["x", "é"]
        file.attrs["text"] = "t"
    return buffer


def test_only_what_was_sealed_is_read() -> None:
    content = bytes(sealed(with_texts(userblock_size=BLOCK), "kind"))
    assert read_hdf5(content, seal="kind").data("names").tolist() == ["x", "é"]
    assert not is_sealed(content, "another kind")
    for at in (0, 30, BLOCK, len(content) - 1):
        altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        with pytest.raises(Hdf5Error, match="checksum"):
            read_hdf5(altered, seal="kind")


def test_a_file_of_an_older_version_has_no_seal() -> None:
    assert read_hdf5(with_texts().getvalue(), seal="kind").attribute("text", str) == "t"


SIZE = 16 + 8  # where the size of a heap's first text stands


@pytest.mark.parametrize("size", [0, 1000, 5000, 1 << 63, (1 << 64) - 16])
@pytest.mark.parametrize("only", [("names",), ()])
def test_a_text_of_another_size_is_refused_before_hdf5_looks_at_it(size: int, only: tuple[str, ...]) -> None:
    """HDF5 goes from text to text by their sizes, some of which keep it busy for ever."""
    content = with_texts().getvalue()
    assert read_hdf5(content, only=only).names == ("names",)
    at = content.index(b"GCOL") + SIZE
    with pytest.raises(Hdf5Error, match="the heap of its texts is damaged"):
        read_hdf5(content[:at] + size.to_bytes(8, "little") + content[at + 8 :], only=only)
