"""What a user waits for: whole commands, each in a process of its own, beside the bound that it is to stay below."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from leakysm_benchmarks.turns import Call, Comparison, take_turns

IMAGES, SIDE = 1_000, 84
TORCH_MODULE = """
import torch

def squared_euclidean(x, c):
    return ((x[:, None] - c[None]) ** 2).sum(-1)

def leaky_squared_euclidean(x, c, threshold, slope, per):
    d = (x[:, None] - c[None]) ** 2 if per == "coordinate" else squared_euclidean(x, c)
    d = torch.where(d <= threshold, d, threshold + slope * (d - threshold))
    return d.sum(-1) if per == "coordinate" else d

def log_softmax(logits):
    return torch.log_softmax(logits, -1)

def cross_entropy(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)

def relu(x):
    return torch.relu(x)
"""


@dataclass(frozen=True)
class Wait:
    """A command, `leakysm` left out; how many seconds it may take; `before`: what is done first, and not counted."""

    name: str
    command: Sequence[str]
    bound: float
    before: Callable[[], None] = lambda: None
    rounds: int = 3


def waits(folder: Path) -> list[Wait]:
    """The commands, on data that are made in `folder`."""
    images, run, module = folder / "images", folder / "run", folder / "in_torch.py"
    module.write_text(TORCH_MODULE)
    data, clear = ["--dataset", "folder", "--data", str(images)], lambda: _remove(folder / "cache")
    packed = folder / "relu.json.gz"
    export = ["vectors", "export", str(packed), "--operation", "relu"]
    found = [
        Wait("--help", ["--help"], 0.25, rounds=9),
        Wait(f"{IMAGES:,} images {SIDE}x{SIDE}x3, read the first time", ["data", "prepare", *data], 3, clear),
        Wait("the same images from the cache", ["data", "info", *data], 1.5),
        Wait("evaluate RUN, 600 episodes", ["evaluate", str(run), "--episodes", "600"], 5),
        Wait("vectors export, one operation", export, 1.5, lambda: packed.unlink(missing_ok=True)),
        Wait("verify", ["verify"], 40, rounds=1),
    ]
    omniglot = os.environ.get("LEAKYSM_OMNIGLOT")
    if omniglot:
        prepare = ["data", "prepare", "--dataset", "omniglot", "--data", omniglot]
        found.insert(3, Wait("Omniglot, read the first time", prepare, 60, clear, rounds=1))
    if importlib.util.find_spec("torch"):
        found.append(Wait("conform, five operations in PyTorch", ["conform", str(module)], 60, rounds=1))
    return found


def compare(*, rounds: int = 9, progress: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries: "theirs" is the bound, so a ratio above 1 means that a command stays below it."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"LEAKYSM_CACHE": str(folder / "cache")}
        _make_images(folder / "images")
        leakysm(["train", "--episodes", "3", "--test-episodes", "3", "--out", str(folder / "run")], environment)
        for wait in waits(folder):
            progress(f"waits, {wait.name}")
            results.append(asdict(_measured(wait, min(rounds, wait.rounds), environment)))
    return results


def leakysm(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command. Its status may be 1, for a comparison that was not passed."""
    words = [sys.executable, "-c", "from leakysm_cli.main import main; main()", *command]
    done = subprocess.run(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode > 1:
        raise RuntimeError(f"leakysm {' '.join(command)}: {done.stderr}")


def _measured(wait: Wait, rounds: int, environment: Mapping[str, str]) -> Comparison:
    times = []
    for _ in range(rounds):
        wait.before()
        player = Call("leakysm", "ours", lambda: leakysm(wait.command, environment))
        times.append(float(take_turns([player], [None], rounds=1, warm_up=0)[0, 0]))
    lower, median, upper = (float(np.percentile(times, part)) for part in (25, 50, 75))
    ours = (median, lower, upper)
    return Comparison("its bound", wait.name, "bound", wait.bound / median, ours, (wait.bound,) * 3)


def _make_images(folder: Path) -> None:
    """IMAGES random PNG files, half for training, a quarter each for validation and test."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(IMAGES):
        split = ("train", "train", "val", "test")[number % 4]
        place = folder / split / f"{split}-{number // 4 % 10}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")


def _remove(folder: Path) -> None:
    for file in folder.glob("*"):
        file.unlink()
