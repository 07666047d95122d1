"""Strokes: a handwriting-like data set made by the package itself, so that everything runs on a new machine.

20 alphabets of 25 characters, 20 samples each, 28x28x1. An alphabet is a few anchor points and a habit of curvature; a
character is a program of 2 to 4 smooth strokes (cubic Bezier curves) between its alphabet's anchors; a sample redraws
the program with jitter of the control points, an affine wobble of the whole, and a pen of its own width. Train, val and
test hold different alphabets.

The bits depend on the seed alone: raw Philox words, then additions, products and divisions in float64. No sine,
exponential or matrix product enters, since their last bit differs between machines.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from leakysm.data.dataset import ClassSet, Dataset, Images
from leakysm.data.inputs import InputFormat

ALPHABETS, CHARACTERS, SAMPLES, SIZE = 20, 25, 20, 28
SPLITS = {"train": (0, 12), "val": (12, 15), "test": (15, 20)}
_ANCHORS, _STROKES, _POINTS = 9, 4, 28
_GRID = np.stack(np.meshgrid([-0.7, 0.0, 0.7], [-0.7, 0.0, 0.7]), axis=-1).reshape(_ANCHORS, 2)
_VERSION = 1  # raise it with any change of the images

Floats = NDArray[np.float64]


@lru_cache(maxsize=2)
def strokes(seed: int = 0) -> Dataset:
    """The data set of a seed; splits train (300 classes), val (75), test (125) share no alphabet."""
    words = np.random.Philox(key=seed)
    samples = zip(*(np.split(part, ALPHABETS) for part in _samples(words, *_programs(words))), strict=True)
    images = np.concatenate([_rasterise(*alphabet) for alphabet in samples])
    per_alphabet = CHARACTERS * SAMPLES
    splits = {}
    for split, (first, last) in SPLITS.items():
        names = tuple(
            f"alphabet{a + 1:02d}/character{c + 1:02d}" for a in range(first, last) for c in range(CHARACTERS)
        )
        starts = np.arange(len(names) + 1, dtype=np.int64) * SAMPLES
        splits[split] = ClassSet(images[first * per_alphabet : last * per_alphabet], starts, names)
    digest = hashlib.sha256(f"strokes {_VERSION} seed {seed}".encode()).hexdigest()
    return Dataset("strokes", splits, InputFormat.unscaled((SIZE, SIZE, 1), ink=True), digest)


def _uniform(words: np.random.Philox, *shape: int) -> Floats:
    """Uniform in [0, 1) from the top 53 bits of raw words, whatever NumPy's Generator does."""
    raw = np.asarray(words.random_raw(int(np.prod(shape))))
    return (raw >> np.uint64(11)).reshape(shape).astype(np.float64) * 2.0**-53


def _jitter(words: np.random.Philox, spread: float, *shape: int) -> Floats:
    """Symmetric, triangular between -spread and spread: bounded, so that no stroke leaves the paper far."""
    return spread * (_uniform(words, *shape) - _uniform(words, *shape))


def _programs(words: np.random.Philox) -> tuple[Floats, NDArray[np.bool_]]:
    """Control points (classes, strokes, 4, 2) in [-1, 1], and which strokes a class has (classes, strokes)."""
    shape = (ALPHABETS, CHARACTERS, _STROKES)
    anchors = _GRID + _jitter(words, 0.4, ALPHABETS, _ANCHORS, 2)
    choice = (_uniform(words, *shape, 2) * _ANCHORS).astype(np.intp)
    choice[..., 1] = np.where(choice[..., 0] == choice[..., 1], (choice[..., 1] + 1) % _ANCHORS, choice[..., 1])
    ends = anchors[np.arange(ALPHABETS)[:, None, None, None], choice] + _jitter(words, 0.3, *shape, 2, 2)
    bend = 0.3 + _uniform(words, ALPHABETS)[:, None, None, None, None]  # an alphabet is more or less curly
    third = (ends[..., 1, :] - ends[..., 0, :]) / 3
    inner = np.stack([ends[..., 0, :] + third, ends[..., 1, :] - third], axis=-2) + bend * _jitter(
        words, 1.0, *shape, 2, 2
    )
    points = np.stack([ends[..., 0, :], inner[..., 0, :], inner[..., 1, :], ends[..., 1, :]], axis=-2)
    present = np.arange(_STROKES) < 2 + (3 * _uniform(words, ALPHABETS, CHARACTERS, 1)).astype(np.intp)
    classes = ALPHABETS * CHARACTERS
    return np.clip(points, -1, 1).reshape(classes, _STROKES, 4, 2), present.reshape(classes, _STROKES)


def _samples(words: np.random.Philox, points: Floats, present: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Redraw every class: control points (n, strokes, 4, 2) in pixels, ink of a stroke (n, strokes), pen width (n,)."""
    n = len(points) * SAMPLES
    points = np.repeat(points, SAMPLES, axis=0) + _jitter(words, 0.22, n, _STROKES, 4, 2)
    half = _jitter(words, 0.2, n, 1, 1)  # tangent of half the angle: a rotation without sine or cosine
    cos, sin = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    x, y = points[..., 0], points[..., 1]
    x, y = (
        (1 + _jitter(words, 0.3, n, 1, 1)) * x + _jitter(words, 0.3, n, 1, 1) * y,
        (1 + _jitter(words, 0.3, n, 1, 1)) * y,
    )
    x, y = cos * x - sin * y + _jitter(words, 0.35, n, 1, 1), sin * x + cos * y + _jitter(words, 0.35, n, 1, 1)
    pixels = (np.stack([x, y], axis=-1) * 0.36 + 0.5) * SIZE
    return pixels, np.repeat(present, SAMPLES, axis=0).astype(np.float64), 0.2 + 0.4 * _uniform(words, n)


def _rasterise(points: Floats, ink: Floats, pen: Floats) -> Images:
    """Images (n, 28, 28, 1): a curve's points leave ink on their four nearest pixels, a pen three wide spreads it."""
    n = len(points)
    t = (np.arange(_POINTS) / (_POINTS - 1))[:, None]
    u = 1 - t
    weights = (u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t)
    curve = sum((w * points[:, :, k, None, :] for k, w in enumerate(weights)), np.zeros(()))  # (n, strokes, points, 2)
    curve = np.clip(curve, 1.0, SIZE - 2.001)
    corner = curve.astype(np.intp)
    fx, fy = np.moveaxis(curve - corner, -1, 0)
    grid = SIZE * SIZE
    first = np.arange(n)[:, None, None] * grid + corner[..., 1] * SIZE + corner[..., 0]
    drop = np.broadcast_to(ink[..., None], fx.shape)
    paper = np.zeros(n * grid)
    for offset, share in ((0, (1 - fx) * (1 - fy)), (1, fx * (1 - fy)), (SIZE, (1 - fx) * fy), (SIZE + 1, fx * fy)):
        paper += np.bincount((first + offset).ravel(), (drop * share).ravel(), n * grid)
    sheets = np.minimum(paper, 1.0).reshape(n, SIZE, SIZE)
    for axis in (1, 2):
        dry = np.moveaxis(sheets, axis, 0)  # (28, n, 28)
        wet = dry.copy()
        wet[1:-1] += pen[:, None] * (dry[:-2] + dry[2:])
        sheets = np.moveaxis(wet, 0, axis)
    return (np.minimum(sheets, 1.0) * 255 + 0.5).astype(np.uint8)[..., None]
