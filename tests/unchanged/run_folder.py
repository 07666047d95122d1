"""The form of a run's folder: which files there are, and the names, kinds and shapes of what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py

from tests.unchanged.drawn import draw
from tests.unchanged.looked import Looked
from tests.unchanged.runs import arrays, command

OPTIONS = """
--dataset folder --way 2 --query 1 --episodes 1 --test-way 2 --test-query 1 --test-episodes 2 --device cpu
--backend numpy
""".split()  # noqa: SIM905


def look(folder: Path) -> Looked:
    """Train for one episode with Adam, and look at the form of every file in the run's folder."""
    run = folder / "run"
    command("train", *OPTIONS, "--data", draw(folder / "pictures"), "--out", run)
    return Looked({path.name: _form(path) for path in sorted(run.iterdir())})


def _form(file: Path) -> Any:
    if file.suffix == ".h5":
        return _form_of_h5(file)
    if file.suffix == ".json":
        return _keys(json.loads(file.read_text("utf-8")))
    if file.suffix == ".csv":
        return file.read_text("utf-8").splitlines()[0]
    return "a file"


def _form_of_h5(file: Path) -> dict[str, Any]:
    with h5py.File(file, "r") as h5:
        form: dict[str, Any] = {"attributes": sorted(h5.attrs), "user block": int(h5.userblock_size)}
        form |= {name: str(h5.attrs[name]) for name in ("format", "version") if name in h5.attrs}
        form["of the parts"] = {name: sorted(h5[name].attrs) for name in sorted(h5)}
    return form | {name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(arrays(file).items())}


def _keys(value: Any) -> Any:
    """The keys of a JSON table, and of the tables in it. A list may be empty on some machine: it is not looked into."""
    return {key: _keys(item) for key, item in value.items()} if isinstance(value, dict) else "a value"


ITEMS = {"run-folder": look}
