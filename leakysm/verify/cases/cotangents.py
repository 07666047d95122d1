"""Cotangents of other sizes and with more bits than the rest of a case has. Not in the reference vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from leakysm.verify.case import Case
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import Floats, noise, single

FULL = -1.2345678901234567  # all 53 bits of a float64


def of(cases: Sequence[Case]) -> Iterator[Case]:
    """The first plain case of an operation with large, small and finely divided cotangents."""
    plain = plain_case(cases)
    for name, power in (("large", 12), ("small", -12), ("huge", 40), ("minute", -40)):
        dy = np.asarray(plain.dy) * 2.0**power * (-1.5 if np.ndim(plain.dy) == 0 else 1)  # a loss's dy is 1
        yield replace(
            plain, name=f"cotangent-{name}", dy=dy, flags=("corner",), note=f"dy near 2^{power}", stored=False
        )
    power = 100 if np.ndim(plain.dy) else 118  # near float32's end; sums of several dy must not reach it
    end = np.asarray(plain.dy) * 2.0**power
    yield replace(plain, name="cotangent-end", dy=end, flags=("corner",), note=f"dy near 2^{power}", stored=False)
    if np.ndim(plain.dy) > 1:
        yield from _sparse(plain)
    if np.ndim(plain.dy):
        positive, last = np.maximum(plain.dy, 0), np.zeros_like(plain.dy)
        last.flat[-1] = -1.5
        balanced = np.array(plain.dy).reshape(-1, np.shape(plain.dy)[-1])
        even = len(balanced) // 2 * 2
        balanced[1:even:2] = -balanced[:even:2]
        balanced[even:] = 0
        rows, last_axis = (
            _nearly_balanced(f"{name} {plain.operation}", n)
            for name, n in zip(("row", "column"), balanced.shape, strict=True)
        )
        nearly = (rows[:, None] * last_axis).reshape(np.shape(plain.dy))
        for name, dy, note in (
            ("nearly-balanced", nearly, "dy adds up to some 2^-34 along each axis"),
            ("balanced", balanced.reshape(np.shape(plain.dy)), "dy adds up to 0 in each place of its last axis"),
            ("never-negative", positive, "dy is never negative, and 0 here and there"),
            ("never-positive", -positive, "dy is never positive, and 0 here and there"),
            ("last", last, "one number of dy alone is not 0"),
            ("zero", 0 * last, "dy is 0"),
        ):
            yield replace(plain, name=f"cotangent-{name}", dy=dy, flags=("corner",), note=note, stored=False)
    for bits, scalar in ((24, single(FULL)), (53, np.asarray(FULL))):
        dy = noise(f"full {bits}", *np.shape(plain.dy), bits=bits) if np.ndim(plain.dy) else scalar
        note = f"dy of {bits} bits"
        yield replace(plain, name=f"cotangent-{bits}-bits", dy=dy, flags=("corner",), note=note, stored=False)


def _nearly_balanced(name: str, n: int) -> Floats:
    """n numbers and their negatives, in turn; the last one makes their sum 2^-34."""
    numbers = np.repeat(noise(name, n // 2 + 1, bits=11), 2)[:n] * (-1.0) ** np.arange(n)
    numbers[-1] += 2.0**-34 - numbers.sum()
    return numbers


def _sparse(plain: Case) -> Iterator[Case]:
    """Two rows beside each other that are not 0, as of two pixels; one number in each row, of either sign."""
    rows = np.array(plain.dy).reshape(-1, np.shape(plain.dy)[-1])
    two, single_numbers = np.zeros_like(rows), np.zeros_like(rows)
    two[:2] = rows[:2]
    at = np.arange(len(rows)), (np.arange(len(rows)) * 2 + 1) % rows.shape[1]
    single_numbers[at] = np.where(at[0] % 2, 0.75, -1.25)
    for name, dy, note in (
        ("two-rows", two, "two rows of dy"),
        ("one-a-row", single_numbers, "one number of each row of dy"),
    ):
        whole = dy.reshape(np.shape(plain.dy))
        yield replace(
            plain, name=f"cotangent-{name}", dy=whole, flags=("corner",), note=f"only {note} not 0", stored=False
        )
