"""Runs of training as the command line makes them, and what their files hold.

The files are read with h5py and json, not with the package's own readers: those may be what changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from threadpoolctl import threadpool_limits

from tests.experiments.command import leakysm

LAST, METRICS, SUMMARY = "checkpoint-last.h5", "metrics.csv", "summary.json"
FIGURES = ("accuracy", "interval")  # of a test


def command(*words: object) -> str:
    """What `leakysm WORDS` prints. One thread for matrix products: more threads may add in another order."""
    with threadpool_limits(1, user_api="blas"):
        outcome = leakysm(*words)
    if outcome.code:
        raise RuntimeError(f"leakysm {' '.join(map(str, words))} ended with {outcome.code}: {outcome.err}{outcome.out}")
    return outcome.out


def arrays(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every array of an HDF5 file, by its path."""
    found: dict[str, np.ndarray[Any, Any]] = {}

    def take(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = np.asarray(node[()])

    with h5py.File(file, "r") as h5:
        h5.visititems(take)
    return found


def digest(found: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 of names, dtypes, shapes and little-endian bytes."""
    total = hashlib.sha256()
    for name, array in sorted(found.items()):
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        total.update(f"{name}|{plain.dtype.str}|{array.shape}|".encode() + plain.tobytes())
    return total.hexdigest()


def bits(run: Path) -> dict[str, Any]:
    """What depends on the machine: weights, optimizer, metrics, and the figures of the tests."""
    state = arrays(run / LAST)
    summary = json.loads((run / SUMMARY).read_text("utf-8"))
    return {
        "weights": digest({name: array for name, array in state.items() if name.startswith("net/")}),
        "optimizer": digest({name: array for name, array in state.items() if name.startswith("optimizer/")}),
        "metrics.csv": hashlib.sha256((run / METRICS).read_bytes()).hexdigest(),
        "best episode": summary["checkpoint_episode"],
        "validation accuracy": summary["validation_accuracy"],
        "closeness": summary.get("closeness"),
        "tests": [{name: test[name] for name in FIGURES} for test in summary["tests"]],
    }


def form(run: Path) -> dict[str, Any]:
    """What does not depend on the machine: the summary without its figures, and the first loss to three digits.

    The second loss comes after an update, which makes a rounding grow: two engines differ there by a thousandth.
    """
    summary = json.loads((run / SUMMARY).read_text("utf-8"))
    rows = [line.split(",") for line in (run / METRICS).read_text("utf-8").splitlines()]
    kept = {name: value for name, value in summary.items() if name not in ("checkpoint_episode", "validation_accuracy")}
    kept["closeness"] = list(summary.get("closeness", ()))
    kept["tests"] = [{name: v for name, v in test.items() if name not in FIGURES} for test in summary["tests"]]
    loss = float(rows[1][rows[0].index("loss")])
    return {"summary": kept, "rows": len(rows) - 1, "first loss": f"{loss:.3g}"}
