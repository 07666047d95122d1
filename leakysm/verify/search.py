"""An adversarial search for the largest error / bound of every output: evolution over inputs, not random draws alone.

The fixed cases are the first generation. A child is a parent with a few changes: a number's last bits, its sign, its
power of two, a number or row copied over another, a parameter. The children with the largest errors are the next
parents, for each output on its own. The bound is `worst`, the one that holds for any data: no child may exceed it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leakysm.ops.metrics import LeakySquaredEuclidean
from leakysm.ops.restriction import Restriction
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.bounds import Precision
from leakysm.verify.case import DTYPES, Case
from leakysm.verify.judging import judged
from leakysm.verify.registry import Entry, Truth

DTYPES_SEARCHED = ("float32", "float64")
MOST_NUMBERS = 500  # of a parent, or twice the fewest: small cases are judged a hundred times a second
ELITE = 10
LARGEST, SMALLEST = 2.0**24, 2.0**-24  # the range of numbers, within which nothing overflows or underflows
_LEFT_OUT = {"overflow", "half-overflow", "subnormal", "undefined", "infinite-logit", "empty", "large", "size"}


@dataclass(frozen=True)
class Peak:
    """The largest error of one output in a search: error / worst bound, and the call."""

    operation: str
    output: str
    dtype: str
    ratio: float
    case: Case
    tried: int


def search(implementation: Implementation, entry: Entry, seconds: float) -> list[Peak]:
    """The largest errors of one operation in float32 and float64, an entry for each output and dtype."""
    peaks: list[Peak] = []
    for number, dtype in enumerate(DTYPES_SEARCHED):
        evolution = _Evolution(implementation, entry, dtype, np.random.default_rng([0, number]))
        end = time.monotonic() + seconds / len(DTYPES_SEARCHED)
        while time.monotonic() < end:
            evolution.step()
        peaks += evolution.peaks()
    return peaks


class _Evolution:
    """The best cases of every output in one dtype."""

    def __init__(self, implementation: Implementation, entry: Entry, dtype: str, random: np.random.Generator):
        self.implementation, self.entry, self.dtype, self.random = implementation, entry, dtype, random
        parts = {"value": entry.definition.outputs, "vjp": entry.gradients}
        self.outputs = [(part, i, name) for part, names in parts.items() for i, name in enumerate(names)]
        self.elite: dict[tuple[str, int], list[tuple[float, Case]]] = {(p, i): [] for p, i, _ in self.outputs}
        self.tried = 0
        self.waiting = list(self._first())
        self.turn = 0

    def _first(self) -> Iterator[Case]:
        cases = [c for c in self.entry.cases() if self.dtype in c.dtypes and not c.own and not _LEFT_OUT & set(c.flags)]
        most = max(MOST_NUMBERS, 2 * min(case.size for case in cases))
        yield from (replace(case, one_way=DTYPES) for case in cases if case.size <= most)

    def step(self) -> None:
        """Judge one more case: first those of the first generation, then a child for each output in turn."""
        if self.waiting:
            case = self.waiting.pop()
            for part in ("value", "vjp"):
                self._judge(case, part)
            return
        part, i, _ = self.outputs[self.turn % len(self.outputs)]
        self.turn += 1
        parents = self.elite[part, i]
        if parents:
            rank = min(int(self.random.exponential(2.0)), len(parents) - 1)
            other = parents[self.random.integers(len(parents))][1]
            self._judge(_child(parents[rank][1], other, self.dtype, self.random), part)

    def _judge(self, case: Case, part: str) -> None:
        """Compute the errors of a case's outputs. The case is kept for each output whose error is among the largest."""
        self.tried += 1
        precision = Precision(self.dtype)
        arguments = [
            np.asarray(a, dtype=self.dtype) if kind.kind == "array" else a
            for a, kind in zip(case.arguments, case.definition.arguments, strict=True)
        ]
        try:
            with np.errstate(all="ignore"):
                if part == "value":
                    results = self.implementation.value(case.operation, arguments, case.parameters)
                else:
                    dy = np.asarray(case.dy, dtype=self.dtype)
                    results = self.implementation.vjp(case.operation, arguments, dy, case.parameters)
        except ValueError:  # the child's arguments do not fit the operation
            return
        if not all(np.all(np.isfinite(result)) for result in results):
            return
        for i, verdict in enumerate(judged(Truth(self.entry, case), part, precision, results, "ours")):
            best = self.elite[part, i]
            best.append((float(verdict.ratio.max(initial=0)), case))
            best.sort(key=lambda item: -item[0])
            del best[ELITE:]

    def peaks(self) -> Iterator[Peak]:
        for part, i, name in self.outputs:
            if self.elite[part, i]:
                ratio, case = self.elite[part, i][0]
                yield Peak(self.entry.operation, name, self.dtype, ratio, case, self.tried)


def _child(parent: Case, other: Case, dtype: str, random: np.random.Generator) -> Case:
    """A case with one to four changes; sometimes an argument of another parent."""
    arguments, dy, parameters = list(parent.arguments), parent.dy, dict(parent.parameters)
    places = parent.definition.array_places
    for _ in range(random.integers(1, 5)):
        place = int(random.choice([*places, -1, -2]))
        if place == -2:
            parameters = {name: _parameter(value, random) for name, value in parameters.items()}
        elif place == -1:
            dy = _changed(dy, other.dy, dtype, random)
        else:
            arguments[place] = _changed(arguments[place], other.arguments[place], dtype, random)
    if "variance" in (names := [a.name for a in parent.definition.arguments]):
        arguments[names.index("variance")] = np.abs(arguments[names.index("variance")])
    return replace(parent, name="found", arguments=tuple(arguments), dy=dy, parameters=parameters)


def _parameter(value: Any, random: np.random.Generator) -> Any:
    """A float parameter moved a little, or anywhere in (0, 1]; a leaky metric or a restriction with such parameters."""
    if isinstance(value, LeakySquaredEuclidean):
        threshold, slope = (_parameter(number, random) for number in (value.threshold, value.slope))
        return LeakySquaredEuclidean(threshold, min(slope, 1.0), value.per)
    if isinstance(value, Restriction):
        return type(value)(**{name: _parameter(number, random) for name, number in value.parameters.items()})
    if not isinstance(value, float):
        return value
    factor = random.choice([1 + 2.0**-23, 1 - 2.0**-23, 2.0, 0.5, random.uniform(0.5, 1.5)])
    moved = (
        value * factor if np.isfinite(value) and value > 0 and random.random() < 0.7 else random.uniform(2.0**-10, 1)
    )
    return float(np.float32(min(moved, 1.0)))


def _changed(values: Any, others: Any, dtype: str, random: np.random.Generator) -> Any:
    """An array with one change."""
    array = np.array(values, dtype=np.float64)
    if not array.size:
        return array
    change = _CHANGES[int(random.integers(len(_CHANGES)))]
    change(array.reshape(-1), np.ravel(others), dtype, random)
    if random.random() < 0.05 and np.shape(others) == array.shape:
        array = np.array(others, dtype=np.float64)
    size = np.clip(np.abs(array), SMALLEST, LARGEST)
    array = np.where(array == 0, 0.0, np.copysign(size, array))
    return array.astype(dtype).astype(np.float64)


def _new_bits(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    i = random.integers(flat.size)
    power = np.frexp(flat[i])[1] - 1 if flat[i] else 0
    flat[i] = np.copysign(random.uniform(1, 2) * 2.0**power, flat[i] if random.random() < 0.8 else random.normal())


def _nudge(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    i = random.integers(flat.size)
    flat[i] = flat[i] * (1 + random.integers(-8, 9) * float(np.finfo(dtype).eps))


def _nudge_all(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    flat *= 1 + random.integers(-4, 5, flat.size) * float(np.finfo(dtype).eps)


def _power(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    part = slice(None) if random.random() < 0.5 else slice(*sorted(random.integers(flat.size + 1, size=2)))
    flat[part] *= 2.0 ** random.integers(-3, 4)


def _factor(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    flat *= random.uniform(0.7, 1.4)


def _copy(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    length = int(random.integers(1, max(flat.size // 2, 1) + 1))
    a, b = random.integers(flat.size - length + 1, size=2)
    flat[a : a + length] = flat[b : b + length].copy()


def _cross(flat: Any, others: Any, dtype: str, random: np.random.Generator) -> None:
    if others.size == flat.size:
        start, end = sorted(random.integers(flat.size + 1, size=2))
        flat[start:end] = others[start:end]


def _sign(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    flat[random.integers(flat.size)] *= -1


def _shift(flat: Any, _: Any, dtype: str, random: np.random.Generator) -> None:
    flat += random.choice([-1, 1]) * 2.0 ** random.integers(-4, 4)


_CHANGES: Sequence[Callable[[Any, Any, str, np.random.Generator], None]] = (
    _new_bits, _new_bits, _nudge, _nudge_all, _power, _factor, _copy, _cross, _sign, _shift,
)  # fmt: skip
