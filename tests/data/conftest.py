"""Small data sets that the tests make themselves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from leakysm.data import omniglot
from leakysm.data.miniimagenet_classes import CLASSES
from leakysm.data.omniglot import SMALL1, SMALL2

Write = Callable[[Path, Mapping[str, bytes]], Path]


def png(pixels: NDArray[np.generic], mode: str | None = None) -> bytes:
    """A PNG of (H, W) or (H, W, C) pixels; mode "1" for a 1-bit one."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def drawing(seed: int) -> bytes:
    """A 105x105 1-bit image with blocks of ink, as unsymmetrical as a character."""
    blocks = np.random.default_rng(seed).random((15, 15)) < 0.7
    return png(np.kron(blocks, np.ones((7, 7))).astype(np.uint8) * 255, "1")


def characters(part: str, alphabets: Mapping[str, int], drawers: int = 3) -> dict[str, bytes]:
    """Files of one Omniglot part, by their published names."""
    names = [
        f"{part}/{alphabet}/character{number:02d}/{7 * k + number:04d}_{drawer:02d}.png"
        for k, (alphabet, count) in enumerate(alphabets.items())
        for number in range(1, count + 1)
        for drawer in range(1, drawers + 1)
    ]
    return {name: drawing(seed) for seed, name in enumerate(names)}


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_files(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


BACKGROUND = characters("images_background", {"Ada": 3, "Bob": 2})
EVALUATION = characters("images_evaluation", {"Cyd": 3})
PARTS = {"images_background": BACKGROUND, "images_evaluation": EVALUATION}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or leaves anything in the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LEAKYSM_CACHE", str(folder))
    return folder


def small_omniglot(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small Omniglot in the published archives' form; its counts stand for the published ones."""
    for part, count in {**{part: len(files) // 3 for part, files in PARTS.items()}, SMALL1: 1, SMALL2: 2}.items():
        monkeypatch.setitem(omniglot.PARTS, part, count)
    monkeypatch.setattr(omniglot, "DRAWERS", 3)
    for part, files in PARTS.items():
        write_zip(root / f"{part}.zip", files)
    return root


@pytest.fixture
def zips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return small_omniglot(tmp_path / "omniglot", monkeypatch)


def write_photographs(root: Path, classes: Mapping[str, Sequence[str]], each: int) -> Path:
    """images.zip and the tables of the given classes; the images are noise(1), noise(2) and so on."""
    number, files = 0, {}
    for split, labels in classes.items():
        lines = ["filename,label"]
        for label in labels:
            for _ in range(each):
                number += 1
                files[f"images/{label}{number:02d}.png"] = png(noise(number, 84, 84, 3))
                lines.append(f"{label}{number:02d}.png,{label}")
        write_files(root, {f"{split}.csv": "\n".join(lines).encode()})
    write_zip(root / "images.zip", files)
    return root


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with images.zip and tables of 3 + 2 + 2 classes of 4 images."""
    classes = {"train": ["cat", "dog", "eel"], "val": ["fox", "gnu"], "test": ["hen", "jay"]}
    return write_photographs(tmp_path / "photographs", classes, 4)


def wnids(split: str) -> list[str]:
    """As many names in ImageNet's form as miniImageNet's split has classes, sorted; no two splits share one."""
    first = {"train": 0, "val": 64, "test": 80}[split]
    return [f"n{1440764 + first + k:08d}" for k in range(CLASSES[split])]


@pytest.fixture
def miniimagenet(tmp_path: Path) -> Path:
    """A folder like `photographs` with miniImageNet's 64 + 16 + 20 classes, of one image."""
    return write_photographs(tmp_path / "miniimagenet", {split: wnids(split) for split in CLASSES}, 1)
