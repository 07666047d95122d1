"""Loading a data set: our cache, and decoding every file with Pillow as a loader without a cache does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from leakysm_benchmarks.turns import Call, comparisons, take_turns
from PIL import Image

from leakysm.data import load

CLASSES, PER_CLASS = 50, 20


def make_folder(root: Path, side: int) -> None:
    """Photograph-like PNG files, <root>/<class>/<image>: smooth, so that they compress as photographs do."""
    rng = np.random.default_rng(0)
    for number in range(CLASSES):
        (root / f"class{number:02}").mkdir(parents=True)
        for image in range(PER_CLASS):
            small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            small.resize((side, side), Image.Resampling.BILINEAR).save(root / f"class{number:02}" / f"{image:02}.png")


def decode(root: Path) -> np.ndarray:
    """All images, file by file."""
    return np.stack([np.asarray(Image.open(file)) for file in sorted(root.rglob("*.png"))])


def compare(
    *,
    sides: Sequence[int] = (84,),
    rounds: int = 9,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries, for a folder that is loaded a second time."""
    results = []
    for side in sides:
        size = f"{CLASSES * PER_CLASS} PNG files {side}x{side}x3"
        progress(f"loading, {size}")
        with tempfile.TemporaryDirectory() as place:
            root, cache = Path(place) / "images", Path(place) / "cache"
            make_folder(root, side)
            players = [
                Call("leakysm, cached", "ours", partial(load, "folder", root, cache_dir=cache)),
                Call("Pillow, every file again", "peer", partial(decode, root)),
            ]
            times = take_turns(players, [None], rounds=rounds, warm_up=1)
        results += [asdict(comparison) for comparison in comparisons(players, times, size)]
    return results
