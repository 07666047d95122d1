"""Largest errors of split and ordinary products, in eps * scale: `python -m tests.backends.cupy.split_errors`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from leakysm.backends.cupy.blocks import block_pairs
from leakysm.backends.cupy.kernels import Tiling
from tests.backends.cupy.host_kernels import HostKernels
from tests.backends.cupy.test_split import NUMBERS, run_hard_products

SHAPE = (6, 14, 14, 64, 64)

if __name__ == "__main__":
    tiling = Tiling(large=0, slices=176, shortest=16)
    with tempfile.TemporaryDirectory() as folder:
        for products in ("FLOAT32", "SPLIT"):
            pair = block_pairs(HostKernels(Path(folder), products=products, tiling=tiling))["conv2d"]
            for numbers in NUMBERS:
                found = run_hard_products(pair, SHAPE, numbers)
                errors = {name: (abs(y - exact) / scale).max() / 2.0**-23 for name, y, exact, scale, _ in found}
                print(products, numbers.__name__, *(f"{name} {error:.2f}" for name, error in errors.items()))
