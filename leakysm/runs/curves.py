"""curves.png: how a run went, drawn from its metrics.csv."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.files import read_file, write_atomically

DRAWN = ("episode", "loss", "accuracy", "validation_accuracy", "vanished_distance_gradients", "mean_distance")
EARLY = 200  # steps in the panels on sparsity


def draw_curves(metrics: Path, picture: Path, title: str) -> None:
    """Loss; training and validation accuracy; vanished gradients and mean distance of the first steps."""
    from matplotlib.figure import Figure

    rows = read_metrics(metrics)
    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle(title)
    (loss, accuracy), (vanished, distance) = figure.subplots(2, 2)
    _line(loss, rows["episode"], rows["loss"], "loss")
    _line(accuracy, rows["episode"], 100 * rows["accuracy"], "accuracy, percent")
    validated = ~np.isnan(rows["validation_accuracy"])
    if validated.any():
        accuracy.plot(
            rows["episode"][validated], 100 * rows["validation_accuracy"][validated], "o-", label="validation"
        )
        accuracy.legend()
    early = {key: column[:EARLY] for key, column in rows.items()}
    vanished.plot(early["episode"], 100 * early["vanished_distance_gradients"])
    vanished.set(xlabel="episode", ylabel="N |dL/dd| below 0.001, percent", ylim=(0, 100))
    distance.plot(early["episode"], early["mean_distance"])
    distance.set(xlabel="episode", ylabel="mean distance")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(picture, buffer.getvalue())


def read_metrics(path: Path, content: bytes | None = None) -> dict[str, NDArray[np.float64]]:
    """The columns of metrics.csv by name; an empty field is NaN. UserError, in one line, if it is damaged.

    content: the file's, where it has been read already.
    """
    try:
        if content is None:
            content = read_file(path, mend="put metrics.csv back, or train again")
        header, *lines = content.decode().splitlines() or [""]
        if not lines:
            raise ValueError("it holds no step")
        names, table = header.split(","), np.genfromtxt(lines, delimiter=",", ndmin=2)
        columns = dict(zip(names, table.T, strict=True))
    except UserError:
        raise
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path} is damaged ({reason}); expected a line of {', '.join(DRAWN)} a step") from None
    if not set(DRAWN) <= columns.keys():
        raise UserError(f"{path} has the columns {', '.join(names)}; expected {', '.join(DRAWN)}: train again")
    return columns


def smoothed(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of y over a moving window of a fiftieth of the points, placed at the x where the window ends."""
    window = max(1, len(y) // 50)
    return x[window - 1 :], np.convolve(y, np.full(window, 1 / window), "valid")


def _line(axes: Any, x: NDArray[np.float64], y: NDArray[np.float64], label: str) -> None:
    """Every step as a pale line, and the moving mean over it."""
    axes.plot(x, y, alpha=0.3)
    axes.plot(*smoothed(x, y), color="C0")
    axes.set(xlabel="episode", ylabel=label)
