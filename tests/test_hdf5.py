"""HDF5 files that lead elsewhere, or claim what they do not hold, are refused; plain ones come back as they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from leakysm.hdf5 import Hdf5Error, read_hdf5


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
