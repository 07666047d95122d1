"""Short trainings: by each engine of the CPU, on two data sets, with each distance."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

from tests.unchanged.drawn import draw
from tests.unchanged.looked import Looked, machine
from tests.unchanged.runs import bits, command, form

ENGINES = {"numpy": "--episodes 20 --checkpoint-every 8", "reference": "--episodes 3 --checkpoint-every 2"}
DATA = {
    "strokes": "--dataset strokes --way 3 --query 2 --test-way 3 --test-query 2 --test-episodes 4 --norm episode",
    "drawn": "--dataset folder --way 3 --shot 2 --query 1 --test-way 2 --test-way 4 --test-query 2 --test-episodes 8 "
    "--optimizer sgd --learning-rate 0.01 --halve-every 7 --seed 3",
}
DISTANCES = {
    "squared-euclidean": "--distance squared-euclidean",
    "leaky-per-pair": "--distance leaky --threshold 1 --slope 0.03 --per pair",
    "leaky-per-coordinate": "--distance leaky --threshold 0.25 --slope 0.1 --per coordinate",
    "euclidean": "--distance euclidean",
    "cosine": "--distance cosine",
}


def look(engine: str, data: str, distance: str, folder: Path) -> Looked:
    """Train in `folder`, which is empty, and look at what was written."""
    place = ["--data", draw(folder / "pictures")] if data == "drawn" else []
    options = f"{DATA[data]} {ENGINES[engine]} {DISTANCES[distance]} --device cpu --backend {engine}".split()
    command("train", *options, *place, "--out", folder / "run")
    return Looked(form(folder / "run"), bits(folder / "run"), machine())


ITEMS = {f"training/{'/'.join(names)}": partial(look, *names) for names in product(ENGINES, DATA, DISTANCES)}
