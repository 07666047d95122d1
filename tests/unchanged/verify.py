"""What `leakysm verify --json` says of operations that are quick to check; and the cases and bounds of all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hypothesis.configuration import set_hypothesis_home_dir

from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.registry import ENTRIES
from tests.unchanged.looked import Looked, machine
from tests.unchanged.runs import command

OPERATIONS = ("relu", "max_pool2d", "prototypes", "cross_entropy")
NUMBERS = ("cases", "worst", "notes")  # of a row: they depend on the random cases or on the processor


def look_at_report(operation: str, folder: Path) -> Looked:
    """The report on one operation. Errors depend on the machine, and random cases on Hypothesis."""
    with own_hypothesis_files():
        report = json.loads(command("verify", "--json", "--backend", "numpy", "--operation", operation))
    (row,) = report["operations"]
    (gradients,) = report["gradients"]
    same = {
        "keys": sorted(report),
        "version": report["version"],
        "row": {name: value for name, value in row.items() if name not in NUMBERS},
        "worst": [_place(worst) for worst in row["worst"]],
        "gradients": {name: value for name, value in gradients.items() if name != "worst"},
    }
    here = {name: row[name] for name in NUMBERS} | {"worst gradient": gradients["worst"]}
    return Looked(same, here, machine() | {"Hypothesis": version("hypothesis")})


@contextmanager
def own_hypothesis_files() -> Iterator[None]:
    """The command tells Hypothesis to write to the data cache, which goes again: tell it to forget that."""
    try:
        yield
    finally:
        set_hypothesis_home_dir(None)


def _place(worst: dict[str, Any]) -> str:
    return " ".join(worst[name] for name in ("dtype", "part", "output"))


def look_at_cases(_: Path) -> Looked:
    """The fixed cases of every operation: the dtypes that they run in, and their flags."""
    cases = {name: entry.cases() for name, entry in ENTRIES.items()}
    told = {c.id: f"{' '.join(c.dtypes)}; {' '.join(c.flags)}" for found in cases.values() for c in found}
    return Looked({"operations": list(cases), "number": {n: len(found) for n, found in cases.items()}, "cases": told})


def look_at_bounds(_: Path) -> Looked:
    """The table of bounds, without the words that explain a row."""
    bounds = {f"{name} {output}": bound for name, entry in ENTRIES.items() for output, bound in entry.bounds.items()}
    return Looked({name: {"r": f"`{one.roundings}`", "scale": f"`{one.scale}`"} for name, one in bounds.items()})


ITEMS = {
    **{f"verify/{name}": partial(look_at_report, name) for name in OPERATIONS},
    "verify/cases": look_at_cases,
    "verify/bounds": look_at_bounds,
}
