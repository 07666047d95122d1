"""Somebody's own net, looked at without a formula of ours: its `backward` against numerical differentiation.

The function is f = sum of dz times z, for random images and a random dz. Its slope along a direction of the parameters
is (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h. Directions move all parameters, ranges of them, and single ones. Where
the slopes on both sides disagree, of one term of f or another, there are kinks, and the direction is left out. All
numbers that a parameter takes are exact. Images are float64: steps in float32 are so large that kinks spoil them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from leakysm.errors import LeakysmError, UserError
from leakysm.nets import Net
from leakysm.nets.net import require_embeddings, require_gradient, require_net
from leakysm.verify.cases.numbers import noise
from leakysm.verify.differences import five_points

IMAGES = 6
EPS = 2.0**-52
RANGES, SINGLE = 64, 64  # directions that move a range of parameters, and one parameter
STEPS = {"float64": 2.0**-28, "float32": 2.0**-20}  # of a vector's dtype, as a part of its largest number
TOLERANCE = 1e-4  # a larger relative error is taken for wrong


@dataclass
class NetFindings:
    """What was found of a net: how many directions of its parameters were compared, how many left out.

    problem: the counterexample to its gradient, None if it is right.
    """

    net: str
    directions: int = 0
    left_out: int = 0
    problem: str | None = None


def check_net(net: Net, image_shape: tuple[int, int, int]) -> NetFindings:
    """Compare the gradient that `backward` of a net gives with differences of what `forward` gives.

    image_shape: (H, W, C) of the images that the net takes. It gets six random images of float64 at a time. Its
    parameters are moved, and put back. UserError if the net cannot compute in float64, or if a result has the wrong
    shape or dtype.

    Examples
    --------
    >>> from leakysm.verify.own_net import check_net
    >>> print(check_net(lk.Conv4(channels=4, blocks=1, dtype="float64"), (8, 8, 1)).problem)
    None
    """
    require_net(net)
    kept = net.engine.to_host(net.vector).copy()
    _require_float64(net, image_shape)
    findings = NetFindings(type(net).__name__)
    try:
        look = _Look(net, image_shape, kept)
        findings.problem = look.manners() or look.compare(findings)
    finally:
        net.vector[...] = net.engine.asarray(kept)
    if findings.problem is None and findings.left_out >= findings.directions:
        findings.problem = (
            f"the gradient of {findings.net} cannot be checked: the slopes of forward have too few digits"
        )
    return findings


def _require_float64(net: Net, image_shape: tuple[int, int, int]) -> None:
    """UserError unless the vector is one that the check can move, and float64 images give embeddings."""
    if str(net.vector.dtype) not in STEPS:
        raise UserError(f"the vector of {type(net).__name__} is {net.vector.dtype}; make it float64 for this check")
    try:
        net.forward(net.engine.asarray(np.zeros((IMAGES, *image_shape))))
    except LeakysmError as problem:
        mend = "for this check, make a net whose vector is float64"
        raise UserError(f"{type(net).__name__} refuses images of float64; {mend} (it says: {problem})") from problem


class _Slope(NamedTuple):
    """A slope of f by the gradient and by differences, how far these may be off, and how much kinks may change."""

    given: float
    found: float
    off: float
    kinks: float

    @property
    def bends(self) -> bool:
        """Whether kinks are near, so that differences say nothing."""
        return self.kinks > self.off

    @property
    def wrong(self) -> bool:
        """Whether the gradient is wrong; also if a slope is NaN."""
        return not self.bends and not abs(self.given - self.found) <= self.off


class _Look:
    """A net, its images, a cotangent, and the parameters around which it is looked at."""

    def __init__(self, net: Net, image_shape: tuple[int, int, int], parameters: Any) -> None:
        self.net, self.name = net, type(net).__name__
        self.images = net.engine.asarray(noise("own net x", IMAGES, *image_shape))
        largest = float(np.abs(parameters).max(initial=0.0))
        size = 2.0 ** np.ceil(np.log2(largest or 1.0))
        self.h = STEPS[str(net.vector.dtype)] * size
        self.start = np.round(parameters.astype(np.float64) / self.h) * self.h
        self.dz = noise("own net dz", IMAGES, net.embedding_size(image_shape))

    def _forward(self, parameters: Any) -> tuple[Any, Any]:
        """What `forward` gives for the images with these parameters."""
        vector = self.net.vector
        vector[...] = self.net.engine.asarray(parameters, str(vector.dtype))
        z, saved = self.net.forward(self.images)
        require_embeddings(self.net, self.images, z, "forward")
        return z, saved

    def _terms(self, parameters: Any) -> Any:
        """The terms of f."""
        return self.dz * self.net.engine.to_host(self._forward(parameters)[0])

    @cached_property
    def gradient(self) -> Any:
        """What `backward` gives at the start, on the host."""
        _, saved = self._forward(self.start)
        gradient = self.net.backward(saved, self.net.engine.asarray(self.dz))
        if str(self.net.vector.dtype) == "float64":  # else float64 images give a gradient of float64, too
            require_gradient(self.net, gradient)
        return self.net.engine.to_host(gradient).astype(np.float64)

    def manners(self) -> str | None:
        """The problem, if the net answers the same call in two ways or changes its parameters; else None."""
        if not np.array_equal(self._terms(self.start), self._terms(self.start), equal_nan=True):
            return f"forward of {self.name} gives two results for the same images; make it repeatable"
        _ = self.gradient
        if not np.array_equal(self.net.engine.to_host(self.net.vector), self.start.astype(self.net.vector.dtype)):
            return f"forward or backward of {self.name} changes its vector; leave that to the optimizer"
        return None

    def compare(self, findings: NetFindings) -> str | None:
        """The counterexample to the gradient; None if there is none."""
        shape = self.gradient.shape
        if shape != self.start.shape:
            return f"backward of {self.name} gives the shape {shape}; that of its vector is {self.start.shape}"
        if not np.isfinite(self.gradient).all():
            return f"backward of {self.name} gives numbers that are not finite"
        for part in _parts(len(self.start)):
            slope = self._slope(part)
            findings.directions += not slope.bends
            findings.left_out += slope.bends
            if slope.wrong:
                return self._told(*self._smallest(part, slope))
        return None

    def _slope(self, part: slice) -> _Slope:
        """The slope of f along one direction of these parameters."""
        direction = np.zeros_like(self.start)
        direction[part] = np.sign(noise(f"own net {part}", len(self.start[part])))
        f = {m: self._terms(self.start + m * self.h * direction) for m in (-2, -1, 0, 1, 2)}
        left, right = ((4 * f[s] - f[2 * s] - 3 * f[0]) / (2 * s * self.h) for s in (-1, 1))
        found = float(five_points(f, self.h).sum())
        given, rounding = float(self.gradient @ direction), 16 * EPS * np.abs(f[0]) / self.h
        off = TOLERANCE * max(abs(found), abs(given)) + float(rounding.sum())
        return _Slope(given, found, off, float(np.maximum(np.abs(left - right) - rounding, 0).sum()))

    def _smallest(self, part: slice, slope: _Slope) -> tuple[slice, _Slope]:
        """The smallest half, half of a half, ... of a range of parameters whose slope is wrong too, and that slope."""
        middle = (part.start + part.stop) // 2
        for half in (slice(part.start, middle), slice(middle, part.stop)) if middle > part.start else ():
            if (inside := self._slope(half)).wrong:
                return self._smallest(half, inside)
        return part, slope

    def _told(self, part: slice, slope: _Slope) -> str:
        one = part.stop == part.start + 1
        place, along = (part.start, "") if one else (f"{part.start}:{part.stop}", " along a random direction")
        return (
            f"backward of {self.name} is wrong: for {IMAGES} random images, gradient[{place}] is "
            f"{slope.given:.6g}{along}, but the slope of the embeddings is {slope.found:.6g}"
        )


def _parts(count: int) -> Iterator[slice]:
    """All parameters, ranges of them, and single ones."""
    yield slice(0, count)
    for pieces, longest in ((RANGES, count), (SINGLE, 1)):
        starts = np.unique(np.linspace(0, count, pieces, endpoint=False).astype(int))
        for start, stop in zip(starts, [*starts[1:], count], strict=True):
            yield slice(int(start), min(int(stop), int(start) + longest))
