"""metrics.csv and timing.csv: rows appended as training goes on, cut back to a checkpoint when a run is resumed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.training.trainer import STEP_COLUMNS

METRICS_COLUMNS = ("episode", *STEP_COLUMNS, "validation_accuracy")  # both accuracies are from 0 to 1
# Those that every metrics.csv has, whatever version wrote it: not new ones, which older files lack.
REQUIRED_COLUMNS = (
    "episode",
    "loss",
    "accuracy",
    "validation_accuracy",
    "vanished_distance_gradients",
    "mean_distance",
)
TIMING_COLUMNS = ("episode", "seconds")


class Journal:
    """A CSV file whose length and SHA-256 are known after every row.

    Numbers have 9 significant digits, which give a float32 back exactly; None is an empty field.
    """

    def __init__(self, path: Path, columns: Sequence[str], *, size: int = 0, digest: str = "") -> None:
        """Open `path` with its first `size` bytes kept. UserError unless those have the SHA-256 `digest`.

        columns: the names of a row's values. A file that is continued keeps its own columns.
        """
        self.path, self.columns = path, columns
        kept = _content(path)[:size] if size else b""
        self._sha = hashlib.sha256(kept)
        if size and self._sha.hexdigest() != digest:
            raise UserError(
                f"{path} does not match the checkpoint: its first {size} bytes are cut short or altered; "
                "put back an undamaged copy, or train again into another folder"
            )
        self._file = path.open("r+b" if size else "wb", buffering=0)
        self.size = size
        self.written = kept.split(b"\n", 1)[0].decode(errors="replace").split(",") if size else columns
        if not size:
            self._write(",".join(columns))
            return
        try:
            self._file.truncate(size)
            self._file.seek(size)
        except OSError as error:
            raise self._unwritable(error) from None

    @property
    def digest(self) -> str:
        """SHA-256 of everything written so far."""
        return self._sha.hexdigest()

    def append(self, row: Sequence[float | int | None]) -> None:
        """One row, a value for each of `columns`; it survives a kill of this process as soon as this returns."""
        values = dict(zip(self.columns, row, strict=True))
        fields = (values.get(name) for name in self.written)
        self._write(",".join("" if value is None else f"{value:.9g}" for value in fields))

    def sync(self) -> None:
        """Everything written so far reaches the disk. UserError if it does not."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from None

    def _write(self, line: str) -> None:
        content = f"{line}\n".encode()
        left = content
        try:
            while left:  # a disk that is nearly full takes only a part
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._unwritable(error) from None
        self._sha.update(content)
        self.size += len(content)

    def _unwritable(self, error: OSError) -> UserError:
        """The error in one line. The file is closed, for nothing can follow."""
        with suppress(OSError):
            self._file.close()
        return UserError(f"{self.path}: cannot be written ({error.strerror}); make room, then go on with --resume")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as closing:
            if error is None:
                raise self._unwritable(closing) from None


def rows_up_to(path: Path, episode: int) -> tuple[int, str]:
    """(bytes, SHA-256) of a journal's header and its undamaged rows up to that episode, which is the first field."""
    kept = b""
    for number, line in enumerate(_content(path).splitlines(keepends=True)):
        first = line.split(b",")[0]
        whole = first.isdigit() and int(first) <= episode if number else first == b"episode"
        if not line.endswith(b"\n") or not whole:
            break
        kept += line
    return (len(kept), hashlib.sha256(kept).hexdigest()) if kept else (0, "")


def _content(path: Path) -> bytes:
    """The bytes of a journal; none if there is no such file. UserError if it cannot be read."""
    return read_file(path, mend="put it back, or train again into another folder") if path.exists() else b""


def read_metrics(path: Path, content: bytes | None = None) -> dict[str, NDArray[np.float64]]:
    """The columns of metrics.csv by name; an empty field is NaN. UserError, in one line, if it is damaged.

    content: the file's, where it has been read already.
    """
    expected = ", ".join(REQUIRED_COLUMNS)
    try:
        if content is None:
            content = read_file(path, mend="put metrics.csv back, or train again")
        header, *lines = content.decode().splitlines() or [""]
        if not lines:
            raise ValueError("it holds no step")
        names = header.split(",")
        for number, line in enumerate(lines, 2):
            if len(line.split(",")) != len(names):
                raise ValueError(f"line {number} has {line.count(',') + 1} fields, the header {len(names)}")
        rows = [[float(field or "nan") for field in line.split(",")] for line in lines]
        columns = dict(zip(names, np.array(rows, np.float64).T, strict=True))
    except UserError:
        raise
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{path} is damaged ({reason}); each step needs a line with {expected}: put an undamaged copy back"
        ) from None
    if not set(REQUIRED_COLUMNS) <= columns.keys():
        raise UserError(f"{path} has the columns {', '.join(names)}; expected {expected}: train again")
    return columns
