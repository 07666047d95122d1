"""What a look at one item found, and the machine that its bits depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

NO_MATTER = ("AVX512_ICL", "AVX512_SPR")  # loops of NumPy that change no bit of what is recorded: tried


@dataclass(frozen=True)
class Looked:
    """Plain values for JSON. everywhere: the same on every machine. here: the same where `on` is the same."""

    everywhere: Mapping[str, Any] = field(default_factory=dict)
    here: Mapping[str, Any] = field(default_factory=dict)
    on: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """`everywhere` alone, if there is nothing else."""
        return {name: value for name, value in asdict(self).items() if value}


def machine() -> dict[str, str]:
    """What the bits of a training run depend on: kernels of the matrix products, NumPy's loops, versions of both.

    OpenBLAS and NumPy choose them by the processor.
    """
    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    own = [info for info in found if "numpy" in info["filepath"]] or found
    kernels = sorted({str(info.get("architecture")) for info in own})
    versions = sorted({str(info["version"]) for info in own})
    loops = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "kernels": " ".join(kernels),
        "BLAS": " ".join(versions),
        "NumPy": np.__version__,
        "loops": " ".join(name for name in loops if name not in NO_MATTER),
    }


def elsewhere(recorded: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Why bits cannot be compared, in words; empty if they can."""
    unlike = [name for name in recorded if recorded[name] != now.get(name)]
    return ", ".join(f"{name} is {now.get(name)}, the record's is {recorded[name]}" for name in unlike)
