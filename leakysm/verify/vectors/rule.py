"""The rule of FORMAT.md: what a result may be, in the order of that page.

It is written from the page and does not use `leakysm.verify.bounds`: readers in other languages judge like this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from leakysm.verify.bounds import Floats
from leakysm.verify.vectors.stored import Group


def failures(group: Group, part: str, results: Mapping[str, Any], dtype: str) -> list[str]:
    """Each result that breaks its bound, in words. part: value or vjp; results: arrays by output or gradient."""
    texts = []
    for name, computed in results.items():
        expected = group.arrays[f"{part}/{name}/expected"]
        if np.shape(computed) != expected.shape:
            texts.append(f"{name} in {dtype}: the shape is {np.shape(computed)}; {expected.shape} is expected")
        elif not (worst := ratios(group, part, name, computed, dtype).max(initial=0)) <= 1:
            texts.append(f"{name} in {dtype}: the error is {worst:.3g} times the bound")
    return texts


def ratios(group: Group, part: str, name: str, computed: Any, dtype: str) -> Floats:
    """error / bound of every element, for the nearest right value, expected or alternative; inf: no bound allows it."""
    at, arrays = f"{part}/{name}", group.arrays
    severity = "worst" if dtype in group.contents["one_way"].split(",") else "usual"
    k = float(arrays[f"{at}/{severity}"])
    reach = arrays.get(f"{at}/reach", arrays[f"{at}/scale"])
    computed = np.asarray(computed, dtype=np.float64)
    truths = _truths(arrays, at, f"alternatives/{dtype}/{name}", computed)
    return np.asarray(np.min([_ratios(computed, *truth, k, reach, dtype, part == "vjp") for truth in truths], axis=0))


def _truths(arrays: Mapping[str, Any], at: str, other: str, computed: Floats) -> Iterator[tuple[Any, Any, Any]]:
    """(expected, scale, under): the stored result's, every alternative's, and that of the interval's nearest value."""
    yield arrays[f"{at}/expected"], arrays[f"{at}/scale"], arrays[f"{at}/under"]
    if f"{other}/expected" in arrays:
        scale, under = arrays[f"{other}/scale"], arrays[f"{other}/under"]
        yield from ((expected, scale, under) for expected in arrays[f"{other}/expected"])
        if f"{other}/least" in arrays:
            least, most = arrays[f"{other}/least"], arrays[f"{other}/most"]
            yield np.where(computed > least, np.where(computed < most, computed, most), least), scale, under


def _ratios(
    computed: Floats, expected: Any, scale: Any, under: Any, k: float, reach: Any, dtype: str, gradient: bool
) -> Floats:
    eps, least, largest = (float(getattr(np.finfo(dtype), key)) for key in ("eps", "smallest_normal", "max"))
    with np.errstate(all="ignore"):
        bound = k * (eps * scale) + under * least
        ratio = np.where(computed == expected, 0.0, np.abs(computed - expected) / bound)
        overflows = (reach > largest) | (np.abs(expected) + bound > largest)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    ratio = np.where(overflows & np.isinf(computed) & (np.sign(computed) == np.sign(expected)), 0.0, ratio)
    ratio = np.where(np.isinf(expected), np.where(computed == expected, 0.0, np.inf), ratio)
    if gradient:
        ratio = np.where(reach > largest, 0.0, ratio)
    return np.asarray(np.where(np.isnan(expected), np.where(np.isnan(computed), 0.0, np.inf), ratio))
