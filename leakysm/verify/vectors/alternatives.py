"""Other results than the exact one that are right in a dtype, as the files list them.

Three reasons: a discrete choice that is open, a parameter that the dtype rounds, subnormal inputs that a platform takes
for 0. A rounded parameter mostly moves a result by a part of eps * scale, which the factors then allow for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leakysm.errors import CheckFailed
from leakysm.verify.bounds import Exact, Floats, Precision
from leakysm.verify.registry import Truth


@dataclass
class Alternatives:
    """The other right values of one result in one dtype. shift: what rounding a parameter moves, in eps * scale."""

    exact: Exact
    scale: Floats
    under: Floats
    shift: float = 0.0
    values: list[Floats] = field(default_factory=list)
    interval: tuple[Floats, Floats] | None = None

    def add(self, values: Floats, scale: Floats, under: Floats) -> None:
        """Add an array of right values, unless it is known already."""
        known = [self.exact.high, *self.values]
        if not any(np.array_equal(values, other, equal_nan=True) for other in known):
            self.values.append(values)
        self.scale, self.under = np.maximum(self.scale, scale), np.maximum(self.under, under)

    def arrays(self, at: str) -> dict[str, Any]:
        """The alternatives as the files hold them: arrays by path; empty if there is no alternative."""
        if not self.values and self.interval is None:
            return {}
        stacked = np.stack(self.values) if self.values else np.zeros((0, *self.exact.shape))
        by_path = {f"{at}/expected": stacked, f"{at}/scale": coarse(self.scale), f"{at}/under": coarse(self.under)}
        if self.interval is not None:
            by_path |= {f"{at}/least": self.interval[0], f"{at}/most": self.interval[1]}
        return by_path


def results(truth: Truth) -> Iterator[tuple[str, str, Exact]]:
    """(part, name, exact) of every output and gradient."""
    for part, names, exacts in (
        ("value", truth.entry.definition.outputs, truth.value),
        ("vjp", truth.entry.gradients, truth.vjp),
    ):
        yield from ((part, name, exact) for name, exact in zip(names, exacts, strict=True))


def of(truth: Truth, precision: Precision) -> dict[str, Alternatives]:
    """The alternatives of each output and gradient of a case in a dtype, for implementations that add in any order."""
    alternatives = {name: Alternatives(exact, exact.scale, exact.under) for _, name, exact in results(truth)}
    rounded = truth.with_rounded_parameters(precision)
    for _, name, exact in results(rounded):
        _add_rounded(alternatives[name], exact, precision)
    flushed = truth.with_subnormals_flushed(precision)
    for _, name, exact in () if flushed is None else results(flushed):
        alternatives[name].add(exact.high, exact.scale, exact.under)
    opens = rounded.open_gradients(precision, "any")
    if opens is None:
        raise CheckFailed(f"{truth.case.id} leaves too many choices open to be stored; give it stored=False")
    for name, choices in zip(truth.entry.gradients, opens, strict=True):
        if choices is not None:
            _add_open(alternatives[name], choices)
    return alternatives


def _add_rounded(alternatives: Alternatives, exact: Exact, precision: Precision) -> None:
    base = alternatives.exact
    with np.errstate(all="ignore"):
        moved = np.abs((exact.high - base.high) + (exact.low - base.low)) / (precision.eps * base.scale)
    shift = float(np.nan_to_num(moved, nan=0.0, posinf=np.inf).max(initial=0.0))
    if shift <= 1:
        alternatives.shift = shift
    else:
        alternatives.add(exact.high, exact.scale, exact.under)


def _add_open(alternatives: Alternatives, choices: Any) -> None:
    for values in choices.high:
        alternatives.add(values, choices.scale, alternatives.under)
    if not choices.few.all():
        listed = alternatives.exact.high
        alternatives.interval = (
            np.where(choices.few, listed, choices.least),
            np.where(choices.few, listed, choices.most),
        )


def short(array: Floats) -> Floats:
    """One number in place of an array whose numbers are all equal."""
    return array.ravel()[0].reshape(()) if array.size and np.all(array == array.ravel()[0]) else array


def coarse(array: Floats) -> Floats:
    """Scales or underflow terms, rounded up to 8 bits: this halves the files. Numbers from 1e37 on stay as they are."""
    mantissa, exponent = np.frexp(array)
    up = np.maximum(np.ldexp(np.ceil(mantissa * 256) / 256, exponent), array)
    return short(np.where(array < 1e37, up, array))
