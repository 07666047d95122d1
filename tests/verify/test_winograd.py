"""The bounds of Winograd's convolution: the engine keeps them, mistakes break them, the scale is what it adds up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from leakysm_cli.verify import checked

from leakysm.backends.numpy.block import forward
from leakysm.backends.numpy.block.chunks import Tiling
from leakysm.backends.numpy.block.winograd import passes
from leakysm.backends.numpy.block.winograd.transforms import add_input_row, kernels_of
from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.adapters import EngineImplementation
from leakysm.verify.cases.numbers import noise
from leakysm.verify.conformance import Settings
from leakysm.verify.conformance.rows import Row
from leakysm.verify.conformance.run import check_operation
from leakysm.verify.oracle.convolution import correlate, correlate_dw, correlate_dx
from leakysm.verify.oracle.winograd import INPUT, KERNEL, OUTPUT, Transforms
from leakysm.verify.precise import arithmetic, exact
from leakysm.verify.registry import ENTRIES, VARIANTS
from leakysm.verify.report import row_problems

ENTRY = VARIANTS["conv_block, winograd"]
BANDS = Tiling(tiles=20_000)  # images in bands of a few rows of tiles


def row(examples: int, **settings: Any) -> Row:
    engine = NumpyEngine(2, convolution="winograd", blocks=BANDS)
    given = Settings(("float32",), strict=True, examples=examples, shrink_seconds=0, **settings)
    return check_operation(EngineImplementation(engine), ENTRY, given)[0]


def test_the_engine_keeps_them_in_bands() -> None:
    found = row(2)
    assert found.status == "passed", row_problems(found)
    assert found.cases > len(ENTRY.truths)
    assert {w.output for w in found.worst} == {"y", "mean", "variance", "dx", "dw", "dscale", "dshift"}


def test_the_command_checks_them_beside_those_of_every_engine() -> None:
    settings = Settings(strict=True, examples=0, most_cases=1, purity=False)
    found, gradients = checked("numpy", 1, None, settings, ENTRY.name)
    assert (found.operation, found.status, gradients) == ("conv_block, winograd", "passed", [])
    assert {w.dtype for w in found.worst} == {"float32"}
    assert set(ENTRY.bounds) == set(ENTRIES["conv_block"].bounds)


def off_by_a_hundredth(w: np.ndarray) -> np.ndarray:
    planes = kernels_of(w)
    planes[1] *= np.float32(1.01)
    return planes


def without_the_row_above(i: int, planes: Any, by_parity: Any, scratch: Any) -> None:
    """It is the band's above."""
    add_input_row(i, planes, by_parity, scratch)
    by_parity[0, :, :, 0] *= i != 3


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (forward, "kernels_of", off_by_a_hundredth),
        (passes, "add_input_row", without_the_row_above),
        (passes, "with_signs", lambda planes: planes),
    ],
)
def test_mistakes_break_them(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, wrong: Callable[..., Any]
) -> None:
    monkeypatch.setattr(module, name, wrong)
    found = row(0, most_cases=1, purity=False)
    assert found.status == "failed"
    assert 'lk.backend("numpy", convolution="winograd")' in (found.counterexample or "")


@pytest.mark.parametrize("shape", [(2, 6, 8), (1, 7, 5)])
def test_the_transforms_are_a_convolution_and_their_scale_is_no_smaller(shape: tuple[int, ...]) -> None:
    with arithmetic():
        x, w, dz = (exact(noise(f"t{s}", *s)) for s in ((*shape, 2), (3, 3, 2, 3), (*shape, 3)))
        true, scale = Transforms(INPUT, KERNEL, OUTPUT), Transforms.absolute()
        for result, direct, size, direct_size in (
            (true.convolve(x, w), correlate(x, w), scale.convolve(abs(x), abs(w)), correlate(abs(x), abs(w))),
            (true.dx(w, dz), correlate_dx(w, dz), scale.dx(abs(w), abs(dz)), correlate_dx(abs(w), abs(dz))),
            (true.dw(x, dz), correlate_dw(x, dz), scale.dw(abs(x), abs(dz)), correlate_dw(abs(x), abs(dz))),
        ):
            assert np.all(abs(result - direct) <= 1e-40)
            assert np.all(size >= direct_size)
