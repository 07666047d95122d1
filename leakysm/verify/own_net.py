"""Somebody's own net, looked at without a formula of ours: its `backward` against numerical differentiation.

The function is f = sum of dz times z, for random images and a random dz. Its slope along a direction of the parameters
is (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h. Directions move all parameters, ranges of them, and single ones. Where
the slopes on both sides disagree, of one term of f or another, there are kinks, and the direction is left out. All
numbers that a parameter takes are exact. Images are float64: steps in float32 are so large that kinks spoil them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.errors import LeakysmError, UserError
from leakysm.nets import Net
from leakysm.nets.net import require_embeddings, require_gradient, require_net
from leakysm.verify.cases.numbers import noise

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
    """UserError unless float64 images give embeddings."""
    try:
        net.forward(net.engine.asarray(np.zeros((IMAGES, *image_shape))))
    except LeakysmError as problem:
        mend = "for this check, make a net whose vector is float64"
        raise UserError(f"{type(net).__name__} refuses images of float64; {mend} (it says: {problem})") from problem


class _Look:
    """A net, its images, a cotangent, and the parameters around which it is looked at."""

    def __init__(self, net: Net, image_shape: tuple[int, int, int], parameters: Any) -> None:
        self.net, self.name = net, type(net).__name__
        self.images = noise("own net x", IMAGES, *image_shape)
        largest = float(np.abs(parameters).max(initial=0.0))
        size = 2.0 ** np.ceil(np.log2(largest or 1.0))
        self.h = STEPS[str(net.vector.dtype)] * size
        self.start = np.round(parameters.astype(np.float64) / self.h) * self.h
        self.dz = noise("own net dz", IMAGES, net.embedding_size(image_shape))

    def _forward(self, parameters: Any) -> tuple[Any, Any]:
        """What `forward` gives for the images with these parameters."""
        vector = self.net.vector
        vector[...] = self.net.engine.asarray(parameters, str(vector.dtype))
        x = self.net.engine.asarray(self.images)
        z, saved = self.net.forward(x)
        require_embeddings(self.net, x, z, "forward")
        return z, saved

    def _terms(self, parameters: Any) -> Any:
        """The terms of f."""
        return self.dz * self.net.engine.to_host(self._forward(parameters)[0])

    def _gradient(self) -> Any:
        """What `backward` gives, on the host."""
        _, saved = self._forward(self.start)
        gradient = self.net.backward(saved, self.net.engine.asarray(self.dz))
        if str(self.net.vector.dtype) == "float64":  # else float64 images give a gradient of float64, too
            require_gradient(self.net, gradient)
        return self.net.engine.to_host(gradient).astype(np.float64)

    def manners(self) -> str | None:
        """The problem, if the net answers the same call in two ways or changes its parameters; else None."""
        if not np.array_equal(self._terms(self.start), self._terms(self.start), equal_nan=True):
            return f"forward of {self.name} gives two results for the same images; make it repeatable"
        self._gradient()
        if not np.array_equal(self.net.engine.to_host(self.net.vector), self.start.astype(self.net.vector.dtype)):
            return f"forward or backward of {self.name} changes its vector; leave that to the optimizer"
        return None

    def compare(self, findings: NetFindings) -> str | None:
        """The counterexample to the gradient; None if there is none."""
        given = self._gradient()
        if given.shape != self.start.shape:
            return f"backward of {self.name} gives the shape {given.shape}; that of its vector is {self.start.shape}"
        if not np.isfinite(given).all():
            return f"backward of {self.name} gives numbers that are not finite"
        for part in _parts(len(self.start)):
            problem = self._wrong(given, part)
            if problem == "":
                findings.left_out += 1
                continue
            findings.directions += 1
            if problem:
                return self._smallest(given, part) or problem
        return None

    def _wrong(self, given: Any, part: slice) -> str | None:
        """The counterexample along one direction of these parameters; None if there is none, "" near a kink."""
        direction = np.zeros_like(self.start)
        direction[part] = np.sign(noise(f"own net {part}", len(self.start[part])))
        slope, kinks, rounding = self._slope(direction)
        expected = float(given @ direction)
        off = TOLERANCE * max(abs(slope), abs(expected)) + rounding
        if kinks > off:
            return ""
        if abs(slope - expected) <= off:
            return None
        place = str(part.start) if part.stop == part.start + 1 else f"{part.start}:{part.stop}"
        along = "" if part.stop == part.start + 1 else " along a random direction"
        return (
            f"backward of {self.name} is wrong: for {IMAGES} random images, gradient[{place}] is "
            f"{expected:.6g}{along}, but the slope of the embeddings is {slope:.6g}"
        )

    def _slope(self, direction: Any) -> tuple[float, float, float]:
        """The slope of f along a direction, how much of it kinks may have changed, and how much rounding."""
        f = {m: self._terms(self.start + m * self.h * direction) for m in (-2, -1, 0, 1, 2)}
        left, right = ((4 * f[s] - f[2 * s] - 3 * f[0]) / (2 * s * self.h) for s in (-1, 1))
        slope = (f[-2] - 8 * f[-1] + 8 * f[1] - f[2]) / (12 * self.h)
        rounding = 16 * EPS * np.abs(f[0]) / self.h
        kinks = np.maximum(np.abs(left - right) - rounding, 0)
        return float(slope.sum()), float(kinks.sum()), float(rounding.sum())

    def _smallest(self, given: Any, part: slice) -> str | None:
        """The counterexample of the smallest half, half of a half, ... of a range whose gradient is wrong too."""
        if part.stop - part.start < 2:
            return None
        middle = (part.start + part.stop) // 2
        for half in (slice(part.start, middle), slice(middle, part.stop)):
            if problem := self._wrong(given, half):
                return self._smallest(given, half) or problem
        return None


def _parts(count: int) -> Iterator[slice]:
    """All parameters, ranges of them, and single ones."""
    yield slice(0, count)
    for pieces, longest in ((RANGES, count), (SINGLE, 1)):
        starts = np.unique(np.linspace(0, count, pieces, endpoint=False).astype(int))
        for start, stop in zip(starts, [*starts[1:], count], strict=True):
            yield slice(int(start), min(int(stop), int(start) + longest))
